//! Where a file stops being JSON, as a person would mend it.
//!
//! The parsers say that and where they gave up. This walk over the same text finds the slip itself: the place where the comma is
//! missing, the bracket that is never closed, the comment.

use std::ops::Range;

use super::problem::Draft;

/// The first slip, or `None` if this walk finds nothing wrong.
pub(crate) fn slip(text: &str) -> Option<(Range<usize>, Draft)> {
    let mut walk = Walk { text, at: 0, open: Vec::new(), want: Want::Value, end: 0, comma: None, doubtful: None };
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

struct Walk<'t> {
    text: &'t str,
    at: usize,
    /// The brackets that are open: which, and where.
    open: Vec<(char, usize)>,
    want: Want,
    /// The end of what was read last.
    end: usize,
    /// The comma before here, if nothing came between.
    comma: Option<usize>,
    /// The first bracket whose closing one stands further to the left than the line that opened it.
    doubtful: Option<usize>,
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
        let Some((bracket, at)) = self.open.last().copied() else { return Ok(()) };
        let at = self.doubtful.unwrap_or(at);
        let found = self.text[at..].chars().next().unwrap_or(bracket);
        fault(at..at + 1, format!("this {found} is never closed"), &format!("a {} is missing", partner(found)))
    }

    fn step(&mut self, next: char) -> Result<(), Fault> {
        let here = self.at..self.at + next.len_utf8();
        self.stranger(next, &here)?;
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
                self.want = if self.open.last().is_some_and(|(bracket, _)| *bracket == '{') { Want::Key } else { Want::Value };
                Ok(())
            }
            (Want::Comma, _) => self.no_comma(next, here),
            (Want::Colon, ':') => self.took(1, Want::Value),
            (Want::Colon, '=') => fault(here, "between a key and its value stands a colon", "write : instead of ="),
            (Want::Colon, _) => fault(self.end.saturating_sub(1)..self.end, "no colon follows this key", "write : after it"),
            (Want::Key | Want::Value, ',') => fault(here, "there is one comma too many", "remove this comma"),
            (Want::Key, '"') => self.quoted().and_then(|length| self.took(length, Want::Colon)),
            (Want::Key, _) => self.no_key(next, here),
            (Want::Value, '{' | '[') => {
                self.open.push((next, self.at));
                self.took(1, if next == '{' { Want::Key } else { Want::Value })
            }
            (Want::Value, '"') => self.quoted().and_then(|length| self.took(length, Want::Comma)),
            (Want::Value, _) => self.word(next, here),
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "the last expression of every arm of `step`")]
    fn took(&mut self, length: usize, want: Want) -> Result<(), Fault> {
        self.at += length;
        (self.end, self.want, self.comma) = (self.at, want, None);
        Ok(())
    }

    /// What stands nowhere in JSON outside text.
    fn stranger(&self, next: char, here: &Range<usize>) -> Result<(), Fault> {
        let rest = self.rest();
        if rest.starts_with("<<<<<<<") || rest.starts_with("=======") || rest.starts_with(">>>>>>>") {
            return fault(here.start..here.start + 7, "a merge conflict is left in the file", "decide for one of the two versions");
        }
        match next {
            '#' => fault(here.clone(), "JSON has no comments", COMMENT),
            '/' => fault(
                here.start..here.start + 1 + usize::from(rest.starts_with("//") || rest.starts_with("/*")),
                "JSON has no comments",
                COMMENT,
            ),
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
        let Some((bracket, at)) = self.open.pop() else { return fault(here, format!("this {next} closes nothing"), "remove it") };
        if partner(bracket) != next {
            let line = self.text[..here.start].matches('\n').count() + 1;
            let message = format!("this {bracket} is never closed: in line {line} comes a {next}");
            return fault(at..at + 1, message, &format!("a {} is missing before that", partner(bracket)));
        }
        if self.doubtful.is_none() && self.starts_line(here.start) && self.indent(here.start) < self.indent(at) {
            self.doubtful = Some(at);
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
        match next {
            ';' => fault(here, "entries are separated by commas", "write , instead of ;"),
            ':' => fault(here, "a list has no keys", "write { } instead of [ ]"),
            _ => fault(self.end.saturating_sub(1)..self.end, "no comma follows this value", "write , after it"),
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
            _ => return fault(span, "text stands in double quotes", &format!("write \"{word}…\"")),
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

const COMMENT: &str = "write \"$comment\": \"…\" instead";

fn partner(bracket: char) -> char {
    if bracket == '{' { '}' } else { ']' }
}

/// As JSON has it; how large it is does not matter here.
fn is_number(word: &str) -> bool {
    serde_json::from_str::<serde_json::Value>(word)
        .map_or_else(|error| error.to_string().contains("out of range"), |value| value.is_number())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is marked in the text, and the message.
    #[track_caller]
    fn check(text: &str, marked: &str, column: usize, message: &str) {
        let (span, draft) = slip(text).unwrap_or_else(|| panic!("nothing found in {text:?}"));
        let problem = draft.at("f", "$", span.clone());
        assert_eq!((&text[span.clone()], span.start), (marked, column), "{text:?}: {}", problem.message);
        assert!(problem.message.contains(message), "{text:?}: {}", problem.message);
    }

    #[test]
    fn slips_are_marked_where_they_are_mended() {
        check("{\"a\": 1\n \"b\": 2}", "1", 6, "no comma follows");
        check("{\"a\": 1,}", ",", 7, "no comma may follow");
        check("{\"a\": [1, 2,]}", ",", 11, "no comma may follow");
        check("{\"a\" 1}", "\"", 3, "no colon");
        check("{a: 1}", "a", 1, "double quotes");
        check("{'a': 1}", "'", 1, "double quotes");
        check("{“a”: 1}", "“", 1, "typographic");
        check("{\"a\": True}", "True", 6, "not a word");
        check("{\"a\": NaN}", "NaN", 6, "not a word");
        check("{\"a\": 30s}", "30s", 6, "not a number");
        check("{\"a\": 007}", "007", 6, "not a number");
        check("{\"a\": 1 // why\n}", "//", 8, "no comments");
        check("{\"a\": \"\\.\"}", "\\.", 7, "means nothing");
        check("{\"a\": \"b}", "\"", 6, "does not end");
        check("{\"a\": [1}", "[", 6, "never closed");
        check("{\"a\": {\"b\": 1}", "{", 0, "never closed");
        check("{\n  \"a\": {\n    \"b\": 1\n}\n", "{", 9, "never closed");
        check("{}}", "}", 2, "closes nothing");
        check("{} {}", "{", 3, "ends before");
        check("[1,, 2]", ",", 3, "one comma too many");
        check("{\"a\": 1; \"b\": 2}", ";", 7, "separated by commas");
        check("{\"a\" = 1}", "=", 5, "a colon");
        check("<<<<<<< HEAD\n{}", "<<<<<<<", 0, "merge conflict");
        check("{\"a\": \"b\tc\"}", "\t", 8, "a tab");
        check("{\"a\":\u{a0}1}", "\u{a0}", 5, "U+00A0");
        check("[\"a\": 1]", ":", 4, "no keys");
    }

    #[test]
    fn good_json_has_no_slip() {
        for text in ["{}", "[]", "1e999", " {\"a\": [1, -2.5e3, true, null, \"\\u00e9\\n\"], \"b\": {}}\r\n", "\"x\""] {
            assert!(slip(text).is_none(), "{text}");
        }
    }
}
