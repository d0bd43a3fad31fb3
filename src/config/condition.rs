//! The three spellings of a condition (comparison, combination, expression) and the rules that all three obey.

use jsonc_parser::ast::Value;

use super::document::span;
use super::expression;
use super::node::{Cx, Entries, Fields, FromNode};
use super::problem::Draft;
use super::schema::schema;
use super::shape::Seconds;
use crate::detect::condition::{Comparison, Condition, LabelTest, Operand, Operator, Pattern, Selector, Test};
use crate::metric::{self, METRICS, Metric, Values};

/// Metrics of the specification that this version does not measure yet.
const LATER: &[&str] = &["check_status", "check_value"];

/// How many conditions may lie within each other, in whatever spellings: reading, printing and evaluating go that deep, on the stack of
/// a thread.
pub(crate) const MAX_DEPTH: usize = 48;

impl FromNode for Condition {
    fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        match node {
            Value::StringLit(literal) => match expression::parse(&literal.value) {
                Ok(condition) => Some(condition),
                Err(faults) => {
                    faults.into_iter().for_each(|(part, draft)| cx.report_inside(node, &part, draft));
                    None
                }
            },
            Value::Object(_) => {
                let mut fields = Fields::open(node, cx)?;
                let condition = read(&mut fields);
                fields.close();
                condition
            }
            _ => cx.expected("a condition: an object, or text such as \"disk_usage > 90\"", node),
        }
    }
}

/// Reads the keys of a condition from an object that may have more (`verify` has).
pub(crate) fn read(fields: &mut Fields<'_, '_, '_>) -> Option<Condition> {
    let metric = fields.get::<Option<Known>>("metric");
    let operator = fields.get::<Option<Operator>>("operator");
    let threshold = fields.get::<Option<Threshold>>("threshold");
    let value = fields.get::<Option<Operand>>("value");
    let selector = fields.get::<Option<Selector>>("where");
    let all = fields.get::<Option<Parts>>("all");
    let any = fields.get::<Option<Parts>>("any");
    let not = fields.get::<Option<Condition>>("not");
    let hold_for = fields.get::<Option<Seconds>>("for_seconds");

    let combinations: Vec<&str> = ["all", "any", "not"].into_iter().filter(|key| fields.has(key)).collect();
    let comparison = ["metric", "operator", "threshold", "value", "where"].into_iter().find(|key| fields.has(key));
    let extra = if combinations.is_empty() { None } else { combinations.get(1).copied().or(comparison) };
    if let Some(extra) = extra {
        let message =
            format!("{:?} and {extra:?} cannot stand together: a condition is one comparison or one combination", combinations[0]);
        fields.report(extra, Draft::error("bad_condition", message));
        return None;
    }
    let test = match combinations.first() {
        Some(&"all") => Test::All(all??.0),
        Some(&"any") => Test::Any(any??.0),
        Some(_) => Test::Not(Box::new(not??)),
        None => {
            ["metric", "operator"].into_iter().for_each(|key| fields.require(key));
            let operand = operand(fields, metric.as_ref().and_then(Option::as_ref), threshold, value);
            Test::Compare(compare(fields, metric??.0, operator??, operand?, selector?.unwrap_or_default())?)
        }
    };
    let hold_for = hold_for?.map(|seconds| seconds.0).unwrap_or_default();
    Some(simplified(Condition { test, hold_for }))
}

/// Exactly one of `threshold` and `value`.
fn operand(
    fields: &mut Fields<'_, '_, '_>,
    metric: Option<&Known>,
    threshold: Option<Option<Threshold>>,
    value: Option<Option<Operand>>,
) -> Option<Operand> {
    match (fields.has("threshold"), fields.has("value")) {
        (true, false) => match threshold?? {
            Threshold(Operand::Text(text)) => {
                fields.report("threshold", no_number(metric.map(|known| known.0), &text));
                None
            }
            Threshold(number) => Some(number),
        },
        (false, true) => value?,
        (true, true) => {
            fields.report("value", Draft::error("bad_condition", "\"threshold\" and \"value\" cannot stand together: give one of them"));
            None
        }
        (false, false) => {
            fields.require("threshold");
            None
        }
    }
}

/// The text of a `threshold`, which is a number of the metric's unit.
fn no_number(metric: Option<&Metric>, text: &str) -> Draft {
    let draft = Draft::error("wrong_type", "expected a number, found text").found(text);
    let is_word = metric.is_some_and(Metric::is_text);
    draft.suggest_if(if is_word { Some("write \"value\" instead of \"threshold\"".to_owned()) } else { meant(metric, text) })
}

