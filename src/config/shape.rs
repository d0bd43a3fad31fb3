//! Small types that both files are made of: quantities with their limits, paths, URLs, patterns, words.

use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use jsonc_parser::ast::Value;

use super::document::span;
use super::node::{Cx, FromNode, entries};
use super::playbook::{CooldownScope, Order, Severity, StatusSet, Strategy};
use super::problem::Draft;
use super::schema::schema;
use super::settings::StartTls;

/// The longest time that a `*_seconds` may say.
const MAX_SECONDS: f64 = 30.0 * 86_400.0;
/// The longest time that a `*_days` may say.
pub(crate) const MAX_DAYS: f64 = 3650.0;
/// The largest size that a `*_mb` may say: an exbibyte.
const MAX_MB: f64 = 1_099_511_627_776.0;

/// The shortest time between two measurements.
const LEAST_INTERVAL: f64 = 0.1;
/// How often something can be looked at again at most.
const MAX_RETRIES: u32 = 1000;
/// In a schema: more than blanks.
pub(crate) const SAYS_SOMETHING: &str = r"\S";

impl FromNode for String {
    fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        match node {
            Value::StringLit(literal) => Some(literal.value.to_string()),
            _ => cx.expected("text", node),
        }
    }
}

impl FromNode for bool {
    fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        match node {
            Value::BooleanLit(literal) => Some(literal.value),
            _ => cx.expected("true or false", node),
        }
    }
}

impl FromNode for f64 {
    fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        let Value::NumberLit(literal) = node else { return cx.expected("a number", node) };
        match literal.value.parse::<Self>() {
            Ok(number) if number.is_finite() => Some(number),
            _ => cx.invalid("out_of_range", format!("{} is not a finite number", literal.value), node),
        }
    }
}

/// A number within limits; the message says which limit was passed.
fn bounded(node: &Value<'_>, cx: &mut Cx<'_>, least: f64, most: f64) -> Option<f64> {
    let number = f64::from_node(node, cx)?;
    if number < least {
        return cx.invalid("out_of_range", format!("must not be under {least}, found {number}"), node);
    }
    if number > most {
        return cx.invalid("out_of_range", format!("must not be over {most}, found {number}"), node);
    }
    Some(number)
}

/// A whole number within limits.
fn whole(node: &Value<'_>, cx: &mut Cx<'_>, least: u32, most: u32) -> Option<u32> {
    let number = bounded(node, cx, least.into(), most.into())?;
    if number.fract() != 0.0 {
        return cx.invalid("wrong_type", format!("expected a whole number, found {number}"), node);
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole and within the limits, which are u32")]
    Some(number as u32)
}

impl FromNode for u32 {
    fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        whole(node, cx, 0, Self::MAX)
    }
}

impl FromNode for u16 {
    /// A TCP port.
    fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        whole(node, cx, 1, Self::MAX.into()).and_then(|port| Self::try_from(port).ok())
    }
}

