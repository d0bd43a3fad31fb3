//! Remarks about proofs: a `verify` that proves nothing, or that nothing can satisfy, and a certificate that is looked at in a
//! file only.

use std::collections::HashMap;

use super::document::top;
use super::playbook::Playbook;
use super::problem::Draft;
use super::remarks::Remark;
use super::settings::CertificateSource;
use super::watched::Watches;
use crate::detect::condition::{Comparison, Condition, Operand, Selector, Test};
use crate::metric::{Metric, Values};
use crate::sample::Value;

/// A condition of so many combinations of values is not judged: nobody can read it either.
const MOST: usize = 4096;

/// Remarks about how a playbook's heals are proven, and whether its conditions can hold.
pub(crate) fn remarks(playbook: &Playbook, watches: &Watches<'_>) -> Vec<Remark> {
    let path = top(&playbook.id);
    let verify = playbook.verify.as_ref().map(|verify| &verify.condition);
    let mut found: Vec<Remark> = Vec::new();
    for (key, condition) in [("condition", Some(&playbook.condition)), ("verify", verify)] {
        let place = format!("{path}.{key}");
        found.extend(condition.and_then(never_holds).map(|draft| (place, draft)));
    }
    if found.is_empty() {
        found.extend(verify.and_then(|verify| weak_verify(&playbook.condition, verify)).map(|draft| (format!("{path}.verify"), draft)));
    }
    found.extend(proven_by_file(playbook, watches).map(|draft| (path, draft)));
    found
}

/// A verification that may hold while the condition still does proves nothing. Nothing is said of one that looks at other
/// metrics: what they have to do with the trouble is known to people only.
fn weak_verify(condition: &Condition, verify: &Condition) -> Option<Draft> {
    let known: Vec<&Metric> = condition.comparisons().iter().map(|one| one.metric).collect();
    if verify.comparisons().iter().any(|one| !known.contains(&one.metric)) {
        return None;
    }
    let world = worlds(&[condition, verify])?.into_iter().find(|world| holds(condition, world) && holds(verify, world))?;
    let mut values: Vec<String> = world.iter().map(|(name, value)| format!("{name} {value}")).collect();
    values.sort_unstable();
    let values = if values.len() == 1 { world.values().map(Value::to_string).collect() } else { values.join(", ") };
    let message = format!("the verification is weaker than the condition: at {values} both {verify} and {condition} hold");
    Some(Draft::warning("weak_verify", message).suggest("leave verify out, and the condition must no longer hold"))
}

/// A condition that is false whatever is measured.
fn never_holds(condition: &Condition) -> Option<Draft> {
    if worlds(&[condition])?.iter().any(|world| holds(condition, world)) {
        return None;
    }
    let message = match (&condition.test, condition.leading().metric) {
        (Test::Compare(_), metric) => format!("this never holds: {} is {}", metric.name, range_in_words(metric)),
        _ => format!("this never holds: no values satisfy {condition}"),
    };
    Some(Draft::warning("never_holds", message))
}

/// What is measured of one target, by the metrics' names.
type World = HashMap<&'static str, Value>;

/// One world for each combination of values that the conditions tell apart. `None`: there are too many, or the conditions are
/// about several targets.
fn worlds(conditions: &[&Condition]) -> Option<Vec<World>> {
    let comparisons: Vec<&Comparison> = conditions.iter().flat_map(|condition| condition.comparisons()).collect();
    let mut metrics: Vec<&'static Metric> = Vec::new();
    for one in &comparisons {
        if !metrics.contains(&one.metric) {
            metrics.push(one.metric);
        }
    }
    let mut worlds = vec![World::new()];
    for metric in metrics {
        let own: Vec<&Comparison> = comparisons.iter().copied().filter(|one| one.metric == metric).collect();
        let values = if of_one_target(&own) { values(metric, &own) } else { return None };
        if worlds.len() * values.len() > MOST {
            return None;
        }
        let with = |world: &World, value: &Value| {
            world.iter().map(|(name, old)| (*name, old.clone())).chain([(metric.name, value.clone())]).collect()
        };
        worlds = worlds.iter().flat_map(|world| values.iter().map(move |value| with(world, value))).collect();
    }
    Some(worlds)
}

/// Whether no two comparisons select different targets. Without a selector one is about the target of the others.
fn of_one_target(comparisons: &[&Comparison]) -> bool {
    let selectors: Vec<&Selector> = comparisons.iter().map(|one| &one.selector).filter(|selector| !selector.0.is_empty()).collect();
    selectors.windows(2).all(|pair| pair[0] == pair[1])
}

/// Values of a metric among which there is one on each side of every constant, and the constants themselves.
fn values(metric: &Metric, comparisons: &[&Comparison]) -> Vec<Value> {
    if let Values::Words(words) = metric.values {
        return words.iter().map(|word| Value::Text((*word).into())).collect();
    }
    let number = |one: &&Comparison| if let Operand::Number(number) = one.operand { Some(number) } else { None };
    let constants: Vec<f64> = comparisons.iter().filter_map(number).collect();
    let (low, high) = range(metric);
    let ends = constants.iter().flat_map(|constant| [low.unwrap_or(constant - 2.0), high.unwrap_or(constant + 2.0)]);
    let inside = |value: &f64| low.is_none_or(|low| *value >= low) && high.is_none_or(|high| *value <= high);
    let mut edges: Vec<f64> = constants.iter().copied().chain(ends).filter(inside).collect();
    edges.sort_by(f64::total_cmp);
    edges.dedup();
    let between = edges.windows(2).map(|pair| f64::midpoint(pair[0], pair[1]));
    let infinite = (metric.name == "api_latency_ms").then_some(Value::Infinite);
    between.chain(edges.iter().copied()).map(Value::Number).chain(infinite).collect()
}

