//! What is wrong with a configuration file: where, what was found, what is allowed, and what to do.

use std::fmt;
use std::ops::Range;

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
    pub span: Range<usize>,
}

impl fmt::Display for Problem {
    /// `FILE:LINE:COLUMN: error: PATH: message (did you mean …) code=unknown_key`, as the log shows it.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, path, message, code, .. } = self;
        write!(out, "{file}:{line}:{column}: {}: {path}: {message}", self.severity.name())?;
        self.next_step().map_or(Ok(()), |next| write!(out, " ({next})"))?;
        write!(out, " code={code}")
    }
}

impl Problem {
    /// What to do; where nothing is near enough to be meant, what is allowed.
    #[must_use]
    pub fn next_step(&self) -> Option<String> {
        self.suggestion.clone().or_else(|| what_is_allowed(self.code, &self.message, &self.allowed))
    }
}

/// `allowed: critical, error, warning, info`, unless the message says that already.
pub(crate) fn what_is_allowed<T: AsRef<str>>(code: &str, message: &str, allowed: &[T]) -> Option<String> {
    let allowed: Vec<&str> = allowed.iter().map(AsRef::as_ref).collect();
    let said = allowed.is_empty() || code == "missing_key" || allowed.iter().all(|word| message.contains(word));
    (!said).then(|| format!("allowed: {}", allowed.join(", ")))
}

/// A problem before its place is known. Boxed, because it travels as an error.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Draft(Box<Parts>);

#[derive(Clone, Debug, PartialEq)]
struct Parts {
    severity: Level,
    code: &'static str,
    message: String,
    found: Option<String>,
    allowed: Vec<String>,
    suggestion: Option<String>,
}

impl Draft {
    fn new(severity: Level, code: &'static str, message: impl Into<String>) -> Self {
        Self(Box::new(Parts { severity, code, message: message.into(), found: None, allowed: Vec::new(), suggestion: None }))
    }

    /// A problem that stops the load.
    pub(crate) fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Level::Error, code, message)
    }

    /// Suspicious but legal.
    pub(crate) fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Level::Warning, code, message)
    }

    /// Worth knowing.
    pub(crate) fn note(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Level::Note, code, message)
    }

    /// What stands there.
    pub(crate) fn found(mut self, found: impl Into<String>) -> Self {
        self.0.found = Some(found.into());
        self
    }

    /// What may stand there.
    pub(crate) fn allowed<T: Into<String>>(mut self, allowed: impl IntoIterator<Item = T>) -> Self {
        self.0.allowed = allowed.into_iter().map(Into::into).collect();
        self
    }

    /// The next step.
    pub(crate) fn suggest(mut self, next: impl Into<String>) -> Self {
        self.0.suggestion = Some(next.into());
        self
    }

    /// The next step, if there is one.
    pub(crate) fn suggest_if(self, next: Option<impl Into<String>>) -> Self {
        match next {
            Some(next) => self.suggest(next),
            None => self,
        }
    }

    /// What stands there, what may, and the nearest of these if one is near.
    pub(crate) fn words(self, found: &str, allowed: &[&str]) -> Self {
        let nearest = nearest(found, allowed).map(|word| format!("did you mean {word:?}?"));
        self.found(found).allowed(allowed.iter().copied()).suggest_if(nearest)
    }

    /// The problem at its place. Line and column are filled in by [`place`].
    pub(crate) fn at(self, file: &str, path: &str, span: Range<usize>) -> Problem {
        let Parts { severity, code, message, found, allowed, suggestion } = *self.0;
        let (file, path) = (file.to_owned(), path.to_owned());
        Problem { severity, file, line: 1, column: 1, path, code, message, found, allowed, suggestion, span }
    }
}

/// The word that was probably meant: at most a third of the letters differ (swapped neighbours count once), its parts stand in
/// another order (`restart_service`), or only its first or last part was written (`cooldown` for `cooldown_seconds`, `restart` for
/// `service_restart`).
pub(crate) fn nearest<'w>(found: &str, words: &[&'w str]) -> Option<&'w str> {
    let lower = found.to_lowercase();
    let limit = (lower.chars().count() / 3).max(1);
    let close = words.iter().map(|word| (strsim::osa_distance(&lower, word), *word)).min_by_key(|(distance, _)| *distance);
    close
        .filter(|(distance, _)| *distance <= limit)
        .map(|(_, word)| word)
        .or_else(|| words.iter().copied().find(|word| parts(word) == parts(&lower)))
        .or_else(|| words.iter().copied().find(|word| word.strip_prefix(lower.as_str()).is_some_and(|rest| rest.starts_with('_'))))
        .or_else(|| words.iter().copied().find(|word| word.strip_suffix(lower.as_str()).is_some_and(|rest| rest.ends_with('_'))))
}

/// What stands between the underscores and hyphens of a name, sorted.
fn parts(word: &str) -> Vec<&str> {
    let mut parts: Vec<&str> = word.split(['_', '-']).collect();
    parts.sort_unstable();
    parts
}

/// Sorts problems by their place in `text` and fills in line and column, in one walk over it.
pub(crate) fn place(text: &str, problems: &mut [Problem]) {
    problems.sort_by_key(|problem| (problem.span.start, problem.span.end));
    let (mut line, mut column, mut at) = (1, 1, 0);
    for problem in problems {
        let start = problem.span.start.min(text.len());
        for (_, letter) in text.get(at..start).unwrap_or_default().char_indices() {
            if letter == '\n' {
                (line, column) = (line + 1, 1);
            } else {
                column += 1;
            }
        }
        (at, problem.line, problem.column) = (start, line, column);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found_only_when_it_is_near() {
        let keys = ["threshold", "timeout_seconds", "cooldown_seconds", "value", "service_restart"];
        for (found, expected) in [
            ("treshold", Some("threshold")),
            ("Threshold", Some("threshold")),
            ("vlaue", Some("value")),
            ("cooldown", Some("cooldown_seconds")),
            ("cool", None),
            ("limit", None),
            ("restart_service", Some("service_restart")),
            ("Service-Restart", Some("service_restart")),
            ("restart", Some("service_restart")),
            ("service", Some("service_restart")),
            ("", None),
        ] {
            assert_eq!(nearest(found, &keys), expected, "{found}");
        }
    }

    #[test]
    fn columns_count_characters() {
        let text = "{\n \"é\": x, y";
        let at = |needle: &str| {
            let start = text.find(needle).unwrap();
            Draft::error("code", "m").at("f", "$", start..start + 1)
        };
        let mut problems = [at("y"), at("x")];
        place(text, &mut problems);
        let places: Vec<_> = problems.iter().map(|problem| (problem.line, problem.column)).collect();
        assert_eq!(places, [(2, 7), (2, 10)]);
    }
}
