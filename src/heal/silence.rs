//! Silences: times in which nothing is healed and nobody is told. Pure.

use serde::{Deserialize, Serialize};

use crate::clock::Moment;
use crate::sample::{Labels, Target};

/// A silence by hand. Its end counts on the clock that goes on while the machine sleeps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Silence {
    /// As long as an incident's id.
    pub id: String,
    /// `None`: every playbook.
    pub playbook: Option<String>,
    /// Identity and facts that a target must have.
    pub labels: Labels,
    /// When it begins to be over.
    pub until: Moment,
    /// Why.
    pub reason: Option<String>,
    /// Who.
    pub by: String,
}

impl Silence {
    /// Whether it covers this playbook on this target now.
    #[must_use]
    pub fn covers(&self, playbook: &str, target: &Target, now: Moment) -> bool {
        !self.until.is_due_after_sleep(now)
            && self.playbook.as_deref().is_none_or(|named| named == playbook)
            && self.labels.iter().all(|(name, value)| target.label(name) == Some(value))
    }
}
