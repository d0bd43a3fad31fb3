//! Fields of JSON answers as people read them.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::Value;

use crate::clock::Moment;
pub(super) use crate::record::json::{list, span, text, time};
use crate::sample::{Labels, Sample, Target, Value as Measured};
use crate::{metric, sample};

/// The one JSON object of a command.
pub(super) fn print(value: &Value, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)
}

/// `no errors`, `1 error`, `2 errors`.
pub(super) fn amount(count: usize, what: &str) -> String {
    match count {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}

fn labels_of(value: &Value) -> Labels {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), text(value))).collect()
}

/// `disk_full mount=/data`, `everything`: what a playbook and labels mean together.
pub(super) fn scope(of: &Value) -> String {
    let (playbook, labels) = (text(&of["playbook"]), labels_of(&of["labels"]).to_string());
    match (playbook.is_empty(), labels.is_empty()) {
        (true, true) => "everything".to_owned(),
        (true, false) => format!("everything with {labels}"),
        (false, true) => playbook,
        (false, false) => format!("{playbook} {labels}"),
    }
}

/// A sample from its JSON, for the tables that show samples; `None` for a metric that this build does not know.
pub(super) fn sample(of: &Value, now: Moment) -> Option<Sample> {
    let age = of["age_seconds"].as_f64().and_then(|age| Duration::try_from_secs_f64(age).ok()).unwrap_or_default();
    let ago = |clock: Duration| clock.saturating_sub(age);
    // Only whether it is stale is known, not why: an interval that says the same.
    let interval = if of["stale"] == true { Duration::ZERO } else { Duration::from_secs(u64::from(u32::MAX)) };
    let labels = labels_of(&of["labels"]);
    let facts = labels.iter().filter(|(name, _)| metric::is_fact(name)).collect();
    Some(Sample {
        metric: metric::find(of["metric"].as_str()?)?,
        target: Target::new(labels.identity(), facts),
        value: measured(&of["value"]),
        reason: of["reason"].as_str().map(str::to_owned),
        at: Moment { running: ago(now.running), boot: ago(now.boot), wall: now.wall },
        interval,
    })
}

fn measured(value: &Value) -> Option<sample::Value> {
    match value {
        Value::Number(number) => number.as_f64().map(Measured::Number),
        Value::String(word) if word == "infinite" => Some(Measured::Infinite),
        Value::String(word) => Some(Measured::Text(word.clone().into())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_sample_comes_back_from_its_json() {
        let now = Moment::at_seconds(1000.0);
        let target = Target::new(Labels::from([("process_name", "web")]), Labels::from([("pid", "42")]));
        for (metric, value) in [
            ("process_memory_mb", Some(Measured::Number(12.5))),
            ("api_latency_ms", Some(Measured::Infinite)),
            ("process_status", Some(Measured::Text("running".into()))),
            ("process_count", None),
        ] {
            let at = Moment { wall: now.wall, ..Moment::at_seconds(990.0) };
            let old = Sample {
                metric: metric::named(metric),
                target: target.clone(),
                value,
                reason: Some("why".to_owned()),
                at,
                interval: Duration::from_secs(5),
            };
            let new = sample(&json!(old.view(now)), now).unwrap();
            assert_eq!(Sample { interval: old.interval, ..new.clone() }, old);
            assert_eq!((new.is_stale(now), old.is_stale(now)), (false, false));
            let later = now.after(Duration::from_secs(10));
            assert!(old.is_stale(later) && sample(&json!(old.view(later)), later).unwrap().is_stale(later));
        }
        assert_eq!(sample(&json!({"metric": "of_the_future"}), now), None);
    }

    #[test]
    fn what_is_missing_reads_as_nothing() {
        for (found, expected) in [
            (text(&json!(null)), ""),
            (text(&json!(1.5)), "1.5"),
            (time(&json!("2026-11-22T14:32:05.123Z")), "2026-11-22T14:32:05Z"),
            (time(&json!("soon")), "soon"),
            (span(&json!(41.2)), "41 s"),
            (span(&json!(-1)), ""),
            (span(&json!(null)), ""),
            (scope(&json!({})), "everything"),
            (scope(&json!({"playbook": null, "labels": {"a": "b"}})), "everything with a=b"),
            (scope(&json!({"playbook": "disk", "labels": {}})), "disk"),
            (scope(&json!({"playbook": "disk", "labels": {"mount": "/data", "x": 1}})), "disk mount=/data, x=1"),
        ] {
            assert_eq!(found, expected);
        }
        assert!(list(&json!(null)["x"]["y"]).is_empty());
    }
}
