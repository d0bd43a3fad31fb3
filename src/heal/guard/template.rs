//! Placeholders: found in the template, filled once, as bytes, into one word.

use std::ops::Range;

use super::answer::{Refusal, RefusalKind};
use super::label::LabelKind;
use super::text::{MAX_WORD, scan_value};
use super::{Values, quoted};

/// A stretch of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Itself.
    Text(String),
    /// The value of this label.
    Placeholder(String),
}

/// What a brace begins.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Brace<'a> {
    /// `{name}`
    Placeholder(&'a str),
    /// `{{name}}`, the literal `{name}`.
    Literal(&'a str),
}

impl Brace<'_> {
    /// How many bytes of the template it takes.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Placeholder(name) => name.len() + 2,
            Self::Literal(name) => name.len() + 4,
        }
    }
}

/// Reads what begins with the brace at the start of `text`; braces around anything that is not an identifier are left alone.
pub(super) fn brace(text: &str) -> Option<Brace<'_>> {
    if let Some(inner) = text.strip_prefix("{{") {
        let name = &inner[..identifier_len(inner)];
        return (!name.is_empty() && inner[name.len()..].starts_with("}}")).then_some(Brace::Literal(name));
    }
    let inner = text.strip_prefix('{')?;
    let name = &inner[..identifier_len(inner)];
    (!name.is_empty() && inner[name.len()..].starts_with('}')).then_some(Brace::Placeholder(name))
}

fn identifier_len(text: &str) -> usize {
    if text.starts_with(|first: char| first.is_ascii_digit()) {
        return 0;
    }
    text.find(|character: char| !character.is_ascii_alphanumeric() && character != '_').unwrap_or(text.len())
}

/// Appends text to the last piece.
pub(super) fn push_text(pieces: &mut Vec<Piece>, text: &str) {
    if let Some(Piece::Text(last)) = pieces.last_mut() {
        last.push_str(text);
    } else {
        pieces.push(Piece::Text(text.to_owned()));
    }
}

/// Appends what a brace stands for.
pub(super) fn push_brace(pieces: &mut Vec<Piece>, brace: &Brace<'_>) {
    match brace {
        Brace::Placeholder(name) => pieces.push(Piece::Placeholder((*name).to_owned())),
        Brace::Literal(name) => push_text(pieces, &format!("{{{name}}}")),
    }
}

/// A text without quoting: a field of a native action.
pub(super) fn parse(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        if open > 0 {
            push_text(&mut pieces, &rest[..open]);
        }
        rest = &rest[open..];
        let taken = match brace(rest) {
            Some(brace) => {
                push_brace(&mut pieces, &brace);
                brace.len()
            }
            None => {
                push_text(&mut pieces, "{");
                1
            }
        };
        rest = &rest[taken..];
    }
    if !rest.is_empty() || pieces.is_empty() {
        push_text(&mut pieces, rest);
    }
    pieces
}

/// One word of a command, as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    /// Quotes removed.
    pub(super) pieces: Vec<Piece>,
    /// Where it stands in the text, in bytes, with its quotes.
    pub(super) span: Range<usize>,
}

/// One word to be matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Argument {
    /// The word; with `{name}` where it is open.
    pub(super) text: String,
    /// A placeholder filled it or a part of it: only a slot can take it.
    pub(super) filled: bool,
    /// The pieces of a word whose placeholders have no values yet.
    pub(super) open: Option<Vec<Piece>>,
    /// Where it stands in the text.
    pub(super) span: Range<usize>,
}

impl Argument {
    /// A word without placeholders.
    pub(super) fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), filled: false, open: None, span: 0..0 }
    }
}

impl Word {
    /// The word of a native action's line.
    pub(super) fn field(text: &str) -> Self {
        Self { pieces: parse(text), span: 0..0 }
    }

