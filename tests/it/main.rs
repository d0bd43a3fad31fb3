//! Tests of the whole program in one crate, so that it is linked once; those of running actions are in `tests/actions`.
#![expect(clippy::unwrap_used, reason = "in a test a panic with its place is what is wanted")]

mod cli;
mod guard_table;
#[cfg(target_os = "linux")]
mod hostile_text;
mod lab;
mod reload_last_good;
mod reload_saves;
mod simulation;
mod tidy;
mod timeline;
