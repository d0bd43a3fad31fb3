//! `approve` and `deny`: a person's answer to an action that waits for one. What is shown is what is answered: the yes carries
//! the words of the command, and the agent runs exactly these or asks again.

use std::io::{BufRead, Write};

use clap::Args;
use serde_json::Value;

use super::agent::Desk;
use super::fields::{list, print, text};
use super::{Answer, Failure, exit};
use crate::record::escape::terminal;
use crate::serve::protocol::Request;
use crate::serve::recorded;

/// Options of `approve` and `deny`.
#[derive(Args, Debug)]
pub struct AnswerArgs {
    /// The incident's id, or the beginning of it.
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    id: String,
    /// Why, for the record.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Do not ask first.
    #[arg(long)]
    yes: bool,
}

/// The two answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It runs.
    Approve,
    /// It does not.
    Deny,
}

/// How the command talks with the person.
#[expect(missing_debug_implementations, reason = "streams have none")]
pub struct Dialogue<'s> {
    /// Standard input.
    pub input: &'s mut dyn BufRead,
    /// Whether a person sits there.
    pub is_terminal: bool,
    /// Results.
    pub out: &'s mut dyn Write,
    /// Where the command is shown and the question asked.
    pub errors: &'s mut dyn Write,
}

/// Shows what waits, asks, and hands the answer to the agent.
///
/// # Errors
/// No agent; an id that is unknown or ambiguous (1); nothing that waits any more (4); nobody to ask (2).
pub fn run(args: &AnswerArgs, decision: Decision, desk: &Desk, talk: &mut Dialogue<'_>) -> Answer {
    let id = meant(&args.id, desk)?;
    let incident = desk.ask(&Request::Incident { id })?["incident"].take();
    let (id, status) = (text(&incident["id"]), text(&incident["status"]));
    if status != "awaiting_approval" {
        return Err(Failure::refused("not_waiting", terminal(&format!("incident {id} waits for no answer: it is {status}"))));
    }
    let waiting = waiting(&incident);
    let argv: Vec<String> = waiting.iter().flat_map(|action| list(&action["argv"])).map(text).collect();
    show(&incident, &waiting, talk.errors)?;
    if !args.yes {
        confirm(decision, talk)?;
    }
    let reason = args.reason.clone();
    let answer = desk.ask(&match decision {
        Decision::Approve => Request::Approve { id, argv, reason },
        Decision::Deny => Request::Deny { id, reason },
    })?;
    if desk.json {
        print(&answer, talk.out)?;
    } else {
        let field = |name: &str| terminal(&text(&answer[name]));
        writeln!(talk.out, "incident {}: {}", field("incident"), field("decision"))?;
    }
    Ok(exit::DONE)
}

/// The id that this is the beginning of: among those that wait if there is one, else among all, which the next question tells.
fn meant(prefix: &str, desk: &Desk) -> Result<String, Failure> {
    let open = desk.ask(&Request::Incidents { open: true, playbook: None, since_seconds: None })?;
    let waiting = list(&open["incidents"]).iter().filter(|one| one["status"] == "awaiting_approval").map(|one| text(&one["id"]));
    let mut found: Vec<String> = waiting.filter(|id| id.starts_with(prefix)).collect();
    match found.len() {
        0 => Ok(prefix.to_owned()),
        1 => Ok(found.remove(0)),
        _ => Err(recorded::ambiguous(prefix, &found).into()),
    }
}

/// The actions that wait: those that have not run but whose words are known already.
fn waiting(incident: &Value) -> Vec<&Value> {
    let not_run = || list(&incident["actions"]).iter().filter(|action| action["status"] == "not_run");
    let decided: Vec<&Value> = not_run().filter(|action| !list(&action["argv"]).is_empty()).collect();
    if decided.is_empty() { not_run().take(1).collect() } else { decided }
}

fn show(incident: &Value, actions: &[&Value], out: &mut dyn Write) -> std::io::Result<()> {
    let field = |value: &Value| terminal(&text(value));
    let target = Some(field(&incident["target"])).filter(|target| !target.is_empty()).unwrap_or_else(|| "host".to_owned());
    writeln!(out, "incident  {}", field(&incident["id"]))?;
    writeln!(out, "playbook  {} ({})", field(&incident["playbook"]), field(&incident["severity"]))?;
    writeln!(out, "target    {target}")?;
    writeln!(out, "why       {}", field(&incident["trigger"]["text"]))?;
    for action in actions {
        writeln!(out, "action    {}", field(&action["description"]))?;
        writeln!(out, "command   {}", field(&action["command"]))?;
        // A word a line: nobody takes one argument with a blank for two.
        for (index, word) in list(&action["argv"]).iter().enumerate() {
            writeln!(out, "{:10}{}", if index == 0 { "words" } else { "" }, field(word))?;
        }
    }
    Ok(())
}

/// Asks. Everything but a clear yes is no.
fn confirm(decision: Decision, talk: &mut Dialogue<'_>) -> Result<(), Failure> {
    if !talk.is_terminal {
        return Err(Failure::usage("nobody can be asked here (standard input is no terminal); add --yes if this is meant".to_owned()));
    }
    let question = match decision {
        Decision::Approve => "Run this?",
        Decision::Deny => "Deny this?",
    };
    write!(talk.errors, "{question} [y/N] ")?;
    talk.errors.flush()?;
    let mut said = String::new();
    talk.input.read_line(&mut said)?;
    match said.trim().to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::new("not_decided", "nothing was decided; the incident waits on".to_owned())),
    }
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
