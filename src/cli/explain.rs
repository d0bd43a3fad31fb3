//! `autoheal explain`: what the code of a problem means.

use std::io::Write;

use clap::Args;
use serde_json::json;

use super::{Answer, Failure, exit};
use crate::config::codes::{self, Code};
use crate::config::problem::Level;

/// How wide text is set.
const WIDTH: usize = 90;

/// What to explain.
#[derive(Args, Debug)]
pub struct ExplainArgs {
    /// The code of a problem, as `check` shows it; without one, all codes are listed
    code: Option<String>,
}

/// Explains one code, or lists all.
///
/// # Errors
/// No such code (exit code 2), or `out` cannot be written.
pub fn run(args: &ExplainArgs, json: bool, out: &mut dyn Write) -> Answer {
    match &args.code {
        Some(name) => {
            let code = code(name)?;
            if json { writeln!(out, "{:#}", json!(code))? } else { describe(code, out)? }
        }
        None if json => writeln!(out, "{:#}", json!({"codes": codes::all().collect::<Vec<_>>()}))?,
        None => list(out)?,
    }
    Ok(exit::DONE)
}

/// The code that was named.
///
/// # Errors
/// There is none (exit code 2).
pub(super) fn code(name: &str) -> Result<&'static Code, Failure> {
    codes::find(&plain(name)).ok_or_else(|| unknown(name))
}

/// The code in `error[CODE]`, in capitals, or with dashes: whatever was copied.
fn plain(name: &str) -> String {
    let inner = name.split_once('[').map_or(name, |(_, rest)| rest.trim_end_matches(']'));
    inner.trim().to_lowercase().replace('-', "_")
}

fn unknown(name: &str) -> Failure {
    let meant = codes::nearest(&plain(name))
        .map_or_else(|| "`autoheal explain` without a code lists all".to_owned(), |code| format!("did you mean {code:?}?"));
    Failure::usage(format!("no problem has the code {name:?} ({meant})"))
}

fn list(out: &mut dyn Write) -> std::io::Result<()> {
    for level in [Level::Error, Level::Warning, Level::Note] {
        writeln!(out, "{}s:", level.name())?;
        for code in codes::all().filter(|code| code.severity == level) {
            writeln!(out, "  {:<27} {}", code.code, code.summary)?;
        }
    }
    Ok(())
}

fn describe(code: &Code, out: &mut dyn Write) -> std::io::Result<()> {
    writeln!(out, "{}[{}]: {}\n", code.severity.name(), code.code, code.summary)?;
    lines(code.explanation).into_iter().try_for_each(|line| writeln!(out, "{line}"))?;
    let Some(example) = code.example else { return Ok(()) };
    let place = example.place.name();
    // What cannot be seen is named.
    let bad = match example.bad {
        "" => "(an empty file)".to_owned(),
        text => text.replace('\u{feff}', "(byte order mark)"),
    };
    writeln!(out, "\nWrong, in {place}:\n\n    {bad}\n\nRight:\n\n    {}", example.good)
}

/// The text in lines that fit.
fn lines(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let full = lines.last().is_some_and(|line| !line.is_empty() && line.chars().count() + 1 + word.chars().count() > WIDTH);
        if full {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(code: Option<&str>, json: bool) -> Result<String, String> {
        let mut out = Vec::new();
        let answer = run(&ExplainArgs { code: code.map(str::to_owned) }, json, &mut out);
        answer.map(|_| String::from_utf8(out).unwrap()).map_err(|failure| {
            assert_eq!(failure.exit, exit::USAGE);
            failure.to_string()
        })
    }

    #[test]
    fn a_code_is_explained_with_both_examples() {
        let text = explained(Some("unknown_key"), false).unwrap();
        assert!(text.starts_with("error[unknown_key]: a key that autoheal does not know\n\n"), "{text}");
        assert!(text.contains("Wrong, in a playbook:") && text.contains("\"cooldown\": 300") && text.contains("\"cooldown_seconds\": 300"));
        assert!(text.lines().filter(|line| !line.starts_with("    ")).all(|line| line.chars().count() <= WIDTH), "{text}");
        assert_eq!(explained(Some("error[unknown-key]"), false).as_ref(), Ok(&text));
        assert!(explained(Some("byte_order_mark"), false).unwrap().contains("(byte order mark){}"));
    }

    #[test]
    fn all_codes_are_listed_and_readable_by_machines() {
        let list = explained(None, false).unwrap();
        assert!(codes::all().all(|code| list.contains(&format!("  {} ", code.code))), "{list}");
        let answer: serde_json::Value = serde_json::from_str(&explained(None, true).unwrap()).unwrap();
        assert_eq!(answer["codes"].as_array().map(Vec::len), Some(codes::all().count()));
        let one: serde_json::Value = serde_json::from_str(&explained(Some("no_target"), true).unwrap()).unwrap();
        assert_eq!((&one["code"], &one["severity"], &one["example"]["place"]), (&json!("no_target"), &json!("note"), &json!("condition")));
    }

    #[test]
    fn a_misspelt_code_is_answered_with_the_nearest() {
        assert_eq!(
            explained(Some("unknown_kee"), false).unwrap_err(),
            "no problem has the code \"unknown_kee\" (did you mean \"unknown_key\"?)"
        );
        assert!(explained(Some("xyzzy"), true).unwrap_err().contains("lists all"));
    }
}
