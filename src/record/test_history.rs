//! A history for tests of those who read it.

use std::path::Path;

use jiff::Timestamp;
use serde_json::Value;

use super::history::{Entry, History, IncidentRow};

/// Incidents by id, playbook, status and time of detection, written as the agent does.
pub(crate) fn test_history(dir: &Path, incidents: &[(&str, &str, &str, &str)]) {
    let all: Vec<Entry> = incidents
        .iter()
        .map(|(id, playbook, status, detected)| {
            let live = matches!(*status, "open" | "awaiting_approval" | "acting");
            let done = *status == "resolved";
            let view = serde_json::json!({
                "id": id, "playbook": playbook, "severity": "critical", "status": status, "target": "mount=/data",
                "labels": {"mount": "/data"}, "detected_at": detected, "started_at": detected,
                "ended_at": (!live).then_some(detected), "time_to_detect_seconds": 1.0,
                "time_to_recover_seconds": done.then_some(41.0), "interrupted": false, "relapsed": false, "dry_run": false,
                "attempt": 1, "source": "detector", "report": null,
                "trigger": {"text": "disk_usage > 90 (was 96.2)", "metric": "disk_usage", "value": 96.2, "threshold": "90"},
                "initial": [],
                "actions": [{"index": 0, "type": "shell", "description": "Restart it", "command": "restart 'web server'",
                    "argv": ["/bin/restart", "web server"], "status": if done { "success" } else { "not_run" }, "reason": null,
                    "exit_code": done.then_some(0), "signal": null, "timed_out": false,
                    "duration_seconds": done.then_some(1.2), "output": if done { "freed\n\u{1b}[2J1 MiB" } else { "" },
                    "output_truncated": false}],
                "verification": {"status": if done { "resolved" } else { "not_run" }, "checks": u32::from(done), "final": []},
                "approval": null,
                "timeline": [{"at": detected, "event": "opened", "text": "disk_usage > 90 (was 96.2)"}],
            });
            row(&view, live)
        })
        .collect();
    write(dir, &all);
}

/// Writes entries into the history of a directory.
pub(crate) fn write(dir: &Path, entries: &[Entry]) {
    let mut history = History::open(dir, Timestamp::now()).unwrap().history;
    history.write(entries).unwrap();
}

/// The row of an incident with this JSON.
pub(crate) fn row(view: &Value, live: bool) -> Entry {
    let text = |key: &str| view[key].as_str().unwrap_or_default().to_owned();
    let millis = |key: &str| view[key].as_str().map(|at| at.parse::<Timestamp>().unwrap().as_millisecond());
    let status = text("status");
    let acted = status != "rate_limited" && status != "cleared";
    Entry::Incident(Box::new(IncidentRow {
        id: text("id"),
        playbook: text("playbook"),
        target: text("target"),
        severity: text("severity"),
        source: text("source"),
        labels: view["labels"].to_string(),
        detected_at: millis("detected_at").unwrap(),
        started_at: millis("started_at").unwrap(),
        ended_at: millis("ended_at"),
        live,
        acted,
        attempt: 1,
        time_to_detect: 1.0,
        time_to_recover: view["time_to_recover_seconds"].as_f64(),
        report: text("report"),
        view: view.to_string(),
        status,
        ..IncidentRow::default()
    }))
}

/// Names the report of an incident that is in the history.
pub(crate) fn name_report(dir: &Path, id: &str, report: &Path) {
    let reader = super::history::read::Reader::open(dir).unwrap().unwrap();
    let super::history::read::Found::One(mut view) = reader.incident(id).unwrap() else { panic!("no incident {id}") };
    view["report"] = report.display().to_string().into();
    write(dir, &[row(&view, false)]);
}
