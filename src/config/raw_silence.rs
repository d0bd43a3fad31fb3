//! The shape of `silences`: recurring maintenance windows.

use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use jsonc_parser::ast::Value;
use schemars::JsonSchema;
use serde_json::json;

use super::node::{Cx, Fields, FromNode, record};
use super::problem::Draft;
use super::schema::schema;
use super::shape::{Named, SAYS_SOMETHING, words};
use crate::detect::condition::Selector;
use crate::heal::silence::RecurringSilence;
use crate::metric::METRICS;

/// A day of the week.
#[derive(Clone, Copy, Debug)]
struct Day(Weekday);

words! {
    Day:
        "mon" => Day(Weekday::Monday), "tue" => Day(Weekday::Tuesday), "wed" => Day(Weekday::Wednesday),
        "thu" => Day(Weekday::Thursday), "fri" => Day(Weekday::Friday), "sat" => Day(Weekday::Saturday), "sun" => Day(Weekday::Sunday);
}

schema! {
    TimeOfDay = {"type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$", "examples": ["01:30"]};
    Zone = {"type": "string", "pattern": SAYS_SOMETHING, "examples": ["Europe/Berlin", "UTC"]};
}

record! {
    /// A recurring maintenance window. Without days and hours it is always open.
    Raw {
        /// The ids of the playbooks that are silent. Without it: all.
        playbooks: Option<OneOrMore<Named>>,
        /// Only targets with these labels: exact text, a glob, or a list of these.
        r#where: Option<Selector>,
        /// The days on which the window opens. Without it: all.
        days: Option<OneOrMore<Day>>,
        /// When it opens, such as 01:30.
        from: Option<TimeOfDay>,
        /// When it closes; before `from`: on the next day.
        to: Option<TimeOfDay>,
        /// The time zone of both, such as Europe/Berlin. Without it: the host's.
        time_zone: Option<Zone>,
        /// Why, for people.
        reason: Option<String>,
    }
}

schema! {
    RecurringSilence = |generator| {
        let mut schema = Raw::json_schema(generator);
        schema.insert("dependencies".to_owned(), json!({"from": ["to"], "to": ["from"]}));
        schema
    };
}

impl FromNode for RecurringSilence {
    fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        let mut fields = Fields::open(node, cx)?;
        let raw = Raw::read(&mut fields);
        if fields.has("from") != fields.has("to") {
            ["from", "to"].into_iter().for_each(|key| fields.require(key));
        }
        let good = raw.as_ref().is_some_and(|raw| labels_exist(raw, &mut fields) & window_is_long(raw, &mut fields));
        fields.close();
        raw.filter(|_| good).map(|raw| Self {
            playbooks: raw.playbooks.map(|names| names.0.into_iter().map(|name| name.0).collect()),
            selector: raw.r#where.unwrap_or_default(),
            days: raw.days.map(|days| days.0.into_iter().map(|day| day.0).collect()),
            hours: raw.from.zip(raw.to).map(|(from, to)| (from.0, to.0)),
            time_zone: raw.time_zone.map_or_else(TimeZone::system, |zone| zone.0),
            reason: raw.reason,
        })
    }
}

/// A label that no target has would make a silence that covers nothing.
fn labels_exist(raw: &Raw, fields: &mut Fields<'_, '_, '_>) -> bool {
    let mut known: Vec<&str> = METRICS.iter().flat_map(|metric| metric.identity.iter().chain(metric.facts)).copied().collect();
    known.sort_unstable();
    known.dedup();
    let tests = raw.r#where.iter().flat_map(|selector| &selector.0);
    let wrong: Vec<&str> = tests.map(|test| test.label.as_str()).filter(|label| !known.contains(label)).collect();
    for label in &wrong {
        let draft = Draft::error("unknown_label", format!("no target has a label {label:?}"));
        fields.report_key("where", label, draft.found(*label).words(label, &known));
    }
    wrong.is_empty()
}

fn window_is_long(raw: &Raw, fields: &mut Fields<'_, '_, '_>) -> bool {
    let same = raw.from.as_ref().zip(raw.to.as_ref()).is_some_and(|(from, to)| from.0 == to.0);
    if same {
        let draft = Draft::error("empty_window", "\"from\" and \"to\" are the same time");
        fields.report("to", draft.suggest("leave both out for the whole day"));
    }
    !same
}

/// A list that names at least one.
#[derive(Debug, JsonSchema)]
#[schemars(inline)]
struct OneOrMore<T>(#[schemars(length(min = 1))] Vec<T>);

impl<T: FromNode> FromNode for OneOrMore<T> {
    fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        let list = Vec::<T>::from_node(node, cx)?;
        if list.is_empty() {
            cx.invalid("empty_list", "an empty list covers nothing; leave the key out for all", node)
        } else {
            Some(Self(list))
        }
    }
}

/// `01:30`
#[derive(Debug)]
struct TimeOfDay(Time);

impl FromNode for TimeOfDay {
    fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        let text = String::from_node(node, cx)?;
        let two = |part: &str| Some(part).filter(|part| part.len() == 2 && part.bytes().all(|digit| digit.is_ascii_digit()))?.parse().ok();
        let time = text.split_once(':').and_then(|(hour, minute)| Time::new(two(hour)?, two(minute)?, 0, 0).ok());
        match time {
            Some(time) => Some(Self(time)),
            None => cx.invalid("bad_time", "expected a time of day such as 01:30", node),
        }
    }
}

/// A name of the time zone database.
#[derive(Debug)]
struct Zone(TimeZone);

impl FromNode for Zone {
    fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        let name = Named::from_node(node, cx)?.0;
        match TimeZone::get(&name) {
            Ok(zone) => Some(Self(zone)),
            // A host without the database cannot tell a good name from a bad one, and knows the hours of neither.
            Err(_) if jiff::tz::db().is_definitively_empty() => {
                cx.invalid("no_time_zones", "this host has no time zone database (package tzdata)", node)
            }
            Err(_) => cx.invalid("bad_time_zone", format!("no time zone is called {name:?}"), node),
        }
    }
}
