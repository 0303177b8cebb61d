//! Fuzz target; see `fuzz::client_properties`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::client_properties(data));
