//! Where a file stops being JSON, as a person would mend it.
//!
//! The parsers say that and where they gave up. This walk over the same text finds the slip itself: the place where the comma is
//! missing, the bracket that is never closed, the comment.

use std::ops::Range;

use super::problem::Draft;

/// The first slip, or `None` if this walk finds nothing wrong.
pub(crate) fn slip(text: &str) -> Option<(Range<usize>, Draft)> {
    let mut walk = Walk { text, at: 0, open: Vec::new(), want: Want::Value, last: 0..0, comma: None, doubtful: None };
    walk.all().err().map(|fault| *fault)
}

type Fault = Box<(Range<usize>, Draft)>;

/// What may come next.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Want {
    Key,
    Colon,
    Value,
    Comma,
}

/// A bracket that is open.
#[derive(Clone, Copy, Debug)]
struct Open {
    bracket: char,
    at: usize,
    /// How far its first entry is indented, if that begins a line.
    indent: Option<usize>,
}

struct Walk<'t> {
    text: &'t str,
    at: usize,
    open: Vec<Open>,
    want: Want,
    /// What was read last.
    last: Range<usize>,
    /// The comma before here, if nothing came between.
    comma: Option<usize>,
    /// The first bracket that the indentation says should have been closed, and what to write.
    doubtful: Option<(usize, String)>,
}

fn fault<T>(span: Range<usize>, message: impl Into<String>, next: &str) -> Result<T, Fault> {
    let draft = Draft::error("syntax", format!("not JSON: {}", message.into()));
    Err(Box::new((span, draft.suggest_if((!next.is_empty()).then_some(next)))))
}

