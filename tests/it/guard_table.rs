//! The large table of attacks and legitimate requests (`tests/data/guard/*.jsonl`), asked with the program from outside, and a real
//! shell's reading of what is allowed.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::lab::{Lab, command};

fn table() -> Vec<Value> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/guard");
    let mut files: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let rows = files.iter().flat_map(|file| fs::read_to_string(file).unwrap().lines().map(str::to_owned).collect::<Vec<_>>());
    rows.map(|line| serde_json::from_str(&line).unwrap()).collect()
}

/// The shipped rules and every rule that the table names.
fn all_rules(rows: &[Value]) -> String {
    let own = rows.iter().filter_map(|row| row["rules"].as_array()).flatten().map(|rule| rule.as_str().unwrap().to_owned());
    std::iter::once("@shipped".to_owned()).chain(own).collect::<Vec<_>>().join("\n")
}

/// The replies of `allow test --batch` under these rules.
fn batch(rules: &str, lines: &[Value]) -> Vec<Value> {
    let lab = Lab::new(&json!({}));
    lab.write("rules", rules);
    let mut asking = command(env!("CARGO_BIN_EXE_autoheal"))
        .args(["allow", "test", "--batch", "--manager", "systemd", "--config-dir"])
        .arg(lab.dir.path())
        .arg("--rules")
        .arg(lab.path("rules"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    // Read while writing: both pipes are smaller than the table.
    let mut input = asking.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || input.write_all(text.as_bytes()).unwrap());
        asking.wait_with_output().unwrap()
    });
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_verdict_of_the_table_is_right() {
    let rows = table();
    let replies = batch(&all_rules(&rows), &rows);
    assert_eq!(replies.len(), rows.len());
    let mut counts = [0, 0];
    let mut wrong = Vec::new();
    for (row, reply) in rows.iter().zip(&replies) {
        let attack = row["kind"] == "attack";
        counts[usize::from(attack)] += 1;
        if reply["verdict"] != if attack { "refuse" } else { "allow" } {
            wrong.push(format!("{row}\n    {reply}"));
        }
    }
    println!("{} attacks, {} legitimate requests, {} wrong verdicts", counts[1], counts[0], wrong.len());
    assert!(counts[1] >= 800 && counts[0] >= 250);
    assert!(wrong.is_empty(), "{} wrong verdicts, first of them\n{}", wrong.len(), wrong[..wrong.len().min(200)].join("\n"));
}

/// The words that `/bin/sh` makes of a text. It finds no program but its own, and can write nowhere but into an empty directory.
fn words_of_sh(text: &str) -> Vec<String> {
    let nowhere = tempfile::tempdir().unwrap();
    let output = command("/bin/sh")
        .args(["-c", &format!("printf '%s\\0' {text}")])
        .env_clear()
        .env("PATH", "")
        .current_dir(nowhere.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{text}: {}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(fs::read_dir(nowhere.path()).unwrap().count(), 0, "{text} wrote a file");
    let text = String::from_utf8(output.stdout).unwrap();
    text.strip_suffix('\0').unwrap().split('\0').map(str::to_owned).collect()
}

#[track_caller]
fn agree(texts: &[String], replies: &[Value]) -> usize {
    let mut compared = 0;
    for (text, reply) in texts.iter().zip(replies).filter(|(_, reply)| reply["verdict"] == "allow" && reply["shell"] == false) {
        let argv: Vec<String> = serde_json::from_value(reply["argv"].clone()).unwrap();
        assert_eq!(words_of_sh(text), argv, "{text}");
        compared += 1;
    }
    compared
}

#[test]
fn allowed_commands_have_the_words_that_a_shell_would_make() {
    let rows: Vec<Value> =
        table().into_iter().filter(|row| row["kind"] == "legit" && row["command"].is_string() && row["labels"].is_null()).collect();
    let texts: Vec<String> = rows.iter().map(|row| row["command"].as_str().unwrap().to_owned()).collect();
    assert!(agree(&texts, &batch(&all_rules(&rows), &rows)) >= 250);
}

#[test]
fn whatever_is_accepted_has_the_words_that_a_shell_would_make() {
    let any_words = format!("x {}", r"[{re:(?s).*}] ".repeat(12));
    let mut runner = TestRunner::deterministic();
    let text =
        r#"( {0,2}([a-c=~%,:@^é-]|'|"|\\|'[ -.0-~]{0,4}'|"[ a-c*?;|&<>(){}\[\]#~'\\]{0,4}"|\\[ -.0-~]|[;|&<>()$`!*?\[\]{}#]){1,5}){1,3}"#;
    let texts = proptest::string::string_regex(text).unwrap();
    let texts: Vec<String> = (0..1500).map(|_| format!("x{}", texts.new_tree(&mut runner).unwrap().current())).collect();
    // A placeholder is none to a shell.
    let texts: Vec<String> = texts.into_iter().filter(|text| !text.contains('{')).collect();
    let lines: Vec<Value> = texts.iter().map(|text| json!({"command": text})).collect();
    let compared = agree(&texts, &batch(&any_words, &lines));
    assert!(compared >= 100, "only {compared} of {} texts were accepted", texts.len());
}
