//! What an incident starts with, and whom a condition is about. Pure.

use std::sync::Arc;

use super::condition::{Condition, Operand, Operator, joins};
use crate::clock::Moment;
use crate::config::playbook::Playbook;
use crate::incident::{Opening, Source, Trigger};
use crate::metric::Metric;
use crate::sample::{Labels, Sample, Target, Value};

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
    // In plain decimals, without the expression's exponents: it is a placeholder, for programs.
    let threshold = match &leading.operand {
        Operand::Number(number) => number.to_string(),
        Operand::Text(text) => text.clone(),
    };
    let text = format!("{condition} (was {})", was.join(", "));
    Trigger { text, metric: leading.metric.name.into(), value: value(leading.metric), threshold }
}

/// How bad the leading value is: large where the condition asks for large values, small where it asks for small ones.
pub(super) fn badness(opening: &Opening) -> f64 {
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
