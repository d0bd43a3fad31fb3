//! `status`: the agent and everything that it knows now, on one screen.

use std::io::{self, Write};

use serde_json::Value;

use super::agent::{Desk, problems};
use super::fields::{amount, list, print, sample, scope, span, text, time};
use super::{Answer, exit, incidents, silence, table};
use crate::clock::Moment;
use crate::record::escape::terminal;
use crate::serve::protocol::Request;

/// Prints what the agent says of itself.
///
/// # Errors
/// When no agent is running.
pub fn run(desk: &Desk, out: &mut dyn Write) -> Answer {
    let status = desk.ask(&Request::Status)?;
    if desk.json {
        print(&status, out)?;
    } else {
        show(&status, Moment::now(), out)?;
    }
    Ok(exit::DONE)
}

fn show(status: &Value, now: Moment, out: &mut dyn Write) -> io::Result<()> {
    agent(status, out)?;
    configuration(&status["config"], out)?;
    let samples: Vec<_> =
        list(&status["targets"]).iter().flat_map(|target| list(&target["samples"])).filter_map(|view| sample(view, now)).collect();
    if samples.is_empty() {
        section("targets", "nothing has been measured yet\n", out)?;
    } else {
        section("targets", &table::samples(&samples, now), out)?;
    }
    match list(&status["incidents"]) {
        [] => section("open incidents", "none\n", out)?,
        open => section("open incidents", &incidents::summaries(open), out)?,
    }
    let breakers = list(&status["breakers"])
        .iter()
        .map(|one| vec![scope(one), text(&one["attempts"]), time(&one["opened_at"]), text(&one["incident"])]);
    section_if("open breakers", &["what", "attempts", "opened", "incident"], breakers.collect(), out)?;
    let cooldowns = list(&status["cooldowns"]).iter().map(|one| vec![scope(one), time(&one["until"])]);
    section_if("cooldowns", &["what", "until"], cooldowns.collect(), out)?;
    if !list(&status["silences"]).is_empty() {
        section("silences", &silence::shown(&status["silences"]), out)?;
    }
    notifications(&status["notifications"], out)?;
    protections(list(&status["protections"]), out)
}

/// Who it is, how long it has run, and whether it acts.
fn agent(status: &Value, out: &mut dyn Write) -> io::Result<()> {
    let field = |name: &str| terminal(&text(&status[name]));
    let healthy = if status["healthy"] == false { "NOT HEALTHY: a loop makes no progress, see its log" } else { "healthy" };
    let (version, host, pid, up) = (field("version"), field("hostname"), field("pid"), span(&status["uptime_seconds"]));
    writeln!(out, "autoheal {version} on {host}, pid {pid}, up {up}, {healthy}")?;
    if status["dry_run"] == true {
        writeln!(out, "dry run: nothing is executed")?;
    }
    let http = Some(field("http")).filter(|http| !http.is_empty()).map(|http| format!(", http on {http}")).unwrap_or_default();
    writeln!(out, "reports and history in {}{http}", field("data_dir"))
}

fn configuration(config: &Value, out: &mut dyn Write) -> io::Result<()> {
    let state = match text(&config["state"]).as_str() {
        "ok" => "as on disk".to_owned(),
        "rejected" => "the files on disk are REFUSED, the configuration before them is in force".to_owned(),
        "last_good" => "the files on disk are REFUSED, the last good copy is in force".to_owned(),
        "default" => "built in".to_owned(),
        other => terminal(other),
    };
    let (loaded, generation) = (terminal(&time(&config["loaded_at"])), terminal(&text(&config["generation"])));
    let playbooks = amount(list(&config["playbooks"]["ids"]).len(), "playbook");
    writeln!(out, "configuration: {state}; generation {generation} since {loaded}, {playbooks}")?;
    for name in ["playbooks", "settings"] {
        let file = text(&config[name]["file"]);
        if !file.is_empty() {
            writeln!(out, "  {name:9} {}", terminal(&file))?;
        }
    }
    problems(&config["problems"], out)
}

