//! What is written down.
pub mod json;
