//! What is measured: targets, their labels, and samples.

mod in_order;
mod labels;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

use crate::clock::Moment;
use crate::metric::{Kind, Metric};
pub use in_order::InOrder;
pub use labels::{ByLabels, Labels, OwnHash};

/// How the reason of a sample begins that is as it is because a person wanted it so.
pub const STOPPED_BY_PERSON: &str = "stopped by a person";

/// A machine that slept for less has not slept.
pub const SLEPT: Duration = Duration::from_secs(1);

/// The thing that is observed and healed: which mount, which process, which endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Target {
    /// The labels that tell this target from others. Joins, dedup keys, cooldowns and breakers use these alone.
    pub identity: Labels,
    /// What is known about it now (pid, device, fstype, url): may change, is no part of any key.
    pub facts: Labels,
}

impl Target {
    /// A target with the given identity and facts.
    #[must_use]
    pub fn new(identity: Labels, facts: Labels) -> Arc<Self> {
        Arc::new(Self { identity, facts })
    }

    /// The value of the label `name`, be it identity or fact.
    #[must_use]
    pub fn label(&self, name: &str) -> Option<&str> {
        self.identity.get(name).or_else(|| self.facts.get(name))
    }

    /// Identity and facts together, as samples show them.
    #[must_use]
    pub fn labels(&self) -> Labels {
        self.identity.with(&self.facts)
    }
}

/// What a measurement found.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A finite number in the metric's unit.
    Number(f64),
    /// Over every threshold and under none: the latency of a request that failed.
    Infinite,
    /// A word, for metrics such as `process_status`.
    Text(Cow<'static, str>),
}

impl fmt::Display for Value {
    /// Numbers with at most two decimals, in the words of the report: `96.2`, `infinite`, `running`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(out, "{}", (number * 100.0).round() / 100.0),
            Self::Infinite => out.write_str("infinite"),
            Self::Text(text) => out.write_str(text),
        }
    }
}

impl Serialize for Value {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(number) => serializer.serialize_f64((number * 1000.0).round() / 1000.0),
            Self::Infinite => serializer.serialize_str("infinite"),
            Self::Text(text) => serializer.serialize_str(text),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Raw {
            Number(f64),
            Text(String),
        }
        Ok(match Raw::deserialize(deserializer)? {
            Raw::Number(number) => Self::Number(number),
            Raw::Text(text) if text == "infinite" => Self::Infinite,
            Raw::Text(text) => Self::Text(text.into()),
        })
    }
}

/// One measured value of one target at one time, or the reason why there is none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// What was measured.
    #[serde(with = "crate::metric::by_name")]
    pub metric: &'static Metric,
    /// Of what.
    pub target: Arc<Target>,
    /// The value; `None` is *unknown*, and then there is a reason.
    pub value: Option<Value>,
    /// Why the value is unknown, or a remark about it (`connection refused`, `only zombies are left`).
    pub reason: Option<String>,
    /// When the measurement ended.
    pub at: Moment,
    /// How often this target is measured. A sample is stale after three of these.
    pub interval: Duration,
}

impl Sample {
    /// Whether this sample says nothing any more: it is older than three intervals.
    #[must_use]
    pub fn is_stale(&self, now: Moment) -> bool {
        now.since(self.at) > self.interval * 3
    }

    /// Whether the machine has slept since, by more than an interval (a machine that slept for less than a second has not
    /// slept): the sample tells of another time, and counts for nothing.
    #[must_use]
    pub fn is_from_before_a_sleep(&self, now: Moment) -> bool {
        now.slept_since(self.at) > self.interval.max(SLEPT)
    }

    /// Whether a person wanted it so: then nothing is done about it.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.reason.as_ref().is_some_and(|reason| reason.starts_with(STOPPED_BY_PERSON))
    }

    /// The last moment at which it counts (running clock).
    #[must_use]
    pub fn stale_at(&self) -> Duration {
        self.at.running + self.interval * 3
    }

    /// The sample as `--json` prints it.
    #[must_use]
    pub fn view(&self, now: Moment) -> SampleView {
        SampleView {
            metric: self.metric.name.to_owned(),
            labels: self.target.labels(),
            value: self.value.clone(),
            reason: self.reason.clone(),
            at: self.at.wall,
            age_seconds: now.since(self.at).as_secs_f64(),
            stale: self.is_stale(now),
        }
    }
}

