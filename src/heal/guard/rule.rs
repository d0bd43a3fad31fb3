//! Rules: text that reads like the command, parsed into literal words, slots and optional groups.

use super::slot::Slot;

/// Names of native actions: their lines match only rules that begin with the name.
pub(super) const NATIVE: &[&str] = &["delete_files", "archive_log", "signal_process", "http"];

/// What a rule says, parsed.
#[derive(Clone, Debug)]
pub(super) enum Form {
    /// Word by word.
    Words(Vec<Item>),
    /// This text and no other; the only way to a shell.
    Exact(String),
}

/// A step of a rule.
#[derive(Clone, Debug)]
pub(super) enum Item {
    /// One word.
    Word(Pattern),
    /// Adjacent optional groups: in any order, each at most once.
    Groups(Vec<Vec<Pattern>>),
}

/// One word of a rule.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    /// What it is made of; no two slots touch.
    pub(super) parts: Vec<Part>,
}

/// A part of a word.
#[derive(Clone, Debug)]
pub(super) enum Part {
    /// Itself.
    Literal(String),
    /// What varies.
    Slot(Slot),
}

/// Most optional groups of a rule.
const MAX_GROUPS: usize = 16;

impl Pattern {
    /// The word, if it is the same always.
    pub(super) fn literal(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [Part::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// Its slots.
    pub(super) fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.parts.iter().filter_map(|part| match part {
            Part::Slot(slot) => Some(slot),
            Part::Literal(_) => None,
        })
    }

    /// For people: the literal word, or what the slot takes.
    pub(super) fn describe(&self) -> String {
        self.parts
            .iter()
            .map(|part| match part {
                Part::Literal(text) => text.clone(),
                Part::Slot(slot) if self.parts.len() == 1 => slot.to_string(),
                Part::Slot(slot) => format!("<{slot}>"),
            })
            .collect()
    }
}

impl Form {
    /// Parses a rule.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if let Some(exact) = text.trim_start().strip_prefix("exact:") {
            return parse_exact(exact.trim());
        }
        let items = Parser { text, at: 0, items: Vec::new() }.parse()?;
        match items.first() {
            Some(Item::Word(program)) if program.literal().is_some_and(|name| !name.is_empty()) => Ok(Self::Words(items)),
            _ => Err("a rule begins with a literal program".to_owned()),
        }
    }

    /// Every word of the rule, those of groups too.
    pub(super) fn patterns(&self) -> Vec<&Pattern> {
        let Self::Words(items) = self else { return Vec::new() };
        items
            .iter()
            .flat_map(|item| match item {
                Item::Word(pattern) => vec![pattern],
                Item::Groups(groups) => groups.iter().flatten().collect(),
            })
            .collect()
    }

    /// The program word of a rule of words.
    pub(super) fn program(&self) -> Option<&str> {
        match self {
            Self::Words(items) => match items.first() {
                Some(Item::Word(pattern)) => pattern.literal(),
                _ => None,
            },
            Self::Exact(text) => text.split(' ').next(),
        }
    }
}

