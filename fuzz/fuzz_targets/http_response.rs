//! See `autoheal::fuzzing::http_response`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| autoheal::fuzzing::http_response(data));
