//! `allow suggest`: a rule for a command, for a person to add.

use std::io::{self, Write};

use serde::Serialize;

use super::{ALLOWED, REFUSED, show};
use crate::heal::guard::{Policy, Suggestion, Values};
use crate::record::escape::terminal;

/// The answer of `allow suggest --json`.
#[derive(Debug, Default, Serialize)]
struct Reply {
    /// What to add; `null` where nothing need or can be.
    rule: Option<String>,
    notes: Vec<String>,
    /// The rule that allows the command already.
    allowed_by: Option<String>,
    /// Why no rule can allow it.
    reason: Option<String>,
}

/// Proposes a rule, and gives the exit code.
pub(super) fn run(policy: &Policy, command: &str, labels: &Values, json: bool, out: &mut dyn Write) -> io::Result<u8> {
    let answer = policy.suggest(command, labels);
    let code = if answer.is_ok() { ALLOWED } else { REFUSED };
    if json {
        let reply = match answer {
            Ok(Suggestion::Allowed(reviewed)) => Reply { allowed_by: Some(reviewed.rule), ..Reply::default() },
            Ok(Suggestion::Rule { rule, notes }) => Reply { rule: Some(rule), notes, ..Reply::default() },
            Err(refusal) => Reply { reason: Some(refusal.reason), ..Reply::default() },
        };
        serde_json::to_writer(&mut *out, &reply)?;
        writeln!(out)?;
        return Ok(code);
    }
    match answer {
        Ok(Suggestion::Allowed(reviewed)) => {
            writeln!(out, "no rule is needed")?;
            show::allowed(&reviewed, out)?;
        }
        Ok(Suggestion::Rule { rule, notes }) => {
            writeln!(out, "add to allowed_commands, if this may always run:")?;
            writeln!(out, "    {}", serde_json::Value::from(terminal(&rule)))?;
            notes.iter().try_for_each(|note| writeln!(out, "note        {}", terminal(note)))?;
        }
        Err(refusal) => show::refused(command, &refusal, out)?,
    }
    Ok(code)
}
