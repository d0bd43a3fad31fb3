//! What a schema says of conditions: the table of metrics, as an editor can use it.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use super::schema::{described, joined};
use super::shape::{SAYS_SOMETHING, Seconds};
use crate::detect::condition::{Condition, Operator, Selector};
use crate::metric::{METRICS, Metric, Values, about_label};

impl JsonSchema for Condition {
    fn schema_name() -> Cow<'static, str> {
        "condition".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        spellings(generator, &json_schema!({}))
    }
}

/// The three spellings of a condition; the objects among them may have the keys of `more` too.
pub(crate) fn spellings(generator: &mut SchemaGenerator, more: &Schema) -> Schema {
    let hold = generator.subschema_for::<Seconds>();
    let hold = with(hold.to_value(), "description", "For how many seconds it must have been true without a break.");
    let hold = object(&[("for_seconds", with(hold, "default", 0))], &[]);
    let part = generator.subschema_for::<Condition>();
    let parts = json!({"type": "array", "minItems": 1, "items": part});
    let combination = |key, about, value: Value| object(&[(key, with(value, "description", about))], &[key]);
    let mut objects = vec![
        combination("all", "True when every part is.", parts.clone()),
        combination("any", "True when one part is.", parts),
        combination("not", "True when the part is not.", json!({"allOf": [part]})),
    ];
    objects.extend(comparisons(generator));
    let mut spellings = vec![json!({
        "type": "string",
        "pattern": SAYS_SOMETHING,
        "description": "An expression, such as: memory_usage > 95% && process_memory_mb{process_name=\"node\"} > 2048 for 2m"
    })];
    spellings.extend(objects.into_iter().map(|keys| joined("A condition.", [keys, hold.clone(), more.clone()]).to_value()));
    json_schema!({"oneOf": spellings})
}

/// One object for all number metrics with the same labels, and one for each metric of words.
fn comparisons(generator: &mut SchemaGenerator) -> Vec<Schema> {
    let mut groups: Vec<Vec<&Metric>> = Vec::new();
    for metric in METRICS {
        let like = |group: &&mut Vec<&Metric>| !metric.is_text() && !group[0].is_text() && group[0].kind == metric.kind;
        match groups.iter_mut().find(like) {
            Some(group) => group.push(metric),
            None => groups.push(vec![metric]),
        }
    }
    groups.iter().flat_map(|group| comparison(group, generator)).collect()
}

fn comparison(group: &[&Metric], generator: &mut SchemaGenerator) -> Vec<Schema> {
    let mut names: Vec<Value> = group.iter().map(|metric| described(metric.name, &about(metric))).collect();
    if let Some(metric) = group.iter().find(|metric| metric.name == "process_memory_mb") {
        names.push(described("process_memory", &format!("Another name of {}.", metric.name)));
    }
    let metric = json!({"description": "What is measured.", "oneOf": names});
    let labels = labels(group[0].identity.iter().chain(group[0].facts), generator).to_value();
    let operators: Vec<&str> = Operator::ALL.map(Operator::symbol).into_iter().collect();
    let (operators, operands) = match group[0].values {
        Values::Number(_) => {
            let number = |about| json!({"type": "number", "description": about});
            (operators, vec![("threshold", number("The number to compare with.")), ("value", number("The same as `threshold`."))])
        }
        Values::Words(words) => {
            let same = operators.into_iter().filter(|symbol| matches!(*symbol, "==" | "!=")).collect();
            (same, vec![("value", json!({"enum": words, "description": "The word to compare with."}))])
        }
    };
    let operator = json!({"enum": operators, "description": "How they are compared."});
    let keys = |(name, operand): (&'static str, Value)| {
        let keys = [("metric", metric.clone()), ("operator", operator.clone()), (name, operand), ("where", labels.clone())];
        object(&keys, &["metric", "operator", name])
    };
    operands.into_iter().map(keys).collect()
}

/// What the table says of a metric, and its labels.
fn about(metric: &Metric) -> String {
    let labels: Vec<&str> = metric.identity.iter().chain(metric.facts).copied().collect();
    if labels.is_empty() { metric.doc.to_owned() } else { format!("{} (labels: {})", metric.doc, labels.join(", ")) }
}

fn object(properties: &[(&str, Value)], required: &[&str]) -> Schema {
    let properties: Map<String, Value> = properties.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    json_schema!({"properties": properties, "required": required})
}

fn with(mut schema: Value, key: &str, value: impl Into<Value>) -> Value {
    if let Value::Object(object) = &mut schema {
        object.insert(key.to_owned(), value.into());
    }
    schema
}

/// What a label may be.
struct Label;

impl JsonSchema for Label {
    fn schema_name() -> Cow<'static, str> {
        "label".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Exact text, a glob, or a list of these.",
            "anyOf": [{"type": "string"}, {"type": "array", "minItems": 1, "items": {"type": "string"}}]
        })
    }
}

impl JsonSchema for Selector {
    fn schema_name() -> Cow<'static, str> {
        "labels".into()
    }

    /// Any label of any metric: where a selector stands alone, nobody knows the metric yet.
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        labels(METRICS.iter().flat_map(|metric| metric.identity.iter().chain(metric.facts)), generator)
    }
}

/// An object with these labels.
fn labels<'l>(names: impl Iterator<Item = &'l &'l str>, generator: &mut SchemaGenerator) -> Schema {
    let label = generator.subschema_for::<Label>();
    let sentence = |about: &str| format!("{}{}.", about[..1].to_uppercase(), &about[1..]);
    let property = |name: &str| match about_label(name) {
        Some(about) => json!({"description": sentence(about), "allOf": [label]}),
        None => label.clone().to_value(),
    };
    let labels: Map<String, Value> = names.map(|name| ((*name).to_owned(), property(name))).collect();
    json_schema!({
        "type": "object",
        "description": "Only targets with these labels: exact text, a glob, or a list of these.",
        "properties": labels,
        "additionalProperties": false
    })
}