fn parse_exact(text: &str) -> Result<Form, String> {
    use super::template::{Piece, parse};
    use super::token::{FaultKind, tokenise};
    if text.is_empty() {
        return Err("exact: is followed by the whole command".to_owned());
    }
    super::text::scan(text).map_err(|refusal| refusal.reason)?;
    if text.contains("{{")
        && parse(text).iter().all(|piece| matches!(piece, Piece::Text(_)))
        && parse(text) != [Piece::Text(text.to_owned())]
        || parse(text).iter().any(|piece| matches!(piece, Piece::Placeholder(_)))
    {
        return Err("an exact rule may hold no placeholder".to_owned());
    }
    match tokenise(text) {
        Err(fault) if matches!(fault.kind, FaultKind::OpenQuote | FaultKind::LastBackslash) => {
            Err("a quote in the exact rule is not closed".to_owned())
        }
        _ => Ok(Form::Exact(text.to_owned())),
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    items: Vec<Item>,
}

impl Parser<'_> {
    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn parse(mut self) -> Result<Vec<Item>, String> {
        // A group that is being read.
        let mut group: Option<Vec<Pattern>> = None;
        loop {
            match (self.peek(), group.as_mut()) {
                (None, None) => return Ok(self.items),
                (None, Some(_)) => return Err("a [ is not closed".to_owned()),
                (Some(' ' | '\t'), _) => self.at += 1,
                (Some('['), None) => {
                    self.at += 1;
                    group = Some(Vec::new());
                }
                (Some('['), Some(_)) => return Err("optional groups do not nest".to_owned()),
                (Some(']'), Some(words)) => {
                    if words.is_empty() {
                        return Err("[ ] holds no word".to_owned());
                    }
                    let words = std::mem::take(words);
                    group = None;
                    self.at += 1;
                    if !matches!(self.peek(), None | Some(' ' | '\t' | '[')) {
                        return Err("a blank must follow a ]".to_owned());
                    }
                    self.add_group(words)?;
                }
                (Some(_), _) => {
                    let pattern = self.word(group.is_some())?;
                    match group.as_mut() {
                        Some(words) => words.push(pattern),
                        None => self.items.push(Item::Word(pattern)),
                    }
                }
            }
        }
    }

    fn add_group(&mut self, words: Vec<Pattern>) -> Result<(), String> {
        if let Some(Item::Groups(groups)) = self.items.last_mut() {
            groups.push(words);
        } else {
            self.items.push(Item::Groups(vec![words]));
        }
        let count: usize = self.items.iter().map(|item| if let Item::Groups(groups) = item { groups.len() } else { 0 }).sum();
        if count > MAX_GROUPS { Err(format!("a rule has at most {MAX_GROUPS} optional groups: write two rules")) } else { Ok(()) }
    }

    fn word(&mut self, in_group: bool) -> Result<Pattern, String> {
        let mut parts: Vec<Part> = Vec::new();
        while let Some(character) = self.peek() {
            match character {
                ' ' | '\t' => break,
                ']' if in_group => break,
                '\'' | '"' => {
                    let body = &self.text[self.at + 1..];
                    let end = body.find(character).ok_or("a quote in the rule is not closed")?;
                    if character == '"' && body[..end].contains(['\\', '$', '`']) {
                        return Err("use single quotes around a word with a backslash, $ or a backtick".to_owned());
                    }
                    push_literal(&mut parts, &body[..end]);
                    self.at += end + 2;
                }
                '\\' => {
                    self.at += 1;
                    let escaped = self.peek().ok_or("the rule ends with a backslash")?;
                    push_literal(&mut parts, escaped.encode_utf8(&mut [0; 4]));
                    self.at += escaped.len_utf8();
                }
                '{' => self.slot(&mut parts)?,
                '*' | '?' => {
                    return Err("a rule has no wildcards: a slot such as {name} says what may stand there; quote a literal one".to_owned());
                }
                ';' | '|' | '&' | '<' | '>' | '(' | ')' | '$' | '`' | '!' | '~' | '#' | '[' | ']' | '}' | '^' => {
                    return Err(format!("{character} must be quoted; a text with an operator needs an exact: rule"));
                }
                _ => {
                    push_literal(&mut parts, character.encode_utf8(&mut [0; 4]));
                    self.at += character.len_utf8();
                }
            }
        }
        Ok(Pattern { parts })
    }

    fn slot(&mut self, parts: &mut Vec<Part>) -> Result<(), String> {
        let body = &self.text[self.at + 1..];
        let end = body.find('}').ok_or("a { is not closed")?;
        let inner = &body[..end];
        if inner.contains([' ', '\t']) {
            return Err(r"a slot holds no blank (in re: write \x20)".to_owned());
        }
        if matches!(parts.last(), Some(Part::Slot(_))) {
            return Err("two slots in one word need a literal between them".to_owned());
        }
        parts.push(Part::Slot(Slot::parse(inner)?));
        self.at += end + 2;
        Ok(())
    }
}

fn push_literal(parts: &mut Vec<Part>, text: &str) {
    if let Some(Part::Literal(last)) = parts.last_mut() {
        last.push_str(text);
    } else {
        parts.push(Part::Literal(text.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(rule: &str, expected: &str) {
        let Form::Words(items) = Form::parse(rule).unwrap() else { panic!("{rule} is exact") };
        let words = |patterns: &[Pattern]| patterns.iter().map(Pattern::describe).collect::<Vec<_>>().join(" ");
        let shown: Vec<String> = items
            .iter()
            .map(|item| match item {
                Item::Word(pattern) => words(std::slice::from_ref(pattern)),
                Item::Groups(groups) => format!("[{}]", groups.iter().map(|group| words(group)).collect::<Vec<_>>().join("/")),
            })
            .collect();
        assert_eq!(shown.join(" "), expected, "{rule}");
    }

    #[test]
    fn rules_read_like_the_command() {
        check("brew cleanup", "brew cleanup");
        check("curl [-fsS] [-m {int}] -X POST", "curl [-fsS/-m a whole number] -X POST");
        check("a [-b][-c] [-d]", "a [-b/-c/-d]");
        check("a --prune={int}", "a --prune=<a whole number>");
        check("a until={int}h", "a until=<a whole number>h");
        check("a '*.log' \"b c\" \\;", "a *.log b c ;");
        check(r"a {re:[a-z\x7d]+}", r"a a word that matches [a-z\x7d]+");
    }

    #[test]
    fn what_is_no_rule_is_refused_with_advice() {
        for (rule, advice) in [
            ("", "literal program"),
            ("{name} x", "literal program"),
            ("[a] b", "literal program"),
            ("a [b", "not closed"),
            ("a [b [c]]", "do not nest"),
            ("a []", "no word"),
            ("a [b]c", "blank must follow"),
            ("a *", "wildcards"),
            ("a ; b", "exact:"),
            ("a | b", "exact:"),
            ("a $x", "quoted"),
            ("a {one:b c}", "blank"),
            ("a {int}{int}", "literal between"),
            ("a {int", "not closed"),
            ("a 'b", "not closed"),
            ("a b]", "quoted"),
            ("exact:", "whole command"),
            ("exact: echo {name} | cat", "no placeholder"),
            ("exact: echo {{name}} | cat", "no placeholder"),
            ("exact: echo 'a", "not closed"),
        ] {
            let message = Form::parse(rule).unwrap_err();
            assert!(message.contains(advice), "{rule}: {message}");
        }
        assert!(Form::parse(&format!("a {}", "[-x] ".repeat(17))).is_err());
        assert!(Form::parse("exact: docker ps --format '{{.Names}}' | head -5").is_ok());
    }
}
