//! One action, from its turn to its outcome: what speaks against it, the guard's permit, and the run on a thread of its own.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::action::{archive_log, delete_files, http, signal_process, top_processes};
use super::executor::{self, Execution};
use super::failed_unit;
use super::guard::{Permit, Refusal, RefusalKind, Request};
use super::healer::Healer;
use super::outcome::{End, Limit, Outcome};
use super::transient::Unit;
use crate::clock::Moment;
use crate::collect::{Exclusions, Units, process};
use crate::config::Config;
use crate::config::playbook::{Action, ActionKind, Verb};
use crate::config::settings::{ProcessMatch, Settings};
use crate::incident::event::Prepared;
use crate::incident::{Incident, RunningProcess};
use crate::placeholder::{self, Values};
use crate::threads;

/// An action that may run now.
#[derive(Debug)]
pub(crate) struct Job {
    kind: ActionKind,
    /// The unit that a service action is about, if it was found meanwhile.
    unit: Option<String>,
    /// `None` for actions that only look or tell.
    permit: Option<Permit>,
    values: Values,
    timeout: Duration,
}

/// What a job needs of the agent.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    /// Our own binary.
    pub(crate) helper: PathBuf,
    /// Set when the agent stops.
    pub(crate) stop: Arc<AtomicBool>,
    /// Processes of a running action are no watched ones.
    pub(crate) exclusions: Exclusions,
    /// Where outcomes go.
    pub(crate) done: Sender<(String, Outcome)>,
    /// Where it is said that an action is about to start.
    pub(crate) starts: Sender<Start>,
}

/// An action that is about to start. It waits until its intent is on record.
#[derive(Debug)]
pub(crate) struct Start {
    /// The incident.
    pub(crate) id: String,
    /// The process that waits; native actions have none.
    pub(crate) process: Option<RunningProcess>,
    /// Lets it go. Dropped, it never starts.
    pub(crate) go: Sender<()>,
}

/// Decides about the action whose turn it is. The look at the host is short; nothing is started here.
pub(crate) fn prepare(healer: &Healer, incident: &Incident, index: usize, config: &Config, units: &Units) -> (Prepared, Option<Job>) {
    let action = &incident.playbook.actions[index];
    let values = incident.values();
    if !action.when.selects(|label| incident.target.label(label)) {
        return (Prepared::Skipped("its when does not match this target".to_owned()), None);
    }
    if let Some(reason) = action.frees.as_deref().and_then(|path| frees_nothing(&placeholder::fill(path, &values), incident)) {
        return (Prepared::Skipped(reason), None);
    }
    let unit = unit_of(&action.kind, &values, config, units);
    let permit = match request(&action.kind, unit.as_deref()).map(|request| config.policy.review(&request, &values)) {
        Some(Err(refusal)) if refusal.kind == RefusalKind::MissingProgram && action.skip_if_missing => {
            return (Prepared::Skipped(refusal.reason), None);
        }
        Some(Err(refusal)) => return (Prepared::Refused(refusal.reason, refusal.kind.code()), None),
        Some(Ok(permit)) => Some(permit),
        None => None,
    };
    if let Some(reason) = permit.as_ref().and_then(|permit| wrong_user(action, permit)) {
        return (Prepared::Refused(reason, Some("run_as_differs")), None);
    }
    if let Some(reason) = not_restartable(action, &values, &config.settings) {
        return (Prepared::Refused(reason, RefusalKind::NotRestartable.code()), None);
    }
    let argv = permit.as_ref().map_or_else(|| vec![action.kind.line(&values)], |permit| permit.argv().to_vec());
    let ask = action.requires_approval || incident.playbook.requires_approval || permit.as_ref().is_some_and(Permit::requires_approval);
    if healer.dry_run() || incident.dry_run {
        return (Prepared::WouldRun(argv), None);
    }
    if let Some(reason) = healer.just_restarted(&incident.id, &argv, Moment::now()).filter(|_| runs(action, &values, &config.settings)) {
        return (Prepared::Skipped(reason), None);
    }
    if ask && !incident.is_approved(index, &argv) {
        return (Prepared::Ask(to_show(incident, index, argv, config, units)), None);
    }
    let timeout = permit.as_ref().and_then(Permit::timeout).map_or(action.timeout, |limit| limit.min(action.timeout));
    (Prepared::Running(argv, None), Some(Job { kind: action.kind.clone(), unit, permit, values, timeout }))
}

