//! The guard: which commands may ever run. The playbook chooses *when*; the settings' `allowed_commands` is what *may*.
//!
//! A request goes through five steps, and each one refuses, none repairs:
//! 1. `text`: limits, and no character that reads as another;
//! 2. `token`: words, without any operator of a shell (`advice` says what to write instead);
//! 3. `template`, `label`: each placeholder fills a part of one word with a value of its label's type;
//! 4. `matching`: the whole argv against a rule (`rule`, `slot`, `special`), paths through no link (`path`) that others could put
//!    there (`swap`), the program a file that nobody else could change (`program`);
//! 5. a [`Permit`], which only this module makes, and which the executor consumes; `confinement` says what holds the program.
//!
//! [`Policy::check`] does this for a template when the files are loaded, [`Policy::review`] for the filled command right
//! before it runs. Native actions and services are asked about as the line that they stand for (`service`).

mod advice;
mod answer;
mod compile;
mod confinement;
mod label;
mod look;
mod matching;
mod path;
mod program;
mod review;
mod rule;
mod service;
mod shipped;
mod slot;
mod special;
mod suggest;
mod swap;
mod template;
mod text;
mod token;

use std::path::PathBuf;

pub use answer::{Permit, Refusal, RefusalKind, Reviewed, RuleProblem};
pub use compile::RuleLine;
pub use confinement::Confinement;
pub use look::Look;
pub(crate) use program::others_could_change;
pub use service::Manager;
pub use shipped::shipped;
pub use slot::{SLOTS, SlotWords};
pub use suggest::Suggestion;

use crate::config::playbook::{ActionKind, Verb};
use crate::config::settings::Settings;
use crate::record::escape::terminal;
use compile::Rule;
use review::Review;
use service::Services;

/// What the guard is asked: an action, or a command of the settings. Texts may hold placeholders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// A `shell` action.
    Command(&'a str),
    /// A `service_*` action: reviewed as the argv of the settings' `services` or of the service manager.
    Service {
        /// What is done.
        verb: Verb,
        /// A service, or a process name that maps to one.
        service: &'a str,
    },
    /// An `http` action, the line `http METHOD URL`.
    Http {
        /// Upper case.
        method: &'a str,
        /// Where to.
        url: &'a str,
    },
    /// The line `delete_files PATH`.
    DeleteFiles {
        /// Where.
        directory: &'a str,
    },
    /// The line `archive_log FILE [TO]`.
    ArchiveLog {
        /// The log.
        path: &'a str,
        /// Where the copy goes.
        to: Option<&'a str>,
    },
    /// The line `signal_process NAME SIGNAL`.
    SignalProcess {
        /// The watch entry's name.
        process: &'a str,
        /// Without `SIG`.
        signal: &'a str,
    },
}

impl<'a> Request<'a> {
    /// What is asked about an action, at load and again right before it runs; `None`: it only looks or tells.
    #[must_use]
    pub fn of(kind: &'a ActionKind) -> Option<Self> {
        Some(match kind {
            ActionKind::Shell { command } => Self::Command(command),
            ActionKind::Service { verb, service } => Self::Service { verb: *verb, service },
            ActionKind::Http { method, url, .. } => Self::Http { method, url },
            ActionKind::DeleteFiles { directory, .. } => Self::DeleteFiles { directory },
            ActionKind::ArchiveLog { path, to, .. } => Self::ArchiveLog { path, to: to.as_deref() },
            ActionKind::SignalProcess { process, signal, .. } => Self::SignalProcess { process, signal },
            ActionKind::TopProcesses { .. } | ActionKind::Notify { .. } => return None,
        })
    }
}

pub use crate::placeholder::Values;

/// The rules in force, compiled. Made anew at each load.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    rules: Vec<Rule>,
    command_path: Vec<PathBuf>,
    services: Services,
}

impl Policy {
    /// Compiles the settings' rules. Problems that are no warnings must stop the load.
    #[must_use]
    pub fn compile(settings: &Settings) -> (Self, Vec<RuleProblem>) {
        let (rules, mut problems) = compile::compile(&settings.allowed_commands);
        let policy = Self { rules, command_path: settings.command_path.clone(), services: Services::new(settings) };
        problems.extend(policy.services.commands().filter_map(|(source, command)| {
            let (warning, message, suggestion) = match Review::template(&policy).own_command(command, &source) {
                Ok(answer) => (true, format!("program not found on command_path: {}", answer.missing_program?), None),
                Err(refusal) => (false, refusal.reason, (!refusal.suggestion.is_empty()).then(|| refusal.suggestion.join(", "))),
            };
            Some(RuleProblem { source, warning, message, suggestion })
        }));
        (policy, problems)
    }

    /// The same rules on a host with this service manager.
    #[must_use]
    pub fn with_manager(mut self, manager: Manager) -> Self {
        self.services.manager = Some(manager);
        self
    }

    /// The service that belongs to a process: its watch entry's `service`, a service of the settings with its name, the unit
    /// by which it is matched, or its own name.
    #[must_use]
    pub fn service_of<'n>(&'n self, process_name: &'n str) -> &'n str {
        self.services.of(process_name)
    }

    /// Steps 1 to 4 on a template: what can be said before the labels are known. A missing program or service is no refusal.
    ///
    /// # Errors
    /// The reason why it may not run.
    pub fn check(&self, request: &Request<'_>) -> Result<Reviewed, Refusal> {
        Review::template(self).answer(request).map(review::Answer::into_reviewed)
    }

    /// [`check`](Self::check), where only these processes can fill `{process_name}`. Without any, the manager's line must be
    /// allowed for every name.
    ///
    /// # Errors
    /// The reason why it may not run.
    pub fn check_for(&self, request: &Request<'_>, processes: &[&str]) -> Result<Reviewed, Refusal> {
        Review { processes: Some(processes), ..Review::template(self) }.answer(request).map(review::Answer::into_reviewed)
    }

    /// Steps 1 to 4 on a filled command that nobody is going to run. A missing program or service is no refusal.
    ///
    /// # Errors
    /// The reason why it may not run.
    pub fn test(&self, request: &Request<'_>, values: &Values) -> Result<Reviewed, Refusal> {
        Review { values: Some(values), ..Review::template(self) }.answer(request).map(review::Answer::into_reviewed)
    }

    /// Steps 1 to 5 on the filled command, right before it runs.
    ///
    /// # Errors
    /// The reason why it may not run.
    pub fn review(&self, request: &Request<'_>, values: &Values) -> Result<Permit, Refusal> {
        Review { values: Some(values), run: true, ..Review::template(self) }.answer(request)?.into_permit()
    }

    /// The rules in force, for people.
    pub fn rules(&self) -> impl Iterator<Item = RuleLine<'_>> {
        self.rules.iter().map(Rule::line)
    }
}

/// Text from outside in a message: in quotes, harmless for a terminal, and not too long.
fn quoted(text: &str) -> String {
    let safe = terminal(text);
    match safe.char_indices().nth(120) {
        Some((cut, _)) => format!("\"{}…\"", &safe[..cut]),
        None => format!("\"{safe}\""),
    }
}

#[cfg(test)]
mod tests;
