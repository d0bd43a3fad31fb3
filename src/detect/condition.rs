//! Conditions: what they are and when they are true. Pure: no clock, no input or output. How they read is in `canonical`.
//!
//! A condition is `true`, `false` or *unknown* (`None`): a sample is missing or stale. Combinations follow Kleene:
//! `false && unknown` is false, `true || unknown` is true, `!unknown` is unknown.

use std::time::Duration;

use globset::{GlobBuilder, GlobMatcher};

use crate::metric::Metric;
use crate::sample::{Labels, Sample, Target, Value};

/// A test and for how long it must have been true without a break.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// What is tested.
    pub test: Test,
    /// `for_seconds`.
    pub hold_for: Duration,
}

/// One comparison or a combination of conditions.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// A metric against a constant.
    Compare(Comparison),
    /// True when all are.
    All(Vec<Condition>),
    /// True when one is.
    Any(Vec<Condition>),
    /// True when it is false.
    Not(Box<Condition>),
}

/// `disk_usage{mount="/data"} > 90`
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// What is compared.
    pub metric: &'static Metric,
    /// How.
    pub operator: Operator,
    /// With what: a number for a number metric, a word for a text metric.
    pub operand: Operand,
    /// Of which targets.
    pub selector: Selector,
}

/// How a comparison compares. Text knows only `==` and `!=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
}

impl Operator {
    /// All of them, in the order in which messages list them.
    pub const ALL: [Self; 6] = [Self::Greater, Self::GreaterOrEqual, Self::Less, Self::LessOrEqual, Self::Equal, Self::NotEqual];

    /// As it is written.
    #[must_use]
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Equal => "==",
            Self::NotEqual => "!=",
        }
    }
}

/// The constant of a comparison.
#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    /// A finite number.
    Number(f64),
    /// A word.
    Text(String),
}

/// Label tests that must all hold; none selects every target. `where` in JSON, `{…}` in an expression, `when` of an action.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selector(pub Vec<LabelTest>);

/// One label against a list of patterns.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelTest {
    /// The label's name.
    pub label: String,
    /// `!=`: none of the patterns may match.
    pub negated: bool,
    /// One of these must match.
    pub patterns: Vec<Pattern>,
}

/// Exact text or a glob (`*` and `?` stop at `/`; `**` does not).
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    glob: Option<GlobMatcher>,
}

/// A path has at most 4096 bytes (`PATH_MAX`); a list of them may have more.
const MAX_GLOB_BYTES: usize = 64 * 1024;
const MAX_BRACES: usize = 16;

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.is_glob() == other.is_glob()
    }
}

impl Pattern {
    /// Reads `text` as a glob if it has one of `* ? [ {`, else as exact text.
    ///
    /// # Errors
    /// When it is not a glob that can be understood, or too large a one; the message says why.
    pub fn new(text: &str) -> Result<Self, String> {
        let glob = if text.contains(['*', '?', '[', '{']) { Some(compiled(text)?) } else { None };
        Ok(Self { text: text.to_owned(), glob })
    }

    /// Exactly this text, whatever characters it has.
    #[must_use]
    pub fn exact(text: &str) -> Self {
        Self { text: text.to_owned(), glob: None }
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it is a glob.
    #[must_use]
    pub fn is_glob(&self) -> bool {
        self.glob.is_some()
    }

    fn matches(&self, value: &str) -> bool {
        self.glob.as_ref().map_or(self.text == value, |glob| glob.is_match(value))
    }
}

/// `compile_matcher` panics where the regular expression behind a glob would be too large or too deep, and braces in braces are
/// read by recursion.
fn compiled(text: &str) -> Result<GlobMatcher, String> {
    if text.len() > MAX_GLOB_BYTES {
        return Err(format!("it has more than {MAX_GLOB_BYTES} bytes"));
    }
    if braces(text) > MAX_BRACES {
        return Err(format!("braces are nested more than {MAX_BRACES} deep"));
    }
    let built = GlobBuilder::new(text).literal_separator(true).build().map_err(|error| error.kind().to_string())?;
    Ok(built.compile_matcher())
}

/// How deep braces are nested, at most: escaped ones and those in a class are counted too.
fn braces(text: &str) -> usize {
    let (mut depth, mut most) = (0_usize, 0);
    for byte in text.bytes() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        most = most.max(depth);
    }
    most
}

