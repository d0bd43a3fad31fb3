//! What the agent's main thread knows and others show: the configuration in force, and who the agent is.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::clock::Moment;
use crate::config::Config;
use crate::config::problem::Problem;

/// The facts, as of now. The main thread writes, others read.
#[derive(Clone, Debug)]
pub struct Board(Arc<Mutex<Facts>>);

/// What is on the board.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The configuration in force.
    pub config: Arc<Config>,
    /// `ok`, `rejected`, `last_good` or `default` (contract C1).
    pub state: &'static str,
    /// When it was put in force.
    pub loaded: Moment,
    /// How often a configuration was put in force; the first is 1.
    pub generation: u64,
    /// What is wrong with the files on disk.
    pub problems: Vec<Problem>,
    /// When the agent started.
    pub started: Moment,
    /// `--dry-run`, or the settings say so.
    pub dry_run: bool,
    /// Reports and state.
    pub data_dir: PathBuf,
}

impl Board {
    /// A board with these facts.
    #[must_use]
    pub fn new(facts: Facts) -> Self {
        Self(Arc::new(Mutex::new(facts)))
    }

    /// The facts now.
    #[must_use]
    pub fn read(&self) -> Facts {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes them.
    pub fn change(&self, change: impl FnOnce(&mut Facts)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
