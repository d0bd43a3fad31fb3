//! The only maker of threads: each has a name, a small stack, and reports its end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Select, Sender, bounded};

/// Enough for every loop here; a request with TLS needs the most. What was not optimised needs several times as much: there gzip
/// copies its tables over the stack.
const STACK_BYTES: usize = if cfg!(debug_assertions) { 2 * 1024 * 1024 } else { 256 * 1024 };

/// A running thread. Dropping it does not end it: threads end when their channels close.
#[derive(Debug)]
pub struct Worker {
    name: &'static str,
    ended: Receiver<bool>,
}

impl Worker {
    /// The thread's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Becomes ready when the thread has ended: `true` as it should, `false` by a panic.
    #[must_use]
    pub fn ended(&self) -> &Receiver<bool> {
        &self.ended
    }
}

/// Work that one thread after another does: it has ended when this is dropped, by a panic if that is while its thread unwinds.
#[derive(Debug)]
pub struct Role(Sender<bool>);

impl Role {
    /// A role, and the [`Worker`] to wait for its end.
    #[must_use]
    pub fn new(name: &'static str) -> (Self, Worker) {
        let (end, ended) = bounded(1);
        (Self(end), Worker { name, ended })
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let _ = self.0.send(!thread::panicking());
    }
}

/// Starts a thread. Names are at most 15 bytes, because Linux shows no more.
///
/// # Panics
/// When the system has no thread left at start-up; loops that start threads while running use [`try_spawn`].
pub fn spawn(name: &'static str, body: impl FnOnce() + Send + 'static) -> Worker {
    try_spawn(name, body).unwrap_or_else(|error| panic!("cannot start the thread {name}: {error}"))
}

/// The next message, or none within `wait`. The channel's own `recv_timeout` yields the processor a dozen times before it sleeps,
/// which costs a thread that mostly waits more than what it waits for.
///
/// # Errors
/// When there was none in time, or nobody sends any more.
pub(crate) fn next<T>(messages: &Receiver<T>, wait: Duration) -> Result<T, RecvTimeoutError> {
    let mut select = Select::new();
    select.recv(messages);
    let ready = select.select_timeout(wait).map_err(|_| RecvTimeoutError::Timeout)?;
    ready.recv(messages).map_err(|_| RecvTimeoutError::Disconnected)
}

/// Starts a thread, or says why it cannot.
///
/// # Errors
/// When the system has no thread left.
pub fn try_spawn(name: &'static str, body: impl FnOnce() + Send + 'static) -> std::io::Result<Worker> {
    let (end, ended) = bounded(1);
    let run = move || {
        let fine = catch_unwind(AssertUnwindSafe(body)).is_ok();
        if !fine {
            log::error!("thread {name} ended unexpectedly; this is a fault of autoheal");
        }
        let _ = end.send(fine);
    };
    thread::Builder::new().name(name.to_owned()).stack_size(STACK_BYTES).spawn(run)?;
    Ok(Worker { name, ended })
}

/// Does something that may never come back, on a thread of its own that is then left behind. `None`: it did not end within the
/// limit, it panicked, or the system has no thread left.
pub fn within<T: Send + 'static>(name: &'static str, limit: Duration, body: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (sender, receiver) = bounded(1);
    let worker = try_spawn(name, move || {
        // When it comes too late nobody waits for it any more.
        let _ = sender.send(body());
    });
    worker.ok().and_then(|_| receiver.recv_timeout(limit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_ends_on_the_thread_that_has_it_last() {
        let (role, worker) = Role::new("test:role");
        assert!(worker.ended().is_empty());
        spawn("test:next", move || drop(role)).ended().recv().unwrap();
        assert_eq!(worker.ended().recv(), Ok(true));
        let (role, worker) = Role::new("test:role");
        let panics = move || {
            let _role = role;
            panic!("on purpose");
        };
        spawn("test:next", panics).ended().recv().unwrap();
        assert_eq!(worker.ended().recv(), Ok(false));
    }

    #[test]
    fn what_does_not_come_back_is_left_behind() {
        let (held, gate) = bounded::<()>(0);
        assert_eq!(within("test:back", Duration::from_secs(20), || 7), Some(7));
        assert_eq!(within("test:hangs", Duration::from_millis(20), move || gate.recv().is_err()), None);
        assert_eq!(within("test:panics", Duration::from_secs(20), || -> u8 { panic!("on purpose") }), None);
        drop(held);
    }
}