/// What the collectors found in one turn. Targets that are gone come before the samples: one that is back has both.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Targets that are not there any more. What merely hangs or does not answer has samples without a value instead.
    pub gone: Vec<Gone>,
    /// What was measured.
    pub samples: Vec<Sample>,
    /// Kinds of which every entry has been measured, or found to hang, since it is watched: of these a target without a sample
    /// is not there.
    pub settled: Vec<Kind>,
}

/// A target that is not there any more: unmounted, removed, or watched no more, for three intervals.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Gone {
    /// Whose target it was.
    pub kind: Kind,
    /// Its identity.
    pub identity: Labels,
}

impl Gone {
    /// The target of this sample, if it is gone.
    #[must_use]
    pub fn of(sample: &Sample) -> Self {
        Self { kind: sample.metric.kind, identity: sample.target.identity.clone() }
    }

    /// Whether the sample is of this target.
    #[must_use]
    pub fn had(&self, sample: &Sample) -> bool {
        sample.metric.kind == self.kind && sample.target.identity == self.identity
    }
}

/// A metric of one target.
#[derive(Clone, Debug, PartialEq)]
pub struct Want {
    /// Which metric.
    pub metric: &'static Metric,
    /// The identity of the incident. The metric's own identity is the part of it that the metric has.
    pub identity: Labels,
}

/// The JSON shape of a [`Sample`] (contract C1).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SampleView {
    /// The metric's name.
    pub metric: String,
    /// Identity and facts.
    pub labels: Labels,
    /// A number, `"infinite"`, a word, or `null` for unknown.
    pub value: Option<Value>,
    /// Why it is unknown, or a remark.
    pub reason: Option<String>,
    /// When it was measured.
    #[serde(serialize_with = "crate::record::json::millis")]
    pub at: jiff::Timestamp,
    /// How long ago that is.
    #[serde(serialize_with = "crate::record::json::seconds")]
    pub age_seconds: f64,
    /// Older than three intervals.
    pub stale: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric;

    #[test]
    fn a_sample_is_stale_after_three_intervals() {
        let metric = metric::find("memory_usage").unwrap();
        let start = Moment::at_seconds(0.0);
        let sample = Sample { metric, target: Arc::default(), value: None, reason: None, at: start, interval: Duration::from_secs(10) };
        assert!(!sample.is_stale(start.after(Duration::from_secs(30))));
        assert!(sample.is_stale(start.after(Duration::from_secs(31))));
    }

    #[test]
    fn a_sample_is_from_before_a_sleep_that_was_longer_than_its_interval() {
        let metric = metric::find("memory_usage").unwrap();
        let start = Moment::at_seconds(0.0);
        let mut sample = Sample { metric, target: Arc::default(), value: None, reason: None, at: start, interval: Duration::from_secs(10) };
        let after_sleep = |seconds| {
            let awake = start.after(Duration::from_secs(5));
            Moment { boot: awake.boot + Duration::from_millis(seconds), ..awake }
        };
        for (slept, before) in [(0, false), (10_000, false), (10_001, true)] {
            assert_eq!(sample.is_from_before_a_sleep(after_sleep(slept)), before, "{slept} ms");
        }
        sample.interval = Duration::from_millis(100);
        for (slept, before) in [(1000, false), (1001, true)] {
            assert_eq!(sample.is_from_before_a_sleep(after_sleep(slept)), before, "{slept} ms");
        }
    }

    #[test]
    fn values_print_without_noise() {
        for (value, text) in [
            (Value::Number(96.199_999), "96.2"),
            (Value::Number(3.0), "3"),
            (Value::Infinite, "infinite"),
            (Value::Text("up".into()), "up"),
        ] {
            assert_eq!(value.to_string(), text);
        }
    }
}
