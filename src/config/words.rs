//! Conditions and proofs in words, for people who did not write them.

use std::time::Duration;

use super::playbook::{Playbook, Strategy};
use crate::clock::in_words;
use crate::detect::condition::{Comparison, Condition, LabelTest, Operator, Pattern, Selector, Test};
use crate::metric::Values;

/// How the heal is proven: what must hold, and how often it is looked at.
#[must_use]
pub fn proven_by(playbook: &Playbook) -> String {
    if playbook.actions.is_empty() {
        return "nothing is repaired: it tells, once, and again at recovery".to_owned();
    }
    let what = match &playbook.verify {
        Some(verify) => verify.condition.to_string(),
        None => "the condition no longer holds".to_owned(),
    };
    let hold = playbook.verify.as_ref().map_or(Duration::ZERO, |verify| verify.hold);
    let hold = if hold.is_zero() { String::new() } else { format!(", for {}", in_words(hold)) };
    let again = match playbook.retries() {
        (0, _) => "once".to_owned(),
        (1, interval) => format!("at once, then once more after {}", in_words(interval)),
        (count, interval) => format!("at once, then up to {count} times {} apart", in_words(interval)),
    };
    let each = if playbook.strategy == Strategy::Ladder { " after each step" } else { "" };
    format!("{what}{hold}: measured afresh{each}, {again}")
}

/// `memory usage is over 95 % and process memory is over 2048 MiB`
#[must_use]
pub fn condition(condition: &Condition) -> String {
    let words = match &condition.test {
        Test::Compare(one) => comparison(one),
        Test::All(parts) => joined(parts, " and "),
        Test::Any(parts) => joined(parts, " or "),
        Test::Not(part) => format!("it is not so that {}", within(part)),
    };
    if condition.hold_for.is_zero() { words } else { format!("{words}, for {}", in_words(condition.hold_for)) }
}

fn joined(parts: &[Condition], word: &str) -> String {
    parts.iter().map(within).collect::<Vec<_>>().join(word)
}

/// A part of another condition: parentheses show how far "not", "and" and "for" reach.
fn within(part: &Condition) -> String {
    match part.test {
        Test::Compare(_) if part.hold_for.is_zero() => condition(part),
        _ => format!("({})", condition(part)),
    }
}

fn comparison(one: &Comparison) -> String {
    let words = match one.operator {
        Operator::Greater => "over ",
        Operator::GreaterOrEqual => "at least ",
        Operator::Less => "under ",
        Operator::LessOrEqual => "at most ",
        Operator::Equal => "",
        Operator::NotEqual => "not ",
    };
    let unit = match (one.metric.values, &one.operand) {
        (Values::Number("d"), _) => " days",
        (Values::Number(unit), _) if !unit.is_empty() => &format!(" {unit}"),
        _ => "",
    };
    let of = if one.selector.0.is_empty() { String::new() } else { format!(" ({})", selector(&one.selector)) };
    format!("{}{of} is {words}{}{unit}", noun(one.metric.name), one.operand)
}

/// `host localhost or ::1, mount not /data`
#[must_use]
pub fn selector(selector: &Selector) -> String {
    let one = |test: &LabelTest| {
        let not = if test.negated { "not " } else { "" };
        let texts: Vec<&str> = test.patterns.iter().map(Pattern::text).collect();
        format!("{} {not}{}", test.label, texts.join(" or "))
    };
    selector.0.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// The metric's name without its unit.
fn noun(name: &str) -> String {
    let units = ["_mb_per_hour", "_seconds", "_mb", "_ms"];
    if name == "ssl_expires_in_days" {
        return "time until the certificate ends".to_owned();
    }
    let stem = units.iter().find_map(|unit| name.strip_suffix(unit)).unwrap_or(name);
    stem.replace('_', " ")
}

#[cfg(test)]
mod tests {
    use super::super::expression::parse;
    use super::*;

    #[track_caller]
    fn check(expression: &str, expected: &str) {
        assert_eq!(condition(&parse(expression).unwrap()), expected);
    }

    #[test]
    fn conditions_read_as_sentences() {
        check("disk_usage > 90", "disk usage is over 90 %");
        check("process_status == stopped for 2m", "process status is stopped, for 2 min");
        check("memory_usage > 95 && process_memory_mb > 2048", "memory usage is over 95 % and process memory is over 2048 MiB");
        check("ssl_expires_in_days <= 7", "time until the certificate ends is at most 7 days");
        check(
            "!(swap_usage > 1) || (swap_usage < 2 for 1s)",
            "(it is not so that swap usage is over 1 %) or (swap usage is under 2 %, for 1 s)",
        );
        check("!(swap_usage > 1) for 1m", "it is not so that swap usage is over 1 %, for 1 min");
        check("!(swap_usage > 1 for 1m)", "it is not so that (swap usage is over 1 %, for 1 min)");
        check("!(swap_usage > 1 || cpu_usage > 1)", "it is not so that (swap usage is over 1 % or cpu usage is over 1 %)");
        check("disk_free_mb < 1e300", "disk free is under 1e300 MiB");
        check("disk_usage{mount=\"/\"} != 1", "disk usage (mount /) is not 1 %");
        check(
            "swap_usage > 1 || api_latency_ms{host!~\"a|b\"} < 1",
            "swap usage is over 1 % or api latency (host not a or b) is under 1 ms",
        );
    }
}
