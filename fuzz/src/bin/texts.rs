//! Fuzz target; see `fuzz::texts`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::texts(data));
