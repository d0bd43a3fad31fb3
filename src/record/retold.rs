//! A report from what the history knows, where its file is gone: for who reads it, and after a crash for the file itself. Pure.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::escape::{code, fenced, markdown as safe, table_cell};
use super::json::{list, span, text, time};

/// A report in the shape of the files, from the JSON of an incident (contract C2).
#[must_use]
pub fn report(incident: &Value) -> String {
    let field = |name: &str| safe(&text(&incident[name]));
    let took = Some(span(&incident["time_to_recover_seconds"])).filter(|took| !took.is_empty());
    let status = took.map_or_else(|| field("status"), |took| format!("{} in {took}", field("status")));
    let mut out = format!("# Incident {}\n\n", field("id"));
    for (name, value) in [
        ("Type", field("playbook")),
        ("Target", if incident["target"] == "" { "host".to_owned() } else { field("target") }),
        ("Detected", time(&incident["detected_at"])),
        ("Severity", field("severity")),
        ("Trigger", safe(&text(&incident["trigger"]["text"]))),
        ("Status", status),
    ] {
        let _ = writeln!(out, "- **{name}**: {value}");
    }
    let _ = write!(out, "\n## Initial State\n{}\n## Actions Taken\n", samples(&incident["initial"]));
    for action in list(&incident["actions"]) {
        action_section(&mut out, action);
    }
    let verification = &incident["verification"];
    let (word, checks) = (safe(&text(&verification["status"])), text(&verification["checks"]));
    let _ = write!(out, "\n## Verification\n- **Status**: {word} (checks: {checks})\n{}", samples(&verification["final"]));
    out.push_str("\n## Timeline\n\n| time | event | what |\n| --- | --- | --- |\n");
    for entry in list(&incident["timeline"]) {
        let cell = |value: &Value| table_cell(&text(value));
        let _ = writeln!(out, "| {} | {} | {} |", cell(&entry["at"]), cell(&entry["event"]), cell(&entry["text"]));
    }
    out
}

fn action_section(out: &mut String, action: &Value) {
    let field = |name: &str| text(&action[name]);
    let exit = action["exit_code"].as_i64().map(|code| format!("exit {code}"));
    let signal = action["signal"].as_str().map(|signal| format!("killed by {signal}"));
    let timed_out = (action["timed_out"] == true).then(|| "timed out".to_owned());
    let took = Some(span(&action["duration_seconds"])).filter(|took| !took.is_empty());
    let reason = Some(field("reason")).filter(|reason| !reason.is_empty());
    let how: Vec<String> = [exit, signal, timed_out, reason, took].into_iter().flatten().collect();
    let how = if how.is_empty() { String::new() } else { format!(" ({})", safe(&how.join(", "))) };
    let (description, command) = (safe(&field("description")), code(&field("command")));
    let _ = write!(out, "\n### {description}\n- **Command**: {command}\n- **Status**: {}{how}\n", safe(&field("status")));
    let output = field("output");
    if !output.is_empty() {
        let _ = write!(out, "- **Output**:\n{}", fenced("", &output));
    }
}

fn samples(of: &Value) -> String {
    let values: Map<String, Value> = list(of).iter().map(|sample| (text(&sample["metric"]), sample["value"].clone())).collect();
    fenced("json", &format!("{:#}", json!(values)))
}