/// Only what needs attention is more than one line.
fn notifications(of: &Value, out: &mut dyn Write) -> io::Result<()> {
    let count = |name: &str| of[name].as_u64().unwrap_or(0);
    let ill = |channel: &&Value| !channel["last_error"].is_null() || channel["pending"].as_u64().unwrap_or(0) > 0;
    let channels =
        list(&of["channels"]).iter().filter(ill).map(|one| vec![text(&one["name"]), text(&one["pending"]), text(&one["last_error"])]);
    let channels: Vec<_> = channels.collect();
    writeln!(out, "\nnotifications: {} pending, {} failed", count("pending"), count("failed"))?;
    if channels.is_empty() { Ok(()) } else { out.write_all(table::print(&["channel", "pending", "last error"], channels).as_bytes()) }
}

/// What this host keeps actions from, in one line; what it lacks has a line of its own.
fn protections(all: &[Value], out: &mut dyn Write) -> io::Result<()> {
    let (whole, lacking): (Vec<&Value>, Vec<&Value>) = all.iter().partition(|one| one["state"] == "in_force");
    if !all.is_empty() {
        let names: Vec<String> = whole.iter().map(|one| terminal(&text(&one["name"]))).collect();
        writeln!(out, "protections of actions: {}", if names.is_empty() { "none".to_owned() } else { names.join(", ") })?;
    }
    lacking.into_iter().try_for_each(|one| {
        let field = |name: &str| terminal(&text(&one[name]));
        writeln!(out, "  {} {}: {}", field("name"), field("state").to_uppercase(), field("detail"))
    })
}

fn section_if(title: &str, headings: &[&str], rows: Vec<Vec<String>>, out: &mut dyn Write) -> io::Result<()> {
    if rows.is_empty() { Ok(()) } else { section(title, &table::print(headings, rows), out) }
}

