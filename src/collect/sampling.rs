//! How collectors make samples. The interval is the schedule's to fill in.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Moment;
use crate::metric::Metric;
use crate::sample::{Sample, Target, Value};

impl Sample {
    /// A value was found.
    pub(crate) fn known(metric: &'static Metric, target: &Arc<Target>, value: Value, at: Moment) -> Self {
        Self { metric, target: Arc::clone(target), value: Some(value), reason: None, at, interval: Duration::ZERO }
    }

    /// No value, and why.
    pub(crate) fn unknown(metric: &'static Metric, target: &Arc<Target>, reason: impl Into<String>, at: Moment) -> Self {
        Self { metric, target: Arc::clone(target), value: None, reason: Some(reason.into()), at, interval: Duration::ZERO }
    }

    /// As the schedule has it. What was looked up for longer than an interval says so itself.
    pub(crate) fn is_of_interval(&mut self, interval: Duration) {
        self.interval = self.interval.max(interval);
    }

    /// A finite number, or the reason why there is none.
    pub(crate) fn number(metric: &'static Metric, target: &Arc<Target>, value: Result<f64, String>, at: Moment) -> Self {
        match value {
            Ok(number) if number.is_finite() => Self::known(metric, target, Value::Number(number), at),
            Ok(_) => Self::unknown(metric, target, "the system gave no usable number", at),
            Err(reason) => Self::unknown(metric, target, reason, at),
        }
    }
}