impl Selector {
    /// Whether a target with these labels is meant. A label that is missing matches nothing (and so satisfies `!=`).
    pub fn selects<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.0.iter().all(|test| {
            let hit = label(&test.label).is_some_and(|value| test.patterns.iter().any(|pattern| pattern.matches(value)));
            hit != test.negated
        })
    }
}

impl Comparison {
    /// Whether the value satisfies the comparison. An infinite value is over every threshold and equal to none.
    #[must_use]
    pub fn holds(&self, value: &Value) -> bool {
        match (value, &self.operand) {
            (Value::Number(value), Operand::Number(operand)) => match self.operator {
                Operator::Greater => value > operand,
                Operator::GreaterOrEqual => value >= operand,
                Operator::Less => value < operand,
                Operator::LessOrEqual => value <= operand,
                #[expect(clippy::float_cmp, reason = "what the user wrote is what is compared")]
                Operator::Equal => value == operand,
                #[expect(clippy::float_cmp, reason = "what the user wrote is what is compared")]
                Operator::NotEqual => value != operand,
            },
            (Value::Infinite, Operand::Number(_)) => {
                matches!(self.operator, Operator::Greater | Operator::GreaterOrEqual | Operator::NotEqual)
            }
            (Value::Text(value), Operand::Text(operand)) => (value == operand) == (self.operator == Operator::Equal),
            // The loader lets only words meet words and numbers meet numbers.
            _ => false,
        }
    }

    /// What the sample says: `None` when there is none to go by.
    fn judge(&self, sample: Option<&Sample>) -> Option<bool> {
        sample?.value.as_ref().map(|value| self.holds(value))
    }
}

impl Condition {
    /// A condition without `for_seconds`.
    #[must_use]
    pub fn now(test: Test) -> Self {
        Self { test, hold_for: Duration::ZERO }
    }

    /// Every comparison, from left to right.
    #[must_use]
    pub fn comparisons(&self) -> Vec<&Comparison> {
        let mut found = Vec::new();
        self.collect(&mut found);
        found
    }

    /// How many conditions lie within each other, this one included.
    #[must_use]
    pub fn depth(&self) -> usize {
        let below = match &self.test {
            Test::Compare(_) => 0,
            Test::All(parts) | Test::Any(parts) => parts.iter().map(Self::depth).max().unwrap_or(0),
            Test::Not(part) => part.depth(),
        };
        below + 1
    }

