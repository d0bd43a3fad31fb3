//! Tests of how actions run. A crate of their own, hence a process of their own: at its deadline an action takes along whatever
//! became a child of the agent's process meanwhile, and here that process is the tests'.
#![expect(clippy::unwrap_used, reason = "in a test a panic with its place is what is wanted")]

mod confine;
mod evidence;
mod executor;
