//! Fuzz target; see `fuzz::namesrv_conf`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::namesrv_conf(data));