impl Walk<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn all(&mut self) -> Result<(), Fault> {
        loop {
            self.at += self.rest().len() - self.rest().trim_start_matches([' ', '\t', '\r', '\n']).len();
            let Some(next) = self.rest().chars().next() else { return self.finish() };
            self.step(next)?;
        }
    }

    fn finish(&self) -> Result<(), Fault> {
        let Some(open) = self.open.last() else { return Ok(()) };
        match &self.doubtful {
            Some((at, next)) => self.unclosed(*at, next),
            None => fault(
                open.at..open.at + 1,
                format!("this {} is never closed", open.bracket),
                &format!("write {} at the end of the file", partner(open.bracket)),
            ),
        }
    }

    fn unclosed<T>(&self, at: usize, next: &str) -> Result<T, Fault> {
        fault(at..at + 1, format!("this {} is never closed", &self.text[at..=at]), next)
    }

    /// Whether a key here stands where the indentation says that its object is over: no further in than the line of the bracket,
    /// and less far than the first key.
    fn is_outside(&self, here: usize) -> Option<usize> {
        let open = self.open.last().filter(|_| self.open.len() > 1)?;
        let indent = self.indent(here);
        let outside = self.starts_line(here) && indent <= self.indent(open.at) && open.indent.is_some_and(|first| indent < first);
        outside.then_some(open.at)
    }

    fn line(&self, at: usize) -> usize {
        self.text[..at].matches('\n').count() + 1
    }

    fn step(&mut self, next: char) -> Result<(), Fault> {
        let here = self.at..self.at + next.len_utf8();
        self.stranger(next, &here)?;
        self.note_indent();
        match (self.want, next) {
            (Want::Comma, '}' | ']') => self.close(next, here),
            (Want::Key, '}') | (Want::Value, ']') => {
                if let Some(comma) = self.comma {
                    return fault(comma..comma + 1, "no comma may follow the last entry", "remove this comma");
                }
                self.close(next, here)
            }
            (Want::Comma, ',') if !self.open.is_empty() => {
                self.comma = Some(self.at);
                self.at += 1;
                self.want = if self.open.last().is_some_and(|open| open.bracket == '{') { Want::Key } else { Want::Value };
                Ok(())
            }
            (Want::Comma, _) => self.no_comma(next, here),
            (Want::Colon, ':') => self.took(1, Want::Value),
            (Want::Colon, '=') => fault(here, "between a key and its value stands a colon", "write : instead of ="),
            (Want::Colon, _) if self.runs_on(next) => self.half_quoted(),
            (Want::Colon, _) => fault(self.last_letter(), "no colon follows this key", "write : after it"),
            (Want::Key | Want::Value, ',') => fault(here, "there is one comma too many", "remove this comma"),
            (Want::Key, '"') => self.quoted().and_then(|length| self.took(length, Want::Colon)),
            (Want::Key, _) => self.no_key(next, here),
            (Want::Value, '{' | '[') => {
                self.open.push(Open { bracket: next, at: self.at, indent: None });
                self.took(1, if next == '{' { Want::Key } else { Want::Value })
            }
            (Want::Value, '"') => self.quoted().and_then(|length| self.took(length, Want::Comma)),
            (Want::Value, _) => self.word(next, here),
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "the last expression of every arm of `step`")]
    fn took(&mut self, length: usize, want: Want) -> Result<(), Fault> {
        self.last = self.at..self.at + length;
        self.at += length;
        (self.want, self.comma) = (want, None);
        Ok(())
    }

    fn last_letter(&self) -> Range<usize> {
        self.last.end.saturating_sub(1)..self.last.end
    }

    /// Keeps how far the first entry of an object is indented, and doubts a bracket when a key stands further out.
    fn note_indent(&mut self) {
        let (here, first) = (self.at, self.starts_line(self.at).then(|| self.indent(self.at)));
        if self.want != Want::Key || self.doubtful.is_some() {
            return;
        }
        let comma = self.comma.map_or(1, |comma| self.line(comma));
        self.doubtful = self.is_outside(here).map(|at| (at, format!("a }} is missing before the comma in line {comma}")));
        if let Some(open) = self.open.last_mut().filter(|open| self.last.end == open.at + 1) {
            open.indent = first;
        }
    }

    /// What stands nowhere in JSON outside text.
    fn stranger(&self, next: char, here: &Range<usize>) -> Result<(), Fault> {
        let rest = self.rest();
        if rest.starts_with("<<<<<<<") || rest.starts_with("=======") || rest.starts_with(">>>>>>>") {
            return fault(here.start..here.start + 7, "a merge conflict is left in the file", "decide for one of the two versions");
        }
        match next {
            '#' | '/' => {
                let length = if rest.starts_with("//") || rest.starts_with("/*") { 2 } else { 1 };
                fault(here.start..here.start + length, "JSON has no comments", &without_comment(&rest[length..]))
            }
            '\'' => {
                let inner: String = rest.chars().skip(1).take_while(|letter| !"'\n".contains(*letter)).collect();
                fault(here.clone(), "text stands in double quotes", &format!("write \"{inner}\""))
            }
            '“' | '”' | '„' | '«' | '»' | '‘' | '’' => {
                fault(here.clone(), format!("{next} is a typographic quote"), "write the plain \" of the keyboard")
            }
            _ if next.is_whitespace() => {
                let message = format!("there is a blank that JSON does not know (U+{:04X})", u32::from(next));
                fault(here.clone(), message, "write an ordinary blank")
            }
            _ => Ok(()),
        }
    }

    fn close(&mut self, next: char, here: Range<usize>) -> Result<(), Fault> {
        let Some(Open { bracket, at, .. }) = self.open.pop() else {
            return fault(here, format!("this {next} closes nothing"), "remove it");
        };
        if partner(bracket) != next {
            let message = format!("this {bracket} is never closed: in line {} comes a {next}", self.line(here.start));
            return fault(at..at + 1, message, &format!("a {} is missing before that", partner(bracket)));
        }
        if self.doubtful.is_none() && self.starts_line(here.start) && self.indent(here.start) < self.indent(at) {
            self.doubtful = Some((at, format!("a {next} is missing before line {}", self.line(here.start))));
        }
        self.took(1, Want::Comma)
    }

    fn line_start(&self, at: usize) -> usize {
        self.text[..at].rfind('\n').map_or(0, |found| found + 1)
    }

    fn starts_line(&self, at: usize) -> bool {
        self.text[self.line_start(at)..at].trim().is_empty()
    }

    fn indent(&self, at: usize) -> usize {
        let line = &self.text[self.line_start(at)..];
        line.len() - line.trim_start_matches([' ', '\t']).len()
    }

    fn no_comma(&self, next: char, here: Range<usize>) -> Result<(), Fault> {
        if self.open.is_empty() {
            let message = format!("the file ends before this {next}");
            return fault(here, message, "");
        }
        if let Some(bracket) = self.is_outside(here.start) {
            return self.unclosed(bracket, &format!("a }}, is missing before line {}", self.line(here.start)));
        }
        if self.runs_on(next) {
            return self.half_quoted();
        }
        match next {
            ';' => fault(here, "entries are separated by commas", "write , instead of ;"),
            ':' => fault(here, "a list has no keys", "write { } instead of [ ]"),
            _ => fault(self.last_letter(), "no comma follows this value", "write , after it"),
        }
    }

    /// Whether a letter stands right behind the end of a text.
    fn runs_on(&self, next: char) -> bool {
        self.text[self.last.clone()].starts_with('"') && self.at == self.last.end && (next.is_alphanumeric() || next == '_')
    }

    /// The text took the quote of the next one for its own, or holds a quote.
    fn half_quoted(&self) -> Result<(), Fault> {
        let inside = &self.text[self.last.start + 1..self.last.end - 1];
        match inside.trim_end().strip_suffix([',', ':']) {
            Some(meant) => {
                fault(self.last.clone(), "this text takes in what follows it: its last quote is missing", &format!("write \"{meant}\""))
            }
            None => fault(self.last_letter(), "the text ends at this quote, and a letter follows", "write \\\" for a quote inside a text"),
        }
    }

    fn no_key(&self, next: char, here: Range<usize>) -> Result<(), Fault> {
        let word = self.bare();
        if word.is_empty() {
            return fault(here, format!("a key in double quotes is expected, found {next}"), "");
        }
        fault(here.start..here.start + word.len(), "a key stands in double quotes", &format!("write \"{word}\""))
    }

    /// The letters and digits from here.
    fn bare(&self) -> &str {
        let rest = self.rest();
        let end = rest.find(|letter: char| !(letter.is_alphanumeric() || "_-+.%$".contains(letter))).unwrap_or(rest.len());
        &rest[..end]
    }

    /// A number, `true`, `false`, `null`, or what was written for one.
    fn word(&mut self, next: char, here: Range<usize>) -> Result<(), Fault> {
        let word = self.bare().to_owned();
        let span = here.start..here.start + word.len();
        if matches!(&*word, "true" | "false" | "null") || is_number(&word) {
            return self.took(word.len(), Want::Comma);
        }
        let next_step = match word.to_lowercase().as_str() {
            "" => return fault(here, format!("a value is expected, found {next}"), ""),
            "true" | "yes" | "on" => "write true",
            "false" | "no" | "off" => "write false",
            "none" | "nil" | "undefined" | "null" => "write null, or remove the key",
            "nan" | "inf" | "infinity" | "-infinity" => "write a finite number",
            _ if next.is_ascii_digit() || "+-.".contains(next) => {
                return fault(span, format!("{word} is not a number"), "a number has digits only, such as 5, -5 or 0.5, and no unit");
            }
            _ => {
                let whole = self.text[span.end..].trim_start_matches([' ', '\t']).starts_with([',', '}', ']', '"', '\r', '\n']);
                let more = if whole { "" } else { "…" };
                return fault(span, "text stands in double quotes", &format!("write \"{word}{more}\""));
            }
        };
        fault(span, format!("{word} is not a word of JSON"), next_step)
    }

    /// The length of the text in quotes that begins here.
    fn quoted(&self) -> Result<usize, Fault> {
        let mut letters = self.rest().char_indices().skip(1);
        while let Some((offset, letter)) = letters.next() {
            let at = self.at + offset;
            match letter {
                '"' => return Ok(offset + 1),
                '\n' | '\r' => break,
                '\t' => return fault(at..at + 1, "a tab stands in a text", "write \\t"),
                '\\' => match letters.next() {
                    Some((_, escaped)) if "\"\\/bfnrtu".contains(escaped) => {}
                    Some((_, escaped)) if escaped != '\n' => {
                        let next = format!("write \\\\{escaped} for a backslash, {escaped} without one");
                        return fault(at..at + 1 + escaped.len_utf8(), format!("\\{escaped} means nothing in a text"), &next);
                    }
                    _ => break,
                },
                _ => {}
            }
        }
        fault(self.at..self.at + 1, "this text does not end in its line", "a \" is missing; a line break is written \\n")
    }
}

/// What to do about a comment with this text.
fn without_comment(rest: &str) -> String {
    const MOST: usize = 60;
    let end = rest.find(['\n', '\r']).unwrap_or(rest.len());
    let text = rest[..end].split("*/").next().unwrap_or_default().trim_matches([' ', '\t', '/', '#', '*']);
    let text = if text.chars().count() > MOST || text.is_empty() { "…" } else { text };
    format!("remove it, or make it an entry: \"$comment\": {}", serde_json::json!(text))
}

fn partner(bracket: char) -> char {
    if bracket == '{' { '}' } else { ']' }
}

/// As JSON has it; how large it is does not matter here.
fn is_number(word: &str) -> bool {
    serde_json::from_str::<serde_json::Value>(word)
        .map_or_else(|error| error.to_string().contains("out of range"), |value| value.is_number())
}

#[cfg(test)]
#[path = "syntax_tests.rs"]
mod tests;
