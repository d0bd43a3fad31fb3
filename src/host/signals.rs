//! Signals without handlers: they are blocked before any thread starts, and one thread waits for them.

use crossbeam_channel::{Receiver, unbounded};
use nix::sys::signal::{SigSet, Signal};

use crate::heal::tree;
use crate::threads;

/// What the outside world asks of the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// SIGTERM or SIGINT.
    Stop,
    /// SIGHUP.
    Reload,
}

/// Blocks the agent's signals for this thread and all that it will start. A program inherits that; the executor's helper
/// unblocks them before it becomes one.
///
/// # Errors
/// When the system refuses.
pub fn block() -> nix::Result<()> {
    set().thread_block()
}

fn set() -> SigSet {
    [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGCHLD].into_iter().collect()
}

/// Starts the thread that waits for signals. It ends with the process: nothing wakes it but a signal.
///
/// Orphans of finished actions (daemons that they left) become the agent's children; when one ends it is reaped here.
#[must_use]
pub fn watch() -> Receiver<Request> {
    let (send, requests) = unbounded();
    threads::spawn("signals", move || {
        loop {
            let request = match set().wait() {
                Ok(Signal::SIGHUP) => Request::Reload,
                Ok(Signal::SIGCHLD) => {
                    tree::reap_orphans();
                    continue;
                }
                Ok(_) => Request::Stop,
                Err(_) => continue,
            };
            if send.send(request).is_err() {
                return;
            }
        }
    });
    requests
}