/// What a human is shown: this action, and where the whole playbook needs a yes, all that follow and would be permitted now.
fn to_show(incident: &Incident, index: usize, argv: Vec<String>, config: &Config, units: &Units) -> Vec<(usize, Vec<String>)> {
    let mut shown = vec![(index, argv)];
    if incident.playbook.requires_approval {
        let values = incident.values();
        let following = incident.playbook.actions.iter().enumerate().skip(index + 1);
        shown.extend(following.filter_map(|(later, action)| {
            let unit = unit_of(&action.kind, &values, config, units);
            let permit = request(&action.kind, unit.as_deref()).map(|request| config.policy.review(&request, &values)).transpose().ok()?;
            Some((later, permit.map_or_else(|| vec![action.kind.line(&values)], |permit| permit.argv().to_vec())))
        }));
    }
    shown
}

/// Whether the process that a service action is about runs now; what is not watched is believed to.
fn runs(action: &Action, values: &Values, settings: &Settings) -> bool {
    let ActionKind::Service { service, .. } = &action.kind else { return false };
    let name = placeholder::fill(service, values);
    let entry = settings.watch.processes.iter().find(|entry| entry.name == name || entry.service.as_deref() == Some(&name));
    entry.is_none_or(|entry| process::matches(entry).is_ok_and(|matches| !matches.is_empty()))
}

/// What the guard is asked about the action: what it was asked at load, but for the unit that was found meanwhile.
fn request<'a>(kind: &'a ActionKind, unit: Option<&'a str>) -> Option<Request<'a>> {
    match (Request::of(kind), unit) {
        (Some(Request::Service { verb, .. }), Some(service)) => Some(Request::Service { verb, service }),
        (request, _) => request,
    }
}

/// Why the guard would refuse the action for an incident with these values, if so. Nothing is started.
pub(crate) fn refusal(kind: &ActionKind, values: &Values, config: &Config, units: &Units) -> Option<Refusal> {
    let unit = unit_of(kind, values, config, units);
    request(kind, unit.as_deref()).and_then(|request| config.policy.review(&request, values).err())
}

/// The unit in which the process was last seen, where neither its watch entry nor `services` says which service it is
/// (contract A32). Without systemd there are no units.
fn unit_of(kind: &ActionKind, values: &Values, config: &Config, units: &Units) -> Option<String> {
    let ActionKind::Service { service, .. } = kind else { return None };
    let name = placeholder::fill(service, values);
    let watched = config.settings.watch.processes.iter().any(|entry| entry.name == name);
    let unmapped = config.policy.service_of(&name) == name && !config.settings.services.contains_key(&name);
    if watched && unmapped { units.of(&name) } else { None }
}

/// Why cleaning this path frees nothing on the incident's mount, if so.
fn frees_nothing(path: &str, incident: &Incident) -> Option<String> {
    let Some(mount) = incident.target.label("mount") else {
        return Some("frees is for a mount, and this incident has none".to_owned());
    };
    let device = |path: &str| rustix::fs::stat(path).map(|stat| stat.st_dev);
    match (device(path), device(mount)) {
        (Ok(path_device), Ok(mount_device)) if path_device == mount_device => None,
        (Ok(_), Ok(_)) => Some(format!("{path} is not on {mount}")),
        (Err(error), _) => Some(format!("{path}: {error}")),
        (_, Err(error)) => Some(format!("{mount}: {error}")),
    }
}

fn wrong_user(action: &Action, permit: &Permit) -> Option<String> {
    let asked = action.run_as.as_deref()?;
    (permit.run_as() != Some(asked)).then(|| format!("run_as {asked} is not what the rule {} says", permit.rule()))
}

/// A watched process that runs is only restarted or stopped if the settings say so.
fn not_restartable(action: &Action, values: &Values, settings: &Settings) -> Option<String> {
    let ActionKind::Service { verb: Verb::Restart | Verb::Stop, service } = &action.kind else { return None };
    let name = placeholder::fill(service, values);
    let belongs = |entry: &&crate::config::settings::ProcessEntry| entry.name == name || entry.service.as_deref() == Some(&name);
    let entry = settings.watch.processes.iter().filter(belongs).find(|entry| !entry.restartable)?;
    let running = process::matches(entry).is_ok_and(|matches| !matches.is_empty());
    running.then(|| format!("{} is running and not restartable in the settings", entry.name))
}

