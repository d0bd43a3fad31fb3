//! The program from outside: exit codes, what goes to which stream, and the shapes of `--json`. Real files, real processes,
//! nothing but loopback; for any user, in any temporary directory.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::lab::{Lab, command, said};

fn big(actions: &Value) -> Value {
    json!({"condition": "log_file_size_mb > 1", "actions": actions, "verify": {"metric": "log_file_size_mb", "operator": "<", "threshold": 1, "retry_count": 0}})
}

fn shell(command: &str) -> Value {
    json!({"type": "shell", "command": command})
}

/// What is tried in most of the tests.
fn playbooks(lab: &str) -> Value {
    let healing = shell(&format!("truncate -s 0 {lab}/big.log"));
    json!({
        "heals": big(&json!([healing])),
        "fails": big(&json!([shell("false"), shell("true")])),
        "unproven": big(&json!([shell("true")])),
        "tells": big(&json!([])),
        "dry": {"condition": "log_file_size_mb > 1", "actions": [healing], "dry_run": true},
        "asks": {"condition": "log_file_size_mb > 1", "actions": [healing], "requires_approval": true, "approval_timeout_seconds": 0.1},
        "well": {"condition": {"metric": "log_file_size_mb", "operator": ">", "threshold": 100, "where": {"path": "*/**/big.log"}}, "actions": [shell("true")]},
        "unseen": {"condition": {"metric": "log_file_size_mb", "operator": ">", "threshold": 1, "where": {"path": format!("{lab}/never.log")}}, "actions": [shell("true")]},
    })
}

fn healing_lab() -> Lab {
    let lab = Lab::new(&json!({}));
    lab.write("autoheal-playbooks.json", &playbooks(&lab.dir.path().display().to_string()).to_string());
    lab
}

#[test]
fn exit_codes_are_those_of_the_contract() {
    let lab = healing_lab();
    #[track_caller]
    fn check(lab: &Lab, arguments: &[&str], code: i32, text: &str) {
        let (found, out, err) = lab.run(arguments);
        assert!(found == code && (out.contains(text) || err.contains(text)), "{arguments:?} ended with {found}:\n{out}{err}");
    }
    check(&lab, &["--help"], 0, "Usage: autoheal");
    check(&lab, &["--version"], 0, env!("CARGO_PKG_VERSION"));
    for command in ["run", "check", "probe", "heal", "match", "allow"] {
        check(&lab, &[command, "--help"], 0, "Example");
    }
    check(&lab, &["no-such-command"], 2, "no-such-command");
    check(&lab, &["--no-such-option"], 2, "--no-such-option");
    check(&lab, &["probe", "disk_usag"], 2, "did you mean disk_usage?");
    check(&lab, &["match"], 2, "NAME");
    check(&lab, &["match", "no-such-entry"], 2, "autoheal-test-no-such-process");
    check(&lab, &["match", "--pattern", "("], 2, "unclosed");
    check(&lab, &["heal"], 2, "PLAYBOOK");
    check(&lab, &["heal", "heals", "--label", "path"], 2, "NAME=VALUE");
    check(&lab, &["allow"], 2, "Usage");
    check(&lab, &["allow", "test"], 2, "COMMAND");
    check(&lab, &["check"], 0, "heals");
    check(&lab, &["check", "--strict"], 1, "no channel reaches a person");
    check(&lab, &["check", "--playbooks", "/no/such/file"], 1, "/no/such/file");
    check(&lab, &["probe"], 0, "log_file_size_mb");
    check(&lab, &["probe", "api_status"], 1, "nothing of this kind is watched");
    check(&lab, &["match", "autoheal-test-no-such-process"], 0, "no live process");
    check(&lab, &["allow", "list"], 0, "sleep {int}");
    check(&lab, &["allow", "test", "sleep 1"], 0, "sleep {int}");
    check(&lab, &["allow", "test", "sleep 1 && true"], 4, "write two actions");
    check(&lab, &["heal", "no-such-playbook"], 1, "no-such-playbook");
    check(&lab, &["heal", "heals", "--label", "path=/none", "--force"], 1, "no watched target");
    fs::remove_file(lab.path("autoheal-playbooks.json")).unwrap();
    check(&lab, &["run"], 1, "autoheal-playbooks.json:1:1: error: $: no such file");
}

