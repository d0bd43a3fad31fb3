//! The table against the loader: no code is missing, none is too many, and every example is true.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use regex::Regex;

use super::super::{Text, parse, problem::Problem};
use super::*;

/// What examples suppose of the settings.
const SETTINGS: &str = r#"{"watch": {"processes": [{"name": "web", "restartable": true}]}, "services": {"web": {"restart": "true"}}}"#;

impl Example {
    /// All problems of the example, whatever their level.
    fn problems(self, text: &str) -> Vec<Problem> {
        let around = |before: &str, after: &str| (format!("{before}{text}{after}"), SETTINGS.to_owned());
        let (playbooks, settings) = match self.place {
            Place::Playbooks => around("", ""),
            Place::Playbook => around(r#"{"it": "#, "}"),
            Place::Condition => around(r#"{"it": {"condition": "#, r#", "actions": []}}"#),
            Place::Action => around(r#"{"it": {"condition": "disk_usage > 90%", "actions": ["#, "]}}"),
            Place::Settings => ("{}".to_owned(), text.to_owned()),
        };
        parse(&Text::new("p", &playbooks), &Text::new("s", &settings)).map_or_else(|problems| problems, |config| config.remarks)
    }
}

#[test]
fn every_example_has_its_problem_and_is_mended() {
    let mut wrong = Vec::new();
    for code in all() {
        let Some(example) = code.example else { continue };
        let (bad, good) = (example.problems(example.bad), example.problems(example.good));
        // Nothing else may be wrong with it: an example with two errors teaches neither.
        let as_said = bad.iter().any(|problem| problem.code == code.code && problem.severity == code.severity)
            && bad.iter().all(|problem| problem.code == code.code || problem.severity != Level::Error);
        let is_mended = good.iter().all(|problem| problem.code != code.code && problem.severity != Level::Error);
        if !(as_said && is_mended) {
            wrong.push((code.code, bad, good));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Every code that stands in the sources of the loader.
fn used() -> BTreeSet<String> {
    let call = Regex::new(r#"\b(?:error|warning|note|invalid)(?:::<[^>]*>)?\(\s*"([a-z0-9_]+)""#).unwrap();
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() && !path.to_string_lossy().contains("tests") {
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("mod tests {").next().unwrap();
            // `note` of the joins takes a key, not a code.
            found.extend(call.captures_iter(code).map(|one| one[1].to_owned()).filter(|code| !["condition", "verify"].contains(&&**code)));
        }
    }
    found
}

#[test]
fn the_table_has_every_code_that_is_used_and_no_other() {
    let known: BTreeSet<String> = all().map(|code| code.code.to_owned()).collect();
    assert_eq!(all().count(), known.len(), "a code stands twice");
    assert_eq!(known, used());
}

#[test]
fn explanations_are_sentences() {
    for code in all() {
        assert!(code.explanation.ends_with('.') && code.explanation.len() > 40, "{}", code.code);
        assert!(!code.summary.ends_with('.') && code.summary.len() < 70, "{}", code.code);
    }
}

#[test]
fn a_misspelt_code_is_guessed() {
    assert_eq!((nearest("unknown_kee"), nearest("xyzzy")), (Some("unknown_key"), None));
    assert_eq!(find("unknown_key").map(|code| code.severity), Some(Level::Error));
}
