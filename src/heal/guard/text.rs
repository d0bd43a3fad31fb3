//! Step 1: limits on length, and no character that reads as another or as nothing. Nothing is folded or normalised.

use std::ops::Range;

use super::answer::{Refusal, RefusalKind};
use crate::record::escape::{is_deceptive, terminal};

/// Longest command, in bytes.
pub(super) const MAX_TEXT: usize = 16 * 1024;
/// Most words of a command.
pub(super) const MAX_WORDS: usize = 256;
/// Longest word, in bytes.
pub(super) const MAX_WORD: usize = 4 * 1024;

/// Looks at a whole text before anything else does. A tab is a blank; every other control is refused.
pub(super) fn scan(text: &str) -> Result<(), Refusal> {
    if text.len() > MAX_TEXT {
        return Err(Refusal::new(RefusalKind::Text, format!("the command has {} bytes; {MAX_TEXT} are allowed", text.len())));
    }
    if text.trim().is_empty() {
        return Err(Refusal::new(RefusalKind::Text, "the command is empty"));
    }
    match find_bad(text, '\t') {
        None => Ok(()),
        Some((at, '\n' | '\r')) => Err(Refusal::new(RefusalKind::Text, "a line break ends a command: write two actions").at(at)),
        Some((at, bad)) => {
            let shown: String = bad.escape_unicode().collect();
            Err(Refusal::new(RefusalKind::Text, format!("the character {shown} has no place in a command")).at(at))
        }
    }
}

/// Looks at the value of a label before it is filled in. A value is never repaired: U+FFFD says that it was not UTF-8.
pub(super) fn scan_value(label: &str, value: &str) -> Result<(), Refusal> {
    let refuse = |what: String| Err(Refusal::new(RefusalKind::Placeholder, format!("the value of {{{label}}} {what}")));
    if value.is_empty() {
        return refuse("is empty".to_owned());
    }
    if value.len() > MAX_WORD {
        return refuse(format!("has {} bytes; {MAX_WORD} are allowed", value.len()));
    }
    match find_bad(value, '\u{fffd}') {
        Some((_, bad)) => refuse(format!("holds the character {}, which no label needs", bad.escape_unicode())),
        None if value.contains('\u{fffd}') => refuse(format!("was not UTF-8: {}", terminal(value))),
        None => Ok(()),
    }
}

fn find_bad(text: &str, allowed: char) -> Option<(Range<usize>, char)> {
    text.char_indices()
        .find(|&(_, character)| character != allowed && (is_deceptive(character) || is_exotic_blank(character)))
        .map(|(at, character)| (at..at + character.len_utf8(), character))
}

/// White space to a regular expression or to an eye, but not to exec.
fn is_exotic_blank(character: char) -> bool {
    character.is_whitespace() && character != ' ' || character == '\u{2800}'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_characters_are_refused() {
        assert_eq!(scan("nginx\t-s reload"), Ok(()));
        for bad in [
            "a\0",
            "a\nb",
            "a\rb",
            "a\u{1b}[1A",
            "a\u{85}b",
            "a\u{a0}b",
            "a\u{2002}b",
            "a\u{202e}b",
            "a\u{200b}b",
            "a\u{e0041}",
            "a\u{7f}",
            "a\u{3000}b",
        ] {
            assert_eq!(scan(bad).unwrap_err().kind, RefusalKind::Text, "{bad:?}");
        }
        assert!(scan(&"a".repeat(MAX_TEXT)).is_ok());
        assert!(scan(&"a".repeat(MAX_TEXT + 1)).is_err());
        assert!(scan("  ").is_err());
    }

    #[test]
    fn values_are_scanned_too() {
        assert!(scan_value("x", "a b").is_ok(), "a blank is the slot's matter");
        for bad in ["", "a\tb", "a\nb", "a\u{fffd}", "\u{200b}"] {
            assert!(scan_value("x", bad).is_err(), "{bad:?}");
        }
    }
}
