//! systemd: what it is told of the agent, and what it says of the units of others.
//!
//! launchd says nothing of what a person did to a job, and is not asked.

mod bus;
mod notify;
pub(crate) mod unit;
mod wire;

use std::path::Path;

pub use notify::Manager;

/// How the names of units and control groups begin in which actions run.
pub(crate) const ACTION: &str = "autoheal-action-";

/// Whether systemd runs this host: sd_booted(3).
#[must_use]
pub fn is_here() -> bool {
    cfg!(target_os = "linux") && Path::new("/run/systemd/system").is_dir()
}
