//! What is measured at each look, and what more seldom: figures that no condition names are for the history and for `status`
//! alone, and need not be read each second.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Moment;
use crate::metric::{self, Metric};

/// The metrics that cost a look of their own: while no condition names one, it is measured more seldom.
pub const SELDOM: [&str; 4] = ["memory_pressure", "cpu_usage", "load_average", "process_open_files"];

/// What no condition names is measured this often at most, whatever the interval.
const PAUSE: Duration = Duration::from_secs(10);

/// A tick may come this much before the pause is over: the last one was late.
const SLACK: Duration = Duration::from_millis(500);

/// So many first looks are at everything: rates need two.
const FIRST: u8 = 2;

/// The metrics that somebody waits for, a bit for each line of the table. Cheap to clone; all copies are one. Everything, until something
/// else is said.
#[derive(Clone, Debug)]
pub(crate) struct Interest(Arc<AtomicU64>);

impl Default for Interest {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(u64::MAX)))
    }
}

impl Interest {
    /// These metrics are in conditions, and no others.
    pub(crate) fn set(&self, metrics: &[&'static Metric]) {
        self.0.store(metrics.iter().fold(0, |all, metric| all | metric.bit()), Ordering::Relaxed);
    }

    /// Somebody waits for this one too, from now until the next [`Self::set`].
    pub(crate) fn add(&self, metric: &'static Metric) {
        self.0.fetch_or(metric.bit(), Ordering::Relaxed);
    }
}

/// When one figure is due.
#[derive(Debug)]
pub(crate) struct Seldom {
    interest: Interest,
    bit: u64,
    looks: u8,
    due: Option<Moment>,
}

impl Seldom {
    /// For the metric of that name, one of [`SELDOM`].
    pub(crate) fn new(interest: &Interest, name: &'static str) -> Self {
        debug_assert!(SELDOM.contains(&name), "{name} is not told of in the documentation");
        Self { interest: interest.clone(), bit: metric::named(name).bit(), looks: 0, due: None }
    }

    /// The next look is at it, whenever it comes: what it said last is not so any more.
    pub(crate) fn renew(&mut self) {
        self.due = None;
    }

    /// How far its looks are apart, if it is to be measured in this one; the zero means: as the entry says.
    pub(crate) fn look(&mut self, now: Moment) -> Option<Duration> {
        if self.interest.0.load(Ordering::Relaxed) & self.bit != 0 {
            self.due = None;
            return Some(Duration::ZERO);
        }
        self.looks = self.looks.saturating_add(1);
        let due = self.looks <= FIRST || self.due.is_none_or(|due| due.is_due_after_sleep(now));
        if due {
            self.due = Some(now.after(PAUSE - SLACK));
        }
        due.then_some(PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;
    use crate::config::source::Text;

    #[test]
    fn what_no_condition_names_is_measured_every_ten_seconds() {
        let interest = Interest::default();
        let mut seldom = Seldom::new(&interest, "load_average");
        let mut looks = |seconds: std::ops::Range<u32>| -> Vec<u32> {
            seconds.filter(|second| seldom.look(Moment::at_seconds(f64::from(*second))).is_some()).collect()
        };
        assert_eq!(looks(0..3), [0, 1, 2], "everything, until the conditions are known");
        interest.set(&[metric::named("cpu_usage")]);
        assert_eq!(looks(3..30), [3, 4, 14, 24]);
        interest.add(metric::named("load_average"));
        assert_eq!(looks(30..33), [30, 31, 32]);
        interest.set(&[]);
        assert_eq!(looks(33..50), [33, 43]);
    }

    #[test]
    fn conditions_and_proofs_in_force_name_metrics() {
        let text = r#"{"a": {"condition": "cpu_usage > 1", "verify": {"metric": "load_average", "operator": "<", "threshold": 1}, "actions": []},
            "b": {"condition": "swap_usage > 1", "actions": [], "enabled": false}}"#;
        let config = parse(&Text::new("p", text), &Text::new("s", "{}")).unwrap();
        assert_eq!(config.metrics(), ["cpu_usage", "load_average"].map(metric::named));
    }

    #[test]
    fn what_no_condition_names_any_more_does_not_become_stale_first() {
        let interest = Interest::default();
        interest.set(&[]);
        let mut seldom = Seldom::new(&interest, "load_average");
        let mut look = |second: u32| seldom.look(Moment::at_seconds(f64::from(second)));
        assert!(look(0).is_some() && look(1).is_some() && look(2).is_none());
        interest.add(metric::named("load_average"));
        assert_eq!([look(3), look(4)], [Some(Duration::ZERO); 2], "every second: what was measured at 4 s is stale at 7 s");
        interest.set(&[]);
        let next = (5..20).find(|second| look(*second).is_some());
        assert!(next.is_some_and(|next| next <= 7), "stale from 7 s to {next:?}");
    }

    #[test]
    fn after_a_sleep_everything_is_measured_once() {
        let interest = Interest::default();
        interest.set(&[]);
        let mut seldom = Seldom::new(&interest, "load_average");
        let at = |second: f64| Moment::at_seconds(second);
        assert!(seldom.look(at(0.0)).is_some() && seldom.look(at(1.0)).is_some() && seldom.look(at(2.0)).is_none());
        let awake = Moment { boot: at(3.0).boot + Duration::from_hours(8), ..at(3.0) };
        assert!(seldom.look(awake).is_some(), "the load is that of eight hours ago, and not called stale");
    }
}
