//! Which conditions fire for which targets. Pure: samples and the time in, edges out.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::condition::{Condition, Operand, Operator, joins};
use super::progress::{Progress, View};
use crate::clock::Moment;
use crate::config::playbook::Playbook;
use crate::incident::{DedupKey, Opening, Source, Trigger};
use crate::metric::Metric;
use crate::record::escape::terminal;
use crate::sample::{Labels, Sample, Target, Value};

/// A target that was last measured this long ago is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(3600);

/// A change of a condition that matters. Nothing else crosses from the detector to the heal worker.
#[derive(Clone, Debug)]
pub enum Edge {
    /// It has been true for long enough.
    Fired(Box<Opening>),
    /// It is false again.
    Cleared(DedupKey),
    /// What was known to be well can no longer be told: unknown for more than three intervals.
    Unknown(DedupKey),
    /// The target has not been there for three intervals: unmounted, or its watch entry was removed.
    Gone(DedupKey),
}

/// The latest samples, and how far each condition is for each target.
#[derive(Debug, Default)]
pub struct Detector {
    rules: Vec<Rule>,
    /// By metric name, then by identity.
    latest: HashMap<&'static str, HashMap<Labels, Latest>>,
    /// When the first of the latest samples becomes stale, at the earliest.
    stale_at: Option<Moment>,
}

#[derive(Debug)]
struct Latest {
    sample: Sample,
    /// Since when the value has been unknown, and whether that was reported.
    unknown: Option<(Moment, bool)>,
    /// The rules that look at it: found once, and again when the target's facts change.
    rules: Option<Arc<[usize]>>,
}

#[derive(Debug)]
struct Rule {
    playbook: Arc<Playbook>,
    metrics: Vec<&'static Metric>,
    /// How many identity labels tell its targets apart.
    identity: usize,
    /// In order, so that the same samples give the same edges.
    targets: BTreeMap<Labels, State>,
}

#[derive(Debug, Default)]
struct State {
    progress: Progress,
    firing: bool,
    /// An incident ended while it fired: that it is false again is news all the same.
    owes_clear: bool,
    /// Samples from before the end of the last incident count for nothing.
    not_before: Option<Moment>,
}

impl Detector {
    /// Puts playbooks in force. Conditions that did not change keep their progress.
    pub fn watch(&mut self, playbooks: &[Arc<Playbook>], now: Moment) -> Vec<Edge> {
        let mut old: HashMap<String, Rule> = self.rules.drain(..).map(|rule| (rule.playbook.id.clone(), rule)).collect();
        self.rules = playbooks
            .iter()
            .filter(|playbook| playbook.enabled)
            .map(|playbook| {
                let mut rule = Rule::new(Arc::clone(playbook));
                match old.remove(&playbook.id) {
                    Some(before) if before.playbook.condition == playbook.condition => rule.targets = before.targets,
                    Some(before) => rule.remember_ends(before),
                    None => {}
                }
                rule
            })
            .collect();
        self.latest.values_mut().flat_map(HashMap::values_mut).for_each(|latest| latest.rules = None);
        self.look(now)
    }

    /// Takes samples into account.
    pub fn samples(&mut self, batch: &[Sample], now: Moment) -> Vec<Edge> {
        let mut affected: Vec<(usize, Labels)> = Vec::new();
        let mut seen: HashSet<(usize, Labels)> = HashSet::new();
        for sample in batch {
            for &rule in self.remember(sample, now).iter() {
                for identity in self.rules[rule].identities(sample) {
                    if seen.insert((rule, identity.clone())) {
                        affected.push((rule, identity));
                    }
                }
            }
        }
        self.judge(&affected, now)
    }

