//! The heal worker: the one thread that owns the incidents. It carries inputs to the [`Healer`] and does what it says;
//! it never waits for a measurement or an action, they come back as events.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, select, unbounded};

use super::healer::{Effect, Healer, Input};
use super::job::{self, Surroundings};
use super::outcome::Outcome;
use super::tree;
use crate::clock::Moment;
use crate::collect::{self, Exclusions, Fresh, Measured, Units};
use crate::config::Config;
use crate::detect::{self, Edge};
use crate::incident::event::{Notice, Prepared};
use crate::incident::{Incident, Opening};
use crate::record::notice;
use crate::record::store::Reports;
use crate::threads::{self, Worker};

/// How long a running action may go on when the agent stops.
const LAST_ACTION: Duration = Duration::from_secs(10);
/// How often reports that could not be written are tried again.
const REPORT_RETRY: Duration = Duration::from_secs(5);
/// What a fresh measurement may take on top of the target's own timeout.
const MEASURE_SLACK: Duration = Duration::from_secs(2);

/// What people ask of the heal worker.
#[derive(Debug)]
pub enum Command {
    /// Heal by hand; the answer is the incident's id, or why it is refused.
    Heal(Box<Opening>, Sender<Result<String, String>>),
}

/// The heal worker's channels and belongings.
#[derive(Debug)]
pub struct Wiring {
    /// The configuration to begin with.
    pub config: Arc<Config>,
    /// `--dry-run`.
    pub dry_run: bool,
    /// All incidents.
    pub healer: Healer,
    /// Where reports are written.
    pub reports: Reports,
    /// Our own binary, for the executor.
    pub helper: PathBuf,
    /// From the detector.
    pub edges: Receiver<Edge>,
    /// New configurations.
    pub configs: Receiver<Arc<Config>>,
    /// From people.
    pub commands: Receiver<Command>,
    /// To the collectors.
    pub collect: Sender<collect::Order>,
    /// Processes of a running action are no watched ones.
    pub exclusions: Exclusions,
    /// Which service a process belongs to, where the settings do not say.
    pub units: Units,
    /// To the detector, if there is one.
    pub detect: Option<Sender<detect::Order>>,
    /// Everything that happens to incidents.
    pub changes: Sender<Change>,
    /// Disconnected when the agent stops.
    pub shutdown: Receiver<()>,
}

/// What happens to incidents, for those who show it.
#[derive(Clone, Debug)]
pub enum Change {
    /// One changed.
    Incident {
        /// As it is now.
        incident: Box<Incident>,
        /// Its report.
        report: PathBuf,
        /// How many incidents are open.
        open: usize,
    },
    /// People are told this, on one line; text from outside is not yet escaped.
    Told(Notice, String),
}

/// Starts the heal worker's thread.
#[must_use]
pub fn start(wiring: Wiring) -> Worker {
    threads::spawn("heal", move || HealWorker::new(wiring).run())
}

struct HealWorker {
    wiring: Wiring,
    surroundings: Surroundings,
    fresh: Sender<Measured>,
    measured: Receiver<Measured>,
    done: Receiver<(String, Outcome)>,
}

impl HealWorker {
    fn new(wiring: Wiring) -> Self {
        let (fresh, measured) = unbounded();
        let (outcomes, done) = unbounded();
        let (helper, exclusions) = (wiring.helper.clone(), wiring.exclusions.clone());
        let surroundings = Surroundings { helper, stop: Arc::new(AtomicBool::new(false)), exclusions, done: outcomes };
        Self { wiring, surroundings, fresh, measured, done }
    }

    fn run(mut self) {
        loop {
            let tick = self.wiring.healer.next_tick(Moment::now()).unwrap_or(Duration::from_secs(30));
            let tick = if self.wiring.reports.is_behind() { tick.min(REPORT_RETRY) } else { tick };
            let input = select! {
                recv(self.wiring.edges) -> edge => match edge {
                    Ok(edge) => Input::Edge(edge),
                    Err(_) => return self.stop(),
                },
                recv(self.measured) -> measured => match measured {
                    Ok(Measured { token, samples }) => Input::Measured { token, samples },
                    Err(_) => return,
                },
                recv(self.done) -> done => match done {
                    Ok((id, outcome)) => {
                        tree::reap_orphans();
                        Input::Finished { id, outcome }
                    }
                    Err(_) => return,
                },
                recv(self.wiring.configs) -> config => match config {
                    Ok(config) => self.configured(config),
                    Err(_) => return self.stop(),
                },
                recv(self.wiring.commands) -> command => {
                    if let Ok(command) = command { self.command(command) }
                    Input::Tick
                },
                recv(self.wiring.shutdown) -> _ => return self.stop(),
                default(tick) => Input::Tick,
            };
            self.wiring.reports.retry();
            let effects = self.wiring.healer.handle(input, Moment::now());
            self.perform(effects);
        }
    }

