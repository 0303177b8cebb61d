//! Fuzz target; see `fuzz::frame_stream`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::frame_stream(data));
