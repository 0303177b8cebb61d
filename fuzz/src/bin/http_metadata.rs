//! Fuzz target; see `fuzz::http_metadata`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::http_metadata(data));
