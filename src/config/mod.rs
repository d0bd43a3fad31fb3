//! The two files: from text to a [`Config`], or to every problem at once.

pub mod playbook;
pub mod problem;
pub mod settings;

use std::path::PathBuf;
use std::sync::Arc;

use crate::heal::guard::Policy;
use playbook::Playbook;
use problem::Problem;
use settings::Settings;

/// The configuration in force: both files, checked together, and the guard's rules compiled from them.
#[derive(Clone, Debug)]
pub struct Config {
    /// `autoheal.json`
    pub settings: Arc<Settings>,
    /// `autoheal-playbooks.json`, in the order of the file.
    pub playbooks: Vec<Arc<Playbook>>,
    /// The guard.
    pub policy: Arc<Policy>,
    /// Warnings and notes.
    pub remarks: Vec<Problem>,
    /// Where it came from.
    pub origin: Origin,
}

/// Where a configuration came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The directory, or `None` for the embedded files.
    pub dir: Option<PathBuf>,
    /// The directory holds no settings: the embedded ones are in force, hence dry run.
    pub built_in_settings: bool,
}
