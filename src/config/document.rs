//! One file as text and as a tree with a place for each key and value.
//!
//! The syntax is checked twice. `serde_json` goes first, because it is the stricter of the two (numbers out of range, raw control
//! characters, odd blanks); `jsonc_parser` then gives the tree, with duplicates kept.

use std::collections::HashMap;
use std::ops::Range;

use jsonc_parser::ast::Value;
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};

use super::problem::{Draft, Problem, place};
use super::source::Text;
use super::syntax::slip;

/// Lists and objects inside each other. No sensible file comes near; it bounds the stack that reading takes.
const MAX_DEPTH: usize = 24;

/// A file that is well-formed JSON.
#[derive(Debug)]
pub(crate) struct Document<'t> {
    pub(crate) text: &'t Text,
    pub(crate) root: Value<'t>,
    /// Where each key of the root stands among its properties: a file may have thousands, and a remark about each.
    places: HashMap<String, usize>,
}

impl<'t> Document<'t> {
    /// Reads the text as strict JSON.
    pub(crate) fn open(text: &'t Text) -> Result<Self, Box<Problem>> {
        well_formed(&text.text).map_err(|(span, draft)| {
            let mut problem = [draft.at(&text.file, "$", span)];
            place(&text.text, &mut problem);
            let [problem] = problem;
            Box::new(problem)
        })?;
        let root = tree(&text.text).ok_or_else(|| {
            let draft = Draft::error("syntax", "this is not strict JSON");
            Box::new(draft.at(&text.file, "$", 0..0))
        })?;
        let mut places = HashMap::new();
        if let Value::Object(object) = &root {
            for (index, prop) in object.properties.iter().enumerate() {
                places.entry(prop.name.as_str().to_owned()).or_insert(index);
            }
        }
        Ok(Self { text, root, places })
    }

    /// Where the value at `path` (`$.a.b[0]["odd key"]`) stands; where there is none, its nearest ancestor.
    pub(crate) fn span_of(&self, path: &str) -> Range<usize> {
        span(self.find(path))
    }

    /// Where the value at `path` begins: for remarks about a whole object, which may be many lines long.
    pub(crate) fn head_of(&self, path: &str) -> Range<usize> {
        let node = self.find(path);
        let whole = span(node);
        match node {
            Value::Object(_) | Value::Array(_) => whole.start..whole.start + 1,
            _ => whole,
        }
    }

    /// Where a part of the decoded string at `path` stands in the file.
    pub(crate) fn span_inside(&self, path: &str, part: &Range<usize>) -> Range<usize> {
        inside(&self.text.text, self.find(path), part)
    }

    fn find(&self, path: &str) -> &Value<'t> {
        let mut node = &self.root;
        let mut rest = path.strip_prefix('$').unwrap_or(path);
        while let Some((segment, after)) = next_segment(rest) {
            let child = match node {
                Value::Object(object) if std::ptr::eq(node, &self.root) => segment
                    .key()
                    .and_then(|key| self.places.get(key))
                    .and_then(|index| object.properties.get(*index))
                    .map(|prop| &prop.value),
                Value::Object(object) => {
                    object.properties.iter().find(|prop| segment.key() == Some(prop.name.as_str())).map(|prop| &prop.value)
                }
                Value::Array(array) => segment.index().and_then(|index| array.elements.get(index)),
                _ => None,
            };
            let Some(child) = child else { break };
            (node, rest) = (child, after);
        }
        node
    }
}

/// The place of a value in the file, in bytes.
pub(crate) fn span(node: &Value<'_>) -> Range<usize> {
    let range = node.range();
    range.start..range.end
}

/// The place of a part of a decoded string, found by walking the escapes of the literal.
pub(crate) fn inside(text: &str, node: &Value<'_>, part: &Range<usize>) -> Range<usize> {
    let whole = span(node);
    let Value::StringLit(literal) = node else { return whole };
    let raw = text.get(whole.start + 1..whole.end.saturating_sub(1)).unwrap_or_default();
    let start = whole.start + 1 + raw_offset(raw, part.start.min(literal.value.len()));
    let end = whole.start + 1 + raw_offset(raw, part.end.min(literal.value.len()));
    start..end.max(start + 1)
}

/// How many bytes of a raw literal make the first `decoded` bytes of its value.
fn raw_offset(raw: &str, decoded: usize) -> usize {
    let hex = |at: usize| raw.get(at..at + 4).and_then(|digits| u32::from_str_radix(digits, 16).ok()).unwrap_or(0);
    let (mut at, mut made) = (0, 0);
    while made < decoded && at < raw.len() {
        let bytes = raw.as_bytes();
        let (read, gives) = match (bytes[at], bytes.get(at + 1)) {
            (b'\\', Some(b'u')) if (0xD800..0xDC00).contains(&hex(at + 2)) => (12, 4),
            (b'\\', Some(b'u')) => (6, char::from_u32(hex(at + 2)).map_or(3, char::len_utf8)),
            (b'\\', _) => (2, 1),
            _ => (1, 1),
        };
        (at, made) = (at + read, made + gives);
    }
    at.min(raw.len())
}

/// One step of a path.
#[derive(Debug, PartialEq)]
enum Segment {
    Key(String),
    Index(usize),
}

impl Segment {
    fn key(&self) -> Option<&str> {
        match self {
            Self::Key(key) => Some(key),
            Self::Index(_) => None,
        }
    }

    fn index(&self) -> Option<usize> {
        match self {
            Self::Index(index) => Some(*index),
            Self::Key(_) => None,
        }
    }
}

