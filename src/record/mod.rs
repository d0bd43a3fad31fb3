//! What is written down: reports, and how times and foreign text look in them.

pub mod escape;
pub mod history;
pub mod json;
pub mod notice;
pub mod report;
pub mod stats;
pub mod store;
