//! `allow`: what the guard says to a command, and the rules in force.

mod batch;
mod show;
mod suggest;

use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use crate::config::settings::{AllowedCommand, Settings};
use crate::heal::guard::{Manager, Policy, RefusalKind, Request, Values, shipped};
use crate::record::escape::terminal;

/// Ask the guard.
#[derive(Args, Debug)]
pub struct AllowArgs {
    #[command(subcommand)]
    command: AllowCommand,
}

#[derive(Debug, Subcommand)]
enum AllowCommand {
    /// Say whether a command would be allowed, by which rule, or which word fails
    #[command(after_help = "Example: autoheal allow test 'systemctl restart {process_name}' --label process_name=web")]
    Test(TestArgs),
    /// Propose the narrowest rule that would allow a command, for a person to add
    #[command(after_help = "Example: autoheal allow suggest 'docker restart {process_name}'")]
    Suggest(SuggestArgs),
    /// List the rules in force, wide ones marked
    #[command(after_help = "Example: autoheal allow list --json")]
    List(ListArgs),
}

impl AllowArgs {
    /// Whether it answers each line with one of JSON.
    pub(super) fn is_batch(&self) -> bool {
        matches!(&self.command, AllowCommand::Test(args) if args.batch)
    }
}

#[derive(Args, Debug)]
struct TestArgs {
    /// The command, as a playbook would have it
    #[arg(required_unless_present = "batch", conflicts_with = "batch")]
    command: Option<String>,
    /// The value of a placeholder; without any, the template is checked
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = parse_label, conflicts_with = "batch")]
    labels: Vec<(String, String)>,
    /// Read JSON lines from standard input and answer each with one
    #[arg(long)]
    batch: bool,
    /// Rules from a file, one a line, instead of the settings' list
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// Pretend that the host has this service manager: systemd, launchd or brew
    #[arg(long, value_name = "NAME", value_parser = parse_manager)]
    manager: Option<Manager>,
}

#[derive(Args, Debug)]
struct SuggestArgs {
    /// The command, as a playbook would have it
    command: String,
    /// The value of a placeholder; without any, a slot of its type stands for it
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = parse_label)]
    labels: Vec<(String, String)>,
    /// Rules from a file, one a line, instead of the settings' list
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
}

#[derive(Args, Debug)]
struct ListArgs {
    /// Rules from a file, one a line, instead of the settings' list
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
}

/// Where a command reads and writes.
#[expect(missing_debug_implementations, reason = "streams have none")]
pub struct Streams<'s> {
    /// Standard input.
    pub input: &'s mut dyn BufRead,
    /// Results.
    pub out: &'s mut dyn Write,
    /// Everything else.
    pub errors: &'s mut dyn Write,
}

/// The command is allowed, or the list was printed.
const ALLOWED: u8 = 0;
/// The guard refuses.
const REFUSED: u8 = 4;

/// Runs `allow …` and gives the exit code.
///
/// # Errors
/// The rules file cannot be read, or the output cannot be written.
pub fn run(args: &AllowArgs, settings: &Settings, json: bool, streams: &mut Streams<'_>) -> io::Result<u8> {
    match &args.command {
        AllowCommand::Test(args) => {
            let mut policy = policy(settings, args.rules.as_deref(), streams.errors)?;
            if let Some(manager) = args.manager {
                policy = policy.with_manager(manager);
            }
            match &args.command {
                Some(command) => test(&policy, command, &args.labels.iter().cloned().collect(), json, streams.out),
                None => batch::run(&policy, streams.input, streams.out).map(|()| ALLOWED),
            }
        }
        AllowCommand::Suggest(args) => {
            let policy = policy(settings, args.rules.as_deref(), streams.errors)?;
            suggest::run(&policy, &args.command, &args.labels.iter().cloned().collect(), json, streams.out)
        }
        AllowCommand::List(args) => {
            let policy = policy(settings, args.rules.as_deref(), streams.errors)?;
            if json {
                show::list_json(&policy, streams.out)?
            } else {
                show::list(&policy, streams.out)?
            }
            Ok(ALLOWED)
        }
    }
}

fn test(policy: &Policy, command: &str, labels: &Values, json: bool, out: &mut dyn Write) -> io::Result<u8> {
    let request = Request::Command(command);
    let answer = if labels.is_empty() { policy.check(&request) } else { policy.test(&request, labels) };
    let code = if answer.is_ok() { ALLOWED } else { REFUSED };
    if json {
        batch::write(&batch::Reply::of(answer), out)?;
    } else {
        match &answer {
            Ok(reviewed) => {
                show::allowed(reviewed, out)?;
                if labels.is_empty() {
                    show::open_placeholders(command, out)?;
                }
            }
            Err(refusal) => {
                show::refused(command, refusal, out)?;
                if refusal.kind == RefusalKind::NoRule && refusal.nearest_rule.is_none() {
                    writeln!(out, "if it may always run: autoheal allow suggest proposes a rule")?;
                }
            }
        }
    }
    Ok(code)
}

/// The guard with the settings' rules, or with those of a file. A rule that cannot be understood is told and allows nothing.
fn policy(settings: &Settings, rules: Option<&Path>, errors: &mut dyn Write) -> io::Result<Policy> {
    let Some(file) = rules else { return Ok(Policy::compile(settings).0) };
    let text = std::fs::read_to_string(file)
        .map_err(|error| io::Error::new(error.kind(), format!("cannot read the rules file {}: {error}", file.display())))?;
    let settings = Settings { allowed_commands: parse_rules(&text, file), ..settings.clone() };
    let (policy, problems) = Policy::compile(&settings);
    for problem in problems.iter().filter(|problem| !problem.source.starts_with('$')) {
        let level = if problem.warning { "warning" } else { "error" };
        writeln!(errors, "{}: {level}: {}", terminal(&problem.source), terminal(&problem.message))?;
        if let Some(suggestion) = &problem.suggestion {
            suggestion.lines().try_for_each(|line| writeln!(errors, "    rule: {}", terminal(line)))?;
        }
    }
    Ok(policy)
}

/// One rule a line; empty lines and lines that begin with `#` say nothing; `@shipped` stands for the shipped list.
fn parse_rules(text: &str, file: &Path) -> Vec<AllowedCommand> {
    let mut rules = Vec::new();
    for (index, line) in text.lines().enumerate() {
        match line.trim() {
            "" => {}
            "@shipped" => rules.extend(shipped()),
            rule if rule.starts_with('#') => {}
            rule => rules.push(AllowedCommand {
                rule: rule.to_owned(),
                run_as: None,
                requires_approval: false,
                timeout: None,
                sandbox: None,
                note: None,
                source: format!("{}:{}", file.display(), index + 1),
            }),
        }
    }
    rules
}

fn parse_label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("a label is written NAME=VALUE".to_owned()),
    }
}

fn parse_manager(text: &str) -> Result<Manager, String> {
    Manager::named(text).ok_or_else(|| "a manager is systemd, launchd or brew".to_owned())
}

#[cfg(test)]
mod tests;
