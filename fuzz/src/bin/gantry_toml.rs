//! Fuzz target; see `fuzz::gantry_toml`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::gantry_toml(data));
