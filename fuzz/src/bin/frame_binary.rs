//! Fuzz target; see `fuzz::frame_binary`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::frame_binary(data));
