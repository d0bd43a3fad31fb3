//! See `autoheal::fuzzing::playbooks`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| autoheal::fuzzing::playbooks(data));