    fn configured(&mut self, config: Arc<Config>) -> Input {
        let playbooks = config.playbooks.iter().map(|playbook| (playbook.id.clone(), Arc::clone(playbook))).collect();
        let dry_run = self.wiring.dry_run || config.settings.dry_run;
        let max_actions_per_hour = config.settings.max_actions_per_hour;
        self.wiring.config = config;
        Input::Configured { playbooks, dry_run, max_actions_per_hour }
    }

    fn command(&mut self, command: Command) {
        let Command::Heal(opening, reply) = command;
        let answer = self.wiring.healer.open_by_hand(*opening, Moment::now()).map(|(id, effects)| {
            self.perform(effects);
            id
        });
        let _ = reply.send(answer);
    }

    /// Does what the healer says. Reports and notices come last: writing them delays no action.
    fn perform(&mut self, effects: Vec<Effect>) {
        let mut queue: VecDeque<Effect> = effects.into();
        let mut changed: BTreeMap<String, Box<Incident>> = BTreeMap::new();
        let mut notices = Vec::new();
        while let Some(effect) = queue.pop_front() {
            match effect {
                Effect::Measure { token, wants } => {
                    let deadline = Moment::now().after(self.measure_limit());
                    let fresh = Fresh { token, wants, deadline, reply: self.fresh.clone() };
                    let _ = self.wiring.collect.send(collect::Order::Measure(fresh));
                }
                Effect::Prepare { id, index } => queue.extend(self.prepare(&id, index)),
                Effect::Tell(kind, incident) => notices.push((kind, incident)),
                Effect::Changed(incident) => {
                    changed.insert(incident.id.clone(), incident);
                }
                Effect::Ended(key) => {
                    if let Some(detect) = &self.wiring.detect {
                        let _ = detect.send(detect::Order::Rearm(key, Moment::now()));
                    }
                }
            }
        }
        for incident in changed.into_values() {
            self.wiring.reports.write(&incident);
            let report = self.wiring.reports.path(&incident);
            let _ = self.wiring.changes.send(Change::Incident { incident, report, open: self.wiring.healer.live().len() });
        }
        for (kind, incident) in notices {
            let text = notice::text(kind, &incident, &self.wiring.reports.path(&incident));
            let _ = self.wiring.changes.send(Change::Told(kind, text));
        }
    }

    fn prepare(&mut self, id: &str, index: usize) -> Vec<Effect> {
        let Some(incident) = self.wiring.healer.incident(id) else { return Vec::new() };
        let (prepared, job) = job::prepare(incident, index, &self.wiring.config, &self.wiring.units, self.wiring.healer.dry_run());
        let running = job.is_some();
        if let Some(job) = job {
            job::start(job, incident, &self.wiring.config, &self.surroundings);
        }
        debug_assert_eq!(running, matches!(prepared, Prepared::Running(_)), "a job is what runs");
        self.wiring.healer.handle(Input::Prepared { id: id.to_owned(), prepared }, Moment::now())
    }

    /// A fresh measurement takes at most the longest timeout of a target, and a little.
    fn measure_limit(&self) -> Duration {
        let watch = &self.wiring.config.settings.watch;
        let endpoints = watch.endpoints.iter().map(|entry| entry.timeout);
        let certificates = watch.certificates.iter().map(|entry| entry.timeout);
        endpoints.chain(certificates).max().unwrap_or_default() + MEASURE_SLACK
    }

    /// A running action gets its time to end, then it is ended; its outcome is recorded either way.
    fn stop(mut self) {
        let acting = self.wiring.healer.live().iter().any(|incident| incident.acting().is_some());
        let running = acting.then(|| self.last_outcome()).flatten();
        for effect in self.wiring.healer.halt(running, Moment::now()) {
            if let Effect::Changed(incident) = effect {
                self.wiring.reports.write(&incident);
            }
        }
        self.wiring.reports.retry();
    }

    fn last_outcome(&self) -> Option<(String, Outcome)> {
        log::info!("a running action may go on for at most {} s", LAST_ACTION.as_secs());
        let done = self.done.recv_timeout(LAST_ACTION).or_else(|_| {
            self.surroundings.stop.store(true, Ordering::Relaxed);
            self.done.recv_timeout(LAST_ACTION)
        });
        done.ok()
    }
}
