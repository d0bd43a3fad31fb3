//! See `autoheal::fuzzing::control`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| autoheal::fuzzing::control(data));
