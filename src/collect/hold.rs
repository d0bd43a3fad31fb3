//! Processes that are held on to: what they are read from stays open, and their death is heard of.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::deaths::Vigil;
use super::host::{Held, Stat};

/// Descriptors that are left for everything else: connections, actions, the history.
const RESERVE: usize = 256;

/// Descriptors that one process takes.
const EACH: usize = 2;

/// How many processes are held on to. Those beyond what the limit of descriptors allows are opened for each look.
#[derive(Debug)]
pub(crate) struct Holds {
    open: Arc<AtomicUsize>,
    most: usize,
}

impl Default for Holds {
    fn default() -> Self {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
        Self { open: Arc::default(), most: limit.saturating_sub(RESERVE) / EACH }
    }
}

impl Holds {
    /// Holds on to a process and has it watched, where there are descriptors for it.
    pub(crate) fn open(&self, pid: u32, watch: impl FnOnce(u32) -> Option<Vigil>) -> Option<Hold> {
        let place = Place(Arc::clone(&self.open));
        if place.0.fetch_add(1, Ordering::Relaxed) >= self.most {
            return None;
        }
        Some(Hold { stat: Held::open(pid)?, _vigil: watch(pid), _place: place })
    }
}

/// One of those that may be open; given back when dropped.
#[derive(Debug)]
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A process that is held on to.
#[derive(Debug)]
pub(crate) struct Hold {
    stat: Held,
    _vigil: Option<Vigil>,
    _place: Place,
}

impl Hold {
    /// One look at it; `None` when it is gone.
    pub(crate) fn stat(&self) -> io::Result<Option<Stat>> {
        self.stat.stat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_processes_are_held_than_there_is_room_for() {
        let holds = Holds { open: Arc::default(), most: 2 };
        let own = || holds.open(std::process::id(), |_| None);
        let (first, second) = (own(), own());
        assert!(first.is_some() && second.is_some() && own().is_none());
        drop(first);
        let third = own();
        assert!(third.is_some_and(|hold| hold.stat().unwrap().is_some()));
        assert!(holds.open(u32::MAX - 1, |_| None).is_none());
        assert_eq!(holds.open.load(Ordering::Relaxed), 1);
    }
}
