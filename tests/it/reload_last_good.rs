//! A start on bad files runs the last good ones, says so everywhere, and picks up the next good save.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use autoheal::clock::Moment;
use serde_json::{Value, json};

use crate::lab::Lab;

const BOOKS: &str = "autoheal-playbooks.json";
const SETTINGS: &str = "autoheal.json";

fn book(id: &str) -> Value {
    json!({id: {"condition": "log_file_size_mb > 1000", "actions": []}})
}

/// An agent ran on good files: playbook `first`, settings with an interval of 0.1 s.
fn lab_with_copies() -> Lab {
    let lab = Lab::new(&book("first"));
    let mut agent = lab.agent();
    assert!(agent.ready.contains(" state=ok "), "{}", agent.ready);
    assert_eq!(agent.stop(), 0);
    lab
}

/// The state, the ids of the playbooks and the codes of the errors.
fn status(lab: &Lab) -> (String, Vec<String>, Vec<String>) {
    let (code, status) = lab.json(&["status"]);
    assert_eq!(code, 0, "{status}");
    let texts = |list: &Value| list.as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let problems = status["config"]["problems"].as_array().unwrap().iter();
    let errors = problems.filter(|one| one["severity"] == "error").map(|one| one["code"].as_str().unwrap().to_owned()).collect();
    (status["config"]["state"].as_str().unwrap().to_owned(), texts(&status["config"]["playbooks"]["ids"]), errors)
}

/// The agent's main thread counts what the log says already a moment later.
#[track_caller]
fn becomes(lab: &Lab, state: &str, ids: &[&str], errors: &[&str]) {
    let wanted = (state.to_owned(), strings(ids), strings(errors));
    let begin = Moment::now();
    loop {
        let found = status(lab);
        if found == wanted {
            return;
        }
        assert!(Moment::now().since(begin) < Duration::from_secs(20), "expected {wanted:?}, found {found:?}");
    }
}

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn a_start_on_bad_files_runs_the_last_good_ones() {
    let lab = lab_with_copies();
    for (bad, code) in [("", "file_empty"), ("{\"second\": {", "syntax"), ("{\"second\": {\"actions\": []}}", "missing_key")] {
        lab.write(BOOKS, bad);
        let mut agent = lab.agent();
        assert!(agent.ready.contains(" state=last_good "), "{}", agent.ready);
        assert!(
            agent.seen.iter().any(|line| line.contains("configuration refused, the last good copy is in force") && line.contains(BOOKS))
        );
        becomes(&lab, "last_good", &["first"], &[code]);
        let (_, text, _) = lab.run(&["status"]);
        assert!(text.contains("the last good copy is in force"), "{text}");
        // Another bad save changes nothing, the next good one ends it.
        lab.write(BOOKS, "[]");
        agent.wait_for("configuration refused, the old one stays in force");
        let (_, answer) = lab.json(&["reload"]);
        assert_eq!(answer["ok"], false);
        becomes(&lab, "last_good", &["first"], &["wrong_type"]);
        lab.write(BOOKS, &book("second").to_string());
        assert!(agent.wait_for("configuration loaded").contains("playbooks_added=second playbooks_removed=first"));
        assert_eq!(lab.json(&["reload"]).1["ok"], true);
        becomes(&lab, "ok", &["second"], &[]);
        lab.write(BOOKS, &book("first").to_string());
        agent.wait_for("playbooks_added=first");
        assert_eq!(agent.stop(), 0);
    }
}

#[test]
fn if_one_file_is_bad_at_the_start_the_other_is_loaded() {
    let lab = lab_with_copies();
    lab.write(BOOKS, &book("second").to_string());
    fs::remove_file(lab.path(SETTINGS)).unwrap();
    let mut agent = lab.agent();
    // Without the copy the built-in settings would make a dry run of it.
    assert!(!agent.seen.iter().any(|line| line.contains("dry run")), "{:?}", agent.seen);
    becomes(&lab, "last_good", &["second"], &["file_missing"]);
    assert_eq!(agent.stop(), 0);
    lab.settings(&json!({"dry_run": true}));
    lab.write(BOOKS, "{");
    let mut agent = lab.agent();
    assert!(agent.seen.iter().any(|line| line.contains("dry run")), "the settings on disk are good: {:?}", agent.seen);
    becomes(&lab, "last_good", &["second"], &["syntax"]);
    assert_eq!(agent.stop(), 0);
}

#[test]
fn a_copy_that_was_changed_is_of_no_use() {
    let lab = lab_with_copies();
    let copies = || fs::read_dir(lab.path("data/last-good")).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<PathBuf>>();
    assert_eq!(copies().len(), 3, "{:?}", copies());
    let books = copies().into_iter().find(|path| path.to_string_lossy().ends_with(BOOKS)).unwrap();
    fs::write(books, book("forged").to_string()).unwrap();
    lab.write(BOOKS, "{");
    let (code, _, err) = lab.run(&["run"]);
    assert!(code == 1 && err.contains("SHA-256") && err.contains(&format!("{BOOKS}:1:")), "{code}: {err}");
}

#[test]
fn only_the_agent_keeps_copies() {
    let lab = Lab::new(&book("first"));
    assert_eq!(lab.run(&["check"]).0, 0);
    assert!(!lab.path("data").exists());
    lab.write(BOOKS, "{");
    assert_eq!(lab.run(&["run"]).0, 1);
    assert!(!lab.path("data/last-good").exists(), "bad files are no copies");
}

#[test]
fn a_save_that_loads_says_what_is_doubtful_in_it_once() {
    let lab = Lab::new(&book("first"));
    let mut agent = lab.agent();
    let weak = |id: &str| {
        let verify = json!({"metric": "log_file_size_mb", "operator": "<", "threshold": 2000});
        json!({id: {"condition": "log_file_size_mb > 1000", "actions": [{"type": "notify", "message": "large"}], "verify": verify}})
    };
    // What was said of a playbook is not said again at the next save.
    let mut books = json!({});
    for id in ["second", "third"] {
        books[id] = weak(id)[id].clone();
        lab.write(BOOKS, &books.to_string());
        let line = agent.wait_for("the verification is weaker than the condition");
        assert!(line.contains("WARN") && line.contains(&format!("$.{id}.verify")), "{line}");
    }
    assert_eq!(agent.stop(), 0);
}
