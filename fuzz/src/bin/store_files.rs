//! Fuzz target; see `fuzz::store_files`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::store_files(data));
