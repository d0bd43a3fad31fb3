//! What the guard answers: a permit, a review at load, or a refusal with its reason.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::confinement::Confinement;
use super::program::Identity;

/// A rule that cannot be understood, or a remark about one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleProblem {
    /// Where the rule stands: the [`source`](crate::config::settings::AllowedCommand::source) of its element, or
    /// `$.services.NAME.VERB`.
    pub source: String,
    /// A warning does not stop the load.
    pub warning: bool,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub suggestion: Option<String>,
}

/// The guard's answer to a template, at load, or to a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reviewed {
    /// The words, placeholders unfilled; the first as it was written.
    pub argv: Vec<String>,
    /// The rule that allows it.
    pub rule: String,
    /// An `exact:` rule with an operator: `/bin/sh -c` would run it.
    pub shell: bool,
    /// The rule asks for a yes.
    pub requires_approval: bool,
    /// The program is not on `command_path`: legal at load, a failure at run time.
    pub missing_program: Option<String>,
    /// The file that would be executed; `None` for a native action and for a missing program.
    pub program: Option<PathBuf>,
    /// The user that it would run as, if not the agent's.
    pub run_as: Option<String>,
    /// The rule's upper limit for the timeout.
    pub timeout: Option<Duration>,
    /// The service does not exist here as far as the service manager's files tell: legal at load, a failure at run time.
    pub unknown_service: Option<String>,
    /// What would hold the program, as far as the host can.
    pub confinement: Confinement,
}

/// What may run, once: only the guard makes one, and the executor consumes it.
///
/// Nobody else can, because its fields are private:
/// ```compile_fail
/// let permit = autoheal::heal::guard::Permit {
///     argv: vec![], program: "/bin/sh".into(), identity: None, rule: String::new(), shell: false, native: false,
///     run_as: None, requires_approval: false, timeout: None, confinement: Confinement::Free(""),
/// };
/// ```
/// and it cannot be used twice:
/// ```compile_fail
/// fn twice(permit: autoheal::heal::guard::Permit) { let second = permit.clone(); }
/// ```
#[derive(Debug, PartialEq, Eq)]
pub struct Permit {
    pub(super) argv: Vec<String>,
    pub(super) program: PathBuf,
    /// Which file the program was: a permit that is made again after the program was replaced is not equal.
    pub(super) identity: Option<Identity>,
    pub(super) rule: String,
    pub(super) shell: bool,
    pub(super) native: bool,
    pub(super) run_as: Option<String>,
    pub(super) requires_approval: bool,
    pub(super) timeout: Option<Duration>,
    pub(super) confinement: Confinement,
}

impl Permit {
    /// The words; the first is the absolute program (for a native action its name).
    #[must_use]
    pub fn argv(&self) -> &[String] {
        &self.argv
    }

    /// The file that is executed; empty for a native action.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The rule that allows it.
    #[must_use]
    pub fn rule(&self) -> &str {
        &self.rule
    }

    /// An `exact:` rule with an operator: the program is `/bin/sh`, the words are `-c` and the text.
    #[must_use]
    pub fn shell(&self) -> bool {
        self.shell
    }

    /// A native action: there is no program to execute.
    #[must_use]
    pub fn native(&self) -> bool {
        self.native
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

    /// What holds the program, as far as the host can.
    #[must_use]
    pub fn confinement(&self) -> &Confinement {
        &self.confinement
    }
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What kind of reason it is.
    pub kind: RefusalKind,
    /// One sentence for people, lower case, without a full stop. Text from outside is already escaped.
    pub reason: String,
    /// Where in the command, in bytes; `None` for native and service actions.
    pub span: Option<Range<usize>>,
    /// The rule that comes closest.
    pub nearest_rule: Option<String>,
    /// Commands to write instead (`a && b`: two actions).
    pub suggestion: Vec<String>,
}

impl Refusal {
    pub(super) fn new(kind: RefusalKind, reason: impl Into<String>) -> Self {
        Self { kind, reason: reason.into(), span: None, nearest_rule: None, suggestion: Vec::new() }
    }

    pub(super) fn at(self, span: Range<usize>) -> Self {
        Self { span: Some(span), ..self }
    }

    pub(super) fn nearest(self, rule: &str) -> Self {
        Self { nearest_rule: Some(rule.to_owned()), ..self }
    }

    /// Without a place: the request was no text that a caret could point into.
    pub(super) fn placeless(self) -> Self {
        Self { span: None, ..self }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.reason)
    }
}

impl std::error::Error for Refusal {}

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
    /// Somebody else could change the program, or it must not run as this user.
    UnsafeProgram,
    /// A service that neither the settings nor the service manager know.
    UnknownService,
    /// A running process that the settings do not call restartable.
    NotRestartable,
}

impl RefusalKind {
    /// The code that `autoheal explain` knows, if one says more.
    #[must_use]
    pub fn code(self) -> Option<&'static str> {
        match self {
            Self::Text | Self::Syntax | Self::Placeholder | Self::NoRule | Self::Path | Self::UnsafeProgram => Some("command_refused"),
            Self::MissingProgram => Some("program_missing"),
            Self::UnknownService => Some("unknown_service"),
            Self::NotRestartable => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_of_refusals_are_explained() {
        let kinds = [
            RefusalKind::Text,
            RefusalKind::Syntax,
            RefusalKind::Placeholder,
            RefusalKind::NoRule,
            RefusalKind::Path,
            RefusalKind::MissingProgram,
            RefusalKind::UnsafeProgram,
            RefusalKind::UnknownService,
            RefusalKind::NotRestartable,
        ];
        for code in kinds.into_iter().filter_map(RefusalKind::code).chain(["run_as_differs"]) {
            assert!(crate::config::codes::find(code).is_some(), "{code}");
        }
    }
}
