//! `for_seconds`: for how long each part of a condition has been true without a break. Pure.

use std::time::Duration;

use super::condition::{Condition, Test, kleene_all};
use crate::clock::Moment;
use crate::metric::Metric;
use crate::sample::Sample;

/// The memory of one condition for one target: a node for each of its parts, in the order of reading.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Progress(Vec<Node>);

#[derive(Clone, Debug, Default, PartialEq)]
struct Node {
    /// True before the last break by *unknown*: unknown pauses, it does not reset.
    held: Duration,
    state: Since,
}

/// What a part is now.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Since {
    #[default]
    False,
    /// True since then.
    True(Moment),
    /// Unknown since then.
    Unknown(Moment),
}

/// What a condition needs to know of the world.
pub(crate) struct View<'a, F: Fn(&'static Metric) -> Option<&'a Sample>> {
    /// The valid sample of a metric for the target.
    pub(crate) sample: F,
    /// The longest interval of its samples; unknown for three of these resets.
    pub(crate) interval: Duration,
    /// The time.
    pub(crate) now: Moment,
}

impl Progress {
    /// Takes the state of now into account and says whether the condition holds, with its `for_seconds`.
    pub(crate) fn advance<'a, F: Fn(&'static Metric) -> Option<&'a Sample>>(
        &mut self,
        condition: &Condition,
        view: &View<'a, F>,
    ) -> Option<bool> {
        if self.0.is_empty() {
            let mut holds = Vec::new();
            hold_times(condition, &mut holds);
            // No more than it needs: thousands of targets have one each.
            self.0 = vec![Node::default(); holds.len()];
        }
        let mut place = 0;
        self.part(condition, view, &mut place)
    }

    fn part<'a, F: Fn(&'static Metric) -> Option<&'a Sample>>(
        &mut self,
        condition: &Condition,
        view: &View<'a, F>,
        place: &mut usize,
    ) -> Option<bool> {
        let own = *place;
        *place += 1;
        // Every part is looked at, also when the result is known: each keeps its own time.
        let state = match &condition.test {
            Test::Compare(_) => condition.evaluate(&view.sample),
            Test::All(parts) => {
                let states: Vec<_> = parts.iter().map(|part| self.part(part, view, place)).collect();
                kleene_all(states.into_iter())
            }
            Test::Any(parts) => {
                let states: Vec<_> = parts.iter().map(|part| self.part(part, view, place).map(|state| !state)).collect();
                kleene_all(states.into_iter()).map(|state| !state)
            }
            Test::Not(part) => self.part(part, view, place).map(|state| !state),
        };
        self.0[own].hold(state, condition.hold_for, view.interval, view.now)
    }

    /// How long until a part has been true for long enough, if nothing changes.
    pub(crate) fn next_change(&self, condition: &Condition, now: Moment) -> Option<Duration> {
        // Mostly nothing is true.
        if self.0.iter().all(|node| node.since().is_none()) {
            return None;
        }
        let mut holds = Vec::new();
        hold_times(condition, &mut holds);
        let left = |(node, hold): (&Node, &Duration)| Some(hold.saturating_sub(node.held + now.since(node.since()?)));
        self.0.iter().zip(&holds).filter_map(left).filter(|left| !left.is_zero()).min()
    }

    /// Since when it has been unknown, if it is.
    pub(crate) fn unknown(&self) -> Option<Moment> {
        self.0.first().and_then(Node::unknown)
    }

    /// When the present stretch of truth began: the first bad sample.
    pub(crate) fn since(&self) -> Option<Moment> {
        self.0.first().and_then(Node::since)
    }
}

impl Node {
    fn since(&self) -> Option<Moment> {
        if let Since::True(since) = self.state { Some(since) } else { None }
    }

    fn unknown(&self) -> Option<Moment> {
        if let Since::Unknown(since) = self.state { Some(since) } else { None }
    }

    fn hold(&mut self, state: Option<bool>, hold_for: Duration, interval: Duration, now: Moment) -> Option<bool> {
        match state {
            Some(true) => {
                self.forget_after(interval, now);
                let since = self.since().unwrap_or(now);
                self.state = Since::True(since);
                Some(self.held + now.since(since) >= hold_for)
            }
            Some(false) => {
                // Mostly it was false before, and nothing is written.
                if self.state != Since::False {
                    *self = Self::default();
                }
                Some(false)
            }
            None => {
                if let Some(since) = self.since() {
                    self.held += now.since(since);
                }
                self.state = Since::Unknown(self.unknown().unwrap_or(now));
                self.forget_after(interval, now);
                None
            }
        }
    }

    /// Unknown for over three intervals resets.
    fn forget_after(&mut self, interval: Duration, now: Moment) {
        if self.unknown().is_some_and(|since| now.since(since) > interval * 3) {
            self.held = Duration::ZERO;
        }
    }
}

/// The `for_seconds` of every part, in the order of reading.
fn hold_times(condition: &Condition, holds: &mut Vec<Duration>) {
    holds.push(condition.hold_for);
    match &condition.test {
        Test::Compare(_) => {}
        Test::All(parts) | Test::Any(parts) => parts.iter().for_each(|part| hold_times(part, holds)),
        Test::Not(part) => hold_times(part, holds),
    }
}
