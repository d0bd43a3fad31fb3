//! What is said on the control socket, one JSON object a line.
//!
//! The client says one line, `{"version": 1, "command": "status", …}`. The agent answers with any number of
//! `{"line": VALUE}` and ends with `{"ok": VALUE}` or `{"error": {"code", "message", "exit"}}`. Requests are a closed list:
//! nothing in them is looked up but in tables of the agent's own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cli::exit;

/// The version of this protocol. It changes when a request or an answer changes its meaning, not when something is added.
pub const VERSION: u64 = 1;

/// The longest request, in bytes: a command with all its words is far shorter.
pub const REQUEST_BYTES: usize = 64 * 1024;

/// Nobody means a longer time, in seconds: ten years. It keeps sums of times in range.
pub const LONGEST_SECONDS: f64 = 3650.0 * 86_400.0;

/// What can be asked of an agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Request {
    /// Everything about the agent now (contract C1).
    Status,
    /// The incidents on record, newest first.
    Incidents {
        /// Only those that have not ended.
        #[serde(default)]
        open: bool,
        /// Only those of this playbook.
        #[serde(default)]
        playbook: Option<String>,
        /// Only those detected in the last so many seconds.
        #[serde(default)]
        since_seconds: Option<f64>,
    },
    /// Everything about one incident.
    Incident {
        /// Its id, or the beginning of it.
        id: String,
    },
    /// A line for each thing that happens to an incident, until the client hangs up.
    Follow {
        /// Only of incidents whose id begins so.
        #[serde(default)]
        id: Option<String>,
        /// Only of incidents of this playbook.
        #[serde(default)]
        playbook: Option<String>,
    },
    /// Yes to an action that waits for it.
    Approve {
        /// The incident's whole id.
        id: String,
        /// The words of the command that was shown, of several one after the other: the yes is to exactly these.
        argv: Vec<String>,
        /// Why, for the record.
        #[serde(default)]
        reason: Option<String>,
    },
    /// No to an action that waits for an answer.
    Deny {
        /// The incident's whole id.
        id: String,
        /// Why, for the record.
        #[serde(default)]
        reason: Option<String>,
    },
    /// Open no incident, for a while.
    Silence {
        /// Of this playbook; `None` is all.
        #[serde(default)]
        playbook: Option<String>,
        /// Of targets with all of these labels.
        #[serde(default)]
        labels: BTreeMap<String, String>,
        /// From now on, in seconds; more than zero.
        for_seconds: f64,
        /// Why, for the record.
        #[serde(default)]
        reason: Option<String>,
    },
    /// The silences that last.
    Silences,
    /// End a silence now.
    ExpireSilence {
        /// Its whole id.
        id: String,
    },
    /// Close breakers and end cooldowns.
    Reset {
        /// Of this playbook.
        playbook: String,
        /// Of targets with all of these labels.
        #[serde(default)]
        labels: BTreeMap<String, String>,
    },
    /// Read the configuration again.
    Reload,
    /// The agent's own scorecard (contract C5).
    Stats {
        /// Over incidents detected in the last so many seconds.
        #[serde(default)]
        since_seconds: Option<f64>,
    },
    /// Run a playbook by hand; a line for each thing that happens.
    Heal {
        /// Which one.
        playbook: String,
        /// On targets with all of these labels.
        #[serde(default)]
        labels: BTreeMap<String, String>,
        /// Do not look at condition and cooldown first.
        #[serde(default)]
        force: bool,
        /// Execute nothing.
        #[serde(default)]
        dry_run: bool,
    },
}

impl Request {
    /// Reads a request line.
    ///
    /// # Errors
    /// `bad_request` for what is none, `version` for one of another version.
    pub fn parse(line: &[u8]) -> Result<Self, Refusal> {
        let bad = |what: String| Refusal::failed("bad_request", what);
        let value: Value = serde_json::from_slice(line).map_err(|error| bad(format!("the request is not JSON: {error}")))?;
        match value.get("version") {
            Some(version) if version.as_u64() == Some(VERSION) => {}
            Some(other) => {
                let message = format!("this agent speaks version {VERSION} of the protocol and was asked in version {other}");
                return Err(Refusal::failed("version", format!("{message}; use the command line that came with the agent")));
            }
            None => return Err(bad(format!("the request is no object with a \"version\": this agent speaks version {VERSION}"))),
        }
        let request: Self = serde_json::from_value(value).map_err(|error| bad(format!("the request is not understood: {error}")))?;
        request.in_range().map_err(bad)?;
        Ok(request)
    }

    /// The request as a line, with the line break.
    #[must_use]
    pub fn to_line(&self) -> Vec<u8> {
        let mut value = serde_json::json!(self);
        value["version"] = VERSION.into();
        line_of(&value)
    }