#[test]
fn errors_are_json_where_json_is_asked_for() {
    let lab = healing_lab();
    #[track_caller]
    fn check(lab: &Lab, arguments: &[&str], code: i32, word: &str, text: &str) {
        let (found, answer) = lab.json(arguments);
        let error = &answer["error"];
        assert!(found == code && error["code"] == word && error["message"].as_str().unwrap().contains(text), "{found}: {answer}");
    }
    check(&lab, &["no-such-command"], 2, "usage", "unrecognized subcommand");
    check(&lab, &["heal"], 2, "usage", "required arguments");
    check(&lab, &["allow"], 2, "usage", "a command is missing");
    check(&lab, &["match", "no-such-entry"], 2, "usage", "no-such-entry");
    check(&lab, &["heal", "no-such-playbook"], 1, "no_playbook", "heals");
    check(&lab, &["heal", "unseen"], 1, "unknown", "no such file");
    check(&lab, &["heal", "heals", "--force", "--label", "path=/none"], 1, "no_target", "heals");
    lab.write("autoheal.json", "{");
    check(&lab, &["probe"], 1, "config", "autoheal.json:1:");
}

#[test]
fn check_says_where_a_mistake_is() {
    let lab = Lab::new(&json!({}));
    lab.write("autoheal-playbooks.json", "{\n  \"web\": {\n    \"condtion\": \"disk_usage > 90\",\n    \"actions\": []\n  }\n}\n");
    let file = lab.path("autoheal-playbooks.json").display().to_string();
    let (code, out, _) = lab.run(&["check"]);
    assert_eq!(code, 1);
    assert!(out.contains(&format!("{file}:3:5: error: $.web.condtion: unknown key")), "{out}");
    let (code, answer) = lab.json(&["check"]);
    assert_eq!((code, &answer["ok"]), (1, &json!(false)));
    let errors = || answer["problems"].as_array().unwrap().iter().filter(|problem| problem["severity"] == "error");
    assert_eq!(answer["errors"], json!(errors().count()));
    let misspelt = errors().find(|problem| problem["path"] == "$.web.condtion").unwrap();
    assert_eq!((&misspelt["file"], &misspelt["line"], &misspelt["column"]), (&json!(file), &json!(3), &json!(5)));
    assert!(misspelt["suggestion"].as_str().unwrap().contains("condition"), "{misspelt}");
    for key in ["code", "message", "found", "allowed"] {
        assert!(misspelt.get(key).is_some(), "{key} is missing: {misspelt}");
    }
}

#[test]
fn what_is_printed_has_the_documented_shape() {
    let lab = healing_lab();
    #[track_caller]
    fn keys(value: &Value, wanted: &[&str]) {
        let missing: Vec<_> = wanted.iter().filter(|key| value.get(**key).is_none()).collect();
        assert!(missing.is_empty(), "{missing:?} is missing in {value}");
    }
    let (_, probed) = lab.json(&["probe", "log_file_size_mb"]);
    keys(&probed, &["samples", "took_seconds"]);
    let sample = |name: &str| probed["samples"].as_array().unwrap().iter().find(|s| s["labels"]["path"] == json!(lab.path(name))).unwrap();
    keys(sample("big.log"), &["metric", "labels", "value", "reason", "at", "age_seconds", "stale"]);
    assert_eq!((&sample("big.log")["value"], &sample("big.log")["reason"]), (&json!(2.0), &Value::Null));
    assert_eq!((&sample("never.log")["value"], &sample("never.log")["reason"]), (&Value::Null, &json!("no such file")));

    let (_, checked) = lab.json(&["check"]);
    assert_eq!((&checked["ok"], &checked["errors"]), (&json!(true), &json!(0)));
    let heals = checked["playbooks"].as_array().unwrap().iter().find(|playbook| playbook["id"] == "heals").unwrap();
    keys(heals, &["id", "enabled", "fires_when", "targets", "actions", "proven_by"]);
    keys(&heals["actions"][0], &["argv", "rule", "text"]);
    assert!(heals["targets"].as_array().unwrap().contains(&json!({"path": lab.path("big.log")})), "{heals}");

    // Somebody else may be called the same; ours must be among them.
    let mut child = command("sleep").arg("86399").spawn().unwrap();
    let (code, matched) = lab.json(&["match", "--pattern", "^sleep 86399$"]);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(code, 0);
    keys(&matched, &["name"]);
    let own = matched["matches"].as_array().unwrap().iter().find(|found| found["pid"] == json!(child.id())).unwrap();
    keys(own, &["pid", "exe", "command_line", "user", "started_at", "why"]);
    assert_eq!(lab.json(&["match", "autoheal-test-no-such-process"]).1["matches"], json!([]));

    let (_, list) = lab.json(&["allow", "list"]);
    keys(&list["rules"][0], &["rule", "source", "wide", "requires_approval", "run_as", "note"]);
    assert_eq!(list["rules"].as_array().unwrap().len(), 5, "without @shipped the list is the settings' own: {list}");
    for (text, code, verdict) in [("sleep 5", 0, "allow"), ("sleep x", 4, "refuse")] {
        let (found, answer) = lab.json(&["allow", "test", text]);
        assert_eq!((found, &answer["verdict"]), (code, &json!(verdict)));
        keys(&answer, &["argv", "shell", "rule", "reason", "requires_approval"]);
    }
}

