//! Which conditions fire for which targets. Pure: samples and the time in, edges out.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::latest::{Latest, find};
use super::opening::badness;
pub use super::opening::{concerned, opening, samples_of};
use super::progress::View;
use super::routes::Routes;
use super::rule::{self, Expected, Rule, State, Told};
use crate::clock::Moment;
use crate::config::playbook::Playbook;
use crate::incident::{DedupKey, Opening};
use crate::metric::{Kind, Metric};
use crate::sample::{Batch, Gone, InOrder, Labels, SLEPT, Sample};

/// A target that was last measured this long ago is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(3600);

/// How often what is to be forgotten is looked for, at most.
const FORGET: Duration = Duration::from_secs(60);

/// A key that is owed a [`Edge::Cleared`] is kept for this long without a sample: when its target is gone, nobody waits for it.
const OWED: Duration = Duration::from_secs(7 * 86_400);

/// What happens after a time is looked for this much later.
const AFTER: Duration = Duration::from_millis(1);

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
    routes: Routes,
    /// Of every metric, by target: what is known of one lies together.
    latest: InOrder<Vec<Latest>>,
    /// When the first of the latest samples becomes stale, at the earliest (running clock).
    stale_at: Option<Duration>,
    /// When the first condition may change by time alone (running clock). It may turn out to be too early: then the look at it finds
    /// the next one.
    due: Option<Duration>,
    /// When everything was looked at last.
    looked: Option<Moment>,
    /// When what has not been measured for long is looked for next.
    forget_at: Option<Moment>,
    expected: Expected,
    /// Kinds of which every target there is has a sample.
    settled: Vec<Kind>,
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
        self.routes = Routes::new(&self.rules);
        self.latest.values_mut().flatten().for_each(|latest| latest.rules = None);
        self.look_again(now);
        self.judge_all(now)
    }

    /// Takes what the collectors found into account, and empties the batch.
    pub fn batch(&mut self, batch: &mut Batch, now: Moment) -> Vec<Edge> {
        self.settled.clone_from(&batch.settled);
        let mut edges: Vec<Edge> = batch.gone.drain(..).flat_map(|gone| self.gone(&gone)).collect();
        edges.extend(self.samples(batch.samples.drain(..), now));
        edges.extend(self.in_vain(now));
        edges
    }

    /// Drops everything about the target, and says so for each playbook that is about it.
    fn gone(&mut self, gone: &Gone) -> Vec<Edge> {
        if let Some(all) = self.latest.get_mut(&gone.identity) {
            all.retain(|latest| !gone.had(&latest.sample));
            if all.is_empty() {
                self.latest.remove(&gone.identity);
            }
        }
        let (rules, identity) = (&mut self.rules, &gone.identity);
        let concerned = rules.iter_mut().filter(|rule| rule.is_about(gone.kind));
        let mut keys: BTreeSet<DedupKey> = concerned.filter_map(|rule| rule.targets.remove(identity).map(|_| rule.key(identity))).collect();
        let is_about = |key: &DedupKey| rule::of(rules, key).is_none_or(|rule| rule.is_about(gone.kind));
        keys.extend(self.expected.take(|key, _| key.identity == *identity && is_about(key)));
        keys.into_iter().map(Edge::Gone).collect()
    }

    /// Of these keys an earlier life of the agent left incidents open. A target that does not show up within three of these
    /// intervals, although everything of its kind was measured, is gone.
    pub fn expect(&mut self, keys: Vec<DedupKey>, interval: Duration, now: Moment) {
        self.expected.add(keys, now.after(interval * 3));
    }

    /// The targets that were expected in vain.
    fn in_vain(&mut self, now: Moment) -> Vec<Edge> {
        let (latest, rules, settled) = (&self.latest, &self.rules, &self.settled);
        self.expected.drop_seen(|identity| latest.get(identity).is_some());
        let keys = self.expected.take(|key, until| until.is_due(now) && can_tell(rules, settled, key));
        for key in &keys {
            if let Some(rule) = self.rules.iter_mut().find(|rule| rule.playbook.id == key.playbook) {
                rule.targets.remove(&key.identity);
            }
        }
        keys.into_iter().map(Edge::Gone).collect()
    }

    /// Takes samples into account.
    pub fn samples(&mut self, samples: impl IntoIterator<Item = Sample>, now: Moment) -> Vec<Edge> {
        let mut affected: Vec<(usize, Labels)> = Vec::new();
        for sample in samples {
            self.remember(sample, now, &mut affected);
        }
        // The samples of one target come together. To judge one twice would be no more than work.
        affected.dedup();
        self.judge(&affected, now)
    }

    /// Time has passed: a sample may have become stale, or a `for_seconds` be over.
    pub fn look(&mut self, now: Moment) -> Vec<Edge> {
        if self.look_again(now) {
            return self.judge_all(now);
        }
        let mut edges = self.judge_due(now);
        edges.extend(self.in_vain(now));
        edges
    }

    /// Judges what may change by time alone now. Thousands of targets may each have a moment of its own.
    fn judge_due(&mut self, now: Moment) -> Vec<Edge> {
        if self.due.is_none_or(|due| due > now.running) {
            return Vec::new();
        }
        self.due = None;
        let mut affected = Vec::new();
        for (index, rule) in self.rules.iter().enumerate() {
            for (identity, due) in rule.targets.iter().filter_map(|(identity, state)| Some((identity, state.due?))) {
                if due <= now.running {
                    affected.push((index, identity.clone()));
                } else {
                    self.due = earliest(self.due, due);
                }
            }
        }
        self.judge(&affected, now)
    }

    /// Looks at the age of every sample, and says whether one has become stale since the last time.
    fn look_again(&mut self, now: Moment) -> bool {
        self.forget(now);
        self.stale_at = None;
        let before = self.looked.replace(now);
        let mut news = before.is_some_and(|before| now.slept_since(before) > SLEPT);
        for latest in self.latest.values_mut().flatten() {
            latest.report_unknown(now);
            let stale = latest.sample.stale_at();
            if latest.sample.is_stale(now) {
                news |= before.is_none_or(|before| !latest.sample.is_stale(before));
            } else {
                self.stale_at = earliest(self.stale_at, stale);
            }
        }
        news
    }

    fn judge_all(&mut self, now: Moment) -> Vec<Edge> {
        self.due = None;
        let mut affected: BTreeSet<(usize, Labels)> = BTreeSet::new();
        for latest in self.latest.values_mut().flatten() {
            latest.route(&self.routes, &self.rules);
            for &rule in latest.rules.iter().flatten() {
                affected.extend(self.rules[rule].identities(&latest.sample).map(|identity| (rule, identity.clone())));
            }
        }
        for (index, rule) in self.rules.iter().enumerate() {
            affected.extend(rule.targets.keys().map(|identity| (index, identity.clone())));
        }
        let affected: Vec<(usize, Labels)> = affected.into_iter().collect();
        let mut edges = self.judge(&affected, now);
        edges.extend(self.in_vain(now));
        edges
    }

    /// Drops what has not been measured for long: names of files and processes come and go for years.
    fn forget(&mut self, now: Moment) {
        if self.forget_at.is_some_and(|at| !at.is_due(now)) {
            return;
        }
        self.forget_at = Some(now.after(FORGET));
        self.latest.retain(|_, all| {
            all.retain(|latest| now.since(latest.sample.at) < FORGOTTEN.max(latest.sample.interval * 10));
            !all.is_empty()
        });
        let latest = &self.latest;
        for rule in &mut self.rules {
            let metrics = &rule.metrics;
            rule.targets.retain(|identity, state| {
                let wait = if state.told == Told::Owed { OWED } else { FORGOTTEN };
                let asked_for = state.not_before.is_some_and(|asked| now.since(asked) < wait);
                asked_for || metrics.iter().any(|metric| find(latest, metric, identity).is_some())
            });
        }
    }

    /// The key's incident has ended at that moment: it may fire again, on newer samples, and it is news when it is false. The key
    /// may be one of which nothing was measured yet: the incident may be of an earlier life of the agent.
    pub fn rearm(&mut self, key: &DedupKey, at: Moment) {
        if let Some(rule) = self.rules.iter_mut().find(|rule| rule.playbook.id == key.playbook) {
            rule.targets.insert(key.identity.clone(), Box::new(State::rearmed(at)));
        }
    }

    /// The latest sample of every metric and target, by target.
    #[must_use]
    pub fn latest(&self) -> Vec<Sample> {
        let mut all: Vec<Sample> = self.latest.values().flatten().map(|latest| latest.sample.clone()).collect();
        all.sort_by(|a, b| {
            let place = |sample: &Sample| (sample.metric.kind, sample.target.identity.clone(), sample.metric.name);
            place(a).cmp(&place(b))
        });
        all
    }

    /// How long until [`look`](Self::look) is due.
    #[must_use]
    pub fn next_look(&self, now: Moment) -> Option<Duration> {
        let expected = self.expected.deadlines(|key| can_tell(&self.rules, &self.settled, key));
        let ages = self.stale_at.into_iter().chain(expected.map(|at| at.running)).map(|at| at + AFTER);
        ages.chain(self.due).map(|at| at.saturating_sub(now.running)).min()
    }

    /// Keeps the sample and adds what the rules that look at it must judge.
    fn remember(&mut self, sample: Sample, now: Moment, affected: &mut Vec<(usize, Labels)>) {
        self.stale_at = earliest(self.stale_at, sample.stale_at());
        let rules = &self.rules;
        let mut affect = |sample: &Sample, rule: &usize| {
            affected.extend(rules[*rule].identities(sample).map(|identity| (*rule, identity.clone())));
        };
        let identity = &sample.target.identity;
        let known = self.latest.get_mut(identity).and_then(|all| all.iter_mut().find(|latest| latest.sample.metric == sample.metric));
        let Some(latest) = known else {
            let mut latest = Latest::new(sample, now);
            latest.route(&self.routes, rules);
            latest.rules.iter().flatten().for_each(|rule| affect(&latest.sample, rule));
            let all = self.latest.get_or_default(&latest.sample.target.identity);
            // No more than it needs: there can be many thousands.
            all.reserve_exact(1);
            all.push(latest);
            return;
        };
        let left = latest.replace(sample, now);
        latest.report_unknown(now);
        latest.route(&self.routes, rules);
        let own = latest.rules.iter().flatten();
        match left.filter(|left| Some(left) != latest.rules.as_ref()) {
            // What a rule said of a target that its facts take out of it ends now.
            Some(left) => left.iter().chain(own).collect::<BTreeSet<_>>().into_iter().for_each(|rule| affect(&latest.sample, rule)),
            None => own.for_each(|rule| affect(&latest.sample, rule)),
        }
    }

    fn judge(&mut self, affected: &[(usize, Labels)], now: Moment) -> Vec<Edge> {
        let mut fired: Vec<(usize, Box<Opening>)> = Vec::new();
        let mut cleared = Vec::new();
        let mut found: Vec<&Sample> = Vec::new();
        for (index, identity) in affected {
            let (latest, rule) = (&self.latest, &mut self.rules[*index]);
            let condition = &rule.playbook.condition;
            let state = match rule.targets.get_mut(identity) {
                Some(state) => state,
                None => rule.targets.entry(identity.clone()).or_insert_with(|| Box::new(State::new(now))),
            };
            found.clear();
            found.extend(rule.metrics.iter().filter_map(|metric| find(latest, metric, identity)));
            let interval = found.iter().map(|sample| sample.interval).max().unwrap_or_default();
            state.look(interval, now);
            // After a sleep everything is measured once before anything is decided: the samples that come then are judged.
            if found.iter().any(|sample| sample.is_from_before_a_sleep(now)) {
                continue;
            }
            let not_before = state.not_before;
            let known = |metric: &'static Metric| {
                found.iter().copied().find(|sample| sample.metric == metric).filter(|sample| counts(sample, not_before, now))
            };
            let wanted = found.iter().any(|sample| sample.is_wanted());
            // What is true, though not yet for long enough, is not false.
            let is_false = || condition.evaluate(&known) == Some(false);
            let key = || DedupKey { playbook: rule.playbook.id.clone(), identity: identity.clone() };
            match state.progress.advance(condition, &View { sample: known, interval, now }) {
                Some(true) if state.told != Told::Fired || state.wanted != wanted => {
                    (state.told, state.wanted) = (Told::Fired, wanted);
                    let started = state.progress.since().unwrap_or(now);
                    let samples = found.iter().copied().cloned().collect();
                    fired.push((*index, Box::new(opening(&rule.playbook, identity, samples, started))));
                }
                Some(false) if matches!(state.told, Told::Fired | Told::Owed) && is_false() => {
                    state.told = Told::Cleared;
                    cleared.push(Edge::Cleared(key()));
                }
                None if state.unknown_at().is_some_and(|at| at < now.running) => {
                    state.told = Told::Owed;
                    cleared.push(Edge::Unknown(key()));
                }
                _ => {}
            }
            let unknown = state.unknown_at().map(|at| at + AFTER);
            state.due = state.progress.next_change(condition, now).map(|left| now.running + left).into_iter().chain(unknown).min();
            self.due = state.due.into_iter().chain(self.due).min();
        }
        // In the order of the file, and of one playbook the worst target first.
        fired.sort_by(|(a, left), (b, right)| a.cmp(b).then_with(|| badness(right).total_cmp(&badness(left))));
        cleared.extend(fired.into_iter().map(|(_, opening)| Edge::Fired(opening)));
        cleared
    }
}

/// Whether every target that there is of the key's kind has a sample. Of a key without a playbook the kind is not known.
fn can_tell(rules: &[Rule], settled: &[Kind], key: &DedupKey) -> bool {
    let concerned = |kind: &Kind| rule::of(rules, key).is_none_or(|rule| rule.is_about(*kind));
    Kind::ALL.iter().filter(|kind| concerned(kind)).all(|kind| settled.contains(kind))
}

fn earliest(known: Option<Duration>, other: Duration) -> Option<Duration> {
    Some(known.map_or(other, |known| known.min(other)))
}

fn counts(sample: &Sample, not_before: Option<Moment>, now: Moment) -> bool {
    !sample.is_stale(now) && not_before.is_none_or(|end| sample.at.running > end.running)
}

#[cfg(test)]
#[path = "detector_tests.rs"]
mod tests;
