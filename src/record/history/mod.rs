//! The history of incidents.

pub mod read;
