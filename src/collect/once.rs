//! Everything once, without a schedule: for `check`, for `probe`, and for a heal without an agent.

use std::collections::BTreeSet;
use std::time::Duration;

use super::entry::Entry;
use super::looks::APART;
use super::pool::{self, Done, Job, Panicked, Pool};
use super::shared::Shared;
use super::{Collector, Exclusions, There, Units};
use crate::clock::{Moment, in_words};
use crate::config::settings::Settings;
use crate::metric::Kind;
use crate::sample::Sample;

/// Everything once, and what nothing can be said about.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// What was measured. A target that did not answer in time is unknown, with that reason.
    pub samples: Vec<Sample>,
    /// Where targets may be that are found only by looking, and that could not be found: `no answer in time: files that match
    /// /mnt/*.log`.
    pub gaps: Vec<(Kind, String)>,
    /// In which unit each watched process was seen.
    pub units: Units,
}

/// Measures everything once, now, in parallel, for at most `limit`; what did not answer by then is unknown.
#[must_use]
pub fn measure_once(settings: &Settings, limit: Duration) -> Vec<Sample> {
    survey(settings, limit).samples
}

/// Measures everything once, now, in parallel, for at most `limit`. Processor use needs two looks, so memory and processes are
/// looked at twice, a quarter of a second apart.
#[must_use]
pub fn survey(settings: &Settings, limit: Duration) -> Survey {
    let end = Moment::now().after(limit);
    let shared = Shared::new(Exclusions::default());
    let entries = Entry::all(settings);
    let mut round = Round { entries, limit, results: Vec::new(), partial: BTreeSet::new(), open: BTreeSet::new(), pool: Pool::new() };
    let twice = round.begin(&shared);
    if !twice.is_empty() {
        round.receive_until(Moment::now().after(APART).min(end), true);
        shared.next_turn();
        for (index, mut collector) in twice {
            let samples = pool::measure(&mut *collector);
            round.take(index, &*collector, samples);
        }
    }
    round.receive_until(end, false);
    Survey { units: shared.units().clone(), ..round.survey() }
}

struct Round {
    entries: Vec<Entry>,
    /// How long it may take.
    limit: Duration,
    /// One element for each entry.
    results: Vec<Vec<Sample>>,
    /// Which entries could not look everywhere.
    partial: BTreeSet<usize>,
    /// Which entries are under way on the pool.
    open: BTreeSet<usize>,
    pool: Pool,
}

impl Round {
    /// Measures what cannot hang, sends the rest to the pool, and returns what wants a second look.
    fn begin(&mut self, shared: &Shared) -> Vec<(usize, Box<dyn Collector>)> {
        let mut twice: Vec<(usize, Box<dyn Collector>)> = Vec::new();
        self.results = vec![Vec::new(); self.entries.len()];
        for index in 0..self.entries.len() {
            let entry = &self.entries[index];
            let mut collector = entry.collector(shared);
            if !collector.may_hang() {
                let again = matches!(entry.kind(), Kind::Memory | Kind::Process);
                let samples = pool::measure(&mut *collector);
                self.take(index, &*collector, samples);
                if again {
                    twice.push((index, collector));
                }
                continue;
            }
            let id = u64::try_from(index).unwrap_or(u64::MAX);
            let reason = match self.pool.submit(Job { id, collector }) {
                Ok(()) => {
                    self.open.insert(index);
                    format!("no answer within {}", in_words(self.limit))
                }
                Err((_, reason)) => format!("not measured: {reason}"),
            };
            self.results[index] = entry.unknown(&[], &reason, Moment::now());
        }
        shared.near().let_go();
        twice
    }

    /// Takes results until `end`; unless `to_the_end`, only as long as some are open.
    fn receive_until(&mut self, end: Moment, to_the_end: bool) {
        while to_the_end || !self.open.is_empty() {
            let now = Moment::now();
            if now >= end {
                return;
            }
            self.pool.grow(now);
            let until = self.pool.next_look().map_or(end, |look| look.min(end));
            let _ = self.pool.bell().recv_timeout(until.since(now));
            for Done { id, collector, samples, .. } in self.pool.results() {
                let index = usize::try_from(id).unwrap_or(usize::MAX);
                self.open.remove(&index);
                self.take(index, &*collector, samples);
            }
        }
    }

    fn take(&mut self, index: usize, collector: &dyn Collector, samples: Result<Vec<Sample>, Panicked>) {
        if samples.is_ok() && collector.there() == There::Unsure {
            self.partial.insert(index);
        }
        let entry = &self.entries[index];
        self.results[index] =
            samples.unwrap_or_else(|Panicked(cause)| entry.unknown(&[], &format!("the collector panicked: {cause}"), Moment::now()));
    }

    fn survey(self) -> Survey {
        let gap = |(index, why): (&usize, &str)| {
            let entry = &self.entries[*index];
            // A target with a name is unknown and has a reason.
            entry.named_target().is_none().then(|| (entry.kind(), format!("{why}: {}", entry.in_words())))
        };
        let open = self.open.iter().map(|index| (index, "no answer in time"));
        let partial = self.partial.iter().map(|index| (index, "may not be read everywhere"));
        let gaps = open.chain(partial).filter_map(gap).collect();
        let stamped = |(entry, samples): (Entry, Vec<Sample>)| {
            let interval = entry.interval();
            samples.into_iter().map(move |mut sample| {
                sample.is_of_interval(interval);
                sample
            })
        };
        Survey { samples: self.entries.into_iter().zip(self.results).flat_map(stamped).collect(), gaps, units: Units::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::test_rig::{self, endpoint};
    use crate::config::settings::LogEntry;

    #[test]
    fn what_does_not_answer_is_unknown_and_what_cannot_be_found_is_a_gap() {
        let dir = tempfile::tempdir().unwrap();
        // A link that leads in a circle is something, but nobody can say what: root may read every directory.
        std::os::unix::fs::symlink(dir.path().join("circle"), dir.path().join("circle")).unwrap();
        let plain = tempfile::tempdir().unwrap();
        std::fs::write(plain.path().join("a.log"), "x").unwrap();
        let mut settings = test_rig::settings();
        let glob = format!("{}/*/*.log", dir.path().display());
        let log = |path: String| LogEntry { path, recursive: false, interval: Duration::from_secs(30) };
        settings.watch.logs = vec![log(glob.clone()), log(format!("{}/*.log", plain.path().display()))];
        let mut hung = endpoint("hung", &format!("http://{}/", test_rig::silent()));
        hung.timeout = Duration::from_secs(60);
        settings.watch.endpoints.push(hung);
        let survey = survey(&settings, Duration::from_millis(100));
        assert_eq!(survey.gaps, [(Kind::LogFile, format!("may not be read everywhere: files that match {glob}"))]);
        let latency = test_rig::sample(&survey.samples, "api_latency_ms");
        assert_eq!((&latency.value, latency.reason.as_deref()), (&None, Some("no answer within 0.1 s")));
        assert!(test_rig::value(&survey.samples, "log_file_size_mb") < 1.0);
    }
}