/// Declares newtypes over values with limits.
macro_rules! quantities {
    ($($(#[$doc:meta])* $name:ident($inner:ty) $schema:tt = $read:expr;)*) => {
        schema! { $($name = $schema;)* }
        $(
            $(#[$doc])*
            #[derive(Clone, Debug)]
            pub(crate) struct $name(pub(crate) $inner);

            impl FromNode for $name {
                fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self> {
                    let read: fn(&Value<'_>, &mut Cx<'_>) -> Option<$inner> = $read;
                    read(node, cx).map(Self)
                }
            }
        )*
    };
}

quantities! {
    /// A time; 0 is legal.
    Seconds(Duration) {"type": "number", "minimum": 0, "maximum": MAX_SECONDS} = |node, cx| bounded(node, cx, 0.0, MAX_SECONDS).map(Duration::from_secs_f64);
    /// A time over 0.
    PositiveSeconds(Duration) {"type": "number", "exclusiveMinimum": 0, "maximum": MAX_SECONDS} = |node, cx| match bounded(node, cx, 0.0, MAX_SECONDS)? {
        0.0 => cx.invalid("out_of_range", "must be over 0", node),
        seconds => Some(Duration::from_secs_f64(seconds)),
    };
    /// How often something is measured: at most ten times a second.
    Interval(Duration) {"type": "number", "minimum": LEAST_INTERVAL, "maximum": MAX_SECONDS} = |node, cx| bounded(node, cx, LEAST_INTERVAL, MAX_SECONDS).map(Duration::from_secs_f64);
    /// A time in days.
    Days(Duration) {"type": "number", "minimum": 0, "maximum": MAX_DAYS} = |node, cx| bounded(node, cx, 0.0, MAX_DAYS).map(|days| Duration::from_secs_f64(days * 86_400.0));
    /// A size in MiB, as bytes.
    Megabytes(u64) {"type": "number", "minimum": 0, "maximum": MAX_MB} = |node, cx| bounded(node, cx, 0.0, MAX_MB).map(bytes);
    /// How often something is looked at again.
    Retries(u32) {"type": "integer", "minimum": 0, "maximum": MAX_RETRIES} = |node, cx| whole(node, cx, 0, MAX_RETRIES);
    /// A count of at least one.
    AtLeastOne(u32) {"type": "integer", "minimum": 1, "maximum": u32::MAX} = |node, cx| whole(node, cx, 1, u32::MAX);
    /// Text that says something.
    Named(String) {"type": "string", "pattern": SAYS_SOMETHING} = named;
    /// An absolute path.
    AbsolutePath(PathBuf) {"type": "string", "pattern": "^/"} = |node, cx| {
        let path = named(node, cx)?;
        if path.starts_with('/') { Some(path.into()) } else { cx.invalid("bad_path", "expected an absolute path (it begins with /)", node) }
    };
    /// An `http` or `https` address.
    Url(String) {"type": "string", "pattern": "^(https?://[^/?#]|\\{)\\S*$"} = url;
    /// An HTTP method, in capitals.
    Method(String) {"type": "string", "pattern": "^[A-Za-z]+$", "examples": ["GET", "POST", "PUT", "DELETE"]} = |node, cx| {
        let method = String::from_node(node, cx)?;
        let legal = !method.is_empty() && method.chars().all(|letter| letter.is_ascii_alphabetic());
        if legal { Some(method.to_ascii_uppercase()) } else { cx.invalid("bad_method", "this is not an HTTP method", node) }
    };
    /// HTTP headers.
    Headers(Vec<(String, String)>) {"type": "object", "additionalProperties": {"type": "string"}, "patternProperties": {"^[$_]": true}} = headers;
    /// A regular expression that is looked for anywhere in the text.
    Pattern(regex::Regex) {"type": "string", "pattern": SAYS_SOMETHING} = |node, cx| {
        let text = named(node, cx)?;
        let built = regex::RegexBuilder::new(&text).size_limit(1 << 20).dfa_size_limit(1 << 20).build();
        built.map_or_else(|error| cx.invalid("bad_pattern", in_one_line(&error.to_string()), node), Some)
    };
}

/// The compiler's message has a caret of its own over several lines; its last line says what is wrong.
fn in_one_line(error: &str) -> String {
    let last = error.lines().last().unwrap_or_default();
    format!("not a regular expression: {}", last.trim_start_matches("error: "))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and at most an exbibyte")]
fn bytes(mebibytes: f64) -> u64 {
    (mebibytes * 1_048_576.0) as u64
}

fn named(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<String> {
    let text = String::from_node(node, cx)?;
    if text.trim().is_empty() { cx.invalid("empty_text", "the text is empty", node) } else { Some(text) }
}

fn url(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<String> {
    let url = named(node, cx)?;
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let host = rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    let clean = !url.contains(|letter: char| letter.is_whitespace() || letter.is_control());
    match host {
        // A placeholder may stand for the whole address.
        None if url.starts_with('{') && clean => Some(url),
        Some(host) if !host.is_empty() && clean => Some(url),
        _ => {
            let draft = Draft::error("bad_url", "expected an address such as http://127.0.0.1:8080/path").found(&url);
            let bare = clean && !url.contains("://") && !url.starts_with('/');
            cx.report(span(node), draft.suggest_if(bare.then(|| format!("write \"http://{url}\" or \"https://{url}\""))))
        }
    }
}

fn headers(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Vec<(String, String)>> {
    // `x-…` is the name of many a header, so here it is not ignored.
    let ignored = |key: &str| key.starts_with('$') || key.starts_with('_');
    let read = entries(node, cx, ignored, |_, node, cx| {
        let value = String::from_node(node, cx)?;
        if value.contains(|letter: char| letter.is_control() && letter != '\t') {
            return cx.invalid("bad_header", "a header's value holds no control characters", node);
        }
        Some((value, span(node)))
    });
    let mut good = Vec::new();
    for (name, (value, at)) in read.into_iter().collect::<Option<Vec<_>>>()? {
        let token = |letter: char| letter.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(letter);
        if name.is_empty() || !name.chars().all(token) {
            cx.report::<()>(at, Draft::error("bad_header", format!("{name:?} cannot be the name of a header")));
            return None;
        }
        good.push((name, value));
    }
    Some(good)
}

impl FromNode for StatusSet {
    /// A number, `"200-399"`, or a list of either.
    fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        let ranges = match node {
            Value::Array(_) => Vec::<StatusRange>::from_node(node, cx)?,
            _ => vec![StatusRange::from_node(node, cx)?],
        };
        if ranges.is_empty() {
            return cx.invalid("empty_list", "name at least one status", node);
        }
        Some(Self(ranges.into_iter().map(|range| range.0).collect()))
    }
}

schema! {
    StatusSet = {"anyOf": [STATUS.clone(), {"type": "array", "minItems": 1, "items": STATUS.clone()}]};
    StatusRange = {"anyOf": STATUS["anyOf"].clone()};
}

/// One status or a range of them, in a schema.
static STATUS: LazyLock<serde_json::Value> = LazyLock::new(|| {
    serde_json::json!({"anyOf": [
        {"type": "integer", "minimum": 100, "maximum": 999},
        {"type": "string", "pattern": r"^\s*[1-9][0-9]{2}\s*(-\s*[1-9][0-9]{2}\s*)?$", "examples": ["200-399"]}
    ]})
});

struct StatusRange((u16, u16));

impl FromNode for StatusRange {
    fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        let code = |text: &str| text.trim().parse::<u16>().ok().filter(|code| (100..=999).contains(code));
        let range = match node {
            Value::NumberLit(literal) => code(literal.value).map(|code| (code, code)),
            Value::StringLit(literal) => match literal.value.split_once('-') {
                Some((low, high)) => code(low).zip(code(high)).filter(|(low, high)| low <= high),
                None => code(&literal.value).map(|code| (code, code)),
            },
            _ => return cx.expected("a status such as 200 or \"200-399\"", node),
        };
        match range {
            Some(range) => Some(Self(range)),
            None => cx.invalid("bad_status", "expected a status such as 200 or \"200-399\"", node),
        }
    }
}

/// Reads one word of the type's table.
pub(crate) fn word<T: Words>(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<T> {
    let text = String::from_node(node, cx)?;
    if let Some((_, _, value)) = T::TABLE.iter().find(|(word, _, _)| *word == text) {
        return Some(*value);
    }
    let allowed: Vec<&str> = T::TABLE.iter().map(|(word, _, _)| *word).collect();
    let message = format!("{text:?} is none of {}", allowed.join(", "));
    cx.report(span(node), Draft::error("unknown_word", message).words(&text, &allowed))
}

/// A type that is written as one of some words.
pub(crate) trait Words: Copy + Sized + 'static {
    /// Each word, what it means (may be empty), and the value.
    const TABLE: &'static [(&'static str, &'static str, Self)];
}

/// Declares which words a file has for a type. Comments of words become their descriptions in the schema.
macro_rules! words {
    ($($type:ty: $($(#[doc = $doc:literal])? $word:literal => $value:expr),+;)*) => {
        $(
            impl $crate::config::shape::Words for $type {
                const TABLE: &'static [(&'static str, &'static str, Self)] = &[$(($word, concat!($($doc)?), $value)),+];
            }

            impl FromNode for $type {
                fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self> {
                    $crate::config::shape::word(node, cx)
                }
            }

            $crate::config::schema::schema! { $type = $crate::config::schema::one_of_words::<$type>(); }
        )*
    };
}
pub(crate) use words;

words! {
    Severity:
        /// Somebody should look at once.
        "critical" => Severity::Critical,
        /// Something does not work.
        "error" => Severity::Error,
        /// Something may soon not work.
        "warning" => Severity::Warning,
        /// Good to know.
        "info" => Severity::Info;
    Strategy:
        /// Every action in turn, then one verification.
        "all" => Strategy::All,
        /// One action at a time, mildest first, each with its own verification; it ends with the first that helps.
        "ladder" => Strategy::Ladder;
    CooldownScope:
        /// Each target waits by itself.
        "target" => CooldownScope::Target,
        /// A heal of one target makes all targets of the playbook wait.
        "playbook" => CooldownScope::Playbook;
    Order:
        /// By resident memory.
        "memory" => Order::Memory,
        /// By processor time.
        "cpu" => Order::Cpu;
    StartTls: "smtp" => StartTls::Smtp, "imap" => StartTls::Imap, "pop3" => StartTls::Pop3;
}
