//! What is known of one metric of one target. Pure.

use super::routes::Routes;
use super::rule::Rule;
use crate::clock::Moment;
use crate::metric::Metric;
use crate::record::escape::terminal;
use crate::sample::{InOrder, Labels, Sample};

/// The latest sample, and who looks at it. Small: there can be many thousands, and each is looked at in every cycle.
#[derive(Debug)]
pub(super) struct Latest {
    pub(super) sample: Sample,
    /// The value is unknown. Boxed: most are known.
    unknown: Option<Box<Unknown>>,
    /// The rules that look at it: found once, and again when the target's facts change.
    pub(super) rules: Option<Box<[usize]>>,
}

#[derive(Debug)]
struct Unknown {
    since: Moment,
    reported: bool,
}

impl Unknown {
    fn of(sample: &Sample, now: Moment) -> Option<Box<Self>> {
        sample.value.is_none().then(|| Box::new(Self { since: now, reported: false }))
    }
}

impl Latest {
    /// The first one.
    pub(super) fn new(sample: Sample, now: Moment) -> Self {
        Self { unknown: Unknown::of(&sample, now), sample, rules: None }
    }

    /// Takes the place of the sample before. If the target's facts are others now, it gives the rules that looked at it.
    pub(super) fn replace(&mut self, sample: Sample, now: Moment) -> Option<Box<[usize]>> {
        let left = if self.sample.target.facts == sample.target.facts { None } else { self.rules.take() };
        let goes_on = |unknown: &Unknown| sample.value.is_none() && (unknown.reported || !self.sample.is_from_before_a_sleep(now));
        if !self.unknown.as_deref().is_some_and(goes_on) {
            self.unknown = Unknown::of(&sample, now);
        }
        self.sample = sample;
        left
    }

    /// Finds the rules that look at it.
    pub(super) fn route(&mut self, routes: &Routes, rules: &[Rule]) {
        self.rules.get_or_insert_with(|| routes.of(&self.sample, rules).into());
    }

    /// Says once that a metric has been unknown for three intervals.
    pub(super) fn report_unknown(&mut self, now: Moment) {
        let since = match &self.unknown {
            Some(unknown) if unknown.reported => return,
            Some(unknown) => unknown.since,
            None => self.sample.at,
        };
        if now.since(since) <= self.sample.interval * 3 || self.sample.is_from_before_a_sleep(now) {
            return;
        }
        let reason = self.sample.reason.as_deref().unwrap_or("no fresh measurement");
        // What no condition looks at is nobody's trouble: the age of a process that is stopped, say.
        let level = if self.rules.as_ref().is_some_and(|rules| !rules.is_empty()) { log::Level::Warn } else { log::Level::Debug };
        let target = terminal(&self.sample.target.identity.to_string());
        log::log!(level, "unknown metric={} target={target} reason={}", self.sample.metric.name, terminal(reason));
        self.unknown = Some(Box::new(Unknown { since, reported: true }));
    }
}

/// The latest sample of a metric for an identity, joined on the labels that the metric has.
pub(super) fn find<'a>(latest: &'a InOrder<Vec<Latest>>, metric: &Metric, identity: &Labels) -> Option<&'a Sample> {
    let of = |identity: &Labels| latest.get(identity)?.iter().map(|latest| &latest.sample).find(|sample| sample.metric == metric);
    of(identity).or_else(|| of(&identity.iter().filter(|(name, _)| metric.identity.contains(name)).collect()))
}
