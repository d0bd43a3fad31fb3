//! From samples to edges.
pub mod condition;