    /// The names of the placeholders in it.
    pub(super) fn placeholders(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Placeholder(name) => Some(name.as_str()),
            Piece::Text(_) => None,
        })
    }

    /// Makes it ready to be matched: filled with the values, or open where there are none (at load).
    pub(super) fn resolve(&self, first: bool, values: Option<&Values>) -> Result<Argument, Refusal> {
        let misplaced = |what: &str| Refusal::new(RefusalKind::Placeholder, what).at(self.span.clone());
        let has_placeholder = self.placeholders().next().is_some();
        if has_placeholder && first {
            return Err(misplaced("the program cannot come from a placeholder"));
        }
        if has_placeholder && matches!(self.pieces.first(), Some(Piece::Text(text)) if text.starts_with('-')) {
            return Err(misplaced("an option cannot hold a placeholder: give the value a word of its own"));
        }
        let text = match values {
            Some(values) => fill(&self.pieces, values).map_err(|refusal| refusal.at(self.span.clone()))?,
            None => show(&self.pieces),
        };
        if has_placeholder && text.starts_with('-') {
            let reason = format!("a value made the word {} an option", quoted(&text));
            return Err(misplaced(&reason));
        }
        if text.len() > MAX_WORD {
            return Err(
                Refusal::new(RefusalKind::Text, format!("a word has {} bytes; {MAX_WORD} are allowed", text.len())).at(self.span.clone())
            );
        }
        let open = (has_placeholder && values.is_none()).then(|| self.pieces.clone());
        Ok(Argument { text, filled: has_placeholder, open, span: self.span.clone() })
    }
}

/// Fills every placeholder with its value, which must be of its label's type.
pub(super) fn fill(pieces: &[Piece], values: &Values) -> Result<String, Refusal> {
    fill_with(pieces, |name| {
        let value = values.get(name).ok_or_else(|| {
            Refusal::new(RefusalKind::Placeholder, format!("no label fills {{{name}}}: the incident has {}", known(values)))
        })?;
        scan_value(name, value)?;
        if LabelKind::of(name).accepts(value) {
            Ok(value.clone())
        } else {
            let kind = LabelKind::of(name);
            Err(Refusal::new(RefusalKind::Placeholder, format!("the value of {{{name}}}, {}, is no {kind}", quoted(value))))
        }
    })
}

/// Fills every placeholder with its value, whatever its type: only for texts that are looked up, not run.
pub(super) fn fill_name(pieces: &[Piece], values: &Values) -> Result<String, Refusal> {
    fill_with(pieces, |name| {
        let value = values.get(name).ok_or_else(|| {
            Refusal::new(RefusalKind::Placeholder, format!("no label fills {{{name}}}: the incident has {}", known(values)))
        })?;
        scan_value(name, value)?;
        Ok(value.clone())
    })
}

fn fill_with(pieces: &[Piece], mut value: impl FnMut(&str) -> Result<String, Refusal>) -> Result<String, Refusal> {
    let mut text = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(literal) => text.push_str(literal),
            Piece::Placeholder(name) => text.push_str(&value(name)?),
        }
    }
    Ok(text)
}

/// The template with its placeholders as written.
pub(super) fn show(pieces: &[Piece]) -> String {
    pieces
        .iter()
        .map(|piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Placeholder(name) => format!("{{{name}}}"),
        })
        .collect()
}

fn known(values: &Values) -> String {
    if values.is_empty() {
        return "no labels".to_owned();
    }
    values.keys().map(|name| crate::record::escape::terminal(name)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(template: &str, expected: &str) {
        let shown: Vec<String> = parse(template)
            .into_iter()
            .map(|piece| match piece {
                Piece::Text(text) => text,
                Piece::Placeholder(name) => format!("<{name}>"),
            })
            .collect();
        assert_eq!(shown.concat(), expected, "{template}");
    }

    #[test]
    fn only_identifiers_in_braces_are_placeholders() {
        check("plain", "plain");
        check("", "");
        check("{mount}/x", "<mount>/x");
        check("a{b}{c}d", "a<b><c>d");
        check("{{name}}", "{name}");
        check("{print $1}", "{print $1}");
        check("{{.Names}}", "{{.Names}}");
        check("{1}", "{1}");
        check("{}", "{}");
        check("{a", "{a");
        check("{{{name}}}", "{{name}}");
    }

    #[test]
    fn values_are_never_scanned_again() {
        let values = Values::from([("x".to_owned(), "{y}".to_owned()), ("y".to_owned(), "z".to_owned())]);
        assert_eq!(fill(&parse("{x}{y}"), &values).unwrap(), "{y}z");
        let values = Values::from([("x".to_owned(), "$0 ${name} \\1".to_owned())]);
        assert_eq!(fill(&parse("a{x}b"), &values).unwrap(), "a$0 ${name} \\1b");
    }
}
