//! See `autoheal::fuzzing::guard`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| autoheal::fuzzing::guard(data));
