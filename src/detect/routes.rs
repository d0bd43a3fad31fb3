//! Which rules may look at a sample, without asking each of them: a host can have a thousand playbooks for a thousand targets. Pure.

use std::collections::HashMap;

use super::condition::{Comparison, LabelTest};
use super::rule::Rule;
use crate::metric::Metric;
use crate::sample::Sample;

/// The rules by metric, and those that name a label's value (`path="/var/log/x"`) by that.
#[derive(Debug, Default)]
pub(super) struct Routes(HashMap<&'static Metric, Group>);

/// The rules about one metric, by their place in the list.
#[derive(Debug, Default)]
struct Group {
    named: HashMap<(String, String), Vec<usize>>,
    /// They may be about any target.
    others: Vec<usize>,
}

impl Routes {
    pub(super) fn new(rules: &[Rule]) -> Self {
        let mut routes = Self::default();
        for (index, rule) in rules.iter().enumerate() {
            for metric in &rule.metrics {
                routes.0.entry(metric).or_default().add(index, rule, metric);
            }
        }
        routes
    }

    /// The rules that look at the sample, in the order of the list.
    pub(super) fn of(&self, sample: &Sample, rules: &[Rule]) -> Vec<usize> {
        let Some(group) = self.0.get(sample.metric) else { return Vec::new() };
        let labels = sample.target.identity.iter().chain(sample.target.facts.iter());
        let named = labels.filter_map(|(name, value)| group.named.get(&(name.to_owned(), value.to_owned()))).flatten();
        let mut found: Vec<usize> = named.chain(&group.others).copied().filter(|rule| rules[*rule].looks_at(sample)).collect();
        found.sort_unstable();
        found.dedup();
        found
    }
}

impl Group {
    fn add(&mut self, index: usize, rule: &Rule, metric: &Metric) {
        let comparisons = rule.playbook.condition.comparisons();
        let own = comparisons.iter().filter(|comparison| comparison.metric == metric);
        // A metric that is joined is looked at whatever its own selector says.
        let named: Option<Vec<&LabelTest>> = own.map(|comparison| named(comparison)).collect();
        match named.filter(|_| !rule.joins(metric)) {
            Some(tests) => {
                for (test, pattern) in tests.iter().flat_map(|test| test.patterns.iter().map(move |pattern| (test, pattern))) {
                    self.named.entry((test.label.clone(), pattern.text().to_owned())).or_default().push(index);
                }
            }
            None => self.others.push(index),
        }
    }
}

/// A test of the comparison that only targets with a certain value of a label can pass.
fn named(comparison: &Comparison) -> Option<&LabelTest> {
    comparison.selector.0.iter().find(|test| !test.negated && !test.patterns.iter().any(super::condition::Pattern::is_glob))
}