    /// Looks at everything again: a sample became stale, or a `for_seconds` has passed.
    pub fn look(&mut self, now: Moment) -> Vec<Edge> {
        self.forget(now);
        self.stale_at = None;
        for latest in self.latest.values_mut().flat_map(HashMap::values_mut) {
            latest.report_unknown(now);
            let stale = latest.sample.stale_at();
            if !stale.is_due(now) {
                self.stale_at = Some(self.stale_at.map_or(stale, |earliest| earliest.earlier(stale)));
            }
        }
        let all: Vec<Sample> = self.latest.values().flat_map(HashMap::values).map(|latest| latest.sample.clone()).collect();
        let mut affected: BTreeSet<(usize, Labels)> = BTreeSet::new();
        for sample in &all {
            for &rule in self.route(sample).iter() {
                affected.extend(self.rules[rule].identities(sample).into_iter().map(|identity| (rule, identity)));
            }
        }
        for (index, rule) in self.rules.iter().enumerate() {
            affected.extend(rule.targets.keys().map(|identity| (index, identity.clone())));
        }
        let affected: Vec<(usize, Labels)> = affected.into_iter().collect();
        self.judge(&affected, now)
    }

    /// Drops what has not been measured for long: names of files and processes come and go for years.
    fn forget(&mut self, now: Moment) {
        for entries in self.latest.values_mut() {
            entries.retain(|_, latest| now.since(latest.sample.at) < FORGOTTEN.max(latest.sample.interval * 10));
        }
        let latest = &self.latest;
        for rule in &mut self.rules {
            let metrics = &rule.metrics;
            rule.targets.retain(|identity, _| metrics.iter().any(|metric| find(latest, metric, identity).is_some()));
        }
    }

    /// The key's incident has ended at that moment: it may fire again, on newer samples.
    pub fn rearm(&mut self, key: &DedupKey, at: Moment) {
        let rule = self.rules.iter_mut().find(|rule| rule.playbook.id == key.playbook);
        if let Some(state) = rule.and_then(|rule| rule.targets.get_mut(&key.identity)) {
            *state = State { not_before: Some(at), owes_clear: true, ..State::default() };
        }
    }

    /// How long until [`look`](Self::look) is due.
    #[must_use]
    pub fn next_look(&self, now: Moment) -> Option<Duration> {
        let stale = self.stale_at.map(|at| at.running.saturating_sub(now.running) + Duration::from_millis(1));
        let holds = self
            .rules
            .iter()
            .flat_map(|rule| rule.targets.values().filter_map(move |state| state.progress.next_change(&rule.playbook.condition, now)));
        stale.into_iter().chain(holds).min()
    }

    /// Keeps the sample and says which rules look at it.
    fn remember(&mut self, sample: &Sample, now: Moment) -> Arc<[usize]> {
        let stale = sample.stale_at();
        self.stale_at = Some(self.stale_at.map_or(stale, |earliest| earliest.earlier(stale)));
        let entries = self.latest.entry(sample.metric.name).or_default();
        match entries.get_mut(&sample.target.identity) {
            Some(latest) => {
                if latest.sample.target.facts != sample.target.facts {
                    latest.rules = None;
                }
                latest.unknown = if sample.value.is_some() { None } else { latest.unknown.or(Some((now, false))) };
                latest.sample = sample.clone();
                latest.report_unknown(now);
            }
            None => {
                let unknown = sample.value.is_none().then_some((now, false));
                entries.insert(sample.target.identity.clone(), Latest { sample: sample.clone(), unknown, rules: None });
            }
        }
        self.route(sample)
    }

    fn route(&mut self, sample: &Sample) -> Arc<[usize]> {
        let rules = &self.rules;
        let Some(latest) = self.latest.get_mut(sample.metric.name).and_then(|entries| entries.get_mut(&sample.target.identity)) else {
            return Arc::from([]);
        };
        let found = latest
            .rules
            .get_or_insert_with(|| rules.iter().enumerate().filter(|(_, rule)| rule.looks_at(sample)).map(|(index, _)| index).collect());
        Arc::clone(found)
    }

