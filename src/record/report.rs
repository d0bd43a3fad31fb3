//! The Markdown report of an incident (contract: "Incident report" and details D). Pure: an incident in, text out.

use std::fmt::Write;
use std::time::Duration;

use super::escape;
use super::json::{to_the_millisecond, to_the_second};
use crate::clock::in_words;
use crate::incident::evidence::Evidence;
use crate::incident::{ActionRecord, ActionStatus, Incident, Proof, Status};
use crate::sample::{Labels, Sample, Value};

/// Output of an action beyond this is cut, with a note.
const OUTPUT_BYTES: usize = 64 * 1024;

/// The report as it stands now; readable at every moment of the incident's life.
#[must_use]
pub fn render(incident: &Incident) -> String {
    let mut out = String::with_capacity(4096);
    head(&mut out, incident);
    let _ = write!(out, "\n## Initial State\n{}", json_block(&state(&incident.target.labels(), &incident.initial)));
    evidence(&mut out, incident);
    out.push_str("\n## Actions Taken\n");
    if incident.actions.is_empty() {
        out.push_str("\nNo action is configured.\n");
    }
    for action in &incident.actions {
        action_section(&mut out, action);
    }
    verification(&mut out, incident);
    timeline(&mut out, incident);
    out
}

/// The first line of the status, with its sign: `✅ resolved in 41 s`.
#[must_use]
pub fn status_line(incident: &Incident) -> String {
    let took = incident.time_to_end().map(in_words).unwrap_or_default();
    match incident.status {
        status if status.is_live() => format!("🔄 {status}"),
        Status::Resolved => format!("✅ resolved in {took}"),
        Status::Escalated => format!("❌ escalated after {took}"),
        Status::Exhausted => "❌ exhausted".to_owned(),
        Status::Denied => "🚫 denied".to_owned(),
        Status::Cleared => "✅ cleared".to_owned(),
        Status::RateLimited => "⏳ rate_limited".to_owned(),
        Status::NoPlaybook => "❔ no_playbook".to_owned(),
        Status::DryRun => "📝 dry_run".to_owned(),
        Status::Interrupted => "⚠️ interrupted".to_owned(),
        status => format!("🔕 {status}"),
    }
}

fn head(out: &mut String, incident: &Incident) {
    let target =
        if incident.target.identity.is_empty() { "host".to_owned() } else { escape::markdown(&incident.target.identity.to_string()) };
    let _ = write!(
        out,
        "# Incident {}\n\n- **Type**: {}\n- **Target**: {target}\n- **Detected**: {}\n- **Severity**: {}\n- **Trigger**: {}\n- **Host**: {}\n- **Status**: {}\n",
        incident.id,
        incident.playbook.id,
        to_the_second(incident.detected.wall),
        incident.playbook.severity.name(),
        escape::markdown(&incident.trigger.text),
        escape::markdown(&incident.host),
        status_line(incident),
    );
}

/// What was seen before the first action.
fn evidence(out: &mut String, incident: &Incident) {
    let seen: Vec<&Evidence> =
        incident.evidence.iter().filter(|evidence| !evidence.sections.is_empty() || !evidence.hints.is_empty()).collect();
    for (number, evidence) in seen.iter().enumerate() {
        out.push_str(if number == 0 { "\n## Evidence\n" } else { "\n## Evidence before the first action\n" });
        for hint in &evidence.hints {
            let _ = writeln!(out, "- **{}**", escape::markdown(hint));
        }
        for section in &evidence.sections {
            let _ = write!(out, "\n### {}\n", escape::markdown(&section.title));
            if !section.lines.is_empty() {
                out.push_str(&escape::fence("", &cut(escape::block(&section.lines.join("\n")))));
            }
            if let Some(note) = &section.note {
                let _ = writeln!(out, "({})", escape::markdown(note));
            }
        }
    }
}

