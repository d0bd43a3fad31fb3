//! One watch entry at work: its collector, its place in the schedule, and the targets that it has.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::entry::Entry;
use super::presence::{Leaving, Presence};
use super::{Collector, There};
use crate::clock::Moment;
use crate::sample::{Gone, Labels, Sample, Target};

/// A measurement came back soon that took no longer than this. One with a handshake nearby takes 2 ms.
const SOON: Duration = Duration::from_millis(3);

/// An entry is quick that came back soon so many times in a row.
const QUICK: u8 = 10;

/// One entry at work.
pub(super) struct Slot {
    /// Boxed: it is large, and a tick has no use for it.
    pub(super) entry: Box<Entry>,
    /// The entry's.
    pub(super) interval: Duration,
    pub(super) key: String,
    /// Not here while it measures what may hang.
    pub(super) collector: Option<Box<dyn Collector>>,
    /// Running clock. An element of the schedule with another time is outdated.
    pub(super) due: Duration,
    /// When it was sent off last to measure what may hang.
    pub(super) sent: Moment,
    /// What it measured last.
    pub(super) targets: Vec<Arc<Target>>,
    /// Which targets it has had.
    pub(super) presence: Presence,
    /// It found all of its targets: when it measures the same ones again, there is nothing to take into account.
    steady: bool,
    /// So many measurements in a row came back soon, of those that might have hung.
    quick: u8,
    /// It was measured at least once.
    pub(super) measured: bool,
    /// It was measured, or found to hang, at least once.
    pub(super) settled: bool,
    pub(super) panicked: bool,
    /// It is to be measured again when it returns.
    pub(super) again: bool,
}

impl Slot {
    pub(super) fn new(entry: Entry, key: String, collector: Box<dyn Collector>, now: Moment) -> Self {
        // A listed mount is taken to have been there: an earlier life of the agent may have left an incident of it.
        let interval = entry.interval();
        let listed = if let Entry::Disk(_) = entry { entry.named_target() } else { None };
        Self {
            presence: Presence::of(listed.into_iter().collect()),
            entry: Box::new(entry),
            interval,
            key,
            collector: Some(collector),
            due: now.running,
            sent: now,
            targets: Vec::new(),
            steady: false,
            quick: 0,
            measured: false,
            settled: false,
            panicked: false,
            again: false,
        }
    }

    /// Takes a measurement into account, and gives the targets that are gone by now: each once.
    pub(super) fn has_measured(&mut self, samples: &[Sample], there: There) -> Vec<Labels> {
        (self.measured, self.panicked) = (true, false);
        // Mostly they are those of the measurement before.
        if !each_target(samples).map(Arc::as_ptr).eq(self.targets.iter().map(Arc::as_ptr)) {
            self.targets = targets(samples);
            self.steady = false;
        }
        let present = match there {
            There::Unsure => return Vec::new(),
            There::Measured if self.steady => return Vec::new(),
            There::Measured => &*self.targets,
            There::Nothing => &[],
        };
        let gone = self.presence.update(present, self.interval, Moment::now());
        self.steady = there == There::Measured && self.presence.is_whole();
        gone
    }

    /// It took so long to measure it.
    pub(super) fn took(&mut self, took: Duration) {
        self.quick = if took <= SOON { self.quick.saturating_add(1) } else { 0 };
    }

    /// Whether it has come back soon for long enough to expect it again.
    pub(super) fn is_quick(&self) -> bool {
        self.quick >= QUICK
    }

    /// Its samples go out. Says whether it is settled since now.
    pub(super) fn publishes(&mut self, samples: &mut [Sample]) -> bool {
        samples.iter_mut().for_each(|sample| sample.is_of_interval(self.interval));
        // A glob that hangs from the start has no target to call unknown: what it means stays open.
        let settled = self.measured || !samples.is_empty();
        settled && !std::mem::replace(&mut self.settled, true)
    }

    /// It is watched no more: its targets have three intervals to turn up elsewhere.
    pub(super) fn leave(self, now: Moment) -> Vec<Leaving> {
        let (kind, interval) = (self.entry.kind(), self.interval);
        let named = self.entry.named_target().map(|target| target.identity.clone());
        let all: BTreeSet<Labels> = self.presence.identities().cloned().chain(named).collect();
        all.into_iter().map(|identity| Leaving::new(Gone { kind, identity }, interval, now)).collect()
    }
}

/// The targets of these samples, each once.
pub(super) fn targets(samples: &[Sample]) -> Vec<Arc<Target>> {
    each_target(samples).cloned().collect()
}

fn each_target(samples: &[Sample]) -> impl Iterator<Item = &Arc<Target>> {
    samples.chunk_by(|one, other| Arc::ptr_eq(&one.target, &other.target)).filter_map(|own| Some(&own.first()?.target))
}