/// The number that a text with a unit means in the unit of the metric, if it means one.
fn meant(metric: Option<&Metric>, text: &str) -> Option<String> {
    // Nothing but a number and its unit: an expression could hold another text, and that another expression.
    let plain = text.starts_with(|first: char| first.is_ascii_digit())
        && text.chars().all(|one| one.is_ascii_alphanumeric() || " .%".contains(one));
    if !plain {
        return None;
    }
    let number = match metric {
        Some(metric) => match expression::parse(&format!("{} > {text}", metric.name)).ok()?.test {
            Test::Compare(Comparison { operand: Operand::Number(number), .. }) => number,
            _ => return None,
        },
        None => text.trim_end_matches('%').trim().parse().ok().filter(|number: &f64| number.is_finite())?,
    };
    Some(format!("write {number}, without quotes"))
}

fn compare(
    fields: &mut Fields<'_, '_, '_>,
    metric: &'static Metric,
    operator: Operator,
    operand: Operand,
    selector: Selector,
) -> Option<Comparison> {
    let mut good = true;
    if let Err((part, draft)) = fits(metric, operator, &operand) {
        let key = match part {
            Part::Operator => "operator",
            Part::Operand if fields.has("value") => "value",
            Part::Operand => "threshold",
        };
        fields.report(key, draft);
        good = false;
    }
    for test in &selector.0 {
        if let Err(draft) = known_label(metric, &test.label) {
            fields.report_key("where", &test.label, draft);
            good = false;
        }
    }
    good.then_some(Comparison { metric, operator, operand, selector })
}

/// A combination of one is that one; the time of both adds up only if one of them has none.
pub(crate) fn simplified(condition: Condition) -> Condition {
    match condition.test {
        Test::All(mut parts) | Test::Any(mut parts) if parts.len() == 1 => {
            let part = parts.remove(0);
            match (part.hold_for.is_zero(), condition.hold_for.is_zero()) {
                (true, _) => Condition { hold_for: condition.hold_for, ..part },
                (_, true) => part,
                _ => Condition { test: Test::All(vec![part]), hold_for: condition.hold_for },
            }
        }
        test => Condition { test, ..condition },
    }
}

// A condition as a whole has its schema in `schema_condition`; these are its parts.
schema! {
    Known = {"type": "string"};
    Threshold = {"type": "number"};
    Operator = {"enum": Operator::ALL.map(Operator::symbol)};
    Operand = {"type": ["number", "string"]};
    Pattern = {"type": "string"};
    Patterns = {"type": ["array", "string"]};
    Parts = {"type": "array"};
}

/// The list below `all` or `any`.
struct Parts(Vec<Condition>);

impl FromNode for Parts {
    fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        let parts = Vec::<Condition>::from_node(node, cx)?;
        if parts.is_empty() {
            return cx.invalid("empty_list", "a combination needs at least one condition", node);
        }
        Some(Self(parts))
    }
}

/// A metric that exists.
struct Known(&'static Metric);

impl FromNode for Known {
    fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        let name = String::from_node(node, cx)?;
        match known_metric(&name) {
            Ok(metric) => Some(Self(metric)),
            Err(draft) => cx.report(span(node), draft),
        }
    }
}

/// What stands at `threshold`: a number, or a text about which the metric's unit has something to say.
struct Threshold(Operand);

impl FromNode for Threshold {
    fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        match node {
            Value::StringLit(literal) => Some(Self(Operand::Text(literal.value.to_string()))),
            _ => f64::from_node(node, cx).map(|number| Self(Operand::Number(number))),
        }
    }
}

impl FromNode for Operator {
    fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        let symbol = String::from_node(node, cx)?;
        let found = Self::ALL.into_iter().find(|operator| operator.symbol() == symbol);
        if found.is_some() {
            return found;
        }
        let allowed = Self::ALL.map(Self::symbol);
        let draft = Draft::error("unknown_operator", format!("{symbol:?} is no operator")).found(&symbol).allowed(allowed);
        cx.report(span(node), draft.suggest_if(meant_operator(&symbol).map(|meant| format!("did you mean {meant:?}?"))))
    }
}

/// The operator that other languages, or people, write so.
fn meant_operator(symbol: &str) -> Option<&'static str> {
    Some(match symbol.trim().to_lowercase().as_str() {
        "=>" | "≥" | "ge" | "gte" => ">=",
        "=<" | "≤" | "le" | "lte" => "<=",
        "=" | "===" | "is" | "eq" | "equals" => "==",
        "<>" | "=!" | "≠" | "!==" | "ne" | "not" => "!=",
        ">" | ">>" | "gt" | "over" | "above" => ">",
        "<" | "<<" | "lt" | "under" | "below" => "<",
        _ => return None,
    })
}

impl FromNode for Operand {
    fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        match node {
            Value::StringLit(literal) => Some(Self::Text(literal.value.to_string())),
            Value::NumberLit(_) => f64::from_node(node, cx).map(Self::Number),
            _ => cx.expected("a number or a word", node),
        }
    }
}

