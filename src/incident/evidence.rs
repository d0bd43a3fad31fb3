//! What was seen before the cure. Text in it may come from outside; whoever shows it escapes it.

use serde::{Deserialize, Serialize};

/// One look at the host around a target in trouble.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// What was seen, part by part.
    pub sections: Vec<Section>,
    /// Conclusions for people: `deleting files will not help: restart NAME`.
    pub hints: Vec<String>,
}

/// One part of the evidence.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Section {
    /// What it is about.
    pub title: String,
    /// What was seen, line by line.
    pub lines: Vec<String>,
    /// Why it is missing or incomplete.
    pub note: Option<String>,
}
