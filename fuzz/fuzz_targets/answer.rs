//! `answer` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| espalier_fuzz::run("answer", data));
