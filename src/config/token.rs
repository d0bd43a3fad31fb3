//! The words of the condition language.

use std::fmt;
use std::ops::Range;

use super::expression::{Fault, fault};

/// One word.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token {
    /// A metric, a label, a unit, `for`.
    Word(String),
    /// A finite number.
    Number(f64),
    /// Text in quotes without its escapes, cut at each `|` that no backslash escapes.
    Text(Vec<String>),
    /// An operator or a bracket.
    Symbol(&'static str),
}

impl Token {
    pub(crate) fn is_word(&self, word: &str) -> bool {
        matches!(self, Self::Word(here) if here == word)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => out.write_str(word),
            Self::Number(number) => write!(out, "{number}"),
            Self::Text(parts) => write!(out, "{:?}", parts.join("|")),
            Self::Symbol(symbol) => out.write_str(symbol),
        }
    }
}

/// Longer ones first.
const SYMBOLS: &[&str] = &["&&", "||", ">=", "<=", "==", "!=", "=~", "!~", ">", "<", "=", "!", "(", ")", "{", "}", ",", "%"];

/// Cuts the text into words, each with its place.
pub(crate) fn tokens(text: &str) -> Result<Vec<(Token, Range<usize>)>, Fault> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        let (token, length) = if [' ', '\t', '\r', '\n'].contains(&first) {
            at += 1;
            continue;
        } else if first == '"' {
            quoted(rest, at)?
        } else if first.is_ascii_digit() || first == '.' || first == '-' {
            number(rest, at)?
        } else if first.is_ascii_alphabetic() || first == '_' {
            // A unit ends before the next digit: `1h30m`.
            let unit = found.last().is_some_and(|(last, span): &(Token, Range<usize>)| matches!(last, Token::Number(_)) && span.end == at);
            let part = |letter: char| letter.is_ascii_alphabetic() || letter == '_' || (!unit && letter.is_ascii_digit());
            let length = rest.find(|letter| !part(letter)).unwrap_or(rest.len());
            (Token::Word(rest[..length].to_owned()), length)
        } else if let Some(symbol) = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
            (Token::Symbol(symbol), symbol.len())
        } else {
            let (span, draft) = fault(at..at + first.len_utf8(), format!("{:?} does not belong here", first.to_string()));
            let next = match first {
                '&' => Some("did you mean \"&&\"?"),
                '|' => Some("did you mean \"||\"?"),
                '\'' | '“' | '”' | '„' | '/' => Some("text stands in double quotes, which JSON wants as \\\""),
                '≥' => Some("did you mean \">=\"?"),
                '≤' => Some("did you mean \"<=\"?"),
                '≠' => Some("did you mean \"!=\"?"),
                '[' => Some("labels stand in braces, such as {mount=\"/data\"}"),
                _ => None,
            };
            return Err((span, draft.suggest_if(next)));
        };
        found.push((token, at..at + length));
        at += length;
    }
    Ok(found)
}

fn number(rest: &str, at: usize) -> Result<(Token, usize), Fault> {
    let digits = |from: usize| rest[from..].find(|letter: char| !letter.is_ascii_digit()).map_or(rest.len(), |length| from + length);
    let mut end = digits(usize::from(rest.starts_with('-')));
    if rest[end..].starts_with('.') {
        end = digits(end + 1);
    }
    let exponent = rest[end..].strip_prefix(['e', 'E']).map(|after| end + 1 + usize::from(after.starts_with(['-', '+'])));
    if let Some(from) = exponent.filter(|from| digits(*from) > *from) {
        end = digits(from);
    }
    let number = rest[..end].parse::<f64>().ok().filter(|number| number.is_finite());
    number.map(|number| (Token::Number(number), end)).ok_or_else(|| fault(at..at + end.max(1), "this is not a finite number"))
}

fn quoted(rest: &str, at: usize) -> Result<(Token, usize), Fault> {
    let mut parts = vec![String::new()];
    let mut push = |letter: Option<char>| match (letter, parts.last_mut()) {
        (Some(letter), Some(part)) => part.push(letter),
        _ => parts.push(String::new()),
    };
    let mut offset = 1;
    while let Some(letter) = rest[offset..].chars().next() {
        let after = &rest[offset + letter.len_utf8()..];
        match letter {
            '"' => return Ok((Token::Text(parts), offset + 1)),
            '|' => push(None),
            '\\' => {
                let Some(next) = after.chars().next() else { break };
                let Some((letter, length)) = escaped(after) else {
                    let span = at + offset..at + offset + 1 + next.len_utf8();
                    return Err(fault(span, "in text a backslash stands before \" \\ | n r t or u{…} only"));
                };
                push(Some(letter));
                offset += length;
            }
            _ => push(Some(letter)),
        }
        offset += letter.len_utf8();
    }
    Err(fault(at..at + rest.len(), "the text has no closing quote"))
}

/// The letter that is meant by what stands after a backslash, and how many bytes that is.
fn escaped(after: &str) -> Option<(char, usize)> {
    match after.chars().next()? {
        letter @ ('"' | '\\' | '|') => Some((letter, 1)),
        'n' => Some(('\n', 1)),
        'r' => Some(('\r', 1)),
        't' => Some(('\t', 1)),
        'u' => {
            let digits = after.strip_prefix("u{")?;
            let length = digits.find(|letter: char| !letter.is_ascii_hexdigit()).filter(|length| *length <= 6)?;
            let letter = char::from_u32(u32::from_str_radix(&digits[..length], 16).ok()?)?;
            digits[length..].starts_with('}').then_some((letter, length + 3))
        }
        _ => None,
    }
}
