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

impl Facts {
    /// This configuration is in force; the problems are those of the file on disk that is no part of it. One that was in force
    /// already, and of which the files were bad meanwhile, is no new generation.
    pub fn put_in_force(&mut self, config: &Arc<Config>, problems: Vec<Problem>, now: Moment) {
        if !Arc::ptr_eq(&self.config, config) {
            (self.generation, self.loaded) = (self.generation + 1, now);
        }
        self.config = Arc::clone(config);
        let good = problems.is_empty();
        (self.state, self.problems) = if good { ("ok", config.remarks.clone()) } else { ("rejected", problems) };
    }
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{parse, source::Text};

    #[test]
    fn a_generation_lasts_until_another_configuration_is_in_force() {
        let config = || Arc::new(parse(&Text::new("p", "{}"), &Text::new("s", "{}")).unwrap());
        let (first, started) = (config(), Moment::now());
        let mut facts = Facts {
            config: Arc::clone(&first),
            state: "rejected",
            loaded: started,
            generation: 1,
            problems: Vec::new(),
            started,
            dry_run: false,
            data_dir: PathBuf::new(),
        };
        let later = started.after(Duration::from_secs(60));
        facts.put_in_force(&first, Vec::new(), later);
        assert_eq!((facts.state, facts.generation, facts.loaded), ("ok", 1, started), "the files were bad for a while");
        facts.put_in_force(&config(), first.remarks.clone(), later);
        assert_eq!((facts.state, facts.generation, facts.loaded), ("rejected", 2, later), "one of the files is new, the other bad");
    }
}
