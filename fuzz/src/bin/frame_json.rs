//! Fuzz target; see `fuzz::frame_json`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::frame_json(data));
