//! The JSON of `status` (contract C1).

use std::path::Path;

use serde_json::{Value, json};

use super::board::Facts;
use crate::clock::Moment;
use crate::config::source::{PLAYBOOKS, SETTINGS};
use crate::heal::confine::protections;
use crate::heal::healer::Standing;
use crate::heal::silence::Silence;
use crate::incident::DedupKey;
use crate::record::json::to_the_millisecond;
use crate::record::recorder::RecorderState;
use crate::record::store::report_path;
use crate::sample::Sample;

/// Everything that is known now.
#[must_use]
pub fn of(facts: &Facts, standing: &Standing, samples: &[Sample], recorder: &RecorderState, now: Moment) -> Value {
    let at = |moment: Moment| to_the_millisecond(moment.wall);
    let held = |key: &DedupKey| json!({"playbook": key.playbook, "labels": key.identity});
    let with = |key: &DedupKey, more: Value| merged(held(key), more);
    let breakers = standing.tracks.iter().filter_map(|(key, track)| {
        let breaker = track.breaker.as_ref()?;
        Some(with(key, json!({"attempts": track.attempts, "opened_at": at(breaker.opened), "incident": breaker.incident})))
    });
    let cooldowns = standing.tracks.iter().filter_map(|(key, track)| {
        let until = track.paused().filter(|until| !until.is_due_after_sleep(now))?;
        Some(with(key, json!({"until": at(until)})))
    });
    let incidents = standing.incidents.iter().map(|incident| json!(incident.summary(Some(&report_path(&facts.data_dir, incident)))));
    let mut status = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "hostname": crate::host::name(),
        "started_at": at(facts.started),
        "uptime_seconds": now.since_with_sleep(facts.started).as_secs_f64(),
        "dry_run": facts.dry_run,
        "healthy": true,
        "config_dir": facts.config.origin.dir,
        "data_dir": facts.data_dir,
        "http": null,
        "config": config(facts),
        "incidents": incidents.collect::<Vec<_>>(),
        "breakers": breakers.collect::<Vec<_>>(),
        "cooldowns": cooldowns.collect::<Vec<_>>(),
        "silences": standing.silences.iter().map(silence).collect::<Vec<_>>(),
        "queued": standing.queued,
        "protections": protections::all(),
        "recorder": {"behind": recorder.behind, "dropped": recorder.dropped, "last_error": recorder.last_error},
        "notifications": {"pending": 0, "failed": 0, "channels": []},
    });
    // Not in the macro, which copies: there can be thousands.
    status["targets"] = Value::Array(targets(samples, now));
    status
}

fn config(facts: &Facts) -> Value {
    let dir = facts.config.origin.dir.as_deref();
    let file = |name: &str| dir.map(|dir: &Path| dir.join(name));
    let ids: Vec<&str> = facts.config.playbooks.iter().map(|playbook| playbook.id.as_str()).collect();
    let settings = file(SETTINGS).filter(|_| !facts.config.origin.built_in_settings);
    json!({
        "state": facts.state,
        "loaded_at": to_the_millisecond(facts.loaded.wall),
        "generation": facts.generation,
        "playbooks": {"file": file(PLAYBOOKS), "ids": ids, "sha256": facts.config.digests.playbooks},
        "settings": {"file": settings, "sha256": facts.config.digests.settings},
        "problems": facts.problems,
    })
}

/// Samples by collector and identity; they come sorted so.
fn targets(samples: &[Sample], now: Moment) -> Vec<Value> {
    let same = |a: &Sample, b: &Sample| a.metric.kind == b.metric.kind && a.target.identity == b.target.identity;
    let target = |group: &[Sample]| {
        let views: Vec<_> = group.iter().map(|sample| sample.view(now)).collect();
        json!({"collector": group[0].metric.kind.name(), "labels": group[0].target.identity, "samples": views})
    };
    samples.chunk_by(same).map(target).collect()
}

/// A silence by hand.
#[must_use]
pub fn silence(silence: &Silence) -> Value {
    json!({
        "id": silence.id, "playbook": silence.playbook, "labels": silence.labels,
        "until": to_the_millisecond(silence.until.wall), "reason": silence.reason, "by": silence.by,
    })
}

fn merged(mut one: Value, other: Value) -> Value {
    if let (Value::Object(one), Value::Object(other)) = (&mut one, other) {
        one.extend(other);
    }
    one
}