/// Starts the job on a thread of its own; the outcome arrives at `surroundings.done`.
pub(crate) fn start(job: Job, incident: &Incident, config: &Arc<Config>, surroundings: &Surroundings) {
    let (id, facts) = (incident.id.clone(), facts(&job.values));
    let (config, surroundings) = (Arc::clone(config), surroundings.clone());
    let (done, starts, failed_id) = (surroundings.done.clone(), surroundings.starts.clone(), id.clone());
    let started = threads::try_spawn("heal:action", move || {
        let own_id = id.clone();
        let unit = job.permit.as_ref().and_then(|permit| Unit::for_run(permit, &own_id, job.timeout));
        let gate = Gate::new(&own_id, &surroundings, job.timeout, unit.as_ref());
        let run = || run(&job, facts, &config, &surroundings, (&gate, unit));
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
        // What could not even be started has its intent on record too: then its outcome has a place.
        let passed = gate.pass();
        let broken = |_| Outcome::native(Err("autoheal failed inside; see its log".to_owned()), Duration::ZERO);
        let mut outcome = outcome.unwrap_or_else(broken);
        if !passed {
            outcome.end = End::Stopped;
        }
        let _ = surroundings.done.send((id, outcome));
    });
    if let Err(error) = started {
        let reason = format!("it could not be started: {error}");
        let (go, _) = bounded(1);
        let _ = starts.send(Start { id: failed_id.clone(), process: None, go });
        let _ = done.send((failed_id, Outcome::native(Err(reason), Duration::ZERO)));
    }
}

/// Where an action waits for its intent to be on record, once.
struct Gate<'a> {
    id: &'a str,
    starts: &'a Sender<Start>,
    timeout: Duration,
    unit: Option<String>,
    state: RefCell<State>,
}

/// How far the intent is.
enum State {
    Unsaid,
    /// Somebody writes it down.
    Announced(Receiver<()>),
    /// It is on record, or will never be.
    Passed(bool),
}

impl<'a> Gate<'a> {
    fn new(id: &'a str, surroundings: &'a Surroundings, timeout: Duration, unit: Option<&Unit>) -> Self {
        let unit = unit.map(|unit| unit.name().to_owned());
        Self { id, starts: &surroundings.starts, timeout, unit, state: RefCell::new(State::Unsaid) }
    }

    /// Has the intent written down, with the process that waits for it.
    fn announce(&self, pid: Option<i32>) {
        let mut state = self.state.borrow_mut();
        if let State::Unsaid = *state {
            let (go, gone) = bounded(1);
            let process = pid.and_then(|pid| {
                let started = signal_process::started(u32::try_from(pid).ok()?)?;
                Some(RunningProcess { pid, started, boot: crate::host::boot_id(), timeout: self.timeout, unit: self.unit.clone() })
            });
            let sent = self.starts.send(Start { id: self.id.to_owned(), process, go }).is_ok();
            *state = if sent { State::Announced(gone) } else { State::Passed(false) };
        }
    }

    /// Waits until the intent is on record, and says whether the action may start.
    fn pass(&self) -> bool {
        self.announce(None);
        let mut state = self.state.borrow_mut();
        if let State::Announced(gone) = &*state {
            *state = State::Passed(gone.recv().is_ok());
        }
        matches!(*state, State::Passed(true))
    }
}

/// `AUTOHEAL_…` variables of an action (contract A13).
fn facts(values: &Values) -> Vec<(String, String)> {
    let named = |(name, value): (&String, &String)| {
        let name = name.to_ascii_uppercase();
        let prefix = if placeholder::facts().any(|fact| fact.eq_ignore_ascii_case(&name)) { "AUTOHEAL_" } else { "AUTOHEAL_LABEL_" };
        // A variable cannot hold a NUL; a value with one is left out rather than cut.
        (!value.contains('\0')).then(|| (format!("{prefix}{name}"), value.clone()))
    };
    values.iter().filter_map(named).collect()
}

