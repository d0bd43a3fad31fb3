//! The guard: which commands may ever run. The playbook chooses *when*; the settings' `allowed_commands` is what *may*.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::playbook::Verb;
use crate::config::settings::{AllowedCommand, Settings};

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

pub use crate::placeholder::Values;

/// The rules in force, compiled. Made anew at each load.
#[derive(Clone, Debug, Default)]
pub struct Policy {}

/// A rule that cannot be understood, or a remark about one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleProblem {
    /// Where the rule stands: the [`source`](crate::config::settings::AllowedCommand::source) of its element.
    pub source: String,
    /// A warning does not stop the load.
    pub warning: bool,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub suggestion: Option<String>,
}

/// The guard's answer to a template, at load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reviewed {
    /// The words, placeholders unfilled.
    pub argv: Vec<String>,
    /// The rule that allows it.
    pub rule: String,
    /// An `exact:` rule with an operator: `/bin/sh -c` would run it.
    pub shell: bool,
    /// The rule asks for a yes.
    pub requires_approval: bool,
    /// The program is not on `command_path`: legal at load, a failure at run time.
    pub missing_program: Option<String>,
}

/// What may run, once: only the guard makes one, and the executor consumes it.
#[derive(Debug, PartialEq, Eq)]
pub struct Permit {
    argv: Vec<String>,
    program: PathBuf,
    rule: String,
    shell: bool,
    run_as: Option<String>,
    requires_approval: bool,
    timeout: Option<Duration>,
}

impl Permit {
    /// The words; the first is the absolute program (for a native action its name).
    #[must_use]
    pub fn argv(&self) -> &[String] {
        &self.argv
    }

    /// The file that is executed.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The rule that allows it.
    #[must_use]
    pub fn rule(&self) -> &str {
        &self.rule
    }

    /// The user that it runs as, if not the agent's.
    #[must_use]
    pub fn run_as(&self) -> Option<&str> {
        self.run_as.as_deref()
    }

    /// The rule asks for a yes.
    #[must_use]
    pub fn requires_approval(&self) -> bool {
        self.requires_approval
    }

    /// The rule's upper limit for the timeout.
    #[must_use]
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout
    }
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What kind of reason it is.
    pub kind: RefusalKind,
    /// One sentence for people, lower case, without a full stop.
    pub reason: String,
    /// Where in the command, in bytes.
    pub span: Option<Range<usize>>,
    /// The rule that comes closest.
    pub nearest_rule: Option<String>,
    /// Commands to write instead (`a && b`: two actions).
    pub suggestion: Vec<String>,
}

/// Kinds of refusals; the words are part of logs and records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// Too long, or a character that no command needs.
    Text,
    /// A shell operator, an open quote, …
    Syntax,
    /// A placeholder where none may be, or one that no label fills, or a value outside its type.
    Placeholder,
    /// No rule matches.
    NoRule,
    /// A path that leaves its root or goes through a link.
    Path,
    /// The program is not installed.
    MissingProgram,
    /// Somebody else could change the program.
    UnsafeProgram,
    /// A service that neither the settings nor the service manager know.
    UnknownService,
    /// A running process that the settings do not call restartable.
    NotRestartable,
}

impl Policy {
    /// Compiles the settings' rules. Problems that are no warnings must stop the load.
    #[must_use]
    pub fn compile(_settings: &Settings) -> (Self, Vec<RuleProblem>) {
        (Self {}, Vec::new())
    }

    /// Steps 1 to 4 on a template: what can be said before the labels are known.
    ///
    /// # Errors
    /// The reason why it may not run.
    pub fn check(&self, _request: &Request<'_>) -> Result<Reviewed, Refusal> {
        Ok(Reviewed { argv: vec![], rule: String::new(), shell: false, requires_approval: false, missing_program: None })
    }

    /// Steps 1 to 5 on the filled command, right before it runs.
    ///
    /// # Errors
    /// The reason why it may not run.
    pub fn review(&self, _request: &Request<'_>, _values: &Values) -> Result<Permit, Refusal> {
        Ok(Permit {
            argv: vec![],
            program: PathBuf::new(),
            rule: String::new(),
            shell: false,
            run_as: None,
            requires_approval: false,
            timeout: None,
        })
    }
}

/// The rules that ship: what `allowed_commands` is when the settings do not say.
#[must_use]
pub fn shipped() -> Vec<AllowedCommand> {
    Vec::new()
}