/// The least and the greatest value that a metric can have, where there is one.
fn range(metric: &Metric) -> (Option<f64>, Option<f64>) {
    let negative = ["ssl_expires_in_days", "log_growth_mb_per_hour"].contains(&metric.name);
    // A process with several threads uses more than one core.
    let bounded = metric.values == Values::Number("%") && metric.name != "process_cpu";
    ((!negative).then_some(0.0), bounded.then_some(100.0))
}

fn range_in_words(metric: &Metric) -> String {
    match (metric.values, range(metric)) {
        (Values::Words(words), _) => format!("one of {}", words.join(", ")),
        (_, (_, Some(high))) => format!("from 0 to {high}"),
        _ => "never under 0".to_owned(),
    }
}

/// Whether the condition holds in this world, for a target that its selectors mean.
fn holds(condition: &Condition, world: &World) -> bool {
    match &condition.test {
        Test::Compare(one) => world.get(one.metric.name).is_some_and(|value| one.holds(value)),
        Test::All(parts) => parts.iter().all(|part| holds(part, world)),
        Test::Any(parts) => parts.iter().any(|part| holds(part, world)),
        Test::Not(part) => !holds(part, world),
    }
}

/// A renewed file says nothing of the server that still shows the old certificate.
fn proven_by_file(playbook: &Playbook, watches: &Watches<'_>) -> Option<Draft> {
    let certificates = watches.concerned_certificates(&playbook.condition);
    let path_of = |source: &CertificateSource| if let CertificateSource::Files { path } = source { Some(path.clone()) } else { None };
    let paths: Option<Vec<String>> = certificates.iter().map(|entry| path_of(&entry.source)).collect();
    let paths = paths.filter(|paths| !paths.is_empty() && playbook.enabled && !playbook.actions.is_empty())?;
    let message =
        format!("a renewal is proven by the file alone ({}): a server that goes on with the old certificate is not seen", paths.join(", "));
    let next = "watch the server as well: {\"name\": \"…\", \"host\": \"…\"} in watch.certificates";
    Some(Draft::warning("proven_by_file", message).suggest(next))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy, any, prop, prop_assert_eq, proptest};

    use super::super::expression::parse;
    use super::*;

    /// Comparisons of one percentage with whole numbers, combined.
    fn condition() -> impl Strategy<Value = String> {
        let operator = prop::sample::select(vec![">", ">=", "<", "<=", "==", "!="]);
        let comparison = (operator, 0..=100_u8, any::<bool>()).prop_map(|(operator, constant, negated)| {
            let text = format!("disk_usage {operator} {constant}");
            if negated { format!("!({text})") } else { text }
        });
        let both = (comparison.clone(), prop::sample::select(vec!["&&", "||"]), comparison);
        both.prop_map(|(one, word, other)| format!("{one} {word} {other}"))
    }

    proptest! {
        #[test]
        fn a_witness_is_found_if_and_only_if_there_is_one(condition in condition(), verify in condition()) {
            let (condition, verify) = (parse(&condition).unwrap(), parse(&verify).unwrap());
            // Halves lie between any two of the constants.
            let worlds = (0..=200).map(|half| World::from([("disk_usage", Value::Number(f64::from(half) / 2.0))]));
            let worlds: Vec<World> = worlds.collect();
            let both = worlds.iter().any(|world| holds(&condition, world) && holds(&verify, world));
            prop_assert_eq!(weak_verify(&condition, &verify).is_some(), both);
            prop_assert_eq!(never_holds(&condition).is_none(), worlds.iter().any(|world| holds(&condition, world)));
        }
    }

    #[test]
    fn what_cannot_be_judged_is_left_alone() {
        let weak = |condition: &str, verify: &str| weak_verify(&parse(condition).unwrap(), &parse(verify).unwrap()).is_some();
        assert!(!weak("disk_usage > 90", "inode_usage < 95"), "another metric");
        assert!(!weak("disk_usage{mount=\"/\"} > 90", "disk_usage{mount=\"/data\"} < 95"), "another target");
        assert!(weak("disk_usage{mount=\"/\"} > 90", "disk_usage{mount=\"/\"} < 95"));
        assert!(weak("api_latency_ms > 2000", "api_latency_ms != 2500"), "a failed request is infinitely slow");
        let metrics = ["memory_usage", "cpu_usage", "swap_usage", "memory_pressure", "load_average", "memory_available_mb"];
        let many = metrics.map(|metric| format!("{metric} > 1")).join(" && ");
        assert!(weak("memory_usage > 1 && cpu_usage > 1", "memory_usage > 2") && !weak(&many, "memory_usage > 2"), "too much to be judged");
    }
}
