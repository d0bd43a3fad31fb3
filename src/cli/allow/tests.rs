//! `allow …` as somebody types it, with its output and its exit code.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Parser;
use serde_json::{Value, json};

use super::*;
use crate::config::settings::Watch;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    allow: AllowArgs,
    #[arg(long, global = true)]
    json: bool,
}

fn settings() -> Settings {
    Settings {
        dry_run: false,
        interval: Duration::from_secs(30),
        watch: Watch::default(),
        allowed_commands: shipped(),
        command_path: vec!["/usr/bin".into(), "/bin".into()],
        services: BTreeMap::new(),
        max_actions_per_hour: 60,
        silences: Vec::new(),
        history: Default::default(),
    }
}

fn allow(words: &[&str], input: &str) -> (u8, String, String) {
    let cli = Cli::try_parse_from(std::iter::once("allow").chain(words.iter().copied())).unwrap();
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    let mut streams = Streams { input: &mut input.as_bytes(), out: &mut out, errors: &mut errors };
    let code = run(&cli.allow, &settings(), cli.json, &mut streams).unwrap();
    (code, String::from_utf8(out).unwrap(), String::from_utf8(errors).unwrap())
}

fn batch(words: &[&str], lines: &[Value]) -> Vec<Value> {
    let input: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let (code, out, _) = allow(&[&["test", "--batch"], words].concat(), &input);
    assert_eq!(code, 0);
    let replies: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(replies.len(), lines.len());
    replies
}

#[test]
fn an_allowed_command_shows_words_rule_and_argv() {
    let (code, out, _) = allow(&["test", "find /tmp -name '*.bak' -mtime +7 -delete"], "");
    assert_eq!(code, 0);
    assert!(out.starts_with("allowed by  find {path:/tmp|/var/log}"), "{out}");
    assert!(out.contains("words       find  /tmp  -name  '*.bak'  -mtime  +7  -delete\n"), "{out}");
    let (code, out, _) = allow(&["test", "redis-cli FLUSHALL"], "");
    assert_eq!(code, 0);
    assert!(out.contains("waits for a yes"), "{out}");
    let (_, out, _) = allow(&["test", "ps aux | sort -nrk 4 | head -5"], "");
    assert!(out.contains("would run   /bin/sh -c 'ps aux | sort -nrk 4 | head -5'\n"), "{out}");
}

#[test]
fn a_refused_command_has_a_caret_and_the_nearest_rule() {
    let (code, out, _) = allow(&["test", "nginx -s reload -c /x"], "");
    assert_eq!(code, 4);
    assert_eq!(
        out,
        "refused: \"-c\" is not what the rule expects there: nothing more\n    nginx -s reload -c /x\n                    ^^\nnearest rule: nginx -s {one:reload|reopen}\n"
    );
    let (code, out, _) = allow(&["test", "nginx\u{1b}[2J -s \u{202e}x"], "");
    assert_eq!(code, 4);
    assert!(!out.contains(['\u{1b}', '\u{202e}']) && out.contains("\\u{1b}"), "{out}");
    let (_, out, _) = allow(&["test", "a && b"], "");
    assert!(out.contains("write instead: a\nwrite instead: b\n"), "{out}");
}

#[test]
fn labels_fill_placeholders() {
    let template = "systemctl restart {process_name}";
    assert_eq!(allow(&["test", template], "").0, 0);
    let (code, out, _) = allow(&["test", template, "--label", "process_name=web", "--json"], "");
    let reply: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &reply["verdict"], &reply["argv"]), (0, &json!("allow"), &json!(["systemctl", "restart", "web"])));
    let (code, out, _) = allow(&["test", template, "--label", "process_name=web --now", "--json"], "");
    let reply: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &reply["verdict"], &reply["argv"]), (4, &json!("refuse"), &Value::Null));
}

#[test]
fn wrong_usage_is_told_apart() {
    for words in
        [&["test"][..], &["test", "--batch", "x"], &["test", "x", "--label", "y"], &["test", "x", "--manager", "upstart"], &["frobnicate"]]
    {
        let error = Cli::try_parse_from(std::iter::once("allow").chain(words.iter().copied())).err().unwrap();
        assert_eq!(error.exit_code(), 2, "{words:?}");
    }
}

