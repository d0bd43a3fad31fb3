//! The shape of `notify.channels[]`. In this version only `log` has an effect.
#![expect(dead_code, reason = "these shapes are read for their problems; what they say has no effect in this version")]

use jsonc_parser::ast::Value;

use super::node::{Cx, Entries, Fields, FromNode, record};
use super::playbook::Severity;
use super::problem::Draft;
use super::raw_later::{Event, is_loopback};
use super::raw_settings::FixedCommand;
use super::raw_watch::{HasName, Label};
use super::shape::{Headers, Method, Named, PositiveSeconds, Url, words};

/// The values of `type`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Type {
    Log,
    Desktop,
    Email,
    Webhook,
    Slack,
    Ntfy,
    Telegram,
    Pagerduty,
    Opsgenie,
    Command,
    Healthchecks,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Encryption {
    StartTls,
    Tls,
    None,
}

words! {
    Type:
        "log" => Type::Log, "desktop" => Type::Desktop, "email" => Type::Email, "webhook" => Type::Webhook, "slack" => Type::Slack,
        "ntfy" => Type::Ntfy, "telegram" => Type::Telegram, "pagerduty" => Type::Pagerduty, "opsgenie" => Type::Opsgenie,
        "command" => Type::Command, "healthchecks" => Type::Healthchecks;
    Encryption: "starttls" => Encryption::StartTls, "tls" => Encryption::Tls, "none" => Encryption::None;
}

impl Type {
    fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Desktop => "desktop",
            Self::Email => "email",
            Self::Webhook => "webhook",
            Self::Slack => "slack",
            Self::Ntfy => "ntfy",
            Self::Telegram => "telegram",
            Self::Pagerduty => "pagerduty",
            Self::Opsgenie => "opsgenie",
            Self::Command => "command",
            Self::Healthchecks => "healthchecks",
        }
    }
}

/// One channel.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) kind: Type,
    name: String,
}

impl Channel {
    /// The log is read by nobody, and a dead-man's switch tells only of the agent itself.
    pub(crate) fn reaches_a_person(&self) -> bool {
        !matches!(self.kind, Type::Log | Type::Healthchecks)
    }
}

impl HasName for Channel {
    fn name(&self) -> &str {
        &self.name
    }
}

record! {
    /// Keys that every channel may have.
    Common {
        name: Option<Label>,
        min_severity: Option<Severity>,
        on: Option<Vec<Event>>,
        timeout_seconds: Option<PositiveSeconds>,
    }
}

record! {
    /// `email`
    Email {
        host: Named,
        port: Option<u16>,
        encryption: Option<Encryption>,
        ca_file: Option<Named>,
        username: Option<Named>,
        password_file: Option<Named>,
        from: Named,
        to: Vec<Named>,
    }
}

record! {
    /// `webhook`
    Webhook {
        url: Option<Url>,
        url_file: Option<Named>,
        method: Option<Method>,
        headers: Option<Headers>,
        bearer_token_file: Option<Named>,
        body: Option<Anything>,
    }
}

record! {
    /// `slack`
    Slack { url: Option<Url>, url_file: Option<Named>, }
}

record! {
    /// `ntfy`
    Ntfy {
        base_url: Option<BaseUrl>,
        topic: Option<Named>,
        topic_file: Option<Named>,
        token_file: Option<Named>,
        answer_topic: Option<Named>,
        answer_topic_file: Option<Named>,
    }
}

record! {
    /// `telegram`
    Telegram { base_url: Option<BaseUrl>, token_file: Named, chat_id: Anything, allowed_users: Option<Vec<Anything>>, }
}

record! {
    /// `pagerduty`
    Pagerduty { base_url: Option<BaseUrl>, routing_key_file: Named, }
}

record! {
    /// `opsgenie`
    Opsgenie {
        base_url: Option<BaseUrl>,
        api_key_file: Named,
        responders: Option<Vec<Entries<String>>>,
        tags: Option<Vec<Named>>,
    }
}

