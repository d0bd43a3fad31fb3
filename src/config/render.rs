//! Problems for people: one line each, then the source line with a caret.

use std::fmt::Write;
use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level as Heading, Renderer, Snippet};
use anstyle::{AnsiColor, Style};

use super::problem::{Level, Problem};
use super::source::Texts;
use crate::record::escape::terminal;

/// A source line longer than this is cut around the caret.
const MOST: usize = 200;

/// Every problem as `FILE:LINE:COLUMN: error: PATH: message`, followed by the source line, a caret and the next step. A note has
/// one line and no more: nothing has to be mended there.
#[must_use]
pub fn render(problems: &[Problem], texts: &Texts, color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() }.decor_style(DecorStyle::Ascii);
    let mut out = String::new();
    for problem in problems {
        if problem.severity == Level::Note {
            let next = problem.suggestion.as_ref().map_or_else(String::new, |next| format!(" ({next})"));
            let _ = writeln!(out, "{}{} [{}]", head(problem, color), visible(&next), problem.code);
            continue;
        }
        let _ = writeln!(out, "{}", head(problem, color));
        match texts.of(&problem.file).and_then(|text| excerpt(text, problem)) {
            Some((source, span)) => {
                let _ = writeln!(out, "{}", snippet(problem, &source, span, &renderer));
            }
            None => {
                if let Some(next) = problem.next_step() {
                    let _ = writeln!(out, "  help: {}", visible(&next));
                }
                let _ = writeln!(out, "  code: {}", problem.code);
            }
        }
    }
    out
}

/// `FILE:LINE:COLUMN: error: PATH: message`, the form that editors understand.
fn head(problem: &Problem, color: bool) -> String {
    let Problem { file, line, column, path, message, severity, .. } = problem;
    let style = match (color, severity) {
        (false, _) => Style::new(),
        (true, Level::Error) => AnsiColor::Red.on_default().bold(),
        (true, Level::Warning) => AnsiColor::Yellow.on_default().bold(),
        (true, Level::Note) => AnsiColor::Green.on_default(),
    };
    let (place, rest) = (visible(&format!("{file}:{line}:{column}")), visible(&format!("{path}: {message}")));
    format!("{place}: {style}{}{style:#}: {rest}", severity.name())
}

fn snippet(problem: &Problem, source: &str, span: Range<usize>, renderer: &Renderer) -> String {
    let heading = match problem.severity {
        Level::Error => Heading::ERROR,
        Level::Warning => Heading::WARNING,
        Level::Note => Heading::NOTE,
    };
    let annotation = AnnotationKind::Primary.span(span);
    let snippet = Snippet::source(source).line_start(problem.line).annotation(annotation);
    // The title stands in the line above, in the form that editors understand.
    let mut group = Group::with_level(heading).element(snippet);
    if let Some(next) = problem.next_step() {
        group = group.element(Heading::HELP.message(visible(&next)));
    }
    renderer.render(&[group.element(Heading::NOTE.with_name("code").message(problem.code))])
}

/// The line of a problem, made visible and cut, and the place in it. `None`: the problem has no place.
fn excerpt(text: &str, problem: &Problem) -> Option<(String, Range<usize>)> {
    if problem.span.is_empty() || problem.span.end > text.len() {
        return None;
    }
    let start = text[..problem.span.start].rfind('\n').map_or(0, |at| at + 1);
    let end = text[problem.span.start..].find('\n').map_or(text.len(), |at| problem.span.start + at);
    let span = problem.span.start..problem.span.end.min(end).max(problem.span.start);
    let mut from = if span.start - start > MOST / 2 { span.start - MOST / 2 } else { start };
    let mut to = end.min(from + MOST);
    while !text.is_char_boundary(from) {
        from -= 1;
    }
    while !text.is_char_boundary(to) {
        to -= 1;
    }
    let before = visible(&text[from..span.start]);
    let marked = visible(&text[span.start..span.end.clamp(span.start, to.max(span.start))]);
    let after = visible(&text[span.end.min(to).max(span.start)..to.max(span.start)]);
    let mark = |cut: bool| if cut { "…" } else { "" };
    let (left, right) = (mark(from > start), mark(to < end));
    let at = left.len() + before.len();
    let shown = format!("{left}{before}{marked}{after}{right}");
    // A place where nothing can be seen (a carriage return) is marked by what follows.
    let length = if marked.is_empty() { shown[at..].chars().next().map_or(0, char::len_utf8) } else { marked.len() };
    Some((shown, at..at + length))
}

