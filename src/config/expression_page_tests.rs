//! `docs/expressions.md`: its examples are read, its grammar is that of the parser, and what it says of mistakes is what `check` says.
//!
//! `AUTOHEAL_REFRESH=1 cargo test --lib expressions_page` writes the table of units and the messages again.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

use super::parse;
use crate::config::condition::sound;
use crate::config::source::{Texts, shipped_settings};
use crate::config::units::units_of;
use crate::config::{Level, Parsed, Text, render};
use crate::detect::condition::Operator;
use crate::metric::METRICS;

const UNITS: &str = "| measured in | units | metrics |\n| --- | --- | --- |\n";

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/expressions.md")
}

fn page() -> String {
    fs::read_to_string(file()).unwrap()
}

/// The text between a heading and the next.
fn section<'p>(page: &'p str, heading: &str) -> &'p str {
    let (_, rest) = page.split_once(&format!("\n## {heading}\n")).unwrap();
    rest.split("\n## ").next().unwrap()
}

/// One line for all metrics with the same units.
fn units() -> String {
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for metric in METRICS.iter().filter(|metric| !metric.is_text()) {
        let names: Vec<String> = units_of(metric).iter().map(|unit| format!("`{}`", unit.name)).collect();
        let line = match names.first() {
            Some(own) => format!("| {own} | {} |", names.join(", ")),
            None => "| a plain number | none |".to_owned(),
        };
        let name = format!("`{}`", metric.name);
        match groups.iter_mut().find(|(other, _)| *other == line) {
            Some((_, metrics)) => metrics.push(name),
            None => groups.push((line, vec![name])),
        }
    }
    groups.iter().fold(UNITS.to_owned(), |mut table, (line, metrics)| {
        writeln!(table, "{line} {} |", metrics.join(", ")).unwrap();
        table
    })
}

/// What `check` says of the line that the block shows.
fn said(block: &str) -> String {
    let line = block.lines().find_map(|line| line.strip_prefix("1 | ")).unwrap();
    let texts = Texts { playbooks: Text::new("autoheal-playbooks.json", line), settings: shipped_settings() };
    let mut problems = Parsed::playbooks(&texts.playbooks).into_problems();
    problems.retain(|problem| problem.severity == Level::Error);
    assert!(!problems.is_empty(), "there is no mistake in {line}");
    format!("text\n{}", render(&problems, &texts, false))
}

/// The page as it should be.
fn refreshed(page: &str) -> String {
    let (before, rest) = page.split_once(UNITS).unwrap();
    let (_, after) = rest.split_once("\n\n").map(|(table, after)| (table, after.to_owned())).unwrap();
    let page = format!("{before}{}\n{after}", units());
    let block = |(index, part): (usize, &str)| if index % 2 == 1 && part.starts_with("text\n") { said(part) } else { part.to_owned() };
    page.split("```").enumerate().map(block).collect::<Vec<_>>().join("```")
}

#[test]
fn the_expressions_page_says_what_the_code_does() {
    let found = page();
    let refreshed = refreshed(&found);
    if env::var_os("AUTOHEAL_REFRESH").is_some() {
        fs::write(file(), &refreshed).unwrap();
    }
    assert!(page() == refreshed, "docs/expressions.md is out of date; refresh it: AUTOHEAL_REFRESH=1 cargo test --lib expressions_page");
}

#[test]
fn the_expressions_page_has_the_grammar_of_the_parser() {
    let page = page();
    let source = include_str!("expression.rs");
    let (_, grammar) = page.split_once("```ebnf\n").unwrap();
    let (grammar, _) = grammar.split_once("```").unwrap();
    let comment: String = grammar.lines().map(|line| format!("//! {line}\n")).collect();
    assert!(source.contains(&comment), "the page and the parser have two grammars");
    assert!(Operator::ALL.iter().all(|operator| grammar.contains(&format!("\"{}\"", operator.symbol()))));
}

#[test]
fn the_examples_of_the_expressions_page_are_conditions() {
    let page = page();
    let examples: Vec<&str> = section(&page, "Examples").lines().filter_map(|line| line.strip_prefix("- `")?.strip_suffix('`')).collect();
    assert!(examples.len() >= 10, "{examples:?}");
    for example in examples {
        let condition = parse(example).unwrap_or_else(|faults| panic!("{example}: {faults:?}"));
        assert!(sound(&condition).is_ok(), "{example}");
        assert_eq!(parse(&condition.to_string()), Ok(condition), "{example}");
    }
}

#[test]
fn the_selectors_of_the_expressions_page_are_tests() {
    let page = page();
    let cells = section(&page, "Selectors").lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let tests: Vec<&str> = cells.collect();
    assert_eq!(tests.len(), 4);
    for test in tests {
        let text = format!("disk_usage{{{test}}} > 1");
        assert_eq!(parse(&text).unwrap().to_string(), text);
    }
}
