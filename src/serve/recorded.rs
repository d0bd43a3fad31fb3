//! Answers that need no agent: they stand in the history.

use std::path::Path;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::protocol::{Refusal, Request};
use crate::record::history::read::{Filter, Found, Reader};
use crate::record::history::{FILE, SilenceRow};
use crate::record::json::to_the_millisecond;
use crate::record::stats::Stats;

/// Whether the agent itself answers this from the history.
#[must_use]
pub(super) fn is_recorded(request: &Request) -> bool {
    matches!(request, Request::Incidents { .. } | Request::Incident { .. } | Request::Stats { .. })
}

/// Answers from the history of this data directory. Where there is none yet, nothing has happened.
///
/// # Errors
/// `no_incident` and `ambiguous_id` for an id, `history` when it cannot be read, `no_agent` for what only an agent can do.
pub fn answer(data_dir: &Path, request: &Request, now: Timestamp) -> Result<Value, Refusal> {
    let failed = |error: String| Refusal::failed("history", format!("the history in {} cannot be read: {error}", data_dir.display()));
    let Some(reader) = Reader::open(data_dir).map_err(failed)? else { return nothing(request, now) };
    match request {
        Request::Incidents { open, playbook, since_seconds } => {
            let filter = Filter { open: *open, playbook: playbook.clone(), since: since(*since_seconds, now), limit: None };
            Ok(json!({"incidents": reader.incidents(&filter).map_err(failed)?}))
        }
        Request::Incident { id } => match reader.incident(id).map_err(failed)? {
            Found::One(incident) => Ok(json!({"incident": incident})),
            Found::None => Err(no_incident(id)),
            Found::Several(ids) => Err(ambiguous(id, &ids)),
        },
        Request::Stats { since_seconds } => {
            let since = since(*since_seconds, now);
            Ok(json!(Stats::of(&reader.rows(since).map_err(failed)?, since)))
        }
        Request::Silences => {
            let rows = reader.silences(now.as_millisecond()).map_err(failed)?;
            Ok(json!({"silences": rows.iter().map(silence).collect::<Vec<_>>()}))
        }
        _ => Err(only_an_agent()),
    }
}

/// Whether there is a history to answer from.
#[must_use]
pub fn has_history(data_dir: &Path) -> bool {
    data_dir.join(FILE).exists()
}

fn nothing(request: &Request, now: Timestamp) -> Result<Value, Refusal> {
    match request {
        Request::Incidents { .. } => Ok(json!({"incidents": []})),
        Request::Incident { id } => Err(no_incident(id)),
        Request::Stats { since_seconds } => Ok(json!(Stats::of(&[], since(*since_seconds, now)))),
        Request::Silences => Ok(json!({"silences": []})),
        _ => Err(only_an_agent()),
    }
}

/// A silence as contract C1 shows it.
fn silence(row: &SilenceRow) -> Value {
    let until = Timestamp::from_millisecond(row.until_at).map(to_the_millisecond).ok();
    let labels: Value = serde_json::from_str(&row.labels).unwrap_or_default();
    json!({"id": row.id, "playbook": row.playbook, "labels": labels, "until": until, "reason": row.reason, "by": row.by})
}

/// `seconds` before now, in milliseconds of wall time; the protocol has checked the range.
fn since(seconds: Option<f64>, now: Timestamp) -> Option<i64> {
    let seconds = std::time::Duration::try_from_secs_f64(seconds?).ok()?;
    now.checked_sub(seconds).ok().map(Timestamp::as_millisecond)
}

/// Nothing is called so.
#[must_use]
pub fn no_incident(id: &str) -> Refusal {
    Refusal::failed("no_incident", format!("there is no incident {id}; `autoheal incidents` lists them"))
}

/// Several begin so.
#[must_use]
pub fn ambiguous(id: &str, ids: &[String]) -> Refusal {
    Refusal::failed("ambiguous_id", format!("{id} is the beginning of several incidents: {}; write more of it", ids.join(", ")))
}

fn only_an_agent() -> Refusal {
    Refusal::no_agent("no agent is running, and only an agent can do this")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::test_history::test_history;

    fn ask(dir: &Path, request: &Request) -> Result<Value, Refusal> {
        answer(dir, request, "2026-11-22T15:00:00Z".parse().unwrap())
    }

    #[test]
    fn the_history_answers_what_it_knows() {
        let dir = tempfile::tempdir().unwrap();
        let ids = |answer: &Value| -> Vec<String> {
            answer["incidents"].as_array().unwrap().iter().map(|incident| incident["id"].as_str().unwrap().to_owned()).collect()
        };
        let list = |open, playbook: Option<&str>, since_seconds| {
            ids(&ask(dir.path(), &Request::Incidents { open, playbook: playbook.map(str::to_owned), since_seconds }).unwrap())
        };
        assert!(list(false, None, None).is_empty(), "nothing has happened yet");
        test_history(
            dir.path(),
            &[("7f3kq9zd", "disk", "resolved", "2026-11-22T14:00:00Z"), ("7f4abcde", "web", "awaiting_approval", "2026-11-22T14:50:00Z")],
        );
        assert_eq!(list(false, None, None), ["7f4abcde", "7f3kq9zd"]);
        assert_eq!(list(true, None, None), ["7f4abcde"]);
        assert_eq!(list(false, Some("disk"), None), ["7f3kq9zd"]);
        assert_eq!(list(false, None, Some(1800.0)), ["7f4abcde"]);

        let one = |id: &str| ask(dir.path(), &Request::Incident { id: id.to_owned() });
        assert_eq!(one("7f3").unwrap()["incident"]["id"], "7f3kq9zd");
        let refusal = one("7f").unwrap_err();
        assert!(refusal.code == "ambiguous_id" && refusal.exit == 1 && refusal.message.contains("7f4abcde"), "{refusal:?}");
        assert_eq!((one("zz").unwrap_err().code.as_str(), one("zz").unwrap_err().exit), ("no_incident", 1));
        let stats = ask(dir.path(), &Request::Stats { since_seconds: Some(1800.0) }).unwrap();
        assert_eq!((&stats["incidents"], &stats["since"]), (&json!(1), &json!("2026-11-22T14:30:00.000Z")));
        assert_eq!(ask(dir.path(), &Request::Silences).unwrap(), json!({"silences": []}));
        assert_eq!(ask(dir.path(), &Request::Reload).unwrap_err().exit, 3);
    }
}
