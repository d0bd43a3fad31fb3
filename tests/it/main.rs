//! Tests of the whole program in one crate, so that it is linked once.
#![expect(clippy::unwrap_used, reason = "in a test a panic with its place is what is wanted")]

mod cli;
mod evidence;
mod executor;
mod guard_table;
mod lab;
mod simulation;
mod tidy;
mod timeline;
