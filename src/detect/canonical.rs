//! Conditions as text: each has one form in the condition language, in whatever spelling it was written. `config::expression` reads it
//! back as the same condition; its tests hold that for random ones.

use std::fmt::{self, Formatter, Write};
use std::time::Duration;

use super::condition::{Comparison, Condition, LabelTest, Operand, Pattern, Selector, Test};
use crate::record::escape;

impl fmt::Display for Condition {
    /// As an expression: `memory_usage > 95 && process_memory_mb > 2048 for 2m`. It is one line without unseen characters.
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match &self.test {
            Test::Compare(comparison) => write!(out, "{comparison}")?,
            Test::All(parts) => joined(parts, " && ", out)?,
            Test::Any(parts) => joined(parts, " || ", out)?,
            Test::Not(part) => write!(out, "!({part})")?,
        }
        if self.hold_for.is_zero() { Ok(()) } else { write!(out, " for {}", Time(self.hold_for)) }
    }
}

/// Parentheses stand around everything that is more than a comparison, also where precedence would do.
fn joined(parts: &[Condition], word: &str, out: &mut Formatter<'_>) -> fmt::Result {
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            out.write_str(word)?;
        }
        if matches!(part.test, Test::All(_) | Test::Any(_)) || !part.hold_for.is_zero() {
            write!(out, "({part})")?;
        } else {
            write!(out, "{part}")?;
        }
    }
    Ok(())
}

impl fmt::Display for Comparison {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let Self { metric, operator, operand, selector } = self;
        write!(out, "{}{selector} {} {operand}", metric.name, operator.symbol())
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) if *number != 0.0 && !(1e-5..1e16).contains(&number.abs()) => write!(out, "{number:e}"),
            Self::Number(number) => write!(out, "{number}"),
            Self::Text(text) => out.write_str(text),
        }
    }
}

impl fmt::Display for Selector {
    /// `{mount="/data", device!="sdb1"}`; nothing if it selects everything.
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        for (index, test) in self.0.iter().enumerate() {
            out.write_str(if index == 0 { "{" } else { ", " })?;
            write!(out, "{test}")?;
        }
        if self.0.is_empty() { Ok(()) } else { out.write_char('}') }
    }
}

impl fmt::Display for LabelTest {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        // Several are alternatives even if none of them is a glob, and only globs have alternatives.
        let glob = self.patterns.iter().any(Pattern::is_glob) || self.patterns.len() > 1;
        let operator = match (self.negated, glob) {
            (true, false) => "!=",
            (true, true) => "!~",
            (false, false) => "=",
            (false, true) => "=~",
        };
        let texts: Vec<String> = self.patterns.iter().map(|pattern| quotable(pattern.text())).collect();
        write!(out, "{}{operator}\"{}\"", self.label, texts.join("|"))
    }
}

/// With what the language escapes in text; `|` separates alternatives. What nobody could see is written as `\n` or `\u{1b}`.
fn quotable(text: &str) -> String {
    escape::terminal(&text.replace('\\', "\\\\").replace('"', "\\\"").replace('|', "\\|"))
}

/// A time in the largest of the units that it is a whole number of, else in seconds.
struct Time(Duration);

impl fmt::Display for Time {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let whole = |unit: u64| self.0.subsec_nanos() == 0 && seconds.is_multiple_of(unit);
        match [(86_400, 'd'), (3600, 'h'), (60, 'm')].into_iter().find(|(unit, _)| whole(*unit)) {
            Some((unit, letter)) => write!(out, "{}{letter}", seconds / unit),
            None => write!(out, "{}s", self.0.as_secs_f64()),
        }
    }
}
