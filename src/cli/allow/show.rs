//! The guard's answers for people.

use std::io::{self, Write};

use serde::Serialize;

use crate::heal::confine::protections::describe;
use crate::heal::guard::{Policy, Refusal, Reviewed};
use crate::record::escape::terminal;

/// The words, the rule, and what would run.
pub(super) fn allowed(reviewed: &Reviewed, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "allowed by  {}", terminal(&reviewed.rule))?;
    let words: Vec<String> = reviewed.argv.iter().map(|word| quote(word)).collect();
    writeln!(out, "words       {}", words.join("  "))?;
    if let Some(program) = &reviewed.program {
        let program = quote(&program.display().to_string());
        let rest = words.iter().skip(1).map(|word| format!(" {word}")).collect::<String>();
        writeln!(out, "would run   {program}{rest}")?;
    }
    if let Some(user) = &reviewed.run_as {
        writeln!(out, "as          {}", terminal(user))?;
    }
    writeln!(out, "held        {}", terminal(&describe(&reviewed.confinement, reviewed.program.as_deref())))?;
    if reviewed.shell {
        writeln!(out, "note        a shell runs it, because the whole text is an exact rule")?;
    }
    if reviewed.requires_approval {
        writeln!(out, "note        waits for a yes")?;
    }
    if let Some(timeout) = reviewed.timeout {
        writeln!(out, "note        ends after {}", crate::clock::in_words(timeout))?;
    }
    if let Some(program) = &reviewed.missing_program {
        writeln!(out, "note        program not found on command_path: {}", terminal(program))?;
    }
    if let Some(service) = &reviewed.unknown_service {
        writeln!(out, "note        systemd knows no service {}", terminal(service))?;
    }
    Ok(())
}

/// That a template was asked about, whose values are looked at when it runs.
pub(super) fn open_placeholders(command: &str, out: &mut dyn Write) -> io::Result<()> {
    for (_, name) in crate::placeholder::find(command) {
        writeln!(out, "note        {{{name}}} is filled and looked at before it runs; --label {name}=VALUE tries a value")?;
    }
    Ok(())
}

/// The reason, a caret under the first word that fails, the nearest rule, and what to write instead.
pub(super) fn refused(command: &str, refusal: &Refusal, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "refused: {}", terminal(&refusal.reason))?;
    if let Some(span) = &refusal.span
        && let (Some(before), Some(marked)) = (command.get(..span.start), command.get(span.clone()))
    {
        let column = terminal(before).chars().count();
        let width = terminal(marked).chars().count().max(1);
        writeln!(out, "    {}\n    {}{}", terminal(command), " ".repeat(column), "^".repeat(width))?;
    }
    if let Some(rule) = &refusal.nearest_rule {
        writeln!(out, "nearest rule: {}", terminal(rule))?;
    }
    for command in &refusal.suggestion {
        writeln!(out, "write instead: {}", terminal(command))?;
    }
    Ok(())
}

/// The rules in force, by where they come from.
pub(super) fn list(policy: &Policy, out: &mut dyn Write) -> io::Result<()> {
    let mut source = None;
    for line in policy.rules() {
        if source != Some(line.source) {
            writeln!(out, "{}", terminal(line.source))?;
            source = Some(line.source);
        }
        writeln!(out, "  {}", terminal(line.rule))?;
        let mut remarks: Vec<String> = Vec::new();
        if line.wide {
            remarks.push("WIDE".to_owned());
        }
        if line.requires_approval {
            remarks.push("waits for a yes".to_owned());
        }
        if let Some(user) = line.run_as {
            remarks.push(format!("runs as {}", terminal(user)));
        }
        remarks.extend(line.note.map(terminal));
        if !remarks.is_empty() {
            writeln!(out, "      {}", remarks.join("; "))?;
        }
    }
    Ok(())
}

#[derive(Serialize)]
struct Rules<'p> {
    rules: Vec<Rule<'p>>,
}

#[derive(Serialize)]
struct Rule<'p> {
    rule: &'p str,
    source: &'p str,
    wide: bool,
    requires_approval: bool,
    run_as: Option<&'p str>,
    note: Option<&'p str>,
}

/// `{"rules": […]}`
pub(super) fn list_json(policy: &Policy, out: &mut dyn Write) -> io::Result<()> {
    let rules = policy
        .rules()
        .map(|line| Rule {
            rule: line.rule,
            source: line.source,
            wide: line.wide,
            requires_approval: line.requires_approval,
            run_as: line.run_as,
            note: line.note,
        })
        .collect();
    serde_json::to_writer_pretty(&mut *out, &Rules { rules })?;
    writeln!(out)
}

/// A word as a person would type it.
fn quote(word: &str) -> String {
    let safe = |c: char| c.is_alphanumeric() || "-_./:=@%+,".contains(c);
    let shown = terminal(word);
    if !shown.is_empty() && shown.chars().all(safe) { shown } else { format!("'{}'", shown.replace('\'', r"'\''")) }
}
