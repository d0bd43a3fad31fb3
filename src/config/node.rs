//! From a JSON tree to values, with every problem reported and none hidden behind the first.
//!
//! [`record!`] declares the shape of an object once; it reads every field even after a failure, so that all problems of a file
//! come out together. Keys `$schema`, `$comment`, `_…` and `x-…` are ignored in every object.

use std::ops::Range;

use jsonc_parser::ast::{Object, Value};
use jsonc_parser::common::Ranged;
use schemars::JsonSchema;

use super::document::{Document, inside, push_key, span};
use super::mend::mend;
use super::problem::{Draft, Problem, nearest};
use super::source::Text;

/// Where we are in a file, and what was wrong so far.
#[derive(Debug)]
pub(crate) struct Cx<'t> {
    text: &'t Text,
    path: String,
    pub(crate) problems: Vec<Problem>,
}

impl<'t> Cx<'t> {
    /// At the file's root.
    pub(crate) fn new(text: &'t Text) -> Self {
        Self { text, path: "$".to_owned(), problems: Vec::new() }
    }

    /// The text of a value as it stands in the file.
    pub(crate) fn source_of(&self, node: &Value<'_>) -> std::sync::Arc<str> {
        self.text.text.get(super::document::span(node)).unwrap_or_default().into()
    }

    /// `$.disk_space_low.actions[0]`
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// A problem of the value that is being read. Gives `None`, so that a reader can end with it.
    pub(crate) fn report<T>(&mut self, span: Range<usize>, draft: Draft) -> Option<T> {
        self.problems.push(draft.at(&self.text.file, &self.path, span));
        None
    }

    /// A problem of a part of a decoded string.
    pub(crate) fn report_inside(&mut self, node: &Value<'_>, part: &Range<usize>, draft: Draft) {
        let span = inside(&self.text.text, node, part);
        self.problems.push(draft.at(&self.text.file, &self.path, span));
    }

    /// A value of the wrong type.
    pub(crate) fn expected<T>(&mut self, what: &str, node: &Value<'_>) -> Option<T> {
        let draft = Draft::error("wrong_type", format!("expected {what}, found {}", kind(node)));
        self.report(span(node), draft.found(shown(self.text, node)).suggest_if(mend(what, node, &self.path)))
    }

    /// A value of the right type that is not allowed.
    pub(crate) fn invalid<T>(&mut self, code: &'static str, message: impl Into<String>, node: &Value<'_>) -> Option<T> {
        let draft = Draft::error(code, message).found(shown(self.text, node));
        self.report(span(node), draft)
    }

    /// Reads below a key.
    pub(crate) fn under<R>(&mut self, key: &str, read: impl FnOnce(&mut Self) -> R) -> R {
        let length = self.path.len();
        push_key(&mut self.path, key);
        let result = read(self);
        self.path.truncate(length);
        result
    }

    /// Reads an element of a list.
    fn element<R>(&mut self, index: usize, read: impl FnOnce(&mut Self) -> R) -> R {
        let length = self.path.len();
        self.path.push_str(&format!("[{index}]"));
        let result = read(self);
        self.path.truncate(length);
        result
    }
}

/// What a value is, in words.
fn kind(node: &Value<'_>) -> &'static str {
    match node {
        Value::StringLit(_) => "text",
        Value::NumberLit(_) => "a number",
        Value::BooleanLit(_) => "true or false",
        Value::Object(_) => "an object",
        Value::Array(_) => "a list",
        Value::NullKeyword(_) => "null",
    }
}

/// The start of a value as it stands in the file, for `found`.
fn shown(text: &Text, node: &Value<'_>) -> String {
    const MOST: usize = 80;
    let whole = text.text.get(span(node)).unwrap_or_default();
    match whole.char_indices().nth(MOST) {
        Some((cut, _)) => format!("{}…", &whole[..cut]),
        None => whole.to_owned(),
    }
}

/// Reads a value of this type, or reports why it cannot. Its [`JsonSchema`] tells editors the same beforehand.
pub(crate) trait FromNode: Sized + JsonSchema {
    /// Reads the value. `None` means that a problem was reported.
    fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self>;

    /// What stands for a key that is not there; `None`: the key is required.
    fn absent() -> Option<Self> {
        None
    }
}

impl<T: FromNode> FromNode for Option<T> {
    fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        T::from_node(node, cx).map(Some)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

/// A value with its place.
#[derive(Clone, Debug, PartialEq, JsonSchema)]
#[schemars(inline, transparent)]
pub(crate) struct Spanned<T> {
    pub(crate) value: T,
    #[schemars(skip)]
    pub(crate) span: Range<usize>,
}

impl<T: FromNode> FromNode for Spanned<T> {
    fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        T::from_node(node, cx).map(|value| Self { value, span: span(node) })
    }
}

impl<T: FromNode> FromNode for Vec<T> {
    fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        let Value::Array(array) = node else { return cx.expected("a list", node) };
        let read = |(index, element)| cx.element(index, |cx| T::from_node(element, cx));
        // Every element is read before the failures of some of them count.
        let elements: Vec<Option<T>> = array.elements.iter().enumerate().map(read).collect();
        elements.into_iter().collect()
    }
}

