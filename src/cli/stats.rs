//! `stats`: how well autoheal does its work. Each number stands beside its definition.

use std::io::Write;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::agent::{Desk, remark};
use super::fields::{list, print, span, text, time};
use super::{Answer, exit, table};
use crate::record::escape::terminal;
use crate::serve::protocol::Request;

/// Options of `stats`.
#[derive(Args, Debug)]
pub struct StatsArgs {
    /// Only incidents of the last 30d, 12h, …; all without it.
    #[arg(long, value_name = "DURATION", value_parser = super::span::parse)]
    since: Option<Duration>,
}

/// Prints the scorecard; also without an agent.
///
/// # Errors
/// When the history cannot be read.
pub fn run(args: &StatsArgs, desk: &Desk, out: &mut dyn Write) -> Answer {
    let (stats, whence) = desk.ask_or_read(&Request::Stats { since_seconds: args.since.map(|since| since.as_secs_f64()) })?;
    if desk.json {
        print(&stats, out)?;
    } else {
        out.write_all(shown(&stats).as_bytes())?;
        remark(whence.as_ref(), out)?;
    }
    Ok(exit::DONE)
}

fn shown(stats: &Value) -> String {
    let since = time(&stats["since"]);
    let over = if since.is_empty() { "all incidents on record".to_owned() } else { format!("incidents since {}", terminal(&since)) };
    let mut text = format!("{over}\n\n{}", numbers(stats));
    for section in [by_status(&stats["by_status"]), most_frequent(&stats["most_frequent"])].into_iter().flatten() {
        text.push('\n');
        text.push_str(&section);
    }
    for section in [recurring(&stats["recurring"]), never_helped(&stats["never_helped"])].into_iter().flatten() {
        text.push('\n');
        text.push_str(&section);
    }
    text
}

/// The definitions are those of `record::stats`.
fn numbers(stats: &Value) -> String {
    let rate = stats["success_rate"].as_f64().map_or("none yet".to_owned(), |rate| format!("{:.1} %", rate * 100.0));
    let row = |name: &str, number: String, meaning: &str| vec![name.to_owned(), number, meaning.to_owned()];
    table::print(
        &["number", "value", "what it is"],
        [
            row("incidents", text(&stats["incidents"]), "all but those that fired during a cooldown (rate_limited)"),
            row("heals", text(&stats["heals"]), "started an action, no dry run, ended resolved, escalated or exhausted"),
            row("held", text(&stats["held"]), "heals that resolved and did not relapse"),
            row("success rate", rate, "held / heals"),
            row("time to detect", spread(&stats["time_to_detect_seconds"]), "from the first bad sample to the detection"),
            row("time to recover", spread(&stats["time_to_recover_seconds"]), "from the detection to the end, of heals that resolved"),
        ],
    )
}

fn spread(of: &Value) -> String {
    match (of["mean"].is_null(), span(&of["mean"]), span(&of["p95"])) {
        (true, _, _) => "none yet".to_owned(),
        (false, mean, p95) => format!("mean {mean}, p95 {p95}"),
    }
}

fn by_status(of: &Value) -> Option<String> {
    let counts: Vec<String> = of.as_object()?.iter().map(|(status, count)| format!("{} {}", terminal(status), text(count))).collect();
    (!counts.is_empty()).then(|| format!("by status: {}\n", counts.join(", ")))
}

fn most_frequent(of: &Value) -> Option<String> {
    let rows: Vec<Vec<String>> =
        list(of).iter().map(|one| vec![text(&one["count"]), text(&one["playbook"]), text(&one["target"])]).collect();
    (!rows.is_empty()).then(|| table::print(&["times", "most frequent", "target"], rows))
}

fn recurring(of: &Value) -> Option<String> {
    let lines = list(of).iter().map(|one| {
        let field = |name: &str| terminal(&text(&one[name]));
        let key = format!("{} {}", field("playbook"), field("target"));
        format!("{} came {} times within {} days: {}\n", key.trim_end(), field("count"), field("days"), field("text"))
    });
    Some(lines.collect()).filter(|lines: &String| !lines.is_empty())
}

fn never_helped(of: &Value) -> Option<String> {
    let lines = list(of).iter().map(|one| {
        let field = |name: &str| terminal(&text(&one[name]));
        format!("{} never helped: none of its {} heals held; change or disable it\n", field("playbook"), field("heals"))
    });
    Some(lines.collect()).filter(|lines: &String| !lines.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::agent::tests::{Played, desk, printed};
    use super::*;
    use crate::record::test_history::test_history;

    #[test]
    fn each_number_stands_beside_its_definition() {
        let text = shown(&json!({
            "since": "2026-10-23T15:00:00.000Z", "incidents": 12, "by_status": {"resolved": 9, "rate_limited": 3}, "heals": 10, "held": 9,
            "success_rate": 0.9, "time_to_detect_seconds": {"mean": 1.2, "p95": 3.0}, "time_to_recover_seconds": {"mean": null, "p95": null},
            "most_frequent": [{"playbook": "disk", "target": "mount=/\u{1b}", "count": 5}],
            "recurring": [{"playbook": "disk", "target": "mount=/data", "count": 5, "days": 7, "text": "find the root cause"}],
            "never_helped": [{"playbook": "web", "heals": 3}],
        }));
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        let has = |wanted: &[&str]| lines.iter().any(|line| wanted.iter().all(|part| line.contains(part)));
        for wanted in [
            &["incidents since 2026-10-23T15:00:00Z"][..],
            &["incidents", "12", "all but"],
            &["heals", "10", "started an action"],
            &["held", "9", "did not relapse"],
            &["success rate", "90.0 %", "held / heals"],
            &["time to detect", "mean 1.2 s, p95 3 s", "first bad sample"],
            &["time to recover", "none yet", "heals that resolved"],
            &["by status: rate_limited 3, resolved 9"],
            &["5", "disk", "mount=/\\u{1b}"],
            &["disk mount=/data came 5 times within 7 days: find the root cause"],
            &["web never helped: none of its 3 heals held"],
        ] {
            assert!(has(wanted), "no {wanted:?} in\n{text}");
        }
    }

    #[test]
    fn the_history_is_enough_and_the_agent_reads_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let all = StatsArgs { since: None };
        let (code, text) = printed(|out| run(&all, &desk(dir.path(), false), out));
        assert!(code == 0 && text.contains("all incidents on record") && text.contains("none yet"), "{text}");
        let agent = Played::saying(Value::Null);
        let incidents = [("7f3kq9zd", "disk", "resolved", "2026-11-22T14:00:00Z")];
        test_history(dir.path(), &incidents);
        test_history(agent.dir.path(), &incidents);
        let from_history = printed(|out| run(&all, &desk(dir.path(), true), out));
        assert_eq!(printed(|out| run(&all, &agent.desk(true), out)), from_history);
        assert_eq!(serde_json::from_str::<Value>(&from_history.1).unwrap()["success_rate"], 1.0);
    }
}
