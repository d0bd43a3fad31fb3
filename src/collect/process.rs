//! Watched processes: whether they run, and what they use.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::interest::Seldom;
use super::looks::Looks;
use super::manager::{Down, Manager, STEADY};
use super::process_match::{Finder, Found, Live};
use super::shared::Shared;
use super::{Collector, Exclusions, Units, host, process_table, reason};
use crate::clock::Moment;
use crate::config::settings::{ProcessEntry, ProcessMatch};
use crate::host::systemd::unit::full_name;
use crate::metric::{self, Kind, Metric};
use crate::sample::{Labels, Sample, Target, Value};

const MIB: f64 = 1_048_576.0;

/// A unit that the settings name.
#[derive(Debug)]
enum Unit {
    /// Its processes are those that are meant.
    Known(String),
    /// A heal would ask for it, if there is such a unit.
    Likely(String),
}

/// Measures one watch entry.
#[derive(Debug)]
pub(crate) struct Process {
    finder: Finder,
    target: Arc<Target>,
    units: Units,
    manager: Manager,
    /// Where the unit is not known by its processes: the one by which they are matched, or else what a heal would restart.
    unit: Unit,
    /// Processor time of each match, by process id and start.
    looks: Looks<HashMap<(u32, Duration), Duration>>,
    open_files: Seldom,
}

impl Process {
    pub(crate) fn new(entry: ProcessEntry, shared: Shared) -> Self {
        let target = Target::new(Labels::from([("process_name", entry.name.as_str())]), Labels::default());
        let units = shared.units().clone();
        let manager = Manager::new(entry.respect_manual_stop, shared.exclusions().clone());
        let unit = match &entry.matcher {
            ProcessMatch::Unit(unit) => Unit::Known(full_name(unit)),
            _ => Unit::Likely(full_name(entry.service.as_ref().unwrap_or(&entry.name))),
        };
        let open_files = Seldom::new(shared.interest(), "process_open_files");
        Self { finder: Finder::new(entry, shared), target, units, manager, unit, looks: Looks::default(), open_files }
    }

    /// The unit of the process, as far as that is known for sure.
    fn own_unit(&self) -> Option<String> {
        let seen = || self.units.of(self.target.identity.get("process_name").unwrap_or_default());
        if let Unit::Known(unit) = &self.unit { Some(unit.clone()) } else { seen() }
    }

    /// Asks the service manager, where there is something to ask.
    fn ask_manager(&mut self, found: &mut Found, now: Moment) -> Option<String> {
        let unit = self.own_unit();
        if let Some(oldest) = found.live.first() {
            self.manager.up(unit.as_deref(), oldest.pid, now);
        } else if found.unknown.is_none() {
            let (Unit::Known(likely) | Unit::Likely(likely)) = &self.unit;
            match self.manager.down(unit.as_ref().unwrap_or(likely), now) {
                Down::Stopped(remark) => return remark,
                Down::Unknown(reason) => found.unknown = Some(reason),
            }
        }
        None
    }

    /// The state of the unit, if the manager has told it.
    fn unit_status(&self, remark: Option<&String>) -> Option<Sample> {
        let (unit, state, at) = self.manager.status()?;
        let target = Target::new(Labels::from([("unit", unit)]), Labels::default());
        let value = Value::Text(state.to_owned().into());
        let sample = Sample::known(const { metric::named("unit_status") }, &target, value, at);
        Some(Sample { reason: remark.cloned(), interval: STEADY, ..sample })
    }

    /// The target with the process id of the oldest match.
    fn with_pid(&mut self, oldest: Option<&Live>) -> Arc<Target> {
        let pid = oldest.map(|live| live.pid.to_string());
        if self.target.facts.get("pid") != pid.as_deref() {
            if let Some(live) = oldest {
                self.units.saw(self.target.identity.get("process_name").unwrap_or_default(), live.pid);
            }
            let facts = pid.map(|pid| ("pid".to_owned(), pid)).into_iter().collect();
            self.target = Target::new(self.target.identity.clone(), facts);
        }
        Arc::clone(&self.target)
    }

    fn cpu(&mut self, now: Moment, live: &[Live]) -> Result<f64, String> {
        let used: HashMap<_, _> = live.iter().map(|live| ((live.pid, live.stat.started), live.stat.cpu)).collect();
        let percent = self.looks.base(now).map(|(span, base)| {
            let began = now.uptime().saturating_sub(span);
            let since = used.iter().map(|(process, cpu)| match base.get(process) {
                Some(before) => cpu.saturating_sub(*before),
                None if process.1 >= began => *cpu,
                None => Duration::ZERO,
            });
            since.sum::<Duration>().as_secs_f64() / span.as_secs_f64() * 100.0
        });
        self.looks.keep(now, used);
        if live.is_empty() { Err("no process runs".to_owned()) } else { percent.ok_or_else(|| reason::SECOND_LOOK.to_owned()) }
    }
}

