//! Processes that no watch entry matches: those of an action that is still running.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

/// A shared set of root processes. Each root, its descendants, and whatever is still in its session or process group match no
/// watch entry. A daemon that the action left behind (a session of its own, another parent) does match.
#[derive(Clone, Debug, Default)]
pub struct Exclusions(Arc<Mutex<HashSet<u32>>>);

impl Exclusions {
    /// Excludes the process `root` and what belongs to it, until the answer is dropped.
    #[must_use]
    pub fn exclude(&self, root: u32) -> Excluded {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(root);
        Excluded { set: self.clone(), root }
    }

    /// The roots now; mostly none.
    pub(crate) fn roots(&self) -> Vec<u32> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }
}

/// Keeps one process excluded as long as it lives.
#[derive(Debug)]
pub struct Excluded {
    set: Exclusions,
    root: u32,
}

impl Drop for Excluded {
    fn drop(&mut self) {
        self.set.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.root);
    }
}
