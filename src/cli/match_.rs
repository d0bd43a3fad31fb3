//! `match`: which processes a watch entry, or a pattern, matches now, and why.

use std::io::{self, Write};
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use regex::{Regex, RegexBuilder};
use serde::Serialize;

use super::{Failure, table};
use crate::collect::process::{self, Match};
use crate::config::problem::nearest;
use crate::config::settings::{ProcessEntry, ProcessMatch, Settings};
use crate::record::{escape, json};

/// A pattern may not compile to more than this.
const PATTERN_BYTES: usize = 1 << 20;

/// Arguments of `match`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:\n  autoheal match web\n  autoheal match --pattern 'node .*server\\.js'")]
pub struct MatchArgs {
    /// The name of an entry of `watch.processes`
    #[arg(value_name = "NAME", required_unless_present = "pattern", conflicts_with = "pattern")]
    pub name: Option<String>,
    /// A regular expression on the command line
    #[arg(long, value_name = "RE", value_parser = parse_pattern)]
    pub pattern: Option<Regex>,
}

fn parse_pattern(text: &str) -> Result<Regex, String> {
    RegexBuilder::new(text).size_limit(PATTERN_BYTES).build().map_err(|error| error.to_string())
}

/// The JSON of `match` (contract C9).
#[derive(Serialize)]
struct Answer<'a> {
    name: &'a str,
    matches: Vec<View>,
}

#[derive(Serialize)]
struct View {
    pid: u32,
    exe: Option<String>,
    command_line: String,
    user: Option<String>,
    #[serde(serialize_with = "json::millis")]
    started_at: Timestamp,
    why: String,
}

impl From<Match> for View {
    fn from(found: Match) -> Self {
        let Match { pid, exe, command_line, user, started_at, why } = found;
        Self { pid, exe: exe.map(|path| path.to_string_lossy().into_owned()), command_line, user, started_at, why }
    }
}

/// Prints the matches. The exit code is 0, also when nothing matches.
///
/// # Errors
/// An unknown name, processes that cannot be read, or an output that cannot be written.
pub fn run(args: &MatchArgs, settings: &Settings, json: bool, out: &mut dyn Write) -> super::Answer {
    let entry = entry(args, settings)?;
    let matches = process::matches(&entry).map_err(|reason| Failure::new("processes", reason))?;
    if json {
        let answer = Answer { name: &entry.name, matches: matches.into_iter().map(View::from).collect() };
        serde_json::to_writer_pretty(&mut *out, &answer).map_err(io::Error::from)?;
        writeln!(out)?;
    } else if matches.is_empty() {
        writeln!(out, "no live process matches {}", escape::terminal(&described(&entry)))?;
    } else {
        let rows = matches.into_iter().map(|found| {
            let started = json::to_the_second(found.started_at);
            vec![found.pid.to_string(), found.user.unwrap_or_default(), started, found.why, shortened(&found.command_line)]
        });
        out.write_all(table::print(&["pid", "user", "started", "why", "command line"], rows).as_bytes())?;
    }
    Ok(0)
}

fn entry(args: &MatchArgs, settings: &Settings) -> Result<ProcessEntry, Failure> {
    let processes = &settings.watch.processes;
    match (&args.pattern, &args.name) {
        (Some(pattern), _) => Ok(ProcessEntry {
            name: pattern.as_str().to_owned(),
            matcher: ProcessMatch::Pattern(pattern.clone()),
            service: None,
            restartable: false,
            respect_manual_stop: true,
            user: None,
            interval: Duration::from_secs(30),
        }),
        (None, Some(name)) => processes.iter().find(|entry| entry.name == *name).cloned().ok_or_else(|| {
            let names: Vec<&str> = processes.iter().map(|entry| entry.name.as_str()).collect();
            let hint = match nearest(name, &names) {
                Some(nearest) => format!("did you mean {nearest}?"),
                None if names.is_empty() => "watch.processes in autoheal.json is empty; use --pattern to try one out".to_owned(),
                None => format!("there are {}", names.join(", ")),
            };
            Failure::usage(format!("no entry of watch.processes is called {}; {}", escape::terminal(name), escape::terminal(&hint)))
        }),
        (None, None) => Err(Failure::usage("say which entry of watch.processes, or --pattern".to_owned())),
    }
}

fn described(entry: &ProcessEntry) -> String {
    let how = match &entry.matcher {
        ProcessMatch::Exe(path) => format!("exe {}", path.display()),
        ProcessMatch::Command(name) => format!("command {name}"),
        ProcessMatch::Pattern(pattern) if pattern.as_str() == entry.name => return format!("/{pattern}/"),
        ProcessMatch::Pattern(pattern) => format!("pattern /{pattern}/"),
        ProcessMatch::Pidfile(path) => format!("pidfile {}", path.display()),
        ProcessMatch::Unit(unit) => format!("unit {unit}"),
    };
    format!("{} ({how})", entry.name)
}

/// As much of a command line as a row of a table bears.
fn shortened(line: &str) -> String {
    const LETTERS: usize = 100;
    if line.chars().count() <= LETTERS { line.to_owned() } else { line.chars().take(LETTERS - 1).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::test_rig::{self, Child, process_entry};

    fn run_match(name: Option<&str>, pattern: Option<&str>, settings: &Settings, json: bool) -> Result<String, Failure> {
        let args = MatchArgs { name: name.map(str::to_owned), pattern: pattern.map(|text| parse_pattern(text).unwrap()) };
        let mut out = Vec::new();
        run(&args, settings, json, &mut out).map(|_| String::from_utf8(out).unwrap())
    }

    #[test]
    fn matches_are_told_with_their_reason() {
        let child = Child::sleeping();
        let pattern = format!("sleep {}", regex::escape(child.argument()));
        let mut settings = test_rig::settings();
        settings.watch.processes.push(process_entry("dozer", ProcessMatch::Pattern(Regex::new(&pattern).unwrap())));
        let json: serde_json::Value = serde_json::from_str(&run_match(Some("dozer"), None, &settings, true).unwrap()).unwrap();
        assert_eq!((&json["name"], &json["matches"][0]["pid"]), (&"dozer".into(), &child.pid().into()));
        for key in ["exe", "command_line", "user", "started_at", "why"] {
            assert!(json["matches"][0][key].is_string(), "{key}");
        }
        let table = run_match(None, Some(&pattern), &settings, false).unwrap();
        assert!(table.contains(child.argument()) && table.contains("WHY"), "{table}");
        drop(child);
        assert!(run_match(Some("dozer"), None, &settings, false).unwrap().starts_with("no live process matches dozer"));
    }

    #[test]
    fn an_unknown_name_is_a_wrong_usage() {
        let mut settings = test_rig::settings();
        settings.watch.processes.push(process_entry("nginx", ProcessMatch::Command("nginx".to_owned())));
        let usage = |name| match run_match(Some(name), None, &settings, false) {
            Err(failure) => failure.to_string(),
            other => panic!("{other:?}"),
        };
        assert!(usage("ngnix").contains("did you mean nginx?"));
        assert!(usage("postgres").contains("there are nginx"));
    }
}
