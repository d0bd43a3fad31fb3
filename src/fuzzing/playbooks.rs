//! Both configuration files: problems lie where they say, and what was loaded survives being printed and being saved.

use super::assert_harmless;
use crate::config::playbook::Playbook;
use crate::config::problem::Problem;
use crate::config::source::{Text, Texts, shipped_settings};
use crate::config::{expression, parse, render, words};

/// Between the two files.
const SEPARATOR: &str = "\n---\n";

/// Playbooks, and perhaps settings after a line of three dashes.
///
/// # Panics
/// A problem lies outside of its file, or a playbook that was loaded cannot be read back.
pub fn playbooks(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (playbooks, settings) = match text.split_once(SEPARATOR) {
        Some((playbooks, settings)) => (playbooks, Text::new("settings", settings)),
        None => (text, shipped_settings()),
    };
    let texts = Texts { playbooks: Text::new("playbooks", playbooks), settings };
    let result = parse(&texts.playbooks, &texts.settings);
    let problems = result.as_ref().map_or_else(|problems| problems, |config| &config.remarks);
    for problem in problems {
        let text = texts.of(&problem.file).expect("a problem names one of the two files");
        placed(problem, text);
    }
    assert_harmless(&render(problems, &texts, false));
    for playbook in result.iter().flat_map(|config| &config.playbooks) {
        read_back(playbook);
        assert!(!words::condition(&playbook.condition).is_empty() && !words::proven_by(playbook).is_empty());
    }
}

/// The place is in the text, and line and column are those of its beginning.
fn placed(problem: &Problem, text: &str) {
    assert!(text.get(problem.span.clone()).is_some(), "{problem:?} is outside of the file");
    let before = &text[..problem.span.start];
    let line = before.split('\n').count();
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    assert_eq!((problem.line, problem.column), (line, column), "{problem:?}");
}

/// An incident in flight keeps its playbook over a restart, and people read its conditions.
fn read_back(playbook: &Playbook) {
    let saved = serde_json::to_string(playbook).expect("it is plain data");
    let restored: Playbook = serde_json::from_str(&saved).expect("what was saved can be read");
    assert_eq!(restored, *playbook);
    let proof = playbook.verify.as_ref().map(|verify| &verify.condition);
    for condition in [Some(&playbook.condition), proof].into_iter().flatten() {
        let text = condition.to_string();
        let read = expression::parse(&text).unwrap_or_else(|faults| panic!("{text}: {faults:?}"));
        assert_eq!((&read, read.to_string()), (condition, text));
    }
}