impl Collector for Process {
    fn may_hang(&mut self) -> bool {
        self.finder.may_hang()
    }

    fn measure(&mut self) -> Vec<Sample> {
        let mut found = self.finder.find();
        let now = Moment::now();
        let target = self.with_pid(found.live.first());
        let remark = self.ask_manager(&mut found, now);
        let unit_status = self.unit_status(remark.as_ref());
        if found.live.is_empty() {
            self.open_files.renew();
        }
        if let Some(reason) = found.unknown {
            let own = |metric: &&Metric| metric.kind == Kind::Process && metric.identity == ["process_name"];
            let names = metric::METRICS.iter().filter(own);
            return names.map(|metric| Sample::unknown(metric, &target, reason.clone(), now)).chain(unit_status).collect();
        }
        let number = |metric, value: Result<f64, String>| Sample::number(metric, &target, value, now);
        let count = f64::from(u32::try_from(found.live.len()).unwrap_or(u32::MAX));
        #[expect(clippy::cast_precision_loss, reason = "no host has 2^53 bytes of memory")]
        let memory = found.live.iter().map(|live| live.stat.rss).sum::<u64>() as f64 / MIB;
        let nobody = || "no process runs".to_owned();
        let uptime = found.live.first().map(|oldest| now.uptime().saturating_sub(oldest.stat.started).as_secs_f64());
        let samples = [
            status(&found, remark.clone(), &target, now),
            Sample { reason: remark.clone(), ..number(const { metric::named("process_count") }, Ok(count)) },
            // Nobody's memory is not little memory: a restart that left nothing running must not verify as cured.
            number(const { metric::named("process_memory_mb") }, if found.live.is_empty() { Err(nobody()) } else { Ok(memory) }),
            number(const { metric::named("process_cpu") }, self.cpu(now, &found.live)),
            number(const { metric::named("process_uptime_seconds") }, uptime.ok_or_else(nobody)),
        ];
        let open_files = self.open_files.look(now).map(|interval| {
            let files = if found.live.is_empty() { Err(nobody()) } else { open_files(&found.live) };
            Sample { interval, ..number(const { metric::named("process_open_files") }, files) }
        });
        samples.into_iter().chain(open_files).chain(unit_status).collect()
    }

    fn again(&self) -> Option<Duration> {
        self.manager.again()
    }
}

/// `by_manager`: what the manager has to say of one that is stopped.
fn status(found: &Found, by_manager: Option<String>, target: &Arc<Target>, now: Moment) -> Sample {
    let (word, remark) = match (found.live.is_empty(), found.zombies) {
        (false, _) => ("running", None),
        (true, _) if by_manager.is_some() => ("stopped", by_manager),
        (true, true) => ("stopped", Some("only zombies are left".to_owned())),
        (true, false) => ("stopped", found.remark.clone()),
    };
    Sample { reason: remark, ..Sample::known(const { metric::named("process_status") }, target, Value::Text(word.into()), now) }
}

fn open_files(live: &[Live]) -> Result<f64, String> {
    let counts: Result<Vec<u64>, String> = live.iter().map(|live| host::open_files(live.pid)).collect();
    #[expect(clippy::cast_precision_loss, reason = "far fewer descriptors than 2^53")]
    counts.map(|counts| counts.into_iter().sum::<u64>() as f64)
}

/// One process that a watch entry matches now, as `match` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// Its process id.
    pub pid: u32,
    /// Its executable, where we may look.
    pub exe: Option<PathBuf>,
    /// Its arguments with blanks between them; not escaped.
    pub command_line: String,
    /// The name of its effective user, or the number.
    pub user: Option<String>,
    /// When it started.
    pub started_at: Timestamp,
    /// Why it matches.
    pub why: String,
}

/// What a watch entry matches now, oldest first.
///
/// # Errors
/// Why it cannot be known.
pub fn matches(entry: &ProcessEntry) -> Result<Vec<Match>, String> {
    let shared = Shared::new(Exclusions::default());
    let mut finder = Finder::new(entry.clone(), shared);
    if finder.may_hang() {
        return Err("its file is on a file system on which a look may never return".to_owned());
    }
    let found = finder.find();
    if let Some(reason) = found.unknown {
        return Err(reason);
    }
    let now = Moment::now();
    Ok(found.live.into_iter().map(|live| describe(live, now)).collect())
}

fn describe(live: Live, now: Moment) -> Match {
    let uid = host::user(live.pid);
    let name = |uid: u32| nix::unistd::User::from_uid(uid.into()).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name);
    let age = now.uptime().saturating_sub(live.stat.started);
    Match {
        pid: live.pid,
        exe: host::exe(live.pid).ok().flatten(),
        command_line: process_table::read(live.pid).line,
        user: uid.map(name),
        started_at: now.wall.saturating_sub(age).unwrap_or(now.wall),
        why: live.why,
    }
}

#[cfg(test)]
#[path = "process_tests.rs"]
mod tests;
