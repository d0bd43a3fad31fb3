//! The budget of the whole host: how many actions may start in any hour (`max_actions_per_hour`). Pure.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::Moment;

const HOUR: Duration = Duration::from_secs(3600);

/// Actions that started within the last hour, on the clock that goes on while the machine sleeps.
#[derive(Debug)]
pub(crate) struct Budget {
    most: u32,
    started: VecDeque<Moment>,
    told: bool,
}

impl Budget {
    pub(crate) fn new(most: u32) -> Self {
        Self { most, started: VecDeque::new(), told: false }
    }

    /// A new limit; what was started still counts.
    pub(crate) fn limit(&mut self, most: u32) {
        self.most = most;
    }

    /// When the actions of the last hour started.
    pub(crate) fn started(&self) -> impl Iterator<Item = Moment> {
        self.started.iter().copied()
    }

    /// Puts back what was started before a restart.
    pub(crate) fn restore(&mut self, started: impl IntoIterator<Item = Moment>) {
        self.started.extend(started);
    }

    /// How many actions an hour may have.
    pub(crate) fn most(&self) -> u32 {
        self.most
    }

    /// An action starts.
    pub(crate) fn spend(&mut self, now: Moment) {
        self.started.retain(|start| now.since_with_sleep(*start) < HOUR);
        self.started.push_back(now);
        self.told = false;
    }

    /// How long the next action must wait; `None`: not at all. With a budget of none it waits until the budget changes.
    pub(crate) fn wait(&self, now: Moment) -> Option<Duration> {
        let recent = self.started.iter().filter(|start| now.since_with_sleep(**start) < HOUR);
        let most = usize::try_from(self.most).unwrap_or(usize::MAX);
        if most == 0 {
            return Some(HOUR);
        }
        // The one that must grow old before there is room again.
        let blocking = recent.rev().nth(most - 1)?;
        Some(HOUR.saturating_sub(now.since_with_sleep(*blocking)))
    }

    /// Whether people must be told that everything waits: once until an action starts again.
    pub(crate) fn tell_once(&mut self) -> bool {
        !std::mem::replace(&mut self.told, true)
    }
}
