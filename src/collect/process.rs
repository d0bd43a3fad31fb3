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
        let sample = Sample::known(metric::named("unit_status"), &target, value, at);
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
        if let Some(reason) = found.unknown {
            let own = |metric: &&Metric| metric.kind == Kind::Process && metric.identity == ["process_name"];
            let names = metric::METRICS.iter().filter(own);
            return names.map(|metric| Sample::unknown(metric, &target, reason.clone(), now)).chain(unit_status).collect();
        }
        let number = |name, value: Result<f64, String>| Sample::number(metric::named(name), &target, value, now);
        let count = f64::from(u32::try_from(found.live.len()).unwrap_or(u32::MAX));
        #[expect(clippy::cast_precision_loss, reason = "no host has 2^53 bytes of memory")]
        let memory = found.live.iter().map(|live| live.stat.rss).sum::<u64>() as f64 / MIB;
        let nobody = || "no process runs".to_owned();
        let uptime = found.live.first().map(|oldest| now.uptime().saturating_sub(oldest.stat.started).as_secs_f64());
        let samples = [
            status(&found, remark.clone(), &target, now),
            Sample { reason: remark.clone(), ..number("process_count", Ok(count)) },
            // Nobody's memory is not little memory: a restart that left nothing running must not verify as cured.
            number("process_memory_mb", if found.live.is_empty() { Err(nobody()) } else { Ok(memory) }),
            number("process_cpu", self.cpu(now, &found.live)),
            number("process_uptime_seconds", uptime.ok_or_else(nobody)),
        ];
        let open_files = self.open_files.look(now).map(|interval| {
            let files = if found.live.is_empty() { Err(nobody()) } else { open_files(&found.live) };
            Sample { interval, ..number("process_open_files", files) }
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
    Sample { reason: remark, ..Sample::known(metric::named("process_status"), target, Value::Text(word.into()), now) }
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
mod tests {
    use std::fs;
    use std::io::Write;
    use std::process::Stdio;

    use super::*;
    use crate::collect::test_rig::{Child, command, process_entry, text, value, wait_until};

    fn collector(matcher: ProcessMatch) -> (Process, Shared) {
        let shared = Shared::new(Exclusions::default());
        (Process::new(process_entry("web", matcher), shared.clone()), shared)
    }

    fn unique_sleep() -> (Child, ProcessMatch) {
        let child = Child::sleeping();
        let pattern = regex::Regex::new(&format!("^sleep {}$", regex::escape(child.argument()))).unwrap();
        (child, ProcessMatch::Pattern(pattern))
    }

    #[test]
    fn a_process_runs_until_it_is_killed_and_reaped_or_not() {
        let (mut child, matcher) = unique_sleep();
        let (mut process, shared) = collector(matcher);
        let samples = process.measure();
        assert_eq!(text(&samples, "process_status"), "running");
        assert_eq!(value(&samples, "process_count"), 1.0);
        assert!(value(&samples, "process_memory_mb") > 0.05 && value(&samples, "process_open_files") >= 3.0);
        assert!((0.0..60.0).contains(&value(&samples, "process_uptime_seconds")));
        assert_eq!(samples[0].target.facts.get("pid"), Some(child.pid().to_string().as_str()));
        child.kill();
        wait_until("the child is a zombie", || host::stat(child.pid()).unwrap().is_some_and(|stat| stat.dead));
        shared.next_turn();
        let samples = process.measure();
        assert_eq!((text(&samples, "process_status"), samples[0].reason.as_deref()), ("stopped", Some("only zombies are left")));
        child.reap();
        shared.next_turn();
        let samples = process.measure();
        assert_eq!((text(&samples, "process_status"), samples[0].reason.as_deref()), ("stopped", None));
        assert_eq!(value(&samples, "process_count"), 0.0);
        let memory = samples.iter().find(|sample| sample.metric.name == "process_memory_mb").unwrap();
        assert_eq!((&memory.value, memory.reason.as_deref()), (&None, Some("no process runs")));
        assert!(samples.iter().any(|sample| sample.metric.name == "process_uptime_seconds" && sample.value.is_none()));
    }

    #[test]
    fn the_same_target_whatever_the_pid() {
        let (child, matcher) = unique_sleep();
        let (mut process, shared) = collector(matcher);
        let before = Arc::clone(&process.measure()[0].target);
        drop(child);
        shared.next_turn();
        let after = Arc::clone(&process.measure()[0].target);
        assert_eq!(before.identity, after.identity);
        assert_eq!(after.facts.get("pid"), None);
    }

    #[test]
    fn a_pid_file_means_its_process_whatever_that_calls_itself() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("web.pid");
        let mut child =
            command("sh").args(["-c", "read go; printf renamed > /proc/self/comm; read end"]).stdin(Stdio::piped()).spawn().unwrap();
        fs::write(&path, child.id().to_string()).unwrap();
        let (mut process, shared) = collector(ProcessMatch::Pidfile(path));
        assert_eq!(text(&process.measure(), "process_status"), "running");
        child.stdin.as_ref().unwrap().write_all(b"go\n").unwrap();
        wait_until("it has another name", || host::comm(child.id()).is_ok_and(|comm| comm == "renamed"));
        shared.next_turn();
        assert_eq!(text(&process.measure(), "process_status"), "running");
        drop(child.stdin.take());
        child.wait().unwrap();
    }

    #[test]
    fn pid_files_are_read_each_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("web.pid");
        let (mut process, _shared) = collector(ProcessMatch::Pidfile(path.clone()));
        let samples = process.measure();
        assert_eq!(text(&samples, "process_status"), "stopped");
        assert!(samples[0].reason.as_ref().unwrap().contains("no pid file"));
        let child = Child::sleeping();
        fs::write(&path, format!("{}\n", child.pid())).unwrap();
        assert_eq!(text(&process.measure(), "process_status"), "running");
        for broken in ["", "zero", "0", "-1", "99999999999", &"1".repeat(100)] {
            fs::write(&path, broken).unwrap();
            let samples = process.measure();
            assert!(samples.len() == 6 && samples.iter().all(|sample| sample.value.is_none() && sample.reason.is_some()), "{broken}");
        }
        fs::write(&path, "4194305").unwrap();
        assert_eq!(text(&process.measure(), "process_status"), "stopped", "there is no such process");
    }

    #[test]
    fn a_running_action_matches_nothing_and_what_it_leaves_matches() {
        let (child, matcher) = unique_sleep();
        let (mut process, shared) = collector(matcher);
        let excluded = shared.exclusions().exclude(child.pid());
        assert_eq!(text(&process.measure(), "process_status"), "stopped");
        drop(excluded);
        shared.next_turn();
        assert_eq!(text(&process.measure(), "process_status"), "running");
        let excluded = shared.exclusions().exclude(std::process::id());
        shared.next_turn();
        assert_eq!(text(&process.measure(), "process_status"), "stopped", "children of the root are excluded too");
        drop(excluded);
    }

    #[test]
    fn the_agent_never_matches_itself() {
        let me = std::env::current_exe().unwrap();
        let name = me.file_name().unwrap().to_str().unwrap().to_owned();
        for matcher in [ProcessMatch::Exe(me.clone()), ProcessMatch::Command(name)] {
            // Tests of another checkout may run at the same time: their program has the same name, and another path.
            let found = matches(&process_entry("web", matcher)).unwrap();
            assert!(found.iter().all(|found| found.pid != std::process::id() && found.exe.as_ref() != Some(&me)), "{found:?}");
        }
    }

    #[test]
    fn every_way_to_match_says_why() {
        let child = Child::sleeping();
        let exe = host::exe(child.pid()).unwrap().unwrap();
        let name = host::comm(child.pid()).unwrap();
        for (matcher, words) in [
            (ProcessMatch::Exe(exe), "executable"),
            (ProcessMatch::Command(name), "name"),
            (ProcessMatch::Pattern(regex::Regex::new(child.argument()).unwrap()), "command line"),
        ] {
            let matches = matches(&process_entry("web", matcher)).unwrap();
            let found = matches.iter().find(|found| found.pid == child.pid()).unwrap();
            assert!(found.why.contains(words), "{}", found.why);
            assert!(found.command_line.contains(child.argument()) && found.user.is_some());
        }
    }

    #[test]
    fn only_processes_of_the_user() {
        let (_child, matcher) = unique_sleep();
        let with = |user: &str| {
            let shared = Shared::new(Exclusions::default());
            let entry = ProcessEntry { user: Some(user.to_owned()), ..process_entry("web", matcher.clone()) };
            Process::new(entry, shared).measure().remove(0)
        };
        let me = nix::unistd::User::from_uid(nix::unistd::geteuid()).unwrap().unwrap().name;
        let other = if me == "daemon" { "root" } else { "daemon" };
        assert_eq!(with(&me).value, Some(Value::Text("running".into())));
        assert_eq!(with(other).value, Some(Value::Text("stopped".into())));
        assert!(with("nobody-is-called-so").reason.unwrap().contains("no user is called"));
    }

    #[test]
    fn processor_time_needs_two_looks() {
        let child = Child::busy();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pid");
        fs::write(&path, child.pid().to_string()).unwrap();
        let (mut process, _shared) = collector(ProcessMatch::Pidfile(path));
        let cpu = |samples: &[Sample]| samples.iter().find(|sample| sample.metric.name == "process_cpu").cloned().unwrap();
        assert_eq!(cpu(&process.measure()).reason.as_deref(), Some("needs a second look"));
        wait_until(
            "the busy child has used time",
            || matches!(cpu(&process.measure()).value, Some(Value::Number(percent)) if percent > 1.0),
        );
    }
}