record! {
    /// `command`
    Command { command: FixedCommand, }
}

record! {
    /// `healthchecks`
    Healthchecks { url: Option<Url>, url_file: Option<Named>, interval_seconds: Option<PositiveSeconds>, }
}

/// Any JSON value.
#[derive(Debug)]
struct Anything;

impl FromNode for Anything {
    fn from_node(_node: &Value<'_>, _cx: &mut Cx<'_>) -> Option<Self> {
        Some(Self)
    }
}

/// The address of a service; a secret goes there, so plain `http` is for this machine only.
#[derive(Debug)]
struct BaseUrl;

impl FromNode for BaseUrl {
    fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        let url = Url::from_node(node, cx)?.0;
        let host = url.strip_prefix("http://").map(|rest| rest.split('/').next().unwrap_or_default());
        let name = host.map(|host| host.rsplit_once(':').map_or(host, |(name, _)| name));
        if name.is_some_and(|name| !is_loopback(name)) {
            let draft = Draft::warning("plain_http", "the secret and the messages go over the network unencrypted");
            cx.report::<()>(super::document::span(node), draft.suggest("write https://"));
        }
        Some(Self)
    }
}

impl FromNode for Channel {
    fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        let mut fields = Fields::open(node, cx)?;
        let kind = fields.get::<Type>("type");
        let common = Common::read(&mut fields);
        let body = match kind {
            Some(kind) => read(kind, &mut fields),
            None => {
                fields.allow_all();
                None
            }
        };
        fields.close();
        body?;
        let kind = kind?;
        let name = common?.name.map_or_else(|| kind.name().to_owned(), |name| name.0);
        Some(Self { kind, name })
    }
}

fn read(kind: Type, fields: &mut Fields<'_, '_, '_>) -> Option<()> {
    match kind {
        Type::Log | Type::Desktop => {}
        Type::Email => {
            let email = Email::read(fields)?;
            if email.encryption == Some(Encryption::None) && !is_loopback(&email.host.0) {
                fields.report("encryption", Draft::error("plain_smtp", "\"none\" is allowed to this machine only"));
                return None;
            }
        }
        Type::Webhook => {
            Webhook::read(fields)?;
            one_of(fields, "url", "url_file")?;
        }
        Type::Slack => {
            Slack::read(fields)?;
            one_of(fields, "url", "url_file")?;
            if fields.has("url") {
                let draft = Draft::warning("secret_in_file", "whoever knows this address can write to the channel");
                fields.report("url", draft.suggest("put it into a file and name that in \"url_file\""));
            }
        }
        Type::Ntfy => {
            Ntfy::read(fields)?;
            one_of(fields, "topic", "topic_file")?;
            if fields.has("answer_topic") && !fields.has("token_file") {
                let draft = Draft::warning("open_answers", "without \"token_file\" anybody who knows the topic can read the questions");
                fields.report("answer_topic", draft);
            }
        }
        Type::Telegram => drop(Telegram::read(fields)?),
        Type::Pagerduty => drop(Pagerduty::read(fields)?),
        Type::Opsgenie => drop(Opsgenie::read(fields)?),
        Type::Command => drop(Command::read(fields)?),
        Type::Healthchecks => {
            Healthchecks::read(fields)?;
            one_of(fields, "url", "url_file")?;
        }
    }
    Some(())
}

/// Exactly one of two keys.
fn one_of(fields: &mut Fields<'_, '_, '_>, one: &'static str, other: &'static str) -> Option<()> {
    match (fields.has(one), fields.has(other)) {
        (true, true) => {
            fields.report(other, Draft::error("bad_channel", format!("{one:?} and {other:?} cannot stand together")));
            None
        }
        (false, false) => {
            fields.require(one);
            None
        }
        _ => Some(()),
    }
}