#[test]
fn a_batch_is_answered_line_by_line() {
    let lab = healing_lab();
    let mut child = lab.autoheal(&["allow", "test", "--batch"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"{\"command\": \"true\"}\nrubbish\n{\"command\": \"a && b\"}\n").unwrap();
    let (code, out, _) = said(child.wait_with_output().unwrap());
    let answers: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((code, answers.len()), (0, 3), "{out}");
    assert_eq!(answers[0]["verdict"], "allow");
    assert!(answers[1]["reason"].as_str().unwrap().starts_with("not JSON: "), "{out}");
    assert_eq!(answers[2]["suggestion"], json!(["a", "b"]));
}

#[test]
fn a_heal_by_hand_ends_with_its_code_and_its_incident() {
    let lab = healing_lab();
    #[track_caller]
    fn check(lab: &Lab, arguments: &[&str], code: i32, status: &str, action: impl Into<Value>) -> Value {
        let (found, out, err) = lab.run(&[&["--json", "heal"], arguments].concat());
        let mut lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let incident = lines.pop().expect("a last line")["incident"].take();
        assert_eq!((found, &incident["status"]), (code, &json!(status)), "{arguments:?}:\n{out}{err}");
        assert_eq!(incident["actions"][0]["status"], action.into(), "{out}");
        let of_this = |line: &Value| line["incident"] == incident["id"] && line["at"].is_string() && line["text"].is_string();
        assert!(lines.iter().all(of_this), "{out}");
        assert_eq!((&lines[0]["event"], &lines[lines.len() - 1]["event"]), (&json!("opened"), &json!(status)), "{out}");
        let report = fs::read_to_string(incident["report"].as_str().unwrap()).unwrap();
        assert!(report.contains(&format!("# Incident {}", incident["id"].as_str().unwrap())) && report.contains(status), "{report}");
        incident
    }
    let target = format!("path={}", lab.path("big.log").display());
    let incident = check(&lab, &["dry"], 0, "dry_run", "dry_run");
    assert_eq!((&incident["target"], &incident["source"], &incident["dry_run"]), (&json!(target), &json!("cli"), &json!(true)));
    check(&lab, &["heals", "--dry-run"], 0, "dry_run", "dry_run");
    let incident = check(&lab, &["fails"], 1, "escalated", "failed");
    assert_eq!((&incident["actions"][0]["exit_code"], &incident["actions"][1]["status"]), (&json!(1), &json!("not_run")));
    check(&lab, &["unproven", "--label", &target], 1, "escalated", "success");
    check(&lab, &["asks"], 1, "denied", "denied");
    check(&lab, &["well"], 0, "cleared", "not_run");
    check(&lab, &["well", "--force", "--label", &target], 0, "resolved", "success");
    check(&lab, &["tells"], 1, "escalated", Value::Null);
}

#[test]
fn root_keeps_no_state_where_others_can_swap_it() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let lab = healing_lab();
    let data = lab.path("data");
    fs::create_dir_all(&data).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o777)).unwrap();
    let (code, _, said) = lab.run(&["heal", "heals"]);
    assert!(code == 1 && said.contains("chmod o-w"), "{said}");
    std::os::unix::fs::chown(&data, Some(65534), None).unwrap();
    let (code, _, said) = lab.run(&["heal", "heals"]);
    assert!(code == 1 && said.contains("chown root"), "{said}");
}

#[test]
fn a_heal_by_hand_is_told_as_it_happens() {
    let lab = healing_lab();
    let (code, out, _) = lab.run(&["heal", "heals"]);
    assert!(code == 0 && out.contains(" resolved: ") && out.contains("\nreport: "), "{out}");
    assert_eq!(fs::metadata(lab.path("big.log")).unwrap().len(), 0);
    let (code, _, said) = lab.run(&["heal", "heals", "--label", "path=/none"]);
    assert!(code == 1 && said.contains("no watched target"), "a typo in a label is no success: {said}");
}

