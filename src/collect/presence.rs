//! Which targets an entry has had, and since when each of them is missing. Three measurements without it, over three intervals,
//! mean that a target is gone; what hangs is not measured at all, so it never is.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Moment;
use crate::sample::{ByLabels, Gone, Labels, Target};

/// So many measurements in a row must have missed a target.
const TIMES: u32 = 3;

/// The targets of one entry that are not gone. Boxed: there can be thousands, and few are missing.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    targets: ByLabels<Option<Box<Missing>>>,
}

#[derive(Debug)]
struct Missing {
    since: Moment,
    times: u32,
}

impl Presence {
    /// These were there.
    pub(crate) fn of(targets: Vec<Arc<Target>>) -> Self {
        Self { targets: targets.into_iter().map(|target| (target.identity.clone(), None)).collect() }
    }

    /// Whether there are some, and none is missing.
    pub(crate) fn is_whole(&self) -> bool {
        !self.targets.is_empty() && self.targets.values().all(Option::is_none)
    }

    /// Takes a measurement into account, and gives the targets that are gone by now: each once.
    pub(crate) fn update(&mut self, present: &[Arc<Target>], interval: Duration, now: Moment) -> Vec<Labels> {
        let present: HashSet<&Labels> = present.iter().map(|target| &target.identity).collect();
        for identity in &present {
            match self.targets.get_mut(*identity) {
                Some(missing) => *missing = None,
                None => drop(self.targets.insert((*identity).clone(), None)),
            }
        }
        let gone = |identity: &Labels, missing: &mut Option<Box<Missing>>| {
            if present.contains(identity) {
                return false;
            }
            let missing = missing.get_or_insert_with(|| Box::new(Missing { since: now, times: 0 }));
            missing.times += 1;
            // The third tick comes two intervals after the first, give or take. Fresh measurements in between, which a heal asks
            // for, make it no earlier.
            missing.times >= TIMES && now.since(missing.since) >= interval * 3 / 2
        };
        self.targets.extract_if(gone).map(|(identity, _)| identity).collect()
    }

    /// Every target that was found, and is not gone.
    pub(crate) fn identities(&self) -> impl Iterator<Item = &Labels> {
        self.targets.keys()
    }
}

/// A target whose entry was removed from the settings.
#[derive(Debug)]
pub(crate) struct Leaving {
    pub(crate) gone: Gone,
    /// When it is gone unless another entry has it (running clock).
    pub(crate) at: Moment,
    interval: Duration,
}

impl Leaving {
    /// Its entry was removed now.
    pub(crate) fn new(gone: Gone, interval: Duration, now: Moment) -> Self {
        Self { gone, at: now.after(interval * 3), interval }
    }

    /// It cannot be told yet.
    pub(crate) fn later(self, now: Moment) -> Self {
        Self { at: now.after(self.interval), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Measurements at these seconds, every 10 s by the schedule: which find the target, and which one says that it is gone.
    #[track_caller]
    fn check(measured: &[(f64, bool)], gone_at: Option<f64>) {
        let target = Target::new(Labels::from([("mount", "/data")]), Labels::default());
        let mut presence = Presence::default();
        let mut told = Vec::new();
        for (at, there) in measured {
            let present = if *there { vec![Arc::clone(&target)] } else { Vec::new() };
            let gone = presence.update(&present, Duration::from_secs(10), Moment::at_seconds(*at));
            assert_eq!(
                presence.identities().any(|own| *own == target.identity),
                *there || (gone.is_empty() && told.is_empty() && measured[0].1)
            );
            told.extend(gone.iter().map(|_| *at));
        }
        assert_eq!(told, gone_at.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn three_measurements_without_it_over_three_intervals() {
        check(&[(0.0, true), (10.0, false), (20.0, false)], None);
        check(&[(0.0, true), (10.0, false), (20.0, false), (29.9, false), (40.0, false), (50.0, false)], Some(29.9));
        check(&[(0.0, true), (10.0, false), (20.0, false), (30.0, true), (40.0, false), (50.0, false)], None);
        check(&[(0.0, true), (10.0, false), (10.5, false), (11.0, false), (20.0, false)], None);
        check(&[(0.0, true), (10.0, false), (10.5, false), (11.0, false), (30.0, false)], Some(30.0));
        check(&[(0.0, false), (10.0, false), (20.0, false), (30.0, false)], None);
    }
}