/// A piece of a file for a terminal: tabs and line ends of other systems are no news there.
#[must_use]
pub fn visible(text: &str) -> String {
    terminal(&text.replace('\t', " ").replace('\r', ""))
}

#[cfg(test)]
mod tests {
    use super::super::problem::{Draft, place};
    use super::super::source::Text;
    use super::*;

    fn rendered(text: &str, needle: &str) -> String {
        let texts = Texts { playbooks: Text::new("p.json", text), settings: Text::new("s.json", "{}") };
        let at = text.find(needle).unwrap();
        let draft = Draft::error("unknown_key", "unknown key").suggest("did you mean \"x\"?");
        let mut problems = [draft.at("p.json", "$.a", at..at + needle.len())];
        place(text, &mut problems);
        render(&problems, &texts, false)
    }

    #[test]
    fn a_problem_shows_its_line_and_the_next_step() {
        let out = rendered("{\n  \"é\": 1, \"treshold\": 2\n}", "\"treshold\"");
        let expected = "p.json:2:11: error: $.a: unknown key\n  |\n2 |   \"é\": 1, \"treshold\": 2\n  |           ^^^^^^^^^^\n  |\n  = help: did you mean \"x\"?\n  = code: unknown_key\n";
        assert_eq!(out, expected);
    }

    #[test]
    fn a_note_is_one_line() {
        let texts = Texts { playbooks: Text::new("p.json", "{}"), settings: Text::new("s.json", "{}") };
        let draft = Draft::note("no_target", "it cannot fire yet").suggest("name a target");
        let notes = [draft.at("p.json", "$.a", 0..1)];
        assert_eq!(render(&notes, &texts, false), "p.json:1:1: note: $.a: it cannot fire yet (name a target) [no_target]\n");
        assert!(render(&notes, &texts, true).contains(": \u{1b}[32mnote\u{1b}[0m: $.a"));
    }

    #[test]
    fn nothing_from_the_file_reaches_the_terminal_as_it_is() {
        let out = rendered("{\"a\u{1b}[2J\u{202e}\": 1, \"b\": 2}", "\"b\"");
        assert!(!out.contains('\u{1b}') && out.contains("\\u{1b}") && out.contains("\\u{202e}"), "{out}");
    }

    #[test]
    fn what_no_eye_sees_is_shown() {
        assert_eq!(visible("a\u{fffb}\u{ad}\tb\r\n"), "a\\u{fffb}\\u{ad} b\\n");
    }

    #[test]
    fn a_mark_of_nothing_is_no_half_character() {
        let out = rendered("{\"a\": 1\r\u{5e3}}", "\r");
        assert!(out.contains("\u{5e3}}") && out.contains('^'), "{out}");
        let out = rendered(&format!("{{\"a\": 1\r{}", "\r".repeat(MOST)), "\r");
        assert!(out.contains("…") && out.contains('^'), "{out}");
    }

    #[test]
    fn long_lines_are_cut_around_the_caret() {
        let text = format!("{{\"a\": \"{}\", \"treshold\": \"{}\"}}", "é".repeat(5000), "y".repeat(5000));
        let out = rendered(&text, "\"treshold\"");
        assert!(out.len() < 1500 && out.contains("\"treshold\"") && out.contains("^^^^^^^^^^"), "{out}");
        let long = format!("\"{}\"", "z".repeat(5000));
        let out = rendered(&format!("{{{long}: 1}}"), &long);
        assert!(out.len() < 1500 && out.contains("^^^"), "{out}");
    }
}
