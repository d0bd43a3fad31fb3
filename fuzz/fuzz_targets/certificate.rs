//! See `autoheal::fuzzing::certificate`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| autoheal::fuzzing::certificate(data));
