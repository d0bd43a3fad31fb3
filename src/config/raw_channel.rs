//! The shape of `notify.channels[]`. In this version only `log` has an effect.
#![expect(dead_code, reason = "these shapes are read for their problems; what they say has no effect in this version")]

use jsonc_parser::ast::Value;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::json;

use super::node::{Cx, Entries, Fields, FromNode, record};
use super::playbook::Severity;
use super::problem::Draft;
use super::raw_later::{Event, is_loopback};
use super::raw_settings::FixedCommand;
use super::raw_watch::{HasName, Label};
use super::schema::{described, joined, schema};
use super::shape::{Headers, Method, Named, PositiveSeconds, Url, Words, words};

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
        /// The log of autoheal.
        "log" => Type::Log,
        /// A notification on this desktop.
        "desktop" => Type::Desktop,
        /// Mail over SMTP.
        "email" => Type::Email,
        /// An HTTP request with a body of JSON.
        "webhook" => Type::Webhook,
        /// An incoming webhook of Slack, or what speaks like it.
        "slack" => Type::Slack,
        /// A topic of ntfy.
        "ntfy" => Type::Ntfy,
        /// A chat of Telegram.
        "telegram" => Type::Telegram,
        /// Events of PagerDuty.
        "pagerduty" => Type::Pagerduty,
        /// Alerts of Opsgenie.
        "opsgenie" => Type::Opsgenie,
        /// A program that reads the message.
        "command" => Type::Command,
        /// A dead-man's switch that is told while autoheal lives.
        "healthchecks" => Type::Healthchecks;
    Encryption: "starttls" => Encryption::StartTls, "tls" => Encryption::Tls, "none" => Encryption::None;
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
        /// What the channel is called; no two share a name. Without it: its type.
        name: Option<Label>,
        /// Only incidents that are at least this bad.
        min_severity: Option<Severity>,
        /// What is told here. Without it: what `notify.on` says.
        on: Option<Vec<Event>>,
        /// After this many seconds a delivery has failed.
        timeout_seconds: Option<PositiveSeconds>,
    }
}

record! {
    /// `email`
    Email {
        /// The mail server.
        host: Named,
        /// Its port.
        #[schemars(range(min = 1))]
        port: Option<u16>,
        /// How the connection is encrypted; "none" to this machine only.
        encryption: Option<Encryption>,
        /// A file with root certificates, in PEM.
        ca_file: Option<Named>,
        /// The user's name.
        username: Option<Named>,
        /// The file with the password.
        password_file: Option<Named>,
        /// The sender's address.
        from: Named,
        /// The addresses of those who are told.
        to: Vec<Named>,
    }
}

record! {
    /// `webhook`
    Webhook {
        /// The address; this or `url_file`.
        url: Option<Url>,
        /// The file with the address.
        url_file: Option<Named>,
        /// The method.
        method: Option<Method>,
        /// Headers: name to value.
        headers: Option<Headers>,
        /// The file with the token of the header Authorization.
        bearer_token_file: Option<Named>,
        /// What is sent.
        body: Option<Anything>,
    }
}

record! {
    /// `slack`
    Slack {
        /// The address; whoever knows it can write there, so `url_file` is better.
        url: Option<Url>,
        /// The file with the address.
        url_file: Option<Named>,
    }
}

record! {
    /// `ntfy`
    Ntfy {
        /// The server.
        base_url: Option<BaseUrl>,
        /// The topic; this or `topic_file`.
        topic: Option<Named>,
        /// The file with the topic.
        topic_file: Option<Named>,
        /// The file with the access token.
        token_file: Option<Named>,
        /// The topic where answers to questions arrive.
        answer_topic: Option<Named>,
        /// The file with that topic.
        answer_topic_file: Option<Named>,
    }
}

record! {
    /// `telegram`
    Telegram {
        /// The server.
        base_url: Option<BaseUrl>,
        /// The file with the bot's token.
        token_file: Named,
        /// The chat.
        chat_id: Anything,
        /// Who may answer questions.
        allowed_users: Option<Vec<Anything>>,
    }
}

