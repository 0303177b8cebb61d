//! Fuzz target; see `fuzz::broker_conf`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::broker_conf(data));
