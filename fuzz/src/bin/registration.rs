//! Fuzz target; see `fuzz::registration`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::registration(data));