impl FromNode for Selector {
    /// Labels by exact text, glob, or a list of these.
    fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        let labels = Entries::<Patterns>::from_node(node, cx)?;
        Some(Self(labels.0.into_iter().map(|(label, patterns)| LabelTest { label, negated: false, patterns: patterns.0 }).collect()))
    }
}

struct Patterns(Vec<Pattern>);

impl FromNode for Patterns {
    fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        let patterns = match node {
            Value::Array(_) => Vec::<Pattern>::from_node(node, cx)?,
            Value::StringLit(_) => vec![Pattern::from_node(node, cx)?],
            _ => return cx.expected("text or a list of texts", node),
        };
        if patterns.is_empty() {
            return cx.invalid("empty_list", "an empty list matches no target", node);
        }
        Some(Self(patterns))
    }
}

impl FromNode for Pattern {
    fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        let text = String::from_node(node, cx)?;
        match Self::new(&text) {
            Ok(pattern) => Some(pattern),
            Err(reason) => cx.invalid("bad_pattern", format!("not a glob: {reason}"), node),
        }
    }
}

/// The metric of that name.
pub(crate) fn known_metric(name: &str) -> Result<&'static Metric, Draft> {
    if let Some(metric) = metric::find(name) {
        return Ok(metric);
    }
    let names: Vec<&str> = METRICS.iter().map(|metric| metric.name).collect();
    if LATER.contains(&name) {
        return Err(Draft::error("unknown_metric", format!("{name} is not measured in this version")).found(name).allowed(names));
    }
    Err(Draft::error("unknown_metric", format!("no metric is called {name:?}")).words(name, &names))
}

/// Whether the metric has that label.
pub(crate) fn known_label(metric: &Metric, name: &str) -> Result<(), Draft> {
    let labels: Vec<&str> = metric.identity.iter().chain(metric.facts).copied().collect();
    if labels.contains(&name) {
        return Ok(());
    }
    Err(Draft::error("unknown_label", format!("{} has no label {name:?}", metric.name)).words(name, &labels))
}

/// The part of a comparison that is wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Part {
    Operator,
    Operand,
}

/// Whether numbers meet numbers and words meet words.
pub(crate) fn fits(metric: &Metric, operator: Operator, operand: &Operand) -> Result<(), (Part, Draft)> {
    let error = |message: String| Draft::error("wrong_type", message);
    match (metric.values, operand) {
        (Values::Number(_), Operand::Number(_)) => Ok(()),
        (Values::Number(_), Operand::Text(text)) => {
            let draft = error(format!("{} is a number and cannot be compared with {text:?}", metric.name)).found(text);
            Err((Part::Operand, draft.suggest_if(meant(Some(metric), text))))
        }
        (Values::Words(words), Operand::Number(number)) => {
            let draft = error(format!("{} is a word: give \"value\" with one of {}", metric.name, words.join(", ")));
            Err((Part::Operand, draft.found(number.to_string()).allowed(words.iter().copied())))
        }
        (Values::Words(_), Operand::Text(_)) if !matches!(operator, Operator::Equal | Operator::NotEqual) => {
            let draft = Draft::error("unknown_operator", format!("{} is a word: only == and != compare words", metric.name));
            Err((Part::Operator, draft.found(operator.symbol()).allowed(["==", "!="])))
        }
        (Values::Words(words), Operand::Text(text)) if !words.contains(&text.as_str()) => {
            let draft = Draft::error("unknown_word", format!("{} is never {text:?}; it is one of {}", metric.name, words.join(", ")));
            Err((Part::Operand, draft.words(text, words)))
        }
        (Values::Words(_), Operand::Text(_)) => Ok(()),
    }
}

/// Whether a whole condition can be worked with: it is not too deep, and its metrics join on their identity labels, so two sets are
/// equal, or one contains the other.
pub(crate) fn sound(condition: &Condition) -> Result<(), Draft> {
    if condition.depth() > MAX_DEPTH {
        return Err(Draft::error("too_deep", format!("conditions are nested more than {MAX_DEPTH} deep")));
    }
    let mut metrics: Vec<&Metric> = Vec::new();
    for one in condition.comparisons().iter().map(|comparison| comparison.metric) {
        if metrics.contains(&one) {
            continue;
        }
        if let Some(other) = metrics.iter().find(|other| !within(one, other) && !within(other, one)) {
            let message = format!(
                "{} (of a {}) and {} (of a {}) cannot be joined: they have different labels",
                other.name,
                other.identity.join(", "),
                one.name,
                one.identity.join(", ")
            );
            return Err(Draft::error("bad_join", message).suggest("write two playbooks"));
        }
        metrics.push(one);
    }
    Ok(())
}

/// Whether every identity label of `part` is one of `whole`.
pub(crate) fn within(part: &Metric, whole: &Metric) -> bool {
    part.identity.iter().all(|label| whole.identity.contains(label))
}
