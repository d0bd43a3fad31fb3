//! What systemd says of a unit, and what that means for a process of it that does not run. The judgement is pure.

use std::io::{Error, ErrorKind};
use std::time::Duration;

use super::bus::{Property, Question};
use super::wire::Value;
use crate::clock::Moment;

/// How long an answer is waited for. PID 1 answers at once, or something is wrong.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is asked. The time of the last change comes first and last: if it differs, the unit changed in between.
const PROPERTIES: [Property; 14] = [
    ("Unit", "StateChangeTimestampMonotonic"),
    ("Unit", "LoadState"),
    ("Unit", "UnitFileState"),
    ("Unit", "ActiveState"),
    ("Unit", "SubState"),
    ("Unit", "Job"),
    ("Unit", "InactiveExitTimestampMonotonic"),
    ("Unit", "ActiveExitTimestampMonotonic"),
    ("Service", "MainPID"),
    ("Service", "Result"),
    ("Service", "NotifyAccess"),
    ("Service", "ExecMainStartTimestampMonotonic"),
    ("Service", "ExecMainExitTimestampMonotonic"),
    ("Unit", "StateChangeTimestampMonotonic"),
];

/// The properties of a unit, in systemd's words; times in microseconds on its clock, 0: never, or forgotten. What the unit does
/// not have is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// `loaded`, `masked`, `not-found`, …
    pub(crate) load: String,
    /// `enabled`, `masked`, `masked-runtime`, …
    pub(crate) file: String,
    /// `active`, `inactive`, `failed`, `activating`, `deactivating`, `reloading`, `maintenance`.
    pub(crate) active: String,
    /// `running`, `auto-restart`, …
    pub(crate) sub: String,
    /// The number of its job; 0: none.
    pub(crate) job: u64,
    /// Its main process; 0: none.
    pub(crate) main_pid: u64,
    /// Why it ended: `success`, `signal`, `timeout`, …
    pub(crate) result: String,
    /// Who may tell systemd of it: `none`, `main`, …
    pub(crate) notify_access: String,
    /// When it began to start.
    pub(crate) inactive_exit: u64,
    /// When it began to stop, or stopped.
    pub(crate) active_exit: u64,
    /// When its main process started.
    pub(crate) main_start: u64,
    /// When its main process ended.
    pub(crate) main_exit: u64,
    /// It changed while it was asked about.
    pub(crate) changed: bool,
}

