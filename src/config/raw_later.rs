//! Parts of the settings that this version reads strictly and does not act on: whoever writes them gets a warning, not silence.
#![expect(dead_code, reason = "these shapes are read for their problems; what they say has no effect in this version")]

use std::net::{IpAddr, SocketAddr};

use jsonc_parser::ast::Value;
use schemars::JsonSchema;

use super::document::span;
use super::node::{Cx, FromNode, record};
use super::problem::Draft;
use super::raw_settings::FixedCommand;
use super::raw_watch::{HasName, Label, Unique};
use super::schema::schema;
use super::shape::{Interval, Named, PositiveSeconds, Seconds, words};

/// Says plainly that a part has no effect.
fn not_yet(cx: &mut Cx<'_>, node: &Value<'_>, what: &str) {
    let at = span(node).start;
    cx.report::<()>(at..at + 1, Draft::warning("not_in_this_version", format!("{what} have no effect in this version")));
}

record! {
    /// A program with the exit codes of Nagios plugins.
    Check {
        /// What it is called: the label `check`.
        name: Label,
        /// A program and its arguments; it is its own allow rule, and holds no placeholder.
        command: FixedCommand,
        /// After this many seconds it is ended.
        timeout_seconds: Option<PositiveSeconds>,
        /// How many seconds lie between two runs. Without it: `interval_seconds` of the settings.
        interval_seconds: Option<Interval>,
    }
}

impl HasName for Check {
    fn name(&self) -> &str {
        &self.name.0
    }
}

/// `watch.checks`
#[derive(Debug, JsonSchema)]
#[schemars(inline, from = "Unique<Check>")]
pub(crate) struct Checks;

impl FromNode for Checks {
    fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        let checks = Unique::<Check>::from_node(node, cx)?;
        if !checks.0.is_empty() {
            not_yet(cx, node, "check programs");
        }
        Some(Self)
    }
}

/// `null`, or a value.
#[derive(Debug)]
pub(crate) struct Nullable<T>(Option<T>);

impl<T: JsonSchema> JsonSchema for Nullable<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Nullable".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"oneOf": [{"type": "null"}, generator.subschema_for::<T>()]})
    }
}

impl<T: FromNode> FromNode for Nullable<T> {
    fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        match node {
            Value::NullKeyword(_) => Some(Self(None)),
            _ => T::from_node(node, cx).map(|value| Self(Some(value))),
        }
    }
}

/// Words of `on`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event;

#[derive(Clone, Copy, Debug)]
struct Digest;

words! {
    Event:
        /// An incident began.
        "opened" => Event,
        /// A person is asked.
        "approval" => Event,
        /// autoheal could not repair it.
        "escalated" => Event,
        /// autoheal repaired it, and proved that.
        "resolved" => Event,
        /// The trouble is over without an action.
        "recovered" => Event,
        /// A summary of a day or a week.
        "digest" => Event;
    Digest: "daily" => Digest, "weekly" => Digest, "off" => Digest;
}

record! {
    /// Who is told of what. In this version only the log has an effect.
    RawNotify {
        /// What is told, unless a channel says otherwise.
        on: Option<Vec<Event>>,
        /// After how many seconds a message that could not be delivered is sent again.
        retry_seconds: Option<PositiveSeconds>,
        /// The longest that this time grows.
        retry_max_seconds: Option<PositiveSeconds>,
        /// After how many seconds a message is given up.
        expire_seconds: Option<Seconds>,
        /// How often there is a summary.
        digest: Option<Digest>,
        /// Where messages go.
        channels: Option<Unique<super::raw_channel::Channel>>,
    }
}

/// `notify`
#[derive(Debug, JsonSchema)]
#[schemars(inline, from = "RawNotify")]
pub(crate) struct Notify {
    /// A channel is configured whose messages reach a person.
    pub(crate) reaches_a_person: bool,
}

impl FromNode for Notify {
    fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        let raw = RawNotify::from_node(node, cx)?;
        let channels = raw.channels.map(|channels| channels.0).unwrap_or_default();
        if channels.iter().any(|channel| channel.kind != super::raw_channel::Type::Log) {
            not_yet(cx, node, "channels other than log");
        }
        Some(Self { reaches_a_person: channels.iter().any(super::raw_channel::Channel::reaches_a_person) })
    }
}

record! {
    /// The certificate of the HTTP interface.
    Tls {
        /// The file with the certificate chain, in PEM.
        cert_file: Named,
        /// The file with its key, in PEM.
        key_file: Named,
    }
}

record! {
    /// The dashboard and the HTTP interface. They have no effect in this version.
    RawHttp {
        /// An address and a port, such as 127.0.0.1:7433.
        listen: Option<Address>,
        /// The file with the token that callers must have.
        token_file: Option<Named>,
        /// `true`: an address that is not loopback is meant.
        allow_remote: Option<bool>,
        /// Encryption; `null` or nothing: none.
        tls: Option<Nullable<Tls>>,
    }
}

schema! {
    Address = {"type": "string", "pattern": r"^.+:\d+$", "examples": ["127.0.0.1:7433"]};
}

/// An address to listen on.
#[derive(Debug)]
struct Address(SocketAddr);

impl FromNode for Address {
    fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        let text = String::from_node(node, cx)?;
        let text = text.strip_prefix("localhost:").map_or(text.clone(), |port| format!("127.0.0.1:{port}"));
        match text.parse() {
            Ok(address) => Some(Self(address)),
            Err(_) => cx.invalid("bad_address", "expected an address and a port, such as 127.0.0.1:7433", node),
        }
    }
}

/// `http`
#[derive(Debug, JsonSchema)]
#[schemars(inline, from = "Nullable<RawHttp>")]
pub(crate) struct Http;

impl FromNode for Http {
    fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        let Nullable(Some(raw)) = Nullable::<RawHttp>::from_node(node, cx)? else { return Some(Self) };
        let remote = raw.listen.as_ref().is_some_and(|address| !address.0.ip().is_loopback());
        let tls = raw.tls.is_some_and(|tls| tls.0.is_some());
        if remote && !tls && raw.allow_remote != Some(true) {
            let message = "not on loopback: give \"tls\", or say \"allow_remote\": true";
            return cx.invalid("not_on_loopback", message, node);
        }
        if remote && raw.token_file.is_none() {
            return cx.invalid("not_on_loopback", "not on loopback: everything needs the token of \"token_file\"", node);
        }
        not_yet(cx, node, "the dashboard and the HTTP interface");
        Some(Self)
    }
}

/// Whether a host is this machine itself.
pub(crate) fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
