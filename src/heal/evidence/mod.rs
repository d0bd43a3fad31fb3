//! Evidence before the cure: what the host looks like when an incident opens, because a restart or a clean-up destroys it. The
//! first action waits for it, so everything here is bounded, and what cannot be seen in time is left out with a note.
//!
//! Names of processes only, never arguments: these hold passwords.

mod certificate;
mod dead_process;
mod disk;
mod kernel_log;
mod open_files;
mod processes;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use super::guard::Policy;
use super::outcome::Limit;
use crate::clock::Moment;
use crate::collect::Exclusions;
use crate::config::settings::Settings;
pub use crate::incident::evidence::{Evidence, Section};
use crate::metric::Kind;
use crate::sample::{Sample, Target, Value};
use processes::Processes;

/// All of it together takes no longer.
pub const MOST_TIME: Duration = Duration::from_secs(5);

/// What evidence is gathered about.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// What is in trouble: it decides where to look.
    pub kind: Kind,
    /// Which one.
    pub target: &'a Target,
    /// The samples with which the incident opened; they may be of other targets too.
    pub samples: &'a [Sample],
    /// The settings in force.
    pub settings: &'a Settings,
    /// Permits the fixed looks.
    pub policy: &'a Policy,
    /// The systemd unit that belongs to a process, where one is known.
    pub unit: Option<&'a str>,
    /// Our own binary, for the executor.
    pub helper: &'a Path,
    /// Programs that look are no watched processes.
    pub exclusions: &'a Exclusions,
}

impl Subject<'_> {
    /// The sample of a metric of this target.
    fn sample(&self, metric: &str) -> Option<&Sample> {
        self.samples.iter().find(|sample| sample.metric.name == metric && self.target.identity.covers(&sample.target.identity))
    }

    /// Whether the word was measured.
    fn says(&self, metric: &str, word: &str) -> bool {
        self.sample(metric).is_some_and(|sample| matches!(&sample.value, Some(Value::Text(text)) if text == word))
    }
}

/// Gathers evidence, on a thread of its own: a disk that is dying can hold it up however short its time is, so whoever waits
/// for the answer waits with a deadline. Keeps the last look at the processes.
#[derive(Debug, Default)]
pub struct Gatherer {
    processes: Processes,
}

impl Gatherer {
    /// One that has not looked yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks at the processes, and at what the kind of trouble calls for, for [`MOST_TIME`] or until the limit if that is sooner.
    /// A part that fails becomes a note in its place.
    pub fn gather(&mut self, subject: &Subject<'_>, limit: &Limit) -> Evidence {
        let limit = &within(limit, MOST_TIME);
        let mut evidence = Evidence::default();
        match subject.kind {
            Kind::Disk => match disk::Place::of(subject.target) {
                Ok(place) => {
                    evidence.add(open_files::TITLE, limit, || open_files::gather(&place, limit));
                    evidence.add(disk::TITLE, limit, || disk::gather(&place, Moment::now(), limit));
                }
                Err(reason) => evidence.add(disk::TITLE, limit, || Err(reason)),
            },
            Kind::Process if subject.says("process_status", "stopped") => {
                evidence.add(dead_process::TITLE, limit, || dead_process::gather(subject, limit));
                evidence.add(kernel_log::TITLE, limit, || kernel_log::gather(subject, Moment::now(), limit));
            }
            Kind::Certificate => {
                evidence.add(certificate::TITLE, limit, || certificate::gather(subject, certificate::LIVE, Moment::now(), limit));
            }
            Kind::Process | Kind::Memory | Kind::Latency | Kind::LogFile => {}
        }
        evidence.add(processes::TITLE, limit, || self.processes.gather(Moment::now(), limit));
        evidence.hints.dedup();
        evidence
    }
}

impl Evidence {
    /// Adds what `gather` finds; where it fails, a section that says why.
    fn add(&mut self, title: &str, limit: &Limit, gather: impl FnOnce() -> Result<Self, String>) {
        let gathered = if limit.is_over() {
            Err("not looked at, because the time was over".to_owned())
        } else {
            catch_unwind(AssertUnwindSafe(gather)).unwrap_or_else(|_| Err("autoheal failed inside; see its log".to_owned()))
        };
        match gathered {
            Ok(found) => {
                self.sections.extend(found.sections);
                self.hints.extend(found.hints);
            }
            Err(reason) => self.sections.push(Section { title: title.to_owned(), lines: Vec::new(), note: Some(reason) }),
        }
    }

    /// A section without hints; none at all if there is nothing to say.
    fn of(title: impl Into<String>, lines: Vec<String>, note: Option<String>) -> Self {
        let empty = lines.is_empty() && note.is_none();
        let section = Section { title: title.into(), lines, note };
        Self { sections: if empty { Vec::new() } else { vec![section] }, hints: Vec::new() }
    }
}

/// The limit, or this long from now if that is sooner.
fn within(limit: &Limit, time: Duration) -> Limit {
    Limit { deadline: limit.deadline.earlier(Moment::now().after(time)), stop: limit.stop.clone() }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
