//! Step 2: from text to words. Blanks, `'…'`, `"…"` and the backslash, nothing else; an operator is never a word.

use std::ops::Range;

use super::template::{Piece, Word, brace, push_brace, push_text};

/// Why a text is not a plain command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// What stands in the way.
    pub(super) kind: FaultKind,
    /// Where, in bytes.
    pub(super) span: Range<usize>,
}

/// What can stand in the way of a plain command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FaultKind {
    /// `; | & < > ( ) && || >>`
    Operator,
    /// `* ? [ ]`
    Glob,
    /// `$`, a backtick, `!`, `~`, `#`, `{`, `}`: a shell would make something else of it.
    Expansion,
    /// A quote that is not closed.
    OpenQuote,
    /// A backslash with nothing after it.
    LastBackslash,
}

/// Splits a text that step 1 has looked at.
pub(super) fn tokenise(text: &str) -> Result<Vec<Word>, Fault> {
    let mut reader = Reader { text, at: 0 };
    let mut words = Vec::new();
    loop {
        reader.at += text[reader.at..].len() - text[reader.at..].trim_start_matches([' ', '\t']).len();
        if reader.at == text.len() {
            return Ok(words);
        }
        let start = reader.at;
        let pieces = reader.word()?;
        words.push(Word { pieces, span: start..reader.at });
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn fault<T>(&self, kind: FaultKind, start: usize, len: usize) -> Result<T, Fault> {
        Err(Fault { kind, span: start..(start + len).min(self.text.len()) })
    }

    fn word(&mut self) -> Result<Vec<Piece>, Fault> {
        // A word that consists of empty quotes is a word all the same.
        let mut pieces = vec![Piece::Text(String::new())];
        while let Some(character) = self.peek() {
            match character {
                ' ' | '\t' => break,
                '\'' => self.single_quoted(&mut pieces)?,
                '"' => self.double_quoted(&mut pieces)?,
                '\\' => self.escaped(&mut pieces)?,
                '{' => {
                    if !self.take_brace(&mut pieces) {
                        return self.fault(FaultKind::Expansion, self.at, 1);
                    }
                }
                ';' | '|' | '&' | '<' | '>' | '(' | ')' => {
                    let double = self.rest()[1..].starts_with(character) && !matches!(character, '(' | ')');
                    return self.fault(FaultKind::Operator, self.at, if double { 2 } else { 1 });
                }
                '*' | '?' | '[' | ']' => return self.fault(FaultKind::Glob, self.at, 1),
                '$' | '`' | '!' | '~' | '#' | '}' => return self.fault(FaultKind::Expansion, self.at, 1),
                _ => self.take(&mut pieces, character),
            }
        }
        if pieces.len() > 1 && pieces[0] == Piece::Text(String::new()) {
            pieces.remove(0);
        }
        Ok(pieces)
    }

    fn take(&mut self, pieces: &mut Vec<Piece>, character: char) {
        push_text(pieces, character.encode_utf8(&mut [0; 4]));
        self.at += character.len_utf8();
    }

    /// Takes a placeholder or a doubled brace; false if it is neither.
    fn take_brace(&mut self, pieces: &mut Vec<Piece>) -> bool {
        let Some(brace) = brace(&self.text[self.at..]) else { return false };
        self.at += brace.len();
        push_brace(pieces, &brace);
        true
    }

    fn single_quoted(&mut self, pieces: &mut Vec<Piece>) -> Result<(), Fault> {
        let open = self.at;
        self.at += 1;
        while let Some(character) = self.peek() {
            match character {
                '\'' => {
                    self.at += 1;
                    return Ok(());
                }
                '{' if self.take_brace(pieces) => {}
                _ => self.take(pieces, character),
            }
        }
        self.fault(FaultKind::OpenQuote, open, 1)
    }

    /// As POSIX 2.2.3: the backslash quotes only `$`, the backtick, `"` and itself. What a shell would expand is refused.
    fn double_quoted(&mut self, pieces: &mut Vec<Piece>) -> Result<(), Fault> {
        let open = self.at;
        self.at += 1;
        while let Some(character) = self.peek() {
            match character {
                '"' => {
                    self.at += 1;
                    return Ok(());
                }
                '$' | '`' | '!' => return self.fault(FaultKind::Expansion, self.at, 1),
                '\\' if self.rest()[1..].starts_with(['$', '`', '"', '\\']) => self.escaped(pieces)?,
                '{' if self.take_brace(pieces) => {}
                _ => self.take(pieces, character),
            }
        }
        self.fault(FaultKind::OpenQuote, open, 1)
    }

    fn escaped(&mut self, pieces: &mut Vec<Piece>) -> Result<(), Fault> {
        let start = self.at;
        self.at += 1;
        match self.peek() {
            Some(character) => {
                self.take(pieces, character);
                Ok(())
            }
            None => self.fault(FaultKind::LastBackslash, start, 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heal::guard::template::show;
    use proptest::prelude::*;

    fn words(text: &str) -> Result<Vec<String>, FaultKind> {
        tokenise(text).map(|words| words.iter().map(|word| show(&word.pieces)).collect()).map_err(|fault| fault.kind)
    }

    #[track_caller]
    fn splits(text: &str, expected: &[&str]) {
        assert_eq!(words(text).unwrap(), expected, "{text}");
    }

    #[track_caller]
    fn fails(text: &str, kind: FaultKind, at: &str) {
        let fault = tokenise(text).unwrap_err();
        assert_eq!((fault.kind, &text[fault.span]), (kind, at), "{text}");
    }

    #[test]
    fn words_and_quotes() {
        splits("  find /tmp\t-name '*.log'  ", &["find", "/tmp", "-name", "*.log"]);
        splits(r#"a "b c" 'd e' f\ g"#, &["a", "b c", "d e", "f g"]);
        splits(r#"a '' """#, &["a", "", ""]);
        splits(r#"a "x\"y\\z\n""#, &["a", "x\"y\\z\\n"]);
        splits(r"a '\'", &["a", "\\"]);
        splits("x'a'\"b\"c", &["xabc"]);
        splits(r"a ';' \; \&", &["a", ";", ";", "&"]);
        splits("awk '{print $1}'", &["awk", "{print $1}"]);
        splits("docker ps --format '{{.Names}}'", &["docker", "ps", "--format", "{{.Names}}"]);
        splits("a {x}{y} '{z}' {{w}}", &["a", "{x}{y}", "{z}", "{w}"]);
    }

    #[test]
    fn a_placeholder_is_a_piece_and_an_escaped_one_is_text() {
        assert_eq!(tokenise("a{x}").unwrap()[0].pieces, [Piece::Text("a".to_owned()), Piece::Placeholder("x".to_owned())]);
        assert_eq!(tokenise("{x}").unwrap()[0].pieces, [Piece::Placeholder("x".to_owned())]);
        assert_eq!(tokenise("{{x}}").unwrap()[0].pieces, [Piece::Text("{x}".to_owned())]);
        assert_eq!(tokenise(r"\{x\}").unwrap()[0].pieces, [Piece::Text("{x}".to_owned())]);
    }

    #[test]
    fn everything_that_a_shell_would_act_on_is_refused() {
        for (text, at) in [
            ("a;b", ";"),
            ("a|b", "|"),
            ("a || b", "||"),
            ("a && b", "&&"),
            ("a & b", "&"),
            ("a > b", ">"),
            ("a >> b", ">>"),
            ("a < b", "<"),
            ("(a)", "("),
            ("a)", ")"),
        ] {
            fails(text, FaultKind::Operator, at);
        }
        for (text, at) in [("a *", "*"), ("a b?", "?"), ("a [b]", "["), ("a b]", "]")] {
            fails(text, FaultKind::Glob, at);
        }
        for (text, at) in [
            ("a $b", "$"),
            ("a `b`", "`"),
            ("a !b", "!"),
            ("a ~", "~"),
            ("a #b", "#"),
            ("{ a; }", "{"),
            ("a }", "}"),
            ("a \"$b\"", "$"),
            ("a \"`b`\"", "`"),
            ("a {1..2}", "{"),
        ] {
            fails(text, FaultKind::Expansion, at);
        }
        fails("a 'b", FaultKind::OpenQuote, "'");
        fails("a \"b", FaultKind::OpenQuote, "\"");
        fails("a b\\", FaultKind::LastBackslash, "\\");
    }

    proptest! {
        /// What is accepted is what an independent reader of shell quoting makes of it.
        #[test]
        fn agrees_with_shell_words(text in r#"[a-c '"\\;|$*\-=/.]{0,24}"#) {
            if let Ok(words) = words(&text) {
                prop_assert_eq!(shell_words::split(&text).unwrap(), words);
            }
        }

        /// Quoting and splitting give the words back.
        #[test]
        fn round_trips(expected in proptest::collection::vec(r#"[ -z|~é]{0,8}"#, 0..5)) {
            let quoted: Vec<String> = expected.iter().map(|word| format!("'{}'", word.replace('\'', r"'\''"))).collect();
            prop_assert_eq!(words(&quoted.join(" ")), Ok(expected));
        }
    }
}
