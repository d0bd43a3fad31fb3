//! Small types that only actions are made of.

use jsonc_parser::ast::Value;
use schemars::JsonSchema;

use super::document::span;
use super::node::{Cx, FromNode};
use super::problem::Draft;
use super::schema::schema;
use super::shape::{Headers, Named};
use crate::detect::condition::Pattern;
use crate::heal::action::http::is_ours;

/// An absolute path that may hold placeholders.
#[derive(Debug)]
pub(crate) struct PathTemplate(pub(crate) String);

impl FromNode for PathTemplate {
    fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        let path = Named::from_node(node, cx)?.0;
        if path.starts_with('/') || path.starts_with('{') {
            return Some(Self(path));
        }
        cx.invalid("bad_path", "expected an absolute path (it begins with /, or with a placeholder)", node)
    }
}

/// Headers that leave the request the one that the guard allows.
#[derive(Debug, JsonSchema)]
#[schemars(inline, from = "Headers")]
pub(crate) struct OwnHeaders(pub(crate) Vec<(String, String)>);

impl FromNode for OwnHeaders {
    fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        let headers = Headers::from_node(node, cx)?.0;
        let Some((name, _)) = headers.iter().find(|(name, _)| is_ours(name)) else { return Some(Self(headers)) };
        let message = format!("the header {name} is autoheal's to set: a rule allows a method and an address, and it could change them");
        cx.invalid("bad_header", message, node)
    }
}

/// A glob on file names.
#[derive(Debug)]
pub(crate) struct FileName(pub(crate) String);

impl FromNode for FileName {
    fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        let glob = Named::from_node(node, cx)?.0;
        match Pattern::new(&glob) {
            Ok(_) if glob.contains('/') => cx.invalid("bad_pattern", "a file name holds no /", node),
            Ok(_) => Some(Self(glob)),
            Err(reason) => cx.invalid("bad_pattern", format!("not a glob: {reason}"), node),
        }
    }
}

/// The signals that an action may send.
const SIGNALS: &[&str] = &["TERM", "HUP", "INT", "QUIT", "USR1", "USR2", "KILL"];

schema! {
    PathTemplate = {"type": "string", "pattern": r"^[/{]"};
    FileName = {"type": "string", "pattern": r"^[^/]*[^/\s][^/]*$"};
    Signal = {"enum": SIGNALS.iter().map(|name| (*name).to_owned()).chain(SIGNALS.iter().map(|name| format!("SIG{name}"))).collect::<Vec<_>>()};
}

/// A signal's name, with or without `SIG`.
#[derive(Debug)]
pub(crate) struct Signal(pub(crate) String);

impl FromNode for Signal {
    fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        let text = String::from_node(node, cx)?;
        let name = text.strip_prefix("SIG").unwrap_or(&text);
        if SIGNALS.contains(&name) {
            return Some(Self(name.to_owned()));
        }
        let message = format!("{text:?} is none of {}", SIGNALS.join(", "));
        cx.report(span(node), Draft::error("unknown_word", message).words(name, SIGNALS))
    }
}