    fn judge(&mut self, affected: &[(usize, Labels)], now: Moment) -> Vec<Edge> {
        let mut fired: Vec<(usize, Box<Opening>)> = Vec::new();
        let mut cleared = Vec::new();
        for (index, identity) in affected {
            let (latest, rule) = (&self.latest, &mut self.rules[*index]);
            let condition = &rule.playbook.condition;
            let state = rule.targets.entry(identity.clone()).or_default();
            let not_before = state.not_before;
            let known = |metric: &'static Metric| find(latest, metric, identity).filter(|sample| counts(sample, not_before, now));
            let interval = rule.metrics.iter().filter_map(|metric| find(latest, metric, identity)).map(|sample| sample.interval).max();
            let view = View { sample: known, interval: interval.unwrap_or_default(), now };
            match state.progress.advance(condition, &view) {
                Some(true) if !state.firing => {
                    (state.firing, state.owes_clear) = (true, false);
                    let started = state.progress.since().unwrap_or(now);
                    let samples: Vec<Sample> = rule.metrics.iter().filter_map(|metric| find(latest, metric, identity)).cloned().collect();
                    fired.push((*index, Box::new(opening(&rule.playbook, identity, samples, started))));
                }
                Some(false) if state.firing || state.owes_clear => {
                    (state.firing, state.owes_clear) = (false, false);
                    cleared.push(Edge::Cleared(DedupKey { playbook: rule.playbook.id.clone(), identity: identity.clone() }));
                }
                _ => {}
            }
        }
        // In the order of the file, and of one playbook the worst target first.
        fired.sort_by(|(a, left), (b, right)| a.cmp(b).then_with(|| badness(right).total_cmp(&badness(left))));
        cleared.extend(fired.into_iter().map(|(_, opening)| Edge::Fired(opening)));
        cleared
    }
}

impl Latest {
    /// Says once that a metric has been unknown for three intervals.
    fn report_unknown(&mut self, now: Moment) {
        let since = self.unknown.or_else(|| self.sample.is_stale(now).then_some((self.sample.at, false)));
        if let Some((since, false)) = since.filter(|(since, _)| now.since(*since) > self.sample.interval * 3) {
            let reason = self.sample.reason.as_deref().unwrap_or("no fresh measurement");
            // What no condition looks at is nobody's trouble: the age of a process that is stopped, say.
            let level = if self.rules.as_ref().is_some_and(|rules| !rules.is_empty()) { log::Level::Warn } else { log::Level::Debug };
            let target = terminal(&self.sample.target.identity.to_string());
            log::log!(level, "unknown metric={} target={target} reason={}", self.sample.metric.name, terminal(reason));
            self.unknown = Some((since, true));
        }
    }
}

impl Rule {
    fn new(playbook: Arc<Playbook>) -> Self {
        let mut metrics: Vec<&'static Metric> = playbook.condition.comparisons().iter().map(|comparison| comparison.metric).collect();
        metrics.sort_by_key(|metric| std::cmp::Reverse(metric.identity.len()));
        metrics.dedup();
        let identity = metrics.first().map_or(0, |metric| metric.identity.len());
        Self { playbook, metrics, identity, targets: BTreeMap::new() }
    }

    /// Of a condition that was edited only this is left: which targets had trouble that has not been seen to end.
    fn remember_ends(&mut self, before: Self) {
        let troubled =
            before.targets.into_iter().filter(|(identity, state)| identity.len() == self.identity && (state.firing || state.owes_clear));
        self.targets = troubled
            .map(|(identity, state)| (identity, State { owes_clear: true, not_before: state.not_before, ..State::default() }))
            .collect();
    }

    fn looks_at(&self, sample: &Sample) -> bool {
        let condition = &self.playbook.condition;
        let joined = sample.metric.identity.len() < self.identity;
        self.metrics.contains(&sample.metric) && (joined || condition.concerns(sample.metric, &sample.target))
    }

    /// The targets of this rule that a sample is about: its own, or, for a metric with fewer labels, all that it joins.
    fn identities(&self, sample: &Sample) -> Vec<Labels> {
        if !self.looks_at(sample) {
            Vec::new()
        } else if sample.metric.identity.len() == self.identity {
            vec![sample.target.identity.clone()]
        } else {
            self.targets.keys().filter(|identity| joins(identity, &sample.target.identity)).cloned().collect()
        }
    }
}

