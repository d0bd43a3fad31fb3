//! `incidents`: what happened. A list, one report, or what happens now as it happens.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::agent::{Desk, remark};
use super::fields::{list, print, span, text, time};
use super::{Answer, Failure, exit, markdown, table};
use crate::record::escape::terminal;
use crate::record::retold;
use crate::serve::protocol::Request;

/// More of a report file is not read.
const REPORT_BYTES: u64 = 8 << 20;

/// Options of `incidents`.
#[derive(Args, Debug, Default)]
pub struct IncidentsArgs {
    /// One incident: its id, or the beginning of it.
    #[arg(conflicts_with_all = ["open", "playbook", "since"], value_parser = clap::builder::NonEmptyStringValueParser::new())]
    id: Option<String>,
    /// Only those that have not ended.
    #[arg(long, conflicts_with = "follow")]
    open: bool,
    /// Only those of this playbook.
    #[arg(long, value_name = "PLAYBOOK")]
    playbook: Option<String>,
    /// Only those detected in the last 7d, 12h, 30m, …
    #[arg(long, value_name = "DURATION", value_parser = super::span::parse, conflicts_with = "follow")]
    since: Option<Duration>,
    /// Print what happens as it happens, until it is interrupted.
    #[arg(long)]
    follow: bool,
}

/// Prints what was asked for. A list and a report need no agent.
///
/// # Errors
/// An id that is unknown or ambiguous, a history that cannot be read, no agent to follow.
pub fn run(args: &IncidentsArgs, desk: &Desk, out: &mut dyn Write) -> Answer {
    if args.follow {
        return follow(args, desk, out);
    }
    let request = match &args.id {
        Some(id) => Request::Incident { id: id.clone() },
        None => Request::Incidents {
            open: args.open,
            playbook: args.playbook.clone(),
            since_seconds: args.since.map(|since| since.as_secs_f64()),
        },
    };
    let (answer, whence) = desk.ask_or_read(&request)?;
    if desk.json {
        print(&answer, out)?;
    } else if args.id.is_some() {
        out.write_all(markdown::render(&report(&answer["incident"])).as_bytes())?;
    } else {
        let all = list(&answer["incidents"]);
        let shown = if all.is_empty() { none(args).to_owned() } else { summaries(all) };
        out.write_all(shown.as_bytes())?;
        remark(whence.as_ref(), out)?;
    }
    Ok(exit::DONE)
}

fn none(args: &IncidentsArgs) -> &'static str {
    if args.open || args.playbook.is_some() || args.since.is_some() { "no such incidents\n" } else { "no incidents on record\n" }
}

/// Incidents as a table, one a line.
pub(super) fn summaries(incidents: &[Value]) -> String {
    let rows = incidents.iter().map(|one| {
        let field = |name: &str| text(&one[name]);
        let marks = ["dry_run", "relapsed", "interrupted"].into_iter().filter(|mark| one[*mark] == true && one["status"] != *mark);
        let took = span(&one["time_to_recover_seconds"]);
        let (status, target) = (field("status"), field("target"));
        let marks = marks.collect::<Vec<_>>().join(", ");
        vec![field("id"), time(&one["detected_at"]), status, field("severity"), field("playbook"), target, took, marks]
    });
    table::print(&["id", "detected", "status", "severity", "playbook", "target", "recovered in", "remark"], rows)
}

fn follow(args: &IncidentsArgs, desk: &Desk, out: &mut dyn Write) -> Answer {
    let request = Request::Follow { id: args.id.clone(), playbook: args.playbook.clone() };
    desk.client()?.follow(&request, |line| -> Result<(), Failure> {
        if desk.json {
            writeln!(out, "{line}")?;
        } else {
            let field = |name: &str| terminal(&text(&line[name]));
            writeln!(out, "{} {} {}: {}", terminal(&time(&line["at"])), field("incident"), field("event"), field("text"))?;
        }
        // Who reads along wants each line now.
        Ok(out.flush()?)
    })?;
    Ok(exit::DONE)
}

/// The report file, or where it is gone or may not be read, the same from what the history knows.
fn report(incident: &Value) -> String {
    let file = incident["report"].as_str().and_then(|path| read(Path::new(path)));
    file.unwrap_or_else(|| retold::report(incident))
}

fn read(path: &Path) -> Option<String> {
    // No device and no pipe: reading these could wait for ever.
    let file = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file).and_then(|_| File::open(path).ok())?;
    let mut bytes = Vec::new();
    file.take(REPORT_BYTES).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
#[path = "incidents_tests.rs"]
mod tests;
