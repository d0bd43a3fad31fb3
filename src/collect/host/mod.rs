//! Raw facts about processes, as the system tells them: `/proc` on Linux, sysinfo elsewhere.

use std::time::Duration;

#[cfg(target_os = "linux")]
mod procfs;
#[cfg(target_os = "linux")]
pub(crate) use procfs::{Held, comm, command_line, exe, open_files, pids, stat, units, user};

#[cfg(not(target_os = "linux"))]
mod other;
#[cfg(not(target_os = "linux"))]
pub(crate) use other::{Held, comm, command_line, exe, open_files, pids, stat, units, user};

/// What one look at a process says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    /// The command's short name (15 bytes on Linux).
    pub(crate) comm: String,
    /// No thread of it runs any more; only its entry is left.
    pub(crate) dead: bool,
    /// The parent's process id.
    pub(crate) parent: u32,
    /// The process group.
    pub(crate) group: u32,
    /// The session.
    pub(crate) session: u32,
    /// Processor time used so far, in user and system mode.
    pub(crate) cpu: Duration,
    /// When it started, on the boot clock. Together with the process id it names a process for good.
    pub(crate) started: Duration,
    /// Resident memory in bytes.
    pub(crate) rss: u64,
}