/// An object whose keys are names that the user gave.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entries<T>(pub(crate) Vec<(String, T)>);

impl<T: JsonSchema> JsonSchema for Entries<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Entries".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "object", "additionalProperties": generator.subschema_for::<T>()})
    }
}

impl<T> Default for Entries<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: FromNode> FromNode for Entries<T> {
    fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        entries(node, cx, is_ignored, |_, node, cx| T::from_node(node, cx)).into_iter().collect::<Option<_>>().map(Self)
    }
}

/// A key of an object, and its place.
#[derive(Clone, Debug)]
pub(crate) struct Key<'n> {
    pub(crate) name: &'n str,
    pub(crate) span: Range<usize>,
}

/// Reads every entry of an object; a failed entry is `None`, a node that is no object one failed entry.
pub(crate) fn entries<T>(
    node: &Value<'_>,
    cx: &mut Cx<'_>,
    ignored: impl Fn(&str) -> bool,
    mut read: impl FnMut(Key<'_>, &Value<'_>, &mut Cx<'_>) -> Option<T>,
) -> Vec<Option<(String, T)>> {
    let Value::Object(object) = node else { return vec![cx.expected("an object", node)] };
    duplicates(object, cx, &ignored);
    let wanted = object.properties.iter().filter(|prop| !ignored(prop.name.as_str()));
    wanted
        .map(|prop| {
            let name = prop.name.as_str();
            let range = prop.name.range();
            cx.under(name, |cx| read(Key { name, span: range.start..range.end }, &prop.value, cx)).map(|value| (name.to_owned(), value))
        })
        .collect()
}

/// Keys that people and editors may put anywhere.
pub(crate) fn is_ignored(key: &str) -> bool {
    matches!(key, "$schema" | "$comment") || key.starts_with('_') || key.starts_with("x-")
}

fn duplicates(object: &Object<'_>, cx: &mut Cx<'_>, ignored: &impl Fn(&str) -> bool) {
    let mut seen = std::collections::HashMap::new();
    let (mut line, mut at) = (0, object.range.start);
    for prop in object.properties.iter().filter(|prop| !ignored(prop.name.as_str())) {
        let (name, range) = (prop.name.as_str(), prop.name.range());
        // Counted from the object: a file may have many of them, and this looks at each line once.
        line += cx.text.text.get(at..range.start).unwrap_or_default().matches('\n').count();
        at = range.start;
        let first = *seen.entry(name).or_insert((line, at));
        if first.1 != at {
            let place = match line - first.0 {
                0 => "in this line".to_owned(),
                1 => "one line above".to_owned(),
                lines => format!("{lines} lines above"),
            };
            let draft = Draft::error("duplicate_key", format!("the key {name:?} stands twice, first {place}")).found(name);
            cx.under(name, |cx| cx.report::<()>(range.start..range.end, draft.suggest("rename or remove one of them")));
        }
    }
}

/// The keys of one object while they are read. The keys that were asked for are the keys that are allowed.
#[derive(Debug)]
pub(crate) struct Fields<'n, 'c, 't> {
    object: &'n Object<'n>,
    pub(crate) cx: &'c mut Cx<'t>,
    known: Vec<&'static str>,
    missing: Vec<&'static str>,
    lenient: bool,
}

impl<'n, 'c, 't> Fields<'n, 'c, 't> {
    /// Begins to read an object.
    pub(crate) fn open(node: &'n Value<'n>, cx: &'c mut Cx<'t>) -> Option<Self> {
        let Value::Object(object) = node else { return cx.expected("an object", node) };
        duplicates(object, cx, &is_ignored);
        Some(Self { object, cx, known: Vec::new(), missing: Vec::new(), lenient: false })
    }

    /// Reads a key. `None`: a problem was reported, or will be when the object is closed.
    pub(crate) fn get<T: FromNode>(&mut self, key: &'static str) -> Option<T> {
        self.known.push(key);
        match self.object.get(key) {
            Some(prop) => self.cx.under(key, |cx| T::from_node(&prop.value, cx)),
            None => {
                let absent = T::absent();
                if absent.is_none() {
                    self.missing.push(key);
                }
                absent
            }
        }
    }

    /// Reads a key that has a default, which is JSON.
    pub(crate) fn get_or<T: FromNode>(&mut self, key: &'static str, default: Option<&str>) -> Option<T> {
        match default {
            Some(default) if !self.has(key) => {
                self.known.push(key);
                fallback(default)
            }
            _ => self.get(key),
        }
    }

