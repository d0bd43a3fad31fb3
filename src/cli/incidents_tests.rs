use std::fs;

use serde_json::json;

use super::super::agent::tests::{Played, desk, failed, printed};
use super::*;
use crate::record::test_history::{name_report, test_history};

const HISTORY: [(&str, &str, &str, &str); 3] = [
    ("7f3kq9zd", "disk", "resolved", "2026-11-22T14:00:00Z"),
    ("7f4abcde", "web", "awaiting_approval", "2026-11-22T14:50:00Z"),
    ("9zzzzzzz", "web", "escalated", "2026-11-22T14:55:00Z"),
];

fn one(id: &str) -> IncidentsArgs {
    IncidentsArgs { id: Some(id.to_owned()), ..IncidentsArgs::default() }
}

#[test]
fn the_list_needs_no_agent_and_is_the_same_with_one() {
    let dir = tempfile::tempdir().unwrap();
    let all = IncidentsArgs::default();
    let nothing = format!("no incidents on record\n(no agent is running, and {} has no history)\n", dir.path().display());
    assert_eq!(printed(|out| run(&all, &desk(dir.path(), false), out)), (0, nothing));
    let agent = Played::saying(Value::Null);
    test_history(dir.path(), &HISTORY);
    test_history(agent.dir.path(), &HISTORY);
    let (code, text) = printed(|out| run(&all, &desk(dir.path(), false), out));
    let lines: Vec<&str> = text.lines().collect();
    let whence = format!("(no agent is running; from the history in {})", dir.path().display());
    assert_eq!((code, lines.len(), lines[4]), (0, 5, whence.as_str()), "{text}");
    assert!(lines[0].starts_with("ID") && lines[1].starts_with("9zzzzzzz  2026-11-22T14:55:00Z  escalated"), "newest first: {text}");
    assert!(lines[3].contains("disk") && lines[3].contains("mount=/data") && lines[3].contains("41 s"), "{text}");
    assert_eq!(printed(|out| run(&all, &agent.desk(false), out)).1, text.replace(&format!("{whence}\n"), ""));
    let (_, text) = printed(|out| run(&IncidentsArgs { open: true, ..all }, &agent.desk(true), out));
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((answer["incidents"].as_array().unwrap().len(), &answer["incidents"][0]["id"]), (1, &json!("7f4abcde")));
    let none = IncidentsArgs { playbook: Some("other".to_owned()), ..IncidentsArgs::default() };
    assert_eq!(printed(|out| run(&none, &agent.desk(false), out)).1, "no such incidents\n");
    assert!(agent.was_not_asked(), "the history answered");
}

#[test]
fn one_incident_is_its_report_file_or_what_the_history_knows() {
    let dir = tempfile::tempdir().unwrap();
    test_history(dir.path(), &HISTORY);
    let (code, text) = printed(|out| run(&one("7f3"), &desk(dir.path(), false), out));
    assert_eq!(code, 0);
    for wanted in [
        "Incident 7f3kq9zd\n",
        "- Type: disk\n- Target: mount=/data\n- Detected: 2026-11-22T14:00:00Z\n",
        "- Trigger: disk_usage > 90 (was 96.2)\n- Status: resolved in 41 s\n",
        "Restart it\n- Command: restart 'web server'\n- Status: success (exit 0, 1.2 s)\n",
        "    freed\n    \\u{1b}[2J1 MiB\n",
        "TIME                  EVENT   WHAT\n2026-11-22T14:00:00Z  opened  disk_usage > 90 (was 96.2)\n",
    ] {
        assert!(text.contains(wanted), "no {wanted:?} in\n{text}");
    }
    // With a file, the file.
    let file = dir.path().join("2026-11-22-7f3kq9zd.md");
    fs::write(&file, "# From the file \u{1b}[2J\n").unwrap();
    name_report(dir.path(), "7f3kq9zd", &file);
    assert_eq!(printed(|out| run(&one("7f3"), &desk(dir.path(), false), out)).1, "From the file \\u{1b}[2J\n");
    let (_, text) = printed(|out| run(&one("7f3"), &desk(dir.path(), true), out));
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["incident"]["id"], "7f3kq9zd");
    assert_eq!(read(Path::new("/dev/zero")), None, "no device is read");
}

#[test]
fn an_id_must_be_of_one_incident() {
    let dir = tempfile::tempdir().unwrap();
    test_history(dir.path(), &HISTORY);
    for (id, word) in [("7f", "ambiguous_id"), ("x", "no_incident")] {
        let (code, found, text) = failed(run(&one(id), &desk(dir.path(), false), &mut Vec::new()));
        assert_eq!((code, found.as_str()), (1, word));
        let says_where = text.contains(&format!("from the history in {}", dir.path().display()));
        assert_eq!(says_where, word == "no_incident", "{text}");
    }
}

#[test]
fn who_follows_reads_a_line_for_each_thing_that_happens() {
    let agent = Played::by(|call| {
        let line = json!({"at": "2026-11-22T14:00:00.123Z", "event": "opened", "text": "x\u{1b}", "incident": "7f3kq9zd"});
        assert!(call.reply.line(line));
        call.reply.ok(Value::Null);
    });
    let args = IncidentsArgs { follow: true, playbook: Some("disk".to_owned()), ..IncidentsArgs::default() };
    let (code, text) = printed(|out| run(&args, &agent.desk(false), out));
    assert_eq!((code, text.as_str()), (0, "2026-11-22T14:00:00Z 7f3kq9zd opened: x\\u{1b}\n"));
    assert_eq!(agent.asked(), Request::Follow { id: None, playbook: Some("disk".to_owned()) });
    let (_, text) = printed(|out| run(&args, &agent.desk(true), out));
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["event"], "opened");
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(failed(run(&args, &desk(dir.path(), false), &mut Vec::new())).0, 3, "only an agent can be followed");
}