#[cfg(target_os = "linux")]
#[test]
fn an_action_begins_with_no_signal_blocked() {
    let lab = Lab::new(&json!({"look": big(&json!([shell("grep -h Sig /proc/self/status")]))}));
    let (_, out, _) = lab.run(&["--json", "heal", "look"]);
    let last: Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    let signals = last["incident"]["actions"][0]["output"].as_str().unwrap();
    assert!(signals.contains("SigBlk:\t0000000000000000"), "a service started like this never hears SIGTERM: {signals}");
}

#[test]
fn an_agent_says_that_it_is_ready_keeps_others_out_and_stops_cleanly() {
    let lab = Lab::new(&json!({"waits": {"condition": "log_file_size_mb > 1", "actions": [shell("sleep 1")]}}));
    let mut agent = lab.agent();
    let (config, data) = (lab.dir.path().display().to_string(), lab.path("data").display().to_string());
    for word in [env!("CARGO_PKG_VERSION"), &config, &data, "playbooks=1", "targets=3"] {
        assert!(agent.ready.contains(word), "no {word} in {}", agent.ready);
    }
    let pid = agent.child.id().to_string();
    let (code, _, err) = lab.run(&["run"]);
    assert!(code == 4 && err.contains(&pid), "a second agent ended with {code}: {err}");
    let (code, refused) = lab.json(&["heal", "waits"]);
    assert!(code == 4 && refused["text"].as_str().unwrap().contains("is open"), "the agent does not heal the same twice: {refused}");
    assert_eq!(agent.stop(), 0);
    let mut out = String::new();
    agent.child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    assert_eq!(out, "", "everything that run says is on standard error");
    let report =
        fs::read_dir(lab.path("data")).unwrap().map(|entry| entry.unwrap().path()).find(|path| path.extension().is_some_and(|e| e == "md"));
    let report = fs::read_to_string(report.expect("the report of the heal that was stopped")).unwrap();
    assert!(report.contains("🔄 ") && report.contains("✅ Success (exit 0, 1"), "a running action gets its time to end: {report}");
}

/// How many dead children of the process nobody has asked about.
#[cfg(target_os = "linux")]
fn zombies_of(parent: u32) -> usize {
    let stats = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
    stats.filter(|stat| stat.rsplit_once(") ").is_some_and(|(_, fields)| fields.starts_with(&format!("Z {parent} ")))).count()
}

#[cfg(target_os = "linux")]
#[test]
fn orphans_that_died_during_an_action_do_not_stay() {
    let text = "(true &); (true &); sleep 0.2";
    let lab = Lab::new(&json!({"orphans": big(&json!([shell(text)]))}));
    lab.settings(&json!({"allowed_commands": [format!("exact: {text}")]}));
    let log = fs::File::options().write(true).open(lab.path("big.log")).unwrap();
    log.set_len(0).unwrap();
    let mut agent = lab.agent();
    log.set_len(2 << 20).unwrap();
    agent.wait_for("action_succeeded");
    agent.wait_for("escalated");
    let deadline = std::time::Duration::from_secs(5);
    let begin = autoheal::clock::Moment::now();
    while zombies_of(agent.child.id()) > 0 {
        assert!(autoheal::clock::Moment::now().since(begin) < deadline, "zombies stay");
        std::thread::yield_now();
    }
    assert_eq!(agent.stop(), 0);
}

#[test]
fn a_bad_file_changes_nothing_and_a_good_one_is_loaded() {
    let lab = Lab::new(&json!({}));
    let mut agent = lab.agent();
    lab.write("autoheal-playbooks.json", "{\"new\": {\"actions\": []}}");
    let line = agent.wait_for("configuration refused");
    assert!(line.contains("autoheal-playbooks.json:1:") && line.contains("$.new"), "{line}");
    lab.write("autoheal-playbooks.json", &json!({"new": big(&json!([]))}).to_string());
    assert!(agent.wait_for("configuration loaded").contains("added=new"));
    agent.wait_for("escalated: no action configured");
    lab.settings(&json!({"dry_run": true}));
    assert!(agent.wait_for("configuration loaded").contains("settings=changed"));
    agent.signal(Signal::SIGHUP);
    assert_eq!(agent.stop(), 0);
}

#[test]
fn a_rule_is_proposed_while_the_playbooks_are_refused() {
    let lab = Lab::new(&json!({}));
    let refused = json!({"p": {"condition": "log_file_size_mb > 1", "actions": [shell("redis-cli FLUSHDB")]}});
    lab.write("autoheal-playbooks.json", &refused.to_string());
    assert_eq!(lab.run(&["check"]).0, 1);
    let (code, out, errors) = lab.run(&["allow", "suggest", "redis-cli FLUSHDB"]);
    assert!(code == 0 && out.contains("redis-cli FLUSHDB"), "{code} {out} {errors}");
}