    /// Numbers that a duration cannot hold are refused here, once for all.
    fn in_range(&self) -> Result<(), String> {
        match self {
            Self::Silence { for_seconds, .. } if !(*for_seconds > 0.0 && *for_seconds <= LONGEST_SECONDS) => {
                Err("for_seconds is more than zero and at most ten years".to_owned())
            }
            Self::Incidents { since_seconds: Some(since), .. } | Self::Stats { since_seconds: Some(since) }
                if !(0.0..=LONGEST_SECONDS).contains(since) =>
            {
                Err("since_seconds is zero or more and at most ten years".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// Whether it changes what the agent does: not everybody who may look may ask for that.
    #[must_use]
    pub fn is_change(&self) -> bool {
        match self {
            Self::Status | Self::Incidents { .. } | Self::Incident { .. } | Self::Follow { .. } | Self::Silences | Self::Stats { .. } => {
                false
            }
            Self::Approve { .. }
            | Self::Deny { .. }
            | Self::Silence { .. }
            | Self::ExpireSilence { .. }
            | Self::Reset { .. }
            | Self::Reload
            | Self::Heal { .. } => true,
        }
    }
}

/// One line of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// One of several; more follow.
    Line(Value),
    /// The last line: it was done, and this is the result.
    Ok(Value),
    /// The last line: it was not done, and this is why.
    Error(Refusal),
}

impl Answer {
    /// The answer as a line, with the line break.
    #[must_use]
    pub fn to_line(&self) -> Vec<u8> {
        line_of(self)
    }
}

fn line_of(message: &impl Serialize) -> Vec<u8> {
    // JSON escapes line breaks inside strings: there is exactly one, at the end.
    let mut line = serde_json::to_vec(message).unwrap_or_default();
    line.push(b'\n');
    line
}

/// Why a request was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// For machines: `no_incident`, `not_permitted`.
    pub code: String,
    /// For people; may hold text from outside.
    pub message: String,
    /// The exit code of the command that asked.
    pub exit: u8,
}

impl Refusal {
    /// It did not succeed: exit code 1.
    #[must_use]
    pub fn failed(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into(), exit: exit::FAILED }
    }

    /// It is refused (not permitted, too late): exit code 4.
    #[must_use]
    pub fn refused(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into(), exit: exit::REFUSED }
    }

    /// Nobody is there to do it: exit code 3.
    #[must_use]
    pub fn no_agent(message: impl Into<String>) -> Self {
        Self { code: "no_agent".to_owned(), message: message.into(), exit: exit::NO_AGENT }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_survives_the_way() {
        let labels = BTreeMap::from([("mount".to_owned(), "/data".to_owned())]);
        let (id, playbook) = ("7f3kq9zd".to_owned(), "disk_full".to_owned());
        for request in [
            Request::Status,
            Request::Incidents { open: true, playbook: Some(playbook.clone()), since_seconds: Some(0.5) },
            Request::Incident { id: id.clone() },
            Request::Follow { id: None, playbook: None },
            Request::Approve { id: id.clone(), argv: vec!["/bin/a".to_owned(), "line\nbreak \u{1b}".to_owned()], reason: None },
            Request::Deny { id: id.clone(), reason: Some("not now".to_owned()) },
            Request::Silence { playbook: None, labels: labels.clone(), for_seconds: 7200.0, reason: None },
            Request::Silences,
            Request::ExpireSilence { id },
            Request::Reset { playbook: playbook.clone(), labels: labels.clone() },
            Request::Reload,
            Request::Stats { since_seconds: None },
            Request::Heal { playbook, labels, force: true, dry_run: false },
        ] {
            let line = request.to_line();
            assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
            assert_eq!(Request::parse(&line).unwrap(), request);
        }
    }

    #[test]
    fn what_is_no_request_is_said_so() {
        #[track_caller]
        fn check(line: &str, code: &str, text: &str) {
            let refusal = Request::parse(line.as_bytes()).unwrap_err();
            assert!(refusal.code == code && refusal.message.contains(text) && refusal.exit == 1, "{line}: {refusal:?}");
        }
        check("", "bad_request", "not JSON");
        check("rubbish", "bad_request", "not JSON");
        check("[1]", "bad_request", "speaks version 1");
        check("{\"command\":\"status\"}", "bad_request", "speaks version 1");
        check("{\"version\":2,\"command\":\"status\"}", "version", "speaks version 1 of the protocol and was asked in version 2");
        check("{\"version\":\"1\",\"command\":\"status\"}", "version", "\"1\"");
        check("{\"version\":1}", "bad_request", "command");
        check("{\"version\":1,\"command\":\"explode\"}", "bad_request", "explode");
        check("{\"version\":1,\"command\":\"incident\"}", "bad_request", "id");
        check("{\"version\":1,\"command\":\"approve\",\"id\":\"a\"}", "bad_request", "argv");
        check("{\"version\":1,\"command\":\"silence\",\"for_seconds\":0}", "bad_request", "more than zero");
        check("{\"version\":1,\"command\":\"silence\",\"for_seconds\":1e300}", "bad_request", "ten years");
        check("{\"version\":1,\"command\":\"stats\",\"since_seconds\":-1}", "bad_request", "zero or more");
        check("{\"version\":1,\"command\":\"incidents\",\"since_seconds\":1e300}", "bad_request", "ten years");
        assert!(Request::parse(&[b"{\"version\":1,\"command\":\"", &[0xff][..]].concat()).is_err());
    }

    #[test]
    fn answers_have_the_documented_shape() {
        for (answer, line) in [
            (Answer::Ok(serde_json::json!({"a": 1})), "{\"ok\":{\"a\":1}}\n"),
            (Answer::Line(serde_json::json!("x")), "{\"line\":\"x\"}\n"),
            (
                Answer::Error(Refusal::refused("not_permitted", "no")),
                "{\"error\":{\"code\":\"not_permitted\",\"message\":\"no\",\"exit\":4}}\n",
            ),
        ] {
            assert_eq!(String::from_utf8(answer.to_line()).unwrap(), line);
            assert_eq!(serde_json::from_str::<Answer>(line).unwrap(), answer);
        }
    }
}
