//! Memory, processor and load of the host.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod other;

use std::sync::Arc;

use super::interest::{Interest, Seldom};
use super::looks::Looks;
use super::{Collector, reason};
use crate::clock::Moment;
use crate::metric;
use crate::sample::{Sample, Target};

#[cfg(target_os = "linux")]
use linux::Host;
#[cfg(not(target_os = "linux"))]
use other::Host;

/// How much memory there is.
#[derive(Clone, Copy)]
struct Figures {
    /// In percent.
    usage: f64,
    available_mib: f64,
    /// In percent.
    swap: f64,
}

/// Measures the host.
pub(crate) struct Memory {
    host: Host,
    target: Arc<Target>,
    looks: Looks<(u64, u64)>,
    pressure: Seldom,
    cpu: Seldom,
    load: Seldom,
}

impl Memory {
    pub(crate) fn new(interest: &Interest) -> Self {
        let seldom = |name| Seldom::new(interest, name);
        Self {
            host: Host::default(),
            target: Arc::default(),
            looks: Looks::default(),
            pressure: seldom("memory_pressure"),
            cpu: seldom("cpu_usage"),
            load: seldom("load_average"),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a percent needs no 53 bits")]
    fn cpu_usage(&mut self, now: Moment) -> Result<f64, String> {
        let (busy, all) = self.host.cpu()?;
        let percent = self.looks.base(now).map(|(_, (busy_then, all_then))| {
            let all = all.saturating_sub(*all_then);
            if all == 0 { 0.0 } else { busy.saturating_sub(*busy_then) as f64 / all as f64 * 100.0 }
        });
        self.looks.keep(now, (busy, all));
        percent.ok_or_else(|| reason::SECOND_LOOK.to_owned())
    }
}

impl Collector for Memory {
    fn measure(&mut self) -> Vec<Sample> {
        let target = Arc::clone(&self.target);
        let figures = self.host.figures();
        let now = Moment::now();
        let number = |metric, value| Sample::number(metric, &target, value, now);
        let of = |figure: fn(Figures) -> f64| figures.clone().map(figure);
        let mut samples = vec![
            number(const { metric::named("memory_usage") }, of(|memory| memory.usage)),
            number(const { metric::named("memory_available_mb") }, of(|memory| memory.available_mib)),
            number(const { metric::named("swap_usage") }, of(|memory| memory.swap)),
        ];
        if let Some(interval) = self.pressure.look(now) {
            samples.push(Sample { interval, ..number(const { metric::named("memory_pressure") }, self.host.pressure()) });
        }
        if let Some(interval) = self.cpu.look(now) {
            samples.push(Sample { interval, ..number(const { metric::named("cpu_usage") }, self.cpu_usage(now)) });
        }
        if let Some(interval) = self.load.look(now) {
            samples.push(Sample { interval, ..number(const { metric::named("load_average") }, self.host.load()) });
        }
        samples
    }
}

/// `used` of `whole` in percent; nothing of nothing is 0.
#[expect(clippy::cast_precision_loss, reason = "a percent needs no 53 bits")]
fn percent(used: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { used as f64 / whole as f64 * 100.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::test_rig::{sample, value, wait_until};
    use crate::sample::Value;

    #[test]
    fn the_host_is_measured() {
        let mut memory = Memory::new(&Interest::default());
        let samples = memory.measure();
        assert!((0.1..100.0).contains(&value(&samples, "memory_usage")));
        assert!(value(&samples, "memory_available_mb") > 1.0);
        assert!((0.0..=100.0).contains(&value(&samples, "swap_usage")));
        assert!(value(&samples, "load_average") >= 0.0);
        assert_eq!(sample(&samples, "cpu_usage").reason.as_deref(), Some("needs a second look"));
        let pressure = sample(&samples, "memory_pressure");
        assert!(pressure.value.is_some() != pressure.reason.is_some());
        wait_until(
            "the processor was looked at twice",
            || matches!(sample(&memory.measure(), "cpu_usage").value, Some(Value::Number(percent)) if (0.0..=100.0).contains(&percent)),
        );
    }

    #[test]
    fn figures_that_no_condition_names_come_more_seldom_and_say_so() {
        let interest = Interest::default();
        interest.set(&[metric::named("load_average")]);
        let mut memory = Memory::new(&interest);
        let names = |samples: &[Sample]| samples.iter().map(|sample| sample.metric.name).collect::<Vec<_>>();
        let first = memory.measure();
        assert_eq!(first.len(), 6);
        assert!(sample(&first, "cpu_usage").interval > sample(&first, "load_average").interval);
        assert_eq!(memory.measure().len(), 6, "rates need two looks");
        assert_eq!(names(&memory.measure()), ["memory_usage", "memory_available_mb", "swap_usage", "load_average"]);
        interest.add(metric::named("cpu_usage"));
        sample(&memory.measure(), "cpu_usage");
    }
}
