//! The proof of a heal: which look is next, and what a look means.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Moment;
use crate::config::playbook::{Action, Playbook, Strategy};
use crate::sample::{Labels, SLEPT, Sample};

/// A verification that goes on: of one rung of a ladder, or of all actions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Looks {
    /// Looks that were taken.
    taken: u32,
    /// Looks after the first one.
    retries: u32,
    /// How far apart.
    interval: Duration,
    /// For how long it must stay true.
    hold: Duration,
    /// The first look.
    pub(super) since: Moment,
    /// Since when it has been true without a break.
    true_since: Option<Moment>,
}

/// What follows a look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Next {
    /// The heal is proven.
    Proven,
    /// No look is left.
    Unproven,
    /// Look again then.
    Again(Moment),
}

impl Looks {
    /// The verification after all actions, with the playbook's retries.
    pub(super) fn of_playbook(playbook: &Playbook, now: Moment) -> Self {
        let (retries, interval) = playbook.retries();
        let hold = playbook.verify.as_ref().map_or(Duration::ZERO, |verify| verify.hold);
        Self { taken: 0, retries, interval, hold, since: now, true_since: None }
    }

    /// The verification after one rung: once at once, and its own retries. The last rung has the playbook's.
    pub(super) fn of_rung(playbook: &Playbook, rung: &Action, last: bool, now: Moment) -> Self {
        let whole = Self::of_playbook(playbook, now);
        debug_assert_eq!(playbook.strategy, Strategy::Ladder, "only a ladder has rungs");
        let retries = rung.retry_count.unwrap_or(if last { whole.retries } else { 0 });
        Self { retries, interval: rung.retry_interval.unwrap_or(whole.interval), ..whole }
    }

    /// A single look, for a heal that can hardly have worked.
    pub(super) fn single(playbook: &Playbook, now: Moment) -> Self {
        Self { retries: 0, ..Self::of_playbook(playbook, now) }
    }

    /// Takes a look into account. Unknown never verifies.
    pub(super) fn taken(&mut self, state: Option<bool>, now: Moment) -> Next {
        self.taken += 1;
        if state == Some(true) {
            // A sleep of the machine is no proof of anything: the time begins again.
            self.true_since.take_if(|since| now.slept_since(*since) >= SLEPT);
            let since = *self.true_since.get_or_insert(now);
            let left = self.hold.saturating_sub(now.since(since));
            if left.is_zero() {
                return Next::Proven;
            }
            // While it must stay true the looks are free: they only can take the proof away.
            self.taken -= 1;
            let pause = if self.interval.is_zero() { Duration::from_secs(1) } else { self.interval };
            return Next::Again(now.after(left.min(pause)));
        }
        self.true_since = None;
        if self.taken > self.retries { Next::Unproven } else { Next::Again(now.after(self.interval)) }
    }
}

/// Whether the heal is proven by these samples: `verify` holds, or without one the condition no longer does.
pub(super) fn is_proven(playbook: &Playbook, identity: &Labels, samples: &[Sample]) -> Option<bool> {
    match &playbook.verify {
        Some(verify) => verify.condition.state_of(identity, samples),
        None => playbook.condition.state_of(identity, samples).map(|holds| !holds),
    }
}