fn run(
    job: &Job,
    facts: Vec<(String, String)>,
    config: &Config,
    surroundings: &Surroundings,
    (gate, unit): (&Gate<'_>, Option<Unit>),
) -> Outcome {
    let program = matches!(job.kind, ActionKind::Shell { .. } | ActionKind::Service { .. });
    if !program && !gate.pass() {
        return Outcome { end: End::Stopped, ..Outcome::native(Ok(String::new()), Duration::ZERO) };
    }
    if !program && let Err(reason) = still_permitted(job, config) {
        return Outcome::native(Err(reason), Duration::ZERO);
    }
    let begin = Moment::now();
    let limit = Limit { deadline: begin.after(job.timeout), stop: Arc::clone(&surroundings.stop) };
    let native = |result: Result<String, String>| {
        let mut outcome = Outcome::native(result, Moment::now().since(begin));
        if !outcome.succeeded() && limit.deadline.is_due(Moment::now()) {
            outcome.output = if let End::Failed(reason) = &outcome.end { reason.clone() } else { String::new() };
            outcome.end = End::TimedOut(job.timeout);
        }
        outcome
    };
    let words = job.permit.as_ref().map(Permit::argv).unwrap_or_default();
    let word = |index: usize| words.get(index).map(String::as_str).unwrap_or_default();
    let fill = |text: &str| placeholder::fill(text, &job.values);
    match (&job.kind, &job.permit) {
        (ActionKind::Shell { .. } | ActionKind::Service { .. }, Some(permit)) => {
            let (helper, command_path) = (surroundings.helper.clone(), config.settings.command_path.clone());
            let _unit = unit.as_ref().map(|unit| surroundings.exclusions.exclude_unit(unit.name()));
            let execution = Execution { helper, command_path, facts, timeout: job.timeout, unit };
            let (mut excluded, mut refused, mut reset) = (None, None, None);
            let spawned = |pid| {
                excluded = u32::try_from(pid).ok().map(|pid| surroundings.exclusions.exclude(pid));
                gate.announce(Some(pid));
            };
            let mut outcome = executor::run(permit, &execution, &limit, spawned, || {
                let passed = gate.pass();
                reset = passed.then(|| failed_unit::reset(permit, &config.policy, &execution, &limit)).flatten();
                refused = passed.then(|| still_permitted(job, config).err()).flatten();
                passed && refused.is_none() && !limit.is_over()
            });
            outcome.output.insert_str(0, &reset.unwrap_or_default());
            refused.map_or(outcome, |reason| Outcome::native(Err(reason), Moment::now().since(begin)))
        }
        (ActionKind::Http { headers, body, expect_status, .. }, Some(_)) => {
            let headers: Vec<(String, String)> = headers.iter().map(|(name, value)| (name.clone(), fill(value))).collect();
            let body = body.as_deref().map(|body| placeholder::fill_body(body, &job.values)).transpose();
            native(body.and_then(|body| http::request(word(1), word(2), &headers, body.as_deref(), expect_status, &limit)))
        }
        (ActionKind::DeleteFiles { older_than, name, larger_than, max_delete, .. }, Some(_)) => {
            let name = name.as_deref().map(fill);
            let selection = delete_files::Selection {
                older_than: *older_than,
                name: name.as_deref(),
                larger_than: *larger_than,
                max_delete: *max_delete,
            };
            native(delete_files::run(Path::new(word(1)), &selection, begin, &limit))
        }
        (ActionKind::ArchiveLog { to, keep, .. }, Some(_)) => {
            let to = to.as_ref().map(|_| Path::new(word(2)));
            native(archive_log::run(Path::new(word(1)), to, *keep, begin, &limit))
        }
        (ActionKind::SignalProcess { then_kill_after, .. }, Some(_)) => {
            native(signal_process::run(|| processes(&config.settings, word(1)), word(2), *then_kill_after, &limit))
        }
        (ActionKind::TopProcesses { by, count }, _) => native(top_processes::table(*by, *count, &limit)),
        (ActionKind::Notify { message }, _) => {
            let message = fill(message);
            log::warn!("notice={message}");
            native(Ok(message))
        }
        (kind, None) => native(Err(format!("{} has no permit", kind.name()))),
    }
}

/// Asks the guard again, right before the start: since it was asked, the intent was written down, and perhaps the disk was slow.
/// A path that leads elsewhere or a program that was replaced meanwhile is a refusal.
fn still_permitted(job: &Job, config: &Config) -> Result<(), String> {
    let Some(request) = request(&job.kind, job.unit.as_deref()) else { return Ok(()) };
    match config.policy.review(&request, &job.values) {
        Ok(permit) if job.permit.as_ref() == Some(&permit) => Ok(()),
        Ok(permit) => Err(format!("not started: {} was replaced after the guard had looked at it", permit.argv()[0])),
        Err(refusal) => Err(format!("not started: {}", refusal.reason)),
    }
}

/// The live processes of a watch entry.
fn processes(settings: &Settings, name: &str) -> Result<Vec<u32>, String> {
    let entry = settings.watch.processes.iter().find(|entry| entry.name == name);
    let entry = entry.ok_or_else(|| format!("no process is watched under the name {name}"))?;
    let found = process::matches(entry)?;
    if let ProcessMatch::Pidfile(path) = &entry.matcher {
        meant_by_its_owner(path, &found)?;
    }
    Ok(found.iter().map(|found| found.pid).collect())
}

/// A signal of root goes only to a process that whoever can write the pid file could signal himself: else a service's user could
/// name any process of the host.
fn meant_by_its_owner(path: &Path, found: &[process::Match]) -> Result<(), String> {
    if !nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    let Some(writer) = crate::config::other_writer(path)? else { return Ok(()) };
    let name = nix::unistd::User::from_uid(writer.into()).ok().flatten().map_or_else(|| writer.to_string(), |user| user.name);
    match found.iter().find(|found| found.user.as_ref() != Some(&name)) {
        None => Ok(()),
        Some(other) => Err(format!(
            "process {} is not signalled: {name} could write {}, and the process belongs to {}; match it by exe or unit",
            other.pid,
            path.display(),
            other.user.as_deref().unwrap_or("somebody else")
        )),
    }
}

#[cfg(test)]
#[path = "job_tests.rs"]
mod tests;
