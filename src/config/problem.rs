//! What is wrong with a configuration file: where, what was found, what is allowed, and what to do.

use serde::Serialize;

/// How bad a problem is. Only errors stop a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// The file is not loaded.
    Error,
    /// Suspicious but legal.
    Warning,
    /// Worth knowing.
    Note,
}

impl Level {
    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// One problem (contract C1).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Problem {
    /// How bad it is.
    pub severity: Level,
    /// The file, or `(built in)`.
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    /// `$.api_slow.actions[0].command`
    pub path: String,
    /// A short name of the kind of problem: `unknown_key`, `command_refused`.
    pub code: &'static str,
    /// One sentence, lower case, without a full stop.
    pub message: String,
    /// What stands there, where that helps.
    pub found: Option<String>,
    /// What may stand there.
    pub allowed: Vec<String>,
    /// The next step: `did you mean "threshold"?`
    pub suggestion: Option<String>,
    /// The place in the file, in bytes, for the caret.
    #[serde(skip)]
    pub span: std::ops::Range<usize>,
}