#[test]
fn a_rule_is_proposed() {
    let (code, out, _) = allow(&["suggest", "docker restart {process_name}"], "");
    assert_eq!(code, 0);
    assert!(out.starts_with("add to allowed_commands, if this may always run:\n    \"docker restart {name}\"\n"), "{out}");
    let (code, out, _) = allow(&["suggest", "nginx -s reload"], "");
    assert_eq!(code, 0);
    assert!(out.starts_with("no rule is needed\nallowed by  nginx"), "{out}");
    let (code, out, _) = allow(&["suggest", "find /tmp -delete"], "");
    assert_eq!(code, 4);
    assert!(out.starts_with("refused: no rule can allow it: find"), "{out}");
    let (_, out, _) = allow(&["suggest", "no-such-tool {path}", "--label", "path=/srv/a/b.log", "--json"], "");
    let reply: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(reply["rule"], "no-such-tool {file:/srv/a}");
    assert!(reply["notes"][0].as_str().unwrap().contains("not found on command_path"), "{out}");
}

/// Another reader of the line could take the other one, or a key for something that it is not here.
#[test]
fn a_line_that_could_mean_two_things_is_refused() {
    for (line, says) in [
        (r#"{"command": "id", "command": "nginx -s reload"}"#, "stands twice"),
        (r#"{"command": "systemctl restart {x}", "labels": {"x": "a", "x": "b"}}"#, "stands twice"),
        (r#"{"action": {"type": "shell", "command": "id", "command": "nginx -s reload"}}"#, "stands twice"),
        (r#"{"action": {"type": "shell", "command": "nginx -s reload", "env": {"PATH": "/tmp"}}}"#, "unknown key"),
        (r#"{"action": {"type": "delete_files", "directory": "/tmp", "name": "../*"}}"#, "holds no /"),
        (r#"{"command": "nginx -s reload", "action": {"type": "shell", "command": "nginx -s reload"}}"#, "either command or action"),
        (r#"{"command": "nginx -s \ud800reload"}"#, "not JSON"),
        (r#"{"command": "nginx -s reload\u003bid"}"#, "shell operator"),
        (r#"{"command": "nginx -s reload\u0000"}"#, "has no place"),
        (r#"{"command": "nginx -s reload"} {"command": "id"}"#, "not JSON"),
        (r#"{'command': 'nginx -s reload'}"#, "not JSON"),
        (r#"{"command": "nginx -s reload", // x"#, "not JSON"),
        (r#"{"Command": "nginx -s reload"}"#, "either command or action"),
        (r#"{"command": "systemctl restart {x}", "labels": {"x": ["web"]}}"#, "is no text"),
        (r#"{"command": "systemctl restart {x}", "labels": {"x": null}}"#, "is no text"),
    ] {
        let (_, out, _) = allow(&["test", "--batch"], line);
        let reply: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(reply["verdict"], "refuse", "{line}");
        assert!(reply["reason"].as_str().unwrap().contains(says), "{line}: {out}");
    }
    // What is missing for a load is no matter of the guard, and what else stands in the line says nothing.
    let line = json!({"action": {"type": "delete_files", "directory": "/tmp"}, "why": "x"});
    assert_eq!(batch(&[], &[line])[0]["verdict"], "allow");
}

#[test]
fn a_batch_answers_every_line_in_order() {
    let input = "{\"command\": \"nginx -s reload\"}\nnonsense\n\n{\"labels\": {}}\n[1]\n{\"command\": 5}\n{\"command\": \"nginx -s stop\"}";
    let (code, out, _) = allow(&["test", "--batch"], input);
    let replies: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((code, replies.len()), (0, 7));
    let reasons: Vec<&str> = replies.iter().map(|reply| reply["reason"].as_str().unwrap_or("allowed")).collect();
    for (reason, start) in reasons.iter().zip([
        "allowed",
        "not JSON: ",
        "not JSON: ",
        "not a request: ",
        "not a request: ",
        "not a request: ",
        "\"stop\" is not",
    ]) {
        assert!(reason.starts_with(start), "{reason}");
    }
    assert_eq!(replies[0]["rule"], "nginx -s {one:reload|reopen}");
    assert_eq!((&replies[0]["shell"], &replies[0]["requires_approval"]), (&json!(false), &json!(false)));
}

#[test]
fn a_batch_takes_actions_and_labels() {
    let restart = json!({"action": {"type": "service_restart", "service": "{process_name}", "timeout_seconds": 5}, "labels": {"process_name": "web"}});
    for (manager, argv) in [("systemd", json!(["systemctl", "restart", "web"])), ("brew", json!(["brew", "services", "restart", "web"]))] {
        assert_eq!(batch(&["--manager", manager], std::slice::from_ref(&restart))[0]["argv"], argv);
    }
    let launchd = batch(&["--manager", "launchd"], &[json!({"action": {"type": "service_restart", "service": "org.x"}})]);
    assert_eq!(launchd[0]["argv"].as_array().unwrap()[..3], ["launchctl", "kickstart", "-k"]);
    let replies = batch(
        &[],
        &[
            json!({"action": {"type": "delete_files", "directory": "/tmp", "older_than_days": 7}}),
            json!({"action": {"type": "http", "url": "http://localhost:8080/admin/reset-pool"}}),
            json!({"action": {"type": "archive_log", "path": "{path}"}, "labels": {"path": "/var/log/x.log"}}),
            json!({"action": {"type": "signal_process", "process": "java", "signal": "HUP"}}),
            json!({"action": {"type": "top_processes", "by": "memory"}}),
            json!({"action": {"type": "shell", "command": "docker system prune -f --filter until={hours}h"}, "labels": {"hours": 168}}),
            json!({"action": {"type": "delete_files"}}),
            json!({"action": {"type": "reboot"}}),
            json!({"command": "systemctl restart {process_name}", "labels": {}}),
            json!({"command": "nginx -s reload", "labels": {"process_name": "; reboot"}}),
            json!({"command": "a && b"}),
        ],
    );
    let argv: Vec<String> = replies
        .iter()
        .map(|reply| {
            reply["argv"]
                .as_array()
                .map_or(String::new(), |words| words.iter().map(|word| word.as_str().unwrap()).collect::<Vec<_>>().join(" "))
        })
        .collect();
    assert_eq!(
        argv,
        [
            "delete_files /tmp",
            "http POST http://localhost:8080/admin/reset-pool",
            "archive_log /var/log/x.log",
            "signal_process java HUP",
            "top_processes",
            "docker system prune -f --filter until=168h",
            "",
            "",
            "",
            "nginx -s reload",
            "",
        ]
    );
    assert_eq!(replies[3]["requires_approval"], true);
    assert_eq!(replies[10]["suggestion"], json!(["a", "b"]));
}

#[test]
fn rules_of_a_file_replace_the_settings() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rules");
    std::fs::write(&file, "# comment\n\nsvc restart {name}\nexact:  echo  a | cat\nfoo {bar}\ntool {re:.*}\n").unwrap();
    let file = file.to_str().unwrap();
    let (code, _, errors) = allow(&["test", "svc restart x", "--rules", file], "");
    assert_eq!(code, 0);
    assert!(errors.contains(":5: error: there is no slot {bar}"), "{errors}");
    assert!(errors.contains(":6: warning: "), "{errors}");
    assert_eq!(allow(&["test", "echo  a | cat", "--rules", file], "").0, 0);
    assert_eq!(allow(&["test", "echo a | cat", "--rules", file], "").0, 4);
    assert_eq!(allow(&["test", "nginx -s reload", "--rules", file], "").0, 4);
    let (_, out, _) = allow(&["list", "--rules", file, "--json"], "");
    let list: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(list["rules"].as_array().unwrap().len(), 3);
    assert_eq!(
        list["rules"][2],
        json!({"rule": "tool {re:.*}", "source": format!("{file}:6"), "wide": true, "requires_approval": false, "run_as": null, "note": null})
    );
    let cli = Cli::try_parse_from(["allow", "list", "--rules", "/no/such/file"]).unwrap();
    let mut streams = Streams { input: &mut io::empty(), out: &mut Vec::new(), errors: &mut Vec::new() };
    assert!(
        run(&cli.allow, &settings(), false, &mut streams).unwrap_err().to_string().contains("cannot read the rules file /no/such/file")
    );
}

#[test]
fn the_list_names_sources_and_marks() {
    let (code, out, _) = allow(&["list"], "");
    assert_eq!(code, 0);
    assert!(out.starts_with("shipped\n  find "), "{out}");
    assert!(out.contains("  redis-cli FLUSHALL\n      waits for a yes; empties every database\n"), "{out}");
    assert!(!out.contains("WIDE"));
}