    fn collect<'a>(&'a self, found: &mut Vec<&'a Comparison>) {
        match &self.test {
            Test::Compare(comparison) => found.push(comparison),
            Test::All(parts) | Test::Any(parts) => parts.iter().for_each(|part| part.collect(found)),
            Test::Not(part) => part.collect(found),
        }
    }

    /// The comparison whose metric has the most identity labels: it tells the targets apart. The first of several.
    ///
    /// # Panics
    /// Never for a condition that was loaded: a combination is not empty.
    #[must_use]
    pub fn leading(&self) -> &Comparison {
        let all = self.comparisons();
        let most = all.iter().map(|comparison| comparison.metric.identity.len()).max().unwrap_or(0);
        all.into_iter().find(|comparison| comparison.metric.identity.len() == most).expect("the loader refuses an empty combination")
    }

    /// Whether the target is one that this condition is about: a comparison over the full identity selects it.
    #[must_use]
    pub fn concerns(&self, metric: &Metric, target: &Target) -> bool {
        let most = self.leading().metric.identity.len();
        self.comparisons().iter().any(|comparison| {
            comparison.metric == metric && metric.identity.len() == most && comparison.selector.selects(|label| target.label(label))
        })
    }

    /// The state now, without regard to `for_seconds`. `sample` gives the valid sample of a metric for the identity that is
    /// looked at (joined on the shared labels), or `None`. A comparison whose selector does not mean the target is false.
    pub fn evaluate<'a>(&self, sample: &impl Fn(&'static Metric) -> Option<&'a Sample>) -> Option<bool> {
        match &self.test {
            Test::Compare(comparison) => {
                let sample = sample(comparison.metric);
                // The value first: mostly it is well, and then it is of no consequence who is meant.
                match comparison.judge(sample) {
                    Some(false) => Some(false),
                    state => {
                        let meant = sample.is_none_or(|sample| comparison.selector.selects(|label| sample.target.label(label)));
                        if meant { state } else { Some(false) }
                    }
                }
            }
            Test::All(parts) => kleene_all(parts.iter().map(|part| part.evaluate(sample))),
            Test::Any(parts) => kleene_all(parts.iter().map(|part| part.evaluate(sample).map(|state| !state))).map(|state| !state),
            Test::Not(part) => part.evaluate(sample).map(|state| !state),
        }
    }
}

impl Condition {
    /// The state now for one identity, judged by `samples` alone (fresh ones, say), without regard to `for_seconds`. A metric
    /// of which no sample belongs to the identity, or samples of several targets, is unknown. Several of one target, because two
    /// entries watch it, are no doubt: the latest counts.
    #[must_use]
    pub fn state_of(&self, identity: &Labels, samples: &[Sample]) -> Option<bool> {
        self.evaluate(&|metric| {
            let mut own = samples.iter().filter(|sample| sample.metric == metric && joins(identity, &sample.target.identity));
            let first = own.next()?;
            own.try_fold(first, |latest, sample| {
                let same = sample.target.identity == latest.target.identity;
                same.then_some(if sample.at.running < latest.at.running { latest } else { sample })
            })
        })
    }
}

/// Conjunction with unknown: false wins over unknown, unknown over true.
pub fn kleene_all(states: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut result = Some(true);
    for state in states {
        match state {
            Some(false) => return Some(false),
            None => result = None,
            Some(true) => {}
        }
    }
    result
}

/// Whether a sample belongs to the identity that is looked at: one of the two sets of labels contains the other.
#[must_use]
pub fn joins(identity: &Labels, sample: &Labels) -> bool {
    identity.covers(sample) || sample.covers(identity)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Moment;
    use crate::config::parse;
    use crate::config::source::Text;

    #[test]
    fn a_target_of_two_entries_is_judged_by_its_latest_sample() {
        let text = Text::new("p", r#"{"a": {"condition": "log_file_size_mb > 1", "actions": []}}"#);
        let condition = parse(&text, &Text::new("s", "{}")).unwrap().playbooks[0].condition.clone();
        let metric = crate::metric::named("log_file_size_mb");
        let target = |path: &str| Target::new(Labels::from([("path", path)]), Labels::default());
        let sample = |path: &str, number, at| Sample::known(metric, &target(path), Value::Number(number), Moment::at_seconds(at));
        let state = |samples: &[Sample]| condition.state_of(&Labels::from([("path", "/a")]), samples);
        assert_eq!(state(&[sample("/a", 2.0, 5.0), sample("/a", 0.0, 6.0)]), Some(false));
        assert_eq!(state(&[sample("/a", 0.0, 6.0), sample("/a", 2.0, 5.0)]), Some(false));
        assert_eq!(state(&[sample("/b", 2.0, 5.0)]), None);
        // One that is about the whole host joins with all of them, and none of them is meant more than another.
        let whole = condition.state_of(&Labels::default(), &[sample("/a", 2.0, 5.0), sample("/b", 2.0, 5.0)]);
        assert_eq!(whole, None);
    }
}
