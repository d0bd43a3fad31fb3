//! What went wrong with the measuring itself, counted.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters since the start; they only grow.
#[derive(Debug, Default)]
pub struct Counts {
    late: AtomicU64,
    coalesced: AtomicU64,
    panics: AtomicU64,
}

impl Counts {
    /// Ticks that were skipped, because the measurement before was still under way or the schedule was behind.
    #[must_use]
    pub fn late(&self) -> u64 {
        self.late.load(Ordering::Relaxed)
    }

    /// Samples that gave way to newer ones of the same key, because the channel was full.
    #[must_use]
    pub fn coalesced(&self) -> u64 {
        self.coalesced.load(Ordering::Relaxed)
    }

    /// Measurements that panicked.
    #[must_use]
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    pub(crate) fn add_late(&self, ticks: u64) {
        self.late.fetch_add(ticks, Ordering::Relaxed);
    }

    pub(crate) fn add_coalesced(&self, samples: usize) {
        self.coalesced.fetch_add(u64::try_from(samples).unwrap_or(0), Ordering::Relaxed);
    }

    pub(crate) fn add_panic(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }
}