fn section(title: &str, text: &str, out: &mut dyn Write) -> io::Result<()> {
    let bold = anstyle::Style::new().bold();
    write!(out, "\n{bold}{title}{bold:#}\n{text}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::agent::tests::{Played, desk, failed, printed};
    use super::*;

    fn full() -> Value {
        let sample = |metric: &str, labels: Value, value: Value| json!({"metric": metric, "labels": labels, "value": value, "reason": null, "at": "2026-11-22T14:00:00Z", "age_seconds": 0.3, "stale": false});
        let disk = json!({"mount": "/data", "device": "/dev/sda1"});
        json!({
            "version": "0.1.0", "pid": 4711, "hostname": "web-1", "started_at": "2026-11-22T13:00:00Z", "uptime_seconds": 3600.0,
            "dry_run": true, "healthy": true, "config_dir": "/etc/autoheal", "data_dir": "/var/lib/autoheal", "http": "127.0.0.1:7433",
            "config": {"state": "rejected", "loaded_at": "2026-11-22T13:00:00.5Z", "generation": 3,
                "playbooks": {"file": "/etc/autoheal/autoheal-playbooks.json", "ids": ["disk", "web"], "sha256": "x"},
                "settings": {"file": "/etc/autoheal/autoheal.json", "sha256": "x"},
                "problems": [{"severity": "error", "file": "/etc/autoheal/autoheal.json", "line": 3, "column": 5, "path": "$.wacth",
                    "code": "unknown_key", "message": "unknown key", "found": null, "allowed": [], "suggestion": null}]},
            "targets": [{"collector": "disk", "labels": disk, "samples": [
                sample("disk_usage", disk.clone(), json!(96.2)), sample("disk_free_mb", disk, json!(120.0))]},
                {"collector": "latency", "labels": {"endpoint": "shop"}, "samples": [sample("api_latency_ms", json!({"endpoint": "sh\u{1b}op"}), json!("infinite"))]}],
            "incidents": [{"id": "7f3kq9zd", "playbook": "disk", "severity": "critical", "status": "acting", "target": "mount=/data",
                "detected_at": "2026-11-22T14:00:00Z", "time_to_recover_seconds": null, "dry_run": true}],
            "breakers": [{"playbook": "web", "labels": {"process_name": "web"}, "attempts": 3, "opened_at": "2026-11-22T13:30:00Z", "incident": "9aaaaaaa"}],
            "cooldowns": [{"playbook": "disk", "labels": {"mount": "/"}, "until": "2026-11-22T14:05:00Z"}],
            "silences": [{"id": "ab12", "playbook": null, "labels": {}, "until": "2026-11-22T16:00:00Z", "reason": "backup", "by": "root"}],
            "notifications": {"pending": 2, "failed": 1, "channels": [{"name": "slack", "pending": 2, "last_error": "503"}, {"name": "log", "pending": 0, "last_error": null}]},
            "protections": [{"name": "no_new_privileges", "state": "in_force", "detail": "x"}, {"name": "landlock", "state": "missing", "detail": "an old ker\u{1b}nel"}],
        })
    }

    #[test]
    fn everything_is_on_one_screen() {
        let agent = Played::saying(full());
        let (code, text) = printed(|out| run(&agent.desk(false), out));
        assert_eq!((code, agent.asked()), (0, Request::Status));
        let lines: Vec<&str> = text.lines().collect();
        let has = |wanted: &[&str]| lines.iter().any(|line| wanted.iter().all(|part| line.contains(part)));
        for wanted in [
            &["autoheal 0.1.0 on web-1, pid 4711, up 1 h, healthy"][..],
            &["dry run: nothing is executed"],
            &["/var/lib/autoheal, http on 127.0.0.1:7433"],
            &["REFUSED", "generation 3 since 2026-11-22T13:00:00Z, 2 playbooks"],
            &["playbooks /etc/autoheal/autoheal-playbooks.json"],
            &["/etc/autoheal/autoheal.json:3:5: error: $.wacth: unknown key"],
            &["disk mount=/data", "disk_usage", "96.2 %"],
            &["disk_free_mb", "120 MiB"],
            &["latency endpoint=sh\\u{1b}op", "infinite"],
            &["7f3kq9zd", "acting", "critical", "disk", "mount=/data", "dry_run"],
            &["web process_name=web", "3", "2026-11-22T13:30:00Z", "9aaaaaaa"],
            &["disk mount=/", "2026-11-22T14:05:00Z"],
            &["ab12", "everything", "backup"],
            &["notifications: 2 pending, 1 failed"],
            &["slack", "503"],
            &["protections of actions: no_new_privileges"],
            &["landlock MISSING: an old ker\\u{1b}nel"],
        ] {
            assert!(has(wanted), "no {wanted:?} in\n{text}");
        }
        assert!(!has(&["log", "0"]), "a channel that is well needs no line:\n{text}");
        let (_, text) = printed(|out| run(&agent.desk(true), out));
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), full(), "as received");
    }

    #[test]
    fn a_quiet_agent_is_a_short_status_and_an_older_one_no_panic() {
        let mut quiet = full();
        for name in ["breakers", "cooldowns", "silences", "incidents", "targets"] {
            quiet[name] = json!([]);
        }
        quiet["config"]["playbooks"]["ids"] = json!(["disk"]);
        let agent = Played::saying(quiet);
        let (_, text) = printed(|out| run(&agent.desk(false), out));
        assert!(text.contains(", 1 playbook\n"), "{text}");
        assert!(text.contains("open incidents\nnone\n") && !text.contains("breakers") && !text.contains("silences"), "{text}");
        for odd in [json!({}), json!([]), json!("x"), json!({"targets": [{"samples": [{"metric": "of_the_future"}]}], "config": 3})] {
            let agent = Played::saying(odd);
            assert_eq!(printed(|out| run(&agent.desk(false), out)).0, 0);
        }
    }

    #[test]
    fn without_an_agent_there_is_no_status() {
        let dir = tempfile::tempdir().unwrap();
        let (code, word, _) = failed(run(&desk(dir.path(), true), &mut Vec::new()));
        assert_eq!((code, word.as_str()), (3, "no_agent"));
    }
}