    /// Whether the key is there.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.object.get(key).is_some()
    }

    /// The key must be there, for a reason that its type does not know.
    pub(crate) fn require(&mut self, key: &'static str) {
        if !self.has(key) && !self.missing.contains(&key) {
            self.missing.push(key);
        }
    }

    /// Any key may stand here: what the object is could not be found out. A misspelt one is still matched with a missing one.
    pub(crate) fn allow_all(&mut self) {
        self.lenient = true;
    }

    /// The place of the whole object.
    pub(crate) fn span(&self) -> Range<usize> {
        self.object.range.start..self.object.range.end
    }

    /// A problem of the value of a key.
    pub(crate) fn report(&mut self, key: &str, draft: Draft) {
        let span = self.object.get(key).map_or_else(|| self.span(), |prop| span(&prop.value));
        self.cx.under(key, |cx| cx.report::<()>(span, draft));
    }

    /// A problem of a key of the object below a key.
    pub(crate) fn report_key(&mut self, key: &str, inner: &str, draft: Draft) {
        let object = self.object.get_object(key);
        let name = object.and_then(|object| object.get(inner)).map(|prop| prop.name.range());
        let span = name.map_or_else(|| self.span(), |range| range.start..range.end);
        self.cx.under(key, |cx| cx.under(inner, |cx| cx.report::<()>(span, draft)));
    }

    /// Reports keys that nobody asked for, and keys that are missing unless one of the former was probably meant.
    pub(crate) fn close(mut self) {
        for prop in &self.object.properties {
            let name = prop.name.as_str();
            if is_ignored(name) || self.known.contains(&name) {
                continue;
            }
            let meant = nearest(name, &self.known);
            if self.lenient && !meant.is_some_and(|key| self.missing.contains(&key)) {
                continue;
            }
            self.missing.retain(|key| Some(*key) != meant);
            let draft = Draft::error("unknown_key", format!("unknown key {name:?}")).found(name).allowed(self.known.iter().copied());
            let draft = draft.suggest_if(meant.map(|word| format!("did you mean {word:?}?")));
            let range = prop.name.range();
            self.cx.under(name, |cx| cx.report::<()>(range.start..range.end, draft));
        }
        // The caret stands under the opening brace: an object may be many lines long.
        let at = self.object.range.start..self.object.range.start + 1;
        for key in std::mem::take(&mut self.missing) {
            let draft = Draft::error("missing_key", format!("the key {key:?} is missing")).allowed([key]);
            self.cx.report::<()>(at.clone(), draft);
        }
    }
}

/// What JSON from this program's own source means: a default is read like what a person writes.
pub(crate) fn fallback<T: FromNode>(json: &str) -> Option<T> {
    let text = Text::new("a default", json);
    let document = Document::open(&text).ok()?;
    T::from_node(&document.root, &mut Cx::new(&text))
}

/// `match` for `r#match`.
pub(crate) fn plain(field: &'static str) -> &'static str {
    field.strip_prefix("r#").unwrap_or(field)
}

/// Declares the shape of an object: a struct, how it is read, and its schema, in which the comments are the descriptions.
/// `Option` fields may be absent, and so may those with a default, which is JSON; others may not.
macro_rules! record {
    (@default) => { None };
    (@default $default:tt) => { Some(stringify!($default)) };
    ($(#[$about:meta])* $vis:vis $name:ident { $($(#[$doc:meta])* $field:ident: $type:ty $(= $default:tt)?,)* }) => {
        $(#[$about])*
        #[derive(Debug, schemars::JsonSchema)]
        #[schemars(inline, deny_unknown_fields)]
        $vis struct $name { $($(#[$doc])* $(#[schemars(extend("default" = serde_json::json!($default)))])? $field: $type,)* }

        impl $name {
            /// Reads these keys of an object that may have more.
            $vis fn read(fields: &mut $crate::config::node::Fields<'_, '_, '_>) -> Option<Self> {
                $(
                    let key = $crate::config::node::plain(stringify!($field));
                    let $field = fields.get_or::<$type>(key, $crate::config::node::record!(@default $($default)?));
                )*
                Some(Self { $($field: $field?,)* })
            }
        }

        impl $crate::config::node::FromNode for $name {
            fn from_node(node: &jsonc_parser::ast::Value<'_>, cx: &mut $crate::config::node::Cx<'_>) -> Option<Self> {
                let mut fields = $crate::config::node::Fields::open(node, cx)?;
                let record = Self::read(&mut fields);
                fields.close();
                record
            }
        }
    };
}
pub(crate) use record;

#[cfg(test)]
#[path = "node_tests.rs"]
mod tests;