/// What a unit means for a process of it that does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// systemd has no such unit.
    Unknown,
    /// Somebody is at it, and this is how it stands.
    Busy(&'static str),
    /// It is active all the same.
    Active,
    /// It is down by itself.
    Fallen,
    /// A person wants it to be down: why that is known.
    Stopped(&'static str),
    /// It is down; who did that is known only to the journal.
    Unclear,
}

impl State {
    /// What it means. A person's stop shows in the order of events: systemd leaves `active` when it begins to stop the main
    /// process, but only after the end of one that ended by itself. Neither the exit status nor the result tells: many daemons
    /// end with 0 or with 1 whoever ends them. Where systemd has other reasons to stop a process (its time is over, it says itself
    /// that it stops), or has forgotten the times, because nothing refers to the unit, they say nothing.
    pub(crate) fn verdict(&self) -> Verdict {
        match (self.active.as_str(), self.sub.as_str()) {
            _ if self.changed => return Verdict::Busy("is changing its state"),
            ("activating", "auto-restart") => return Verdict::Busy("waits for its automatic restart"),
            ("activating", _) => return Verdict::Busy("is starting"),
            ("deactivating", _) => return Verdict::Busy("is stopping"),
            ("reloading", _) => return Verdict::Busy("is reloading"),
            ("maintenance", _) => return Verdict::Busy("is in maintenance"),
            _ if self.job != 0 => return Verdict::Busy("has a queued job"),
            ("active", _) => return Verdict::Active,
            _ => {}
        }
        if self.load == "masked" || self.file.starts_with("masked") {
            return Verdict::Stopped("is masked");
        }
        if !matches!(self.load.as_str(), "loaded" | "bad-setting" | "error") {
            return Verdict::Unknown;
        }
        let ran = self.inactive_exit <= self.active_exit && 0 < self.main_start && self.main_start <= self.main_exit;
        let by_systemd = self.notify_access != "none" || matches!(self.result.as_str(), "timeout" | "watchdog" | "oom-kill" | "protocol");
        match (ran, self.main_exit <= self.active_exit) {
            (true, true) => Verdict::Fallen,
            (true, false) if !by_systemd => Verdict::Stopped("was stopped"),
            _ => Verdict::Unclear,
        }
    }

    fn from_values(values: Vec<Option<Value>>) -> Self {
        let mut values = values.into_iter();
        let mut next = || values.next().flatten();
        let text = |value: Option<Value>| if let Some(Value::Text(text)) = value { text } else { String::new() };
        let number = |value: Option<Value>| if let Some(Value::Number(number)) = value { number } else { 0 };
        let before = number(next());
        let mut state = Self { load: text(next()), file: text(next()), active: text(next()), sub: text(next()), ..Self::default() };
        (state.job, state.inactive_exit, state.active_exit) = (number(next()), number(next()), number(next()));
        state.main_pid = number(next());
        (state.result, state.notify_access) = (text(next()), text(next()));
        (state.main_start, state.main_exit) = (number(next()), number(next()));
        state.changed = before != number(next());
        state
    }
}

/// A question for the state of a unit. Dropped, it is withdrawn.
#[derive(Debug)]
pub(crate) struct Asked {
    question: Question,
    since: Moment,
}

impl Asked {
    /// Asks, and waits for nothing.
    ///
    /// # Errors
    /// There is nobody who could be asked ([`is_deaf`] tells), or systemd is overwhelmed.
    pub(crate) fn about(unit: &str) -> Result<Self, Error> {
        Ok(Self { question: Question::ask(&object(unit), &PROPERTIES)?, since: Moment::now() })
    }

    /// The state, if it is there after at most this time.
    ///
    /// # Errors
    /// It does not come any more; after two seconds nobody waits for it.
    pub(crate) fn state(&mut self, wait: Duration) -> Result<Option<State>, Error> {
        let answer = self.question.answers(wait)?;
        if answer.is_none() && Moment::now().since(self.since) >= PATIENCE {
            return Err(ErrorKind::TimedOut.into());
        }
        Ok(answer.map(State::from_values))
    }
}

/// Whether the error means that nobody could ever be asked: no systemd, or not by us. Then it counts for nothing.
pub(crate) fn is_deaf(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied | ErrorKind::ConnectionRefused)
}

/// The state of a unit; waits for it.
///
/// # Errors
/// Nobody answers within two seconds.
pub(crate) fn state(unit: &str) -> Result<State, Error> {
    Asked::about(unit)?.state(PATIENCE)?.ok_or_else(|| ErrorKind::TimedOut.into())
}

/// The name with its suffix, as systemd has it: without one a service is meant.
pub(crate) fn full_name(unit: &str) -> String {
    let has_suffix = unit.rsplit_once('.').is_some_and(|(_, suffix)| matches!(suffix, "service" | "scope" | "slice" | "socket"));
    if has_suffix { unit.to_owned() } else { format!("{unit}.service") }
}

/// The object of a unit: what is no letter or digit of its name is escaped (bus_label_escape in systemd's sources).
fn object(unit: &str) -> String {
    let mut path = "/org/freedesktop/systemd1/unit/".to_owned();
    for (index, byte) in unit.bytes().enumerate() {
        if byte.is_ascii_alphabetic() || index > 0 && byte.is_ascii_digit() {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("_{byte:02x}"));
        }
    }
    path
}

#[cfg(test)]
#[path = "unit_tests.rs"]
mod tests;