fn next_segment(path: &str) -> Option<(Segment, &str)> {
    if let Some(rest) = path.strip_prefix('.') {
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        return Some((Segment::Key(rest[..end].to_owned()), &rest[end..]));
    }
    let rest = path.strip_prefix('[')?;
    if rest.starts_with('"') {
        let mut keys = serde_json::Deserializer::from_str(rest).into_iter::<String>();
        let key = keys.next()?.ok()?;
        let after = rest.get(keys.byte_offset()..)?.strip_prefix(']')?;
        return Some((Segment::Key(key), after));
    }
    let end = rest.find(']')?;
    Some((Segment::Index(rest[..end].parse().ok()?), &rest[end + 1..]))
}

/// Adds `.key`, or `["odd key"]`, to a path.
pub(crate) fn push_key(path: &mut String, key: &str) {
    let plain = key.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && key.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    if plain {
        path.push('.');
        path.push_str(key);
    } else {
        path.push_str(&format!("[{}]", serde_json::Value::from(key)));
    }
}

/// The path of a key of the file's object.
pub(crate) fn top(key: &str) -> String {
    let mut path = "$".to_owned();
    push_key(&mut path, key);
    path
}

fn well_formed(text: &str) -> Result<(), (Range<usize>, Draft)> {
    let first = 0..text.chars().next().map_or(0, char::len_utf8);
    if text.starts_with('\u{feff}') {
        return Err((first, Draft::error("byte_order_mark", "the file begins with a byte order mark; save it as UTF-8 without one")));
    }
    if text.trim().is_empty() {
        return Err((first, Draft::error("file_empty", "the file is empty: a save in progress, or {} is meant")));
    }
    too_deep(text)?;
    let Err(error) = serde_json::from_str::<serde_json::Value>(text) else { return Ok(()) };
    Err(slip(text).unwrap_or_else(|| parsers_view(text, &error)))
}

/// What the parser says, where it gave up.
fn parsers_view(text: &str, error: &serde_json::Error) -> (Range<usize>, Draft) {
    let line_start: usize = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    let mut at = (line_start + error.column().saturating_sub(1)).min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let message = error.to_string();
    let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message).to_lowercase();
    if message == "number out of range" {
        // The parser stands behind the number.
        at = text[..at].rfind(|letter: char| !letter.is_ascii_digit() && !"+-.eE".contains(letter)).map_or(at, |before| before + 1);
    }
    let end = text[at..].chars().next().map_or(at, |letter| at + letter.len_utf8());
    (at..end, Draft::error("syntax", format!("not JSON: {message}")))
}

/// Both parsers call themselves for each level, so depth is looked at first, without recursion.
fn too_deep(text: &str) -> Result<(), (Range<usize>, Draft)> {
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => depth += 1,
            b'}' | b']' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err((at..at + 1, Draft::error("too_deep", format!("lists and objects are nested more than {MAX_DEPTH} deep"))));
        }
    }
    Ok(())
}

fn tree(text: &str) -> Option<Value<'_>> {
    let strict = ParseOptions {
        allow_comments: false,
        allow_loose_object_property_names: false,
        allow_trailing_commas: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    parse_to_ast(text, &CollectOptions::default(), &strict).ok()?.value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(text: &str, code: &str, line: usize, column: usize) {
        let problem = Document::open(&Text::new("f", text)).unwrap_err();
        assert_eq!((problem.code, problem.line, problem.column), (code, line, column), "{}", problem.message);
    }

    #[test]
    fn only_strict_json_is_read() {
        refused("", "file_empty", 1, 1);
        refused(" \n ", "file_empty", 1, 1);
        refused("\u{feff}{}", "byte_order_mark", 1, 1);
        refused("{\"a\": 1,}", "syntax", 1, 8);
        refused("{\"a\": 1,\n}", "syntax", 1, 8);
        refused("{\n  \"é\": 1 // why\n}", "syntax", 2, 10);
        refused("{\"a\": 1e999}", "syntax", 1, 7);
        refused("{\"a\": NaN}", "syntax", 1, 7);
        refused("{} {}", "syntax", 1, 4);
        refused(&"[".repeat(70), "too_deep", 1, 25);
        refused("{\"a\": \"b", "syntax", 1, 7);
    }

    #[test]
    fn deep_files_fit_on_a_small_stack() {
        let text = format!("{}{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
        let worker = crate::threads::spawn("deep", move || {
            assert!(Document::open(&Text::new("f", &text)).is_ok());
        });
        assert_eq!(worker.ended().recv(), Ok(true));
    }

    #[test]
    fn places_are_found_by_path() {
        let text = Text::new("f", r#"{"a": {"odd key": [1, {"b": "x\"\u00e9yz"}]}}"#);
        let document = Document::open(&text).unwrap();
        let at = |path: &str| &text.text[document.span_of(path)];
        assert_eq!(at("$.a[\"odd key\"][0]"), "1");
        assert_eq!(at("$.a[\"odd key\"][1].b"), r#""x\"\u00e9yz""#);
        assert_eq!(at("$.a[\"odd key\"][1].missing.c"), r#"{"b": "x\"\u00e9yz"}"#);
        let path = "$.a[\"odd key\"][1].b";
        let decoded = "x\"éyz";
        let part = decoded.find('y').unwrap()..decoded.find('z').unwrap();
        assert_eq!(&text.text[document.span_inside(path, &part)], "y");
        assert_eq!(&text.text[document.span_inside(path, &(0..2))], "x\\\"");
    }
}
