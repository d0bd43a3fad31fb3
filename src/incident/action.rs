//! What became of each action of an incident.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Moment;
use crate::config::playbook::Action;
use crate::heal::outcome::{End, Outcome};
use crate::placeholder::{self, Values};

/// One action's record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ActionRecord {
    /// The `type` in the playbook.
    pub kind: Cow<'static, str>,
    /// For people.
    pub description: String,
    /// The command or the line that it stands for, with placeholders filled where they are known.
    pub command: String,
    /// The words that ran, or would have.
    pub argv: Vec<String>,
    /// What became of it.
    pub status: ActionStatus,
    /// Why it was skipped, not run, refused or failed.
    pub reason: Option<String>,
    /// How it ended, if it ran.
    pub outcome: Option<Outcome>,
    /// When it started.
    pub started: Option<Moment>,
    /// The process that runs, or ran, for it.
    pub process: Option<RunningProcess>,
}

/// A process, told from every other one of this and all earlier lives of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningProcess {
    /// Its number.
    pub pid: i32,
    /// When it started, in the kernel's ticks since the machine's start.
    pub started: u64,
    /// The machine's life (`boot_id`).
    pub boot: String,
    /// The action's limit counts from its start.
    pub timeout: Duration,
    /// The unit of systemd's of which this is only the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
}

/// What became of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionStatus {
    /// It did what it should.
    Success,
    /// It did not.
    Failed,
    /// There was no need for it.
    Skipped,
    /// Its turn did not come.
    NotRun,
    /// It would have run.
    DryRun,
    /// The guard refused it.
    Refused,
    /// Nobody said yes.
    Denied,
    /// It runs now.
    Running,
    /// The agent ended while it ran; what it did is not known.
    Interrupted,
}

impl ActionRecord {
    /// The record of an action that has not had its turn.
    #[must_use]
    pub fn new(action: &Action, values: &Values) -> Self {
        let description = placeholder::fill(&action.description, values);
        Self::not_run(action.kind.name(), description, action.kind.line(values))
    }

    fn not_run(kind: &'static str, description: String, command: String) -> Self {
        Self {
            kind: Cow::Borrowed(kind),
            description,
            command,
            argv: Vec::new(),
            status: ActionStatus::NotRun,
            reason: None,
            outcome: None,
            started: None,
            process: None,
        }
    }

    /// Whether it ran to its end and did what it should.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.status == ActionStatus::Success
    }

    /// The manager said that it knows no such service: systemctl(1) exits with 5 (LSB: "program is not installed").
    #[must_use]
    pub fn is_unknown_service(&self) -> bool {
        let asked = self.argv.first().is_some_and(|program| program.ends_with("systemctl"));
        asked && self.kind.starts_with("service_") && self.outcome.as_ref().is_some_and(|outcome| outcome.end == End::Exited(5))
    }

    /// Records the words that run, or would. A service shows with them what stands behind its name (contract D6); a program that
    /// is not where programs are has its path, because its name says nothing: `/etc/init.d/web`.
    pub(super) fn decided(&mut self, status: ActionStatus, argv: Vec<String>) {
        if self.kind.starts_with("service_") && self.argv.is_empty() {
            let words: Vec<&str> = argv.iter().map(String::as_str).collect();
            if let Some((program, rest)) = words.split_first() {
                self.command = format!("{}: {}", self.command, [&[known_by(program)], rest].concat().join(" "));
            }
        }
        self.status = status;
        self.argv = argv;
    }

    /// Records how it ended.
    pub(super) fn finished(&mut self, outcome: Outcome) {
        self.status = if outcome.succeeded() { ActionStatus::Success } else { ActionStatus::Failed };
        self.outcome = Some(outcome);
    }

    /// Records that it did not run, and why.
    pub(super) fn left_out(&mut self, status: ActionStatus, reason: impl Into<String>) {
        self.status = status;
        self.reason = Some(reason.into());
    }

    /// The end in the report's words: `exit 0, 1.2 s`, `timed out after 60 s`.
    #[must_use]
    pub fn end_in_words(&self) -> String {
        let Some(outcome) = &self.outcome else { return self.reason.clone().unwrap_or_default() };
        let took = crate::clock::in_words(outcome.duration.max(Duration::from_millis(50)));
        match &outcome.end {
            End::Exited(code) => format!("exit {code}, {took}"),
            End::Killed(signal) => format!("killed by {signal}, {took}"),
            End::TimedOut(limit) => format!("timed out after {}", crate::clock::in_words(*limit)),
            End::Stopped => "ended because the agent stopped".to_owned(),
            End::Done => took,
            End::Failed(reason) => format!("{reason}, {took}"),
        }
    }
}

/// What people call a program: its name where it lies among programs (`/usr/bin`, `/sbin`), else its path.
fn known_by(program: &str) -> &str {
    match program.rsplit_once('/') {
        Some((directory, name)) if directory.ends_with("/bin") || directory.ends_with("/sbin") => name,
        _ => program,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_shows_the_program_behind_its_name() {
        for (program, shown) in [
            ("/usr/bin/systemctl", "systemctl"),
            ("/sbin/service", "service"),
            ("/etc/init.d/monit", "/etc/init.d/monit"),
            ("/opt/cabin/web", "/opt/cabin/web"),
            ("svc", "svc"),
        ] {
            let mut record = ActionRecord::not_run("service_restart", String::new(), "restart service monit".to_owned());
            record.decided(ActionStatus::Running, vec![program.to_owned(), "restart".to_owned()]);
            assert_eq!(record.command, format!("restart service monit: {shown} restart"));
        }
    }
}
