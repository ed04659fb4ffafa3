//! `verify_slice` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| espalier_fuzz::run("verify_slice", data));