fn action_section(out: &mut String, action: &ActionRecord) {
    let status = match action.status {
        ActionStatus::Success => format!("✅ Success ({})", escape::markdown(&action.end_in_words())),
        ActionStatus::Failed => format!("❌ Failed ({})", escape::markdown(&action.end_in_words())),
        ActionStatus::Refused => format!("❌ Refused ({})", reason(action)),
        ActionStatus::Skipped => format!("⏭️ Skipped ({})", reason(action)),
        ActionStatus::NotRun => format!("⏸️ Not run ({})", reason(action)),
        ActionStatus::Denied => format!("🚫 Denied ({})", reason(action)),
        ActionStatus::DryRun => "📝 [dry run] would execute".to_owned(),
        ActionStatus::Running => "🔄 Running".to_owned(),
        ActionStatus::Interrupted => "⚠️ Interrupted (no outcome recorded)".to_owned(),
    };
    let _ = write!(
        out,
        "\n### {}\n- **Command**: {}\n- **Status**: {status}\n",
        escape::markdown(&action.description),
        escape::code(&action.command)
    );
    if let Some(output) = action.outcome.as_ref().map(|outcome| outcome.output.as_str()).filter(|output| !output.is_empty()) {
        let _ = write!(out, "- **Output**:\n{}", escape::fence("", &cut(escape::block(output))));
    }
}

fn reason(action: &ActionRecord) -> String {
    escape::markdown(action.reason.as_deref().unwrap_or("its turn has not come"))
}

fn verification(out: &mut String, incident: &Incident) {
    let proof = &incident.verification;
    let looks = match proof.checks {
        1 => "1 check".to_owned(),
        checks => format!("{checks} checks"),
    };
    let status = match proof.outcome {
        Proof::Resolved if proof.checks == 1 => "✅ Resolved (1st check)".to_owned(),
        Proof::Resolved => format!("✅ Resolved ({} check, after {})", ordinal(proof.checks), in_words(whole(proof.took))),
        Proof::Failed if incident.status.is_live() => format!("🔄 Not yet ({looks}, {})", in_words(whole(proof.took))),
        Proof::Failed => format!("❌ Not resolved ({looks}, {})", in_words(whole(proof.took))),
        Proof::NotRun => {
            let why = proof.reason.as_deref().unwrap_or("the actions come first");
            format!("⏸️ Not run ({})", escape::markdown(why))
        }
    };
    let _ = write!(out, "\n## Verification\n- **Status**: {status}\n");
    if proof.outcome != Proof::NotRun {
        let _ = write!(out, "- **Final State**:\n{}", json_block(&state(&Labels::default(), &proof.samples)));
    }
}

fn timeline(out: &mut String, incident: &Incident) {
    out.push_str("\n## Timeline\n| time | event |\n| --- | --- |\n");
    for entry in &incident.timeline {
        let at = to_the_millisecond(entry.at.wall);
        let _ = writeln!(out, "| {at} | {}: {} |", entry.event, escape::table_cell(&entry.text));
    }
}

/// Below a second the tenths matter, above they do not.
fn whole(span: Duration) -> Duration {
    if span < Duration::from_secs(1) { span } else { Duration::from_secs(span.as_secs()) }
}

fn ordinal(number: u32) -> String {
    let suffix = match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{number}{suffix}")
}

/// The samples as one JSON object, metric by metric; a metric of several targets becomes a list. The labels come first.
fn state(labels: &Labels, samples: &[Sample]) -> serde_json::Value {
    let mut object = serde_json::Map::new();
    if !labels.is_empty() {
        object.insert("labels".to_owned(), serde_json::json!(labels));
    }
    for sample in samples {
        let value = match (&sample.value, &sample.reason) {
            (Some(value), None) => serde_json::json!(value),
            (value, reason) => serde_json::json!({"value": value.as_ref().map(value_json), "reason": reason}),
        };
        match object.get_mut(sample.metric.name) {
            Some(serde_json::Value::Array(list)) => list.push(value),
            Some(first) => *first = serde_json::Value::Array(vec![first.take(), value]),
            None => {
                object.insert(sample.metric.name.to_owned(), value);
            }
        }
    }
    serde_json::Value::Object(object)
}

fn value_json(value: &Value) -> serde_json::Value {
    serde_json::json!(value)
}

/// JSON in a fence that it cannot break. Control and bidirectional characters become escapes of JSON's own.
fn json_block(value: &serde_json::Value) -> String {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    escape::fence("json", &escape::json(&text))
}

/// The first and the last half of a long output, as it will be shown: what is escaped takes more room.
fn cut(output: String) -> String {
    if output.len() <= OUTPUT_BYTES {
        return output;
    }
    let head = output.floor_char_boundary(OUTPUT_BYTES / 2);
    let tail = output.ceil_char_boundary(output.len() - OUTPUT_BYTES / 2);
    format!("{}\n[… {} bytes cut …]\n{}", &output[..head], tail - head, &output[tail..])
}
