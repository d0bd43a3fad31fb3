//! Parts of the settings that this version reads strictly and does not act on: whoever writes them gets a warning, not silence.
#![expect(dead_code, reason = "these shapes are read for their problems; what they say has no effect in this version")]

use std::net::{IpAddr, SocketAddr};

use jsonc_parser::ast::Value;

use super::document::span;
use super::node::{Cx, FromNode, record};
use super::problem::Draft;
use super::raw_settings::FixedCommand;
use super::raw_watch::{HasName, Label, Unique};
use super::shape::{Interval, Named, PositiveSeconds, Seconds, words};

/// Says plainly that a part has no effect.
fn not_yet(cx: &mut Cx<'_>, node: &Value<'_>, what: &str) {
    let at = span(node).start;
    cx.report::<()>(at..at + 1, Draft::warning("not_in_this_version", format!("{what} have no effect in this version")));
}

record! {
    /// One element of `watch.checks`.
    Check { name: Label, command: FixedCommand, timeout_seconds: Option<PositiveSeconds>, interval_seconds: Option<Interval>, }
}

impl HasName for Check {
    fn name(&self) -> &str {
        &self.name.0
    }
}

/// `watch.checks`
#[derive(Debug)]
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
        "opened" => Event, "approval" => Event, "escalated" => Event, "resolved" => Event, "recovered" => Event, "digest" => Event;
    Digest: "daily" => Digest, "weekly" => Digest, "off" => Digest;
}

record! {
    /// `notify`
    RawNotify {
        on: Option<Vec<Event>>,
        retry_seconds: Option<PositiveSeconds>,
        retry_max_seconds: Option<PositiveSeconds>,
        expire_seconds: Option<Seconds>,
        digest: Option<Digest>,
        channels: Option<Unique<super::raw_channel::Channel>>,
    }
}

/// `notify`
#[derive(Debug)]
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
    /// `http.tls`
    Tls { cert_file: Named, key_file: Named, }
}

record! {
    /// `http`
    RawHttp { listen: Option<Address>, token_file: Option<Named>, allow_remote: Option<bool>, tls: Option<Nullable<Tls>>, }
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
#[derive(Debug)]
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
