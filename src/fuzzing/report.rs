//! Reports: text from outside never changes what a reader of Markdown, or a terminal, makes of a report.

use std::sync::LazyLock;

use pulldown_cmark::{Event, Options, Parser};

use super::assert_harmless;
use crate::cli::markdown;
use crate::incident::Incident;
use crate::record::report::render;

/// An incident whose texts from outside are all `FOREIGN`.
const INCIDENT: &str = include_str!("../../tests/data/incident.json");

/// A text wherever text from outside can stand in a report.
///
/// # Panics
/// The report has other headings, lists, links, … than with a plain word, or would make a terminal do something.
pub fn report(data: &[u8]) {
    static PLAIN: LazyLock<Vec<String>> = LazyLock::new(|| structure(&with("word")));
    let text = String::from_utf8_lossy(data);
    if text.is_empty() {
        return;
    }
    let report = with(&text);
    assert_eq!(structure(&report), *PLAIN, "{report}");
    assert_harmless(&anstream::adapter::strip_str(&markdown::render(&report)).to_string());
}

fn with(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    let json = INCIDENT.replace("FOREIGN", &quoted[1..quoted.len() - 1]);
    let incident: Incident = serde_json::from_str(&json).expect("a text is a text");
    render(&incident)
}

/// What begins and ends, without the texts: inline code is a text.
fn structure(report: &str) -> Vec<String> {
    let marks = Parser::new_ext(report, Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_FOOTNOTES);
    marks.filter(|event| !matches!(event, Event::Text(_) | Event::Code(_))).map(|event| format!("{event:?}")).collect()
}
