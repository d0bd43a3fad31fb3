//! The agent and the system that runs it: signals, the service manager, the lock.

pub mod lock;
pub mod signals;
pub mod systemd;

/// This host's name, or `localhost`.
#[must_use]
pub fn name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() { "localhost".to_owned() } else { name }
}
