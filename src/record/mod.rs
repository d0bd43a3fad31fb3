//! What is written down: reports, the history, and how times and foreign text look in them.

mod backlog;
mod ballast;
pub mod escape;
pub mod history;
pub mod json;
mod message;
pub mod notice;
pub mod recorder;
pub mod report;
pub mod retold;
pub mod row;
pub mod saved;
pub mod stats;
pub mod store;

#[cfg(test)]
pub(crate) mod test_history;
