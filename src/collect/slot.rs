//! One watch entry at work: its collector, its place in the schedule, and the targets that it has.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::Collector;
use super::entry::Entry;
use super::presence::{Leaving, Presence};
use crate::clock::Moment;
use crate::sample::{Gone, Labels, Sample, Target};

/// One entry at work.
pub(super) struct Slot {
    pub(super) entry: Entry,
    pub(super) key: String,
    /// Not here while it measures on the pool.
    pub(super) collector: Option<Box<dyn Collector>>,
    /// Running clock. An element of the schedule with another time is outdated.
    pub(super) due: Duration,
    /// When it went to the pool.
    pub(super) sent: Moment,
    /// What it measured last.
    pub(super) targets: Vec<Arc<Target>>,
    /// Which targets it has had.
    pub(super) presence: Presence,
    /// It was measured at least once.
    pub(super) measured: bool,
    /// It was measured, or found to hang, at least once.
    pub(super) settled: bool,
    pub(super) panicked: bool,
    /// It is to be measured again when it returns from the pool.
    pub(super) again: bool,
}

impl Slot {
    pub(super) fn new(entry: Entry, key: String, collector: Box<dyn Collector>, now: Moment) -> Self {
        // A listed mount is taken to have been there: an earlier life of the agent may have left an incident of it.
        let listed = if let Entry::Disk(_) = entry { entry.named_target() } else { None };
        Self {
            presence: Presence::of(listed.into_iter().collect()),
            entry,
            key,
            collector: Some(collector),
            due: now.running,
            sent: now,
            targets: Vec::new(),
            measured: false,
            settled: false,
            panicked: false,
            again: false,
        }
    }

    /// A measurement gave these.
    pub(super) fn has_measured(&mut self, samples: &[Sample]) {
        (self.measured, self.panicked) = (true, false);
        // Mostly they are those of the measurement before.
        if !each_target(samples).map(Arc::as_ptr).eq(self.targets.iter().map(Arc::as_ptr)) {
            self.targets = targets(samples);
        }
    }

    /// Its samples go out. Says whether it is settled since now.
    pub(super) fn publishes(&mut self, samples: &mut [Sample]) -> bool {
        let interval = self.entry.interval();
        samples.iter_mut().for_each(|sample| sample.is_of_interval(interval));
        // A glob that hangs from the start has no target to call unknown: what it means stays open.
        let settled = self.measured || !samples.is_empty();
        settled && !std::mem::replace(&mut self.settled, true)
    }

    /// It is watched no more: its targets have three intervals to turn up elsewhere.
    pub(super) fn leave(self, now: Moment) -> Vec<Leaving> {
        let (kind, interval) = (self.entry.kind(), self.entry.interval());
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
