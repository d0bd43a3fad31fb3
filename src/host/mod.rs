//! The agent and the system that runs it: signals, the service manager, the lock.

pub mod lock;
pub mod raw;
mod replace;
pub mod signals;
pub mod systemd;

pub(crate) use replace::replace;

/// This host's name, or `localhost`.
#[must_use]
pub fn name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() { "localhost".to_owned() } else { name }
}

/// The name of this life of the machine: it changes with every start.
#[must_use]
pub fn boot_id() -> String {
    #[cfg(target_os = "linux")]
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    // To the minute: the clock of the start is computed, and wavers.
    #[cfg(not(target_os = "linux"))]
    let id = (sysinfo::System::boot_time() / 60).to_string();
    id.trim().to_owned()
}
