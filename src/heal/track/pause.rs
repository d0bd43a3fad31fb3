//! Pauses that grow: between the attempts of an open breaker, and between dry runs for the same trouble. Pure.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Moment;
use crate::config::playbook::Playbook;
use crate::incident::Incident;

/// The longest pause between two attempts of an open breaker, and between two dry runs for the same trouble.
const LONGEST_PAUSE: Duration = Duration::from_secs(86_400);
/// The shortest pause that follows a second dry run for the same trouble.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);

/// A breaker that is open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Breaker {
    /// The incident that opened it.
    pub incident: String,
    /// When.
    pub opened: Moment,
    /// When one attempt is allowed; `None`: never.
    pub retry: Option<Moment>,
    /// How long that pause was; the next one is twice as long.
    pause: Duration,
}

/// The last dry run for a trouble that has gone on since. It would say the same again, so each is followed by twice the pause of
/// the one before: the first by the cooldown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct LastDryRun {
    /// When the next one comes, if nothing changes.
    pub(super) until: Moment,
    /// How long after it that is.
    pub(super) pause: Duration,
}

impl Breaker {
    pub(super) fn open(incident: &Incident, now: Moment) -> Self {
        let pause = incident.playbook.retry_after;
        Self { incident: incident.id.clone(), opened: now, retry: (!pause.is_zero()).then(|| now.after(pause)), pause }
    }

    /// The attempt that it allowed is over: the next one comes after twice the time.
    pub(super) fn wait_longer(&mut self, playbook: &Playbook, now: Moment) {
        self.pause = (self.pause * 2).min(LONGEST_PAUSE).max(playbook.retry_after);
        self.retry = (!playbook.retry_after.is_zero()).then(|| now.after(self.pause));
    }
}

impl LastDryRun {
    pub(super) fn after(last: Option<Self>, cooldown: Duration, now: Moment) -> Self {
        let pause = last.map_or(cooldown, |last| (last.pause * 2).clamp(SHORTEST_PAUSE, LONGEST_PAUSE).max(cooldown));
        Self { until: now.after(pause), pause }
    }
}
