//! See `autoheal::fuzzing::report`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| autoheal::fuzzing::report(data));
