//! A playbook's condition at work: which samples it looks at, and how far it is for each target. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::condition::joins;
use super::progress::Progress;
use crate::clock::Moment;
use crate::config::playbook::Playbook;
use crate::incident::DedupKey;
use crate::metric::{Kind, Metric};
use crate::sample::{Labels, SLEPT, Sample};

#[derive(Debug)]
pub(super) struct Rule {
    pub(super) playbook: Arc<Playbook>,
    /// The leading one first.
    pub(super) metrics: Vec<&'static Metric>,
    /// How many identity labels tell its targets apart.
    identity: usize,
    /// In order, so that the same samples give the same edges. Boxed: a node of the map has room for eleven, and a rule for each of
    /// a thousand targets has one.
    pub(super) targets: BTreeMap<Labels, Box<State>>,
}

/// One target of a rule.
#[derive(Debug)]
pub(super) struct State {
    pub(super) progress: Progress,
    pub(super) told: Told,
    /// When it last fired, a person wanted it so: that this is over is news.
    pub(super) wanted: bool,
    /// Samples from before the end of the last incident count for nothing.
    pub(super) not_before: Option<Moment>,
    /// The longest interval of its samples.
    pub(super) interval: Duration,
    /// When it may change by time alone (running clock).
    pub(super) due: Option<Duration>,
    /// When it was last looked at.
    judged: Moment,
}

/// The last edge of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// There was none.
    Nothing,
    /// It fired.
    Fired,
    /// An incident ended while it fired, or nobody could tell for a while: that it is false again is news all the same.
    Owed,
    /// It is well.
    Cleared,
}

impl Rule {
    pub(super) fn new(playbook: Arc<Playbook>) -> Self {
        let mut metrics: Vec<&'static Metric> = playbook.condition.comparisons().iter().map(|comparison| comparison.metric).collect();
        metrics.sort_by_key(|metric| std::cmp::Reverse(metric.identity.len()));
        metrics.dedup();
        let identity = metrics.first().map_or(0, |metric| metric.identity.len());
        Self { playbook, metrics, identity, targets: BTreeMap::new() }
    }

    pub(super) fn key(&self, identity: &Labels) -> DedupKey {
        DedupKey { playbook: self.playbook.id.clone(), identity: identity.clone() }
    }

    /// Of a condition that was edited only this is left: which targets had trouble that has not been seen to end.
    pub(super) fn remember_ends(&mut self, before: Self) {
        if before.metrics.first().map(|metric| metric.identity) != self.metrics.first().map(|metric| metric.identity) {
            return;
        }
        let troubled = before.targets.into_iter().filter(|(_, state)| matches!(state.told, Told::Fired | Told::Owed));
        self.targets = troubled
            .map(|(identity, state)| (identity, Box::new(State { progress: Progress::default(), told: Told::Owed, ..*state })))
            .collect();
    }

    pub(super) fn looks_at(&self, sample: &Sample) -> bool {
        let condition = &self.playbook.condition;
        self.metrics.contains(&sample.metric) && (self.joins(sample.metric) || condition.concerns(sample.metric, &sample.target))
    }

    /// Whether the metric has fewer labels than its targets.
    pub(super) fn joins(&self, metric: &Metric) -> bool {
        metric.identity.len() < self.identity
    }

    /// The targets of this rule that a sample which it looks at is about: its own, or, for a metric with fewer labels, all that it
    /// joins.
    pub(super) fn identities<'a>(&'a self, sample: &'a Sample) -> impl Iterator<Item = &'a Labels> {
        let own = &sample.target.identity;
        let joined = self.joins(sample.metric).then(|| self.targets.keys().filter(|identity| joins(identity, own)));
        let alone = if joined.is_none() { Some(own) } else { None };
        alone.into_iter().chain(joined.into_iter().flatten())
    }

    /// Whether its targets are of this kind.
    pub(super) fn is_about(&self, kind: Kind) -> bool {
        self.metrics.iter().any(|metric| metric.kind == kind && metric.identity.len() == self.identity)
    }
}

impl State {
    pub(super) fn new(now: Moment) -> Self {
        Self {
            progress: Progress::default(),
            told: Told::Nothing,
            wanted: false,
            not_before: None,
            interval: Duration::ZERO,
            due: None,
            judged: now,
        }
    }

    /// Its incident ended at that moment: only newer samples count, and that it is false is news.
    pub(super) fn rearmed(at: Moment) -> Self {
        Self { not_before: Some(at), told: Told::Owed, ..Self::new(at) }
    }

    /// It is looked at, with samples of this interval. If the machine slept for longer since it last was, all timers start again.
    pub(super) fn look(&mut self, interval: Duration, now: Moment) {
        if now.slept_since(self.judged) > interval.max(SLEPT) {
            self.progress = Progress::default();
        }
        (self.interval, self.judged, self.due) = (interval, now, None);
    }

    /// When what was well is to be called unknown: after three intervals (running clock).
    pub(super) fn unknown_at(&self) -> Option<Duration> {
        let since = self.progress.unknown().filter(|_| self.told == Told::Cleared)?;
        Some(since.running + self.interval * 3)
    }
}

/// Incidents that an earlier life of the agent left open: their targets must show up.
#[derive(Debug, Default)]
pub(super) struct Expected(Vec<(DedupKey, Moment)>);

impl Expected {
    pub(super) fn add(&mut self, keys: Vec<DedupKey>, until: Moment) {
        self.0.extend(keys.into_iter().map(|key| (key, until)));
    }

    /// Those whose target has a sample, whatever it says, need not be waited for.
    pub(super) fn drop_seen(&mut self, seen: impl Fn(&Labels) -> bool) {
        self.0.retain(|(key, _)| !seen(&key.identity));
    }

    /// Takes those that are `gone` out.
    pub(super) fn take(&mut self, gone: impl Fn(&DedupKey, Moment) -> bool) -> Vec<DedupKey> {
        self.0.extract_if(.., |(key, until)| gone(key, *until)).map(|(key, _)| key).collect()
    }

    /// The deadlines of those that can be told of.
    pub(super) fn deadlines(&self, can_tell: impl Fn(&DedupKey) -> bool) -> impl Iterator<Item = Moment> {
        self.0.iter().filter(move |(key, _)| can_tell(key)).map(|(_, until)| *until)
    }
}

/// The rule of a playbook.
pub(super) fn of<'a>(rules: &'a [Rule], key: &DedupKey) -> Option<&'a Rule> {
    rules.iter().find(|rule| rule.playbook.id == key.playbook)
}
