//! Reading the history.
// replaced at integration: the signatures are those of the SQLite reader; this one reads `history.json`.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

/// Reads the history of a data directory.
#[derive(Debug)]
pub struct Reader(Vec<Value>);

/// Which incidents.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only those that have not ended.
    pub open: bool,
    /// Only those of this playbook.
    pub playbook: Option<String>,
    /// Only those detected since then, in milliseconds of wall time.
    pub since: Option<i64>,
    /// At most so many.
    pub limit: Option<u32>,
}

/// What an id, or the beginning of one, leads to.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// Exactly one incident (contract C2).
    One(Value),
    /// None.
    None,
    /// Several, by their ids.
    Several(Vec<String>),
}

/// One incident, as the statistics need it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct StatRow {
    /// Its id.
    pub id: String,
    /// Its playbook's.
    pub playbook: String,
    /// What was in trouble.
    pub target: String,
    /// The word for where it stands.
    pub status: String,
    /// In milliseconds of wall time.
    pub detected_at: i64,
    /// In milliseconds of wall time.
    pub ended_at: Option<i64>,
    /// An action was started.
    pub acted: bool,
    /// Nothing was executed.
    pub dry_run: bool,
    /// The trouble came back soon.
    pub relapsed: bool,
    /// The agent ended in the middle.
    pub interrupted: bool,
    /// In seconds.
    pub time_to_detect: f64,
    /// In seconds.
    pub time_to_recover: Option<f64>,
}

impl Reader {
    /// The history of a data directory, if there is one.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open(dir: &Path) -> Result<Option<Self>, String> {
        match std::fs::read(dir.join("history.json")) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(|all| Some(Self(all))).map_err(|error| error.to_string()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Summaries of incidents, newest first.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn incidents(&self, filter: &Filter) -> Result<Vec<Value>, String> {
        let mut found: Vec<&Value> = self.0.iter().collect();
        found.retain(|one| !filter.open || one["ended_at"].is_null());
        found.retain(|one| filter.playbook.as_ref().is_none_or(|playbook| one["playbook"] == playbook.as_str()));
        found.retain(|one| filter.since.is_none_or(|since| at(&one["detected_at"]).is_some_and(|at| at >= since)));
        found.reverse();
        found.truncate(filter.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX));
        Ok(found.into_iter().cloned().collect())
    }

    /// The incident whose id begins so.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn incident(&self, prefix: &str) -> Result<Found, String> {
        let found: Vec<&Value> = self.0.iter().filter(|one| one["id"].as_str().is_some_and(|id| id.starts_with(prefix))).collect();
        Ok(match found[..] {
            [] => Found::None,
            [one] => Found::One(one.clone()),
            _ => Found::Several(found.iter().filter_map(|one| one["id"].as_str().map(str::to_owned)).collect()),
        })
    }

    /// Rows for the statistics.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn rows(&self, since: Option<i64>) -> Result<Vec<StatRow>, String> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let row = |one: &Value| StatRow {
            id: text(&one["id"]),
            playbook: text(&one["playbook"]),
            target: text(&one["target"]),
            status: text(&one["status"]),
            detected_at: at(&one["detected_at"]).unwrap_or(0),
            ended_at: at(&one["ended_at"]),
            acted: one["actions"].as_array().is_some_and(|actions| actions.iter().any(|action| !action["duration_seconds"].is_null())),
            dry_run: one["dry_run"] == true,
            relapsed: one["relapsed"] == true,
            interrupted: one["interrupted"] == true,
            time_to_detect: one["time_to_detect_seconds"].as_f64().unwrap_or(0.0),
            time_to_recover: one["time_to_recover_seconds"].as_f64(),
        };
        Ok(self.0.iter().map(row).filter(|row| since.is_none_or(|since| row.detected_at >= since)).collect())
    }

    /// The silences that last at this time.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn silences(&self, _now_ms: i64) -> Result<Vec<Value>, String> {
        Ok(Vec::new())
    }
}

fn at(value: &Value) -> Option<i64> {
    value.as_str()?.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond)
}

/// A history for tests: id, playbook, status and detection of each incident, oldest first. One that awaits approval has a
/// question open for `/bin/restart`, `web server`.
#[cfg(test)]
pub(crate) fn test_history(dir: &Path, incidents: &[(&str, &str, &str, &str)]) {
    let all: Vec<Value> = incidents
        .iter()
        .map(|(id, playbook, status, detected)| {
            let live = matches!(*status, "open" | "awaiting_approval" | "acting");
            let done = *status == "resolved";
            serde_json::json!({
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
            })
        })
        .collect();
    std::fs::write(dir.join("history.json"), serde_json::json!(all).to_string()).unwrap();
}
