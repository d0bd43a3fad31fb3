//! Parts of the settings that this version reads strictly and does not act on: whoever writes them gets a warning, not silence.
#![expect(dead_code, reason = "these shapes are read for their problems; what they say has no effect in this version")]

use std::net::{IpAddr, SocketAddr};

use jsonc_parser::ast::Value;

use super::document::span;
use super::node::{Cx, Fields, FromNode, record};
use super::problem::Draft;
use super::raw_settings::FixedCommand;
use super::raw_watch::{HasName, Label, Unique};
use super::shape::{Days, Interval, Named, PositiveSeconds, Seconds, words};
use crate::detect::condition::Selector;

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

#[derive(Clone, Copy, Debug)]
struct Day;

words! {
    Event:
        "opened" => Event, "approval" => Event, "escalated" => Event, "resolved" => Event, "recovered" => Event, "digest" => Event;
    Digest: "daily" => Digest, "weekly" => Digest, "off" => Digest;
    Day: "mon" => Day, "tue" => Day, "wed" => Day, "thu" => Day, "fri" => Day, "sat" => Day, "sun" => Day;
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

record! {
    /// `history`
    pub(crate) History { incidents_days: Option<Days>, samples_days: Option<Days>, keep_reports: Option<KeepReports>, }
}

/// `"all"`, or a number of days.
#[derive(Debug)]
struct KeepReports;

impl FromNode for KeepReports {
    fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        match node {
            Value::StringLit(literal) if literal.value == "all" => Some(Self),
            Value::NumberLit(_) => Days::from_node(node, cx).map(|_| Self),
            _ => cx.expected("\"all\" or a number of days", node),
        }
    }
}

record! {
    /// One element of `silences`.
    RawSilence {
        playbooks: Option<Vec<Named>>,
        r#where: Option<Selector>,
        days: Option<Vec<Day>>,
        from: Option<TimeOfDay>,
        to: Option<TimeOfDay>,
        time_zone: Option<TimeZone>,
        reason: Option<String>,
    }
}

/// One element of `silences`.
#[derive(Debug)]
pub(crate) struct Silence;

impl FromNode for Silence {
    fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        let mut fields = Fields::open(node, cx)?;
        let raw = RawSilence::read(&mut fields);
        if fields.has("from") != fields.has("to") {
            ["from", "to"].into_iter().for_each(|key| fields.require(key));
        }
        fields.close();
        raw?;
        not_yet(cx, node, "silences");
        Some(Self)
    }
}

/// `01:30`
#[derive(Debug)]
struct TimeOfDay;

impl FromNode for TimeOfDay {
    fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        let text = String::from_node(node, cx)?;
        let digits = |part: &str, most: u8| part.len() == 2 && part.parse::<u8>().is_ok_and(|number| number <= most);
        let good = text.split_once(':').is_some_and(|(hour, minute)| digits(hour, 23) && digits(minute, 59));
        if good { Some(Self) } else { cx.invalid("bad_time", "expected a time of day such as 01:30", node) }
    }
}

/// A name of the time zone database.
#[derive(Debug)]
struct TimeZone;

impl FromNode for TimeZone {
    fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        let name = Named::from_node(node, cx)?.0;
        // A host without the database cannot tell a good name from a bad one.
        let known = jiff::tz::TimeZone::get(&name).is_ok() || jiff::tz::db().is_definitively_empty();
        if known { Some(Self) } else { cx.invalid("bad_time_zone", format!("no time zone is called {name:?}"), node) }
    }
}

/// Whether a host is this machine itself.
pub(crate) fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