record! {
    /// `pagerduty`
    Pagerduty {
        /// The server.
        base_url: Option<BaseUrl>,
        /// The file with the routing key.
        routing_key_file: Named,
    }
}

record! {
    /// `opsgenie`
    Opsgenie {
        /// The server.
        base_url: Option<BaseUrl>,
        /// The file with the key.
        api_key_file: Named,
        /// Who is told, in Opsgenie's own words.
        responders: Option<Vec<Entries<String>>>,
        /// Tags of the alert.
        tags: Option<Vec<Named>>,
    }
}

record! {
    /// `command`
    Command {
        /// A program and its arguments; it is its own allow rule, and holds no placeholder.
        command: FixedCommand,
    }
}

record! {
    /// `healthchecks`
    Healthchecks {
        /// The address; this or `url_file`.
        url: Option<Url>,
        /// The file with the address.
        url_file: Option<Named>,
        /// How many seconds lie between two signs of life.
        interval_seconds: Option<PositiveSeconds>,
    }
}

schema! {
    Channel = |generator| {
        let channel = |(word, about, kind): &(&str, &str, Type)| {
            let tag = json_schema!({"properties": {"type": described(word, about)}, "required": ["type"]});
            let mut schema = joined(about.trim(), [tag, Common::json_schema(generator), own_keys(*kind, generator)]);
            if let Some((one, other)) = kind.alternatives() {
                schema.insert("oneOf".to_owned(), json!([{"required": [one]}, {"required": [other]}]));
            }
            schema
        };
        json_schema!({"oneOf": Type::TABLE.iter().map(channel).collect::<Vec<_>>()})
    };
}

/// The keys that only channels of this type have.
fn own_keys(kind: Type, generator: &mut SchemaGenerator) -> Schema {
    match kind {
        Type::Log | Type::Desktop => json_schema!({}),
        Type::Email => Email::json_schema(generator),
        Type::Webhook => Webhook::json_schema(generator),
        Type::Slack => Slack::json_schema(generator),
        Type::Ntfy => Ntfy::json_schema(generator),
        Type::Telegram => Telegram::json_schema(generator),
        Type::Pagerduty => Pagerduty::json_schema(generator),
        Type::Opsgenie => Opsgenie::json_schema(generator),
        Type::Command => Command::json_schema(generator),
        Type::Healthchecks => Healthchecks::json_schema(generator),
    }
}

impl Type {
    /// The word for it.
    fn name(self) -> &'static str {
        Self::TABLE.iter().find(|(_, _, kind)| *kind == self).map_or("", |(word, _, _)| word)
    }

    /// Two keys of which exactly one must be there.
    fn alternatives(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Webhook | Self::Slack | Self::Healthchecks => Some(("url", "url_file")),
            Self::Ntfy => Some(("topic", "topic_file")),
            _ => None,
        }
    }
}

schema! {
    Anything = {};
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
#[derive(Debug, JsonSchema)]
#[schemars(inline, from = "Url")]
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
        Type::Webhook => drop(Webhook::read(fields)?),
        Type::Slack => {
            Slack::read(fields)?;
            if fields.has("url") {
                let draft = Draft::warning("secret_in_file", "whoever knows this address can write to the channel");
                fields.report("url", draft.suggest("put it into a file and name that in \"url_file\""));
            }
        }
        Type::Ntfy => {
            Ntfy::read(fields)?;
            if fields.has("answer_topic") && !fields.has("token_file") {
                let draft = Draft::warning("open_answers", "without \"token_file\" anybody who knows the topic can read the questions");
                fields.report("answer_topic", draft);
            }
        }
        Type::Telegram => drop(Telegram::read(fields)?),
        Type::Pagerduty => drop(Pagerduty::read(fields)?),
        Type::Opsgenie => drop(Opsgenie::read(fields)?),
        Type::Command => drop(Command::read(fields)?),
        Type::Healthchecks => drop(Healthchecks::read(fields)?),
    }
    kind.alternatives().map_or(Some(()), |(one, other)| one_of(fields, one, other))
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
