//! Reports on a terminal: the Markdown that [`crate::record::report`] writes, with styles for its marks. Nothing in it can make
//! the terminal do anything else: every text is escaped here once more, whoever wrote the file.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};

use super::table;
use crate::record::escape::terminal;

const TITLE: Style = AnsiColor::Cyan.on_default().bold().underline();
const HEADING: Style = AnsiColor::Cyan.on_default().bold();
const BOLD: Style = Style::new().bold();
const CODE: Style = AnsiColor::Yellow.on_default();

/// The text for a terminal, with styles as escape sequences of our own.
pub(crate) fn render(markdown: &str) -> String {
    let mut out = String::with_capacity(markdown.len() * 2);
    let mut fence: Option<&str> = None;
    let mut rows: Vec<&str> = Vec::new();
    for line in markdown.lines() {
        let is_row = fence.is_none() && line.starts_with('|');
        if !is_row && !rows.is_empty() {
            out.push_str(&table(&std::mem::take(&mut rows)));
        }
        match fence {
            Some(end) if line == end => fence = None,
            Some(_) => {
                let _ = writeln!(out, "    {}", escaped(line));
            }
            None if line.starts_with("```") => fence = Some(&line[..run(line, '`')]),
            None if is_row => rows.push(line),
            None => {
                let _ = writeln!(out, "{}", text_line(line));
            }
        }
    }
    out + &table(&rows)
}

fn text_line(line: &str) -> String {
    let level = run(line, '#');
    match line[level..].strip_prefix(' ') {
        Some(heading) if level > 0 => {
            let style = if level == 1 { TITLE } else { HEADING };
            format!("{style}{}{style:#}", plain(heading))
        }
        _ => spans(line).into_iter().fold(String::new(), |mut out, (style, text)| {
            let _ = write!(out, "{style}{text}{style:#}");
            out
        }),
    }
}

/// A table: the first row is its headings, the second the line below them.
fn table(rows: &[&str]) -> String {
    let mut rows = rows.iter().map(|row| cells(row));
    let Some(headings) = rows.next() else { return String::new() };
    let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
    table::print(&headings, rows.filter(|row| !row.iter().all(|cell| is_rule(cell))))
}

fn is_rule(cell: &str) -> bool {
    cell.contains('-') && cell.chars().all(|c| matches!(c, '-' | ':'))
}

/// The cells of `| a | b |`; a `\|` is no border.
fn cells(row: &str) -> Vec<String> {
    let mut cells = vec![String::new()];
    let mut letters = row.trim_end().trim_start_matches('|').chars().peekable();
    while let Some(letter) = letters.next() {
        match (letter, cells.last_mut()) {
            ('\\', Some(cell)) if letters.peek() == Some(&'|') => cell.extend(letters.next()),
            ('|', _) => cells.push(String::new()),
            (_, Some(cell)) => cell.push(letter),
            (_, None) => {}
        }
    }
    // What follows the last border is no cell.
    cells.pop();
    cells.iter().map(|cell| plain(cell.trim())).collect()
}

fn plain(text: &str) -> String {
    spans(text).into_iter().map(|(_, text)| text).collect()
}

/// The text in pieces of one style: inline code, `**bold**`, and the rest.
fn spans(text: &str) -> Vec<(Style, String)> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(['`', '*']) {
        let marked = &rest[start..];
        let found = if marked.starts_with('`') { code(marked) } else { bold(marked) };
        // Marks without their other half are letters like others.
        let alone = run(marked, '`').max(run(marked, '*'));
        let (style, inner, length) = found.unwrap_or((Style::new(), &marked[..alone], alone));
        pieces.push((Style::new(), escaped(&rest[..start])));
        pieces.push((style, escaped(inner)));
        rest = &marked[length..];
    }
    pieces.push((Style::new(), escaped(rest)));
    pieces.retain(|(_, text)| !text.is_empty());
    pieces
}

/// Inline code at the beginning of the text, and how long it is with its fences.
fn code(text: &str) -> Option<(Style, &str, usize)> {
    let fence = run(text, '`');
    let mut at = fence;
    while let Some(next) = text[at..].find('`') {
        let end = at + next;
        let length = run(&text[end..], '`');
        if length == fence {
            let inner = &text[fence..end];
            let padded = inner.strip_prefix(' ').and_then(|inner| inner.strip_suffix(' ')).filter(|inner| !inner.trim().is_empty());
            return Some((CODE, padded.unwrap_or(inner), end + fence));
        }
        at = end + length;
    }
    None
}

fn bold(text: &str) -> Option<(Style, &str, usize)> {
    let inner = text.strip_prefix("**")?;
    let end = inner.find("**").filter(|end| *end > 0)?;
    Some((BOLD, &inner[..end], end + 4))
}

/// How many of this character the text begins with.
fn run(text: &str, character: char) -> usize {
    text.len() - text.trim_start_matches(character).len()
}

/// Nothing that a terminal obeys. Tabs become blanks, and the invisible mark after our own signs (`⚠️`) goes.
fn escaped(text: &str) -> String {
    terminal(&text.replace('\u{fe0f}', "").replace('\t', "    "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(markdown: &str) -> String {
        anstream::adapter::strip_str(&render(markdown)).to_string()
    }

    #[test]
    fn a_report_is_shown_without_its_marks() {
        let report = "\
# Incident 7f3kq9zd

- **Type**: disk_space_low
- **Target**: `mount=/a|b`
- **Status**: ⚠️ interrupted

### Clean up
- **Command**: ``echo `x` * y``
- **Output**:
````
# no heading
```
\tfreed **1** MiB
````

## Timeline

| time | event |
| --- | --- |
| 14:32 | opened: `a\\|b` |
| 14:33 | 3 * 4 |
";
        let expected = "\
Incident 7f3kq9zd

- Type: disk_space_low
- Target: mount=/a|b
- Status: ⚠ interrupted

Clean up
- Command: echo `x` * y
- Output:
    # no heading
    ```
        freed **1** MiB

Timeline

TIME   EVENT
14:32  opened: a|b
14:33  3 * 4
";
        assert_eq!(seen(report), expected);
        let styled = render(report);
        for style in [TITLE.render().to_string(), HEADING.render().to_string(), CODE.render().to_string(), BOLD.render().to_string()] {
            assert!(styled.contains(&style), "{style:?} is missing");
        }
    }

    #[test]
    fn a_file_that_somebody_else_wrote_cannot_speak_to_the_terminal() {
        let evil = "\u{1b}]0;title\u{7}";
        for text in [
            format!("# {evil}"),
            evil.to_owned(),
            format!("- **{evil}**: `{evil}`"),
            format!("```\n{evil}\n```"),
            format!("| {evil} |\n| --- |\n| {evil} |"),
        ] {
            let shown = render(&text);
            assert!(!shown.contains("\u{1b}]") && !shown.contains('\u{7}') && shown.contains("\\u{1b}]0;title\\u{7}"), "{shown:?}");
        }
    }

    #[test]
    fn halves_of_marks_are_letters() {
        for (text, shown) in [
            ("a ` b", "a ` b\n"),
            ("a `` b ` c", "a `` b ` c\n"),
            ("**", "**\n"),
            ("****", "****\n"),
            ("**a", "**a\n"),
            ("#", "#\n"),
            ("#x", "#x\n"),
            ("`` ` ``", "`\n"),
            ("|", "\n"),
            ("```\nopen", "    open\n"),
            ("", ""),
        ] {
            assert_eq!(seen(text), shown, "{text:?}");
        }
    }
}
