//! Processes that no watch entry matches: those of an action that is still running.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

/// A shared set of root processes and units. Each root, its descendants, and whatever is still in its session or process group
/// match no watch entry. A daemon that the action left behind (a session of its own, another parent) does match. Of a unit
/// nothing matches while its action runs.
#[derive(Clone, Debug, Default)]
pub struct Exclusions(Arc<Mutex<HashSet<Root>>>);

/// What belongs together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Root {
    /// A process and what comes from it.
    Process(u32),
    /// The control group of a unit of systemd's.
    Unit(String),
}

impl Exclusions {
    /// Excludes the process `root` and what belongs to it, until the answer is dropped.
    #[must_use]
    pub fn exclude(&self, root: u32) -> Excluded {
        self.insert(Root::Process(root))
    }

    /// Excludes all processes of a unit, until the answer is dropped.
    #[must_use]
    pub fn exclude_unit(&self, name: &str) -> Excluded {
        self.insert(Root::Unit(name.to_owned()))
    }

    fn insert(&self, root: Root) -> Excluded {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(root.clone());
        Excluded { set: self.clone(), root }
    }

    /// The roots now; mostly none.
    pub(crate) fn roots(&self) -> Vec<Root> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

/// Keeps one root excluded as long as it lives.
#[derive(Debug)]
pub struct Excluded {
    set: Exclusions,
    root: Root,
}

impl Drop for Excluded {
    fn drop(&mut self) {
        self.set.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.root);
    }
}