/// The latest sample of a metric for an identity, joined on the labels that the metric has.
fn find<'a>(latest: &'a HashMap<&'static str, HashMap<Labels, Latest>>, metric: &Metric, identity: &Labels) -> Option<&'a Sample> {
    let entries = latest.get(metric.name)?;
    if let Some(own) = entries.get(identity) {
        return Some(&own.sample);
    }
    let joined: Labels = identity.iter().filter(|(name, _)| metric.identity.contains(name)).collect();
    entries.get(&joined).map(|latest| &latest.sample)
}

fn counts(sample: &Sample, not_before: Option<Moment>, now: Moment) -> bool {
    !sample.is_stale(now) && not_before.is_none_or(|end| sample.at.running > end.running)
}

/// What an incident of this playbook on this target starts with. `samples` are of its metrics, the leading one first.
#[must_use]
pub fn opening(playbook: &Arc<Playbook>, identity: &Labels, samples: Vec<Sample>, started: Moment) -> Opening {
    let trigger = trigger(&playbook.condition, &samples);
    let facts = samples.iter().fold(Labels::default(), |facts, sample| facts.with(&sample.target.facts));
    let target = Target { identity: identity.clone(), facts };
    Opening { playbook: Arc::clone(playbook), target, trigger, samples, started, source: Source::Detector, force: false }
}

fn trigger(condition: &Condition, samples: &[Sample]) -> Trigger {
    let value = |metric: &Metric| samples.iter().find(|sample| sample.metric == metric).and_then(|sample| sample.value.clone());
    let mut metrics: Vec<&'static Metric> = condition.comparisons().iter().map(|comparison| comparison.metric).collect();
    metrics.dedup();
    let words = |metric: &&'static Metric| value(metric).map_or_else(|| "unknown".to_owned(), |value| value.to_string());
    let was: Vec<String> = metrics.iter().map(words).collect();
    let leading = condition.leading();
    let threshold = match &leading.operand {
        Operand::Number(number) => number.to_string(),
        Operand::Text(text) => text.clone(),
    };
    let text = format!("{condition} (was {})", was.join(", "));
    Trigger { text, metric: leading.metric.name.to_owned(), value: value(leading.metric), threshold }
}

/// How bad the leading value is: large where the condition asks for large values, small where it asks for small ones.
fn badness(opening: &Opening) -> f64 {
    let value = match &opening.trigger.value {
        Some(Value::Number(number)) => *number,
        Some(Value::Infinite) => f64::INFINITY,
        _ => 0.0,
    };
    let small_is_bad = matches!(opening.playbook.condition.leading().operator, Operator::Less | Operator::LessOrEqual);
    if small_is_bad { -value } else { value }
}

/// The identities among these samples that a playbook is about.
#[must_use]
pub fn concerned(playbook: &Playbook, samples: &[Sample]) -> Vec<Labels> {
    let mut found: Vec<Labels> = Vec::new();
    for sample in samples.iter().filter(|sample| playbook.condition.concerns(sample.metric, &sample.target)) {
        if !found.contains(&sample.target.identity) {
            found.push(sample.target.identity.clone());
        }
    }
    found
}

/// The samples that a condition looks at for one identity, the leading metric first.
#[must_use]
pub fn samples_of(condition: &Condition, identity: &Labels, samples: &[Sample]) -> Vec<Sample> {
    let leading = condition.leading().metric;
    let metrics: Vec<&'static Metric> = condition.comparisons().iter().map(|comparison| comparison.metric).collect();
    let own = |sample: &&Sample| metrics.contains(&sample.metric) && joins(identity, &sample.target.identity);
    let mut found: Vec<Sample> = samples.iter().filter(own).cloned().collect();
    found.sort_by_key(|sample| sample.metric != leading);
    found
}
