//! autoheal (this page is written at the end of the first issue)
pub mod cli;
pub mod clock;
pub mod collect;
pub mod config;
pub mod detect;
pub mod heal;
pub mod incident;
pub mod metric;
pub mod placeholder;
pub mod record;
pub mod sample;
pub mod threads;
