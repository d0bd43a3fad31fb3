//! The agent: builds the channels, starts every thread, carries configurations and requests between them, and joins them in
//! a stated order. It runs on the main thread.

mod first_look;

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, after, bounded, never, select, unbounded};

use crate::clock::Moment;
use crate::collect::{self, Collectors};
use crate::config::Config;
use crate::config::problem::Problem;
use crate::config::reload::{self, Beginning, Now, Reloaded};
use crate::detect;
use crate::heal::command::{Change, Command};
use crate::heal::executor;
use crate::heal::healer::Healer;
use crate::heal::tree;
use crate::heal::worker::{self, Wiring};
use crate::host::signals::{self, Request};
use crate::host::systemd::Manager;
use crate::incident::Incident;
use crate::incident::event::Notice;
use crate::incident::id::Ids;
use crate::record::history::Restored;
use crate::record::history::retention::Keep;
use crate::record::recorder::{self, Message, Recorder};
use crate::record::saved;
use crate::record::store::Reports;
use crate::sample::Sample;
use crate::serve::board::{Board, Facts};
use crate::serve::clerk::{self, Clerk};
use crate::threads::Worker;
use first_look::FirstLook;

/// Batches of samples on their way to the detector; beyond that they coalesce. One can be a pass over ten thousand files.
const SAMPLES: usize = 1;
/// What is measured for the first time may take this long before the first table is shown without it.
const FIRST_LOOK: Duration = Duration::from_millis(1500);
/// Nothing that was not seen before for this long: everything that answers quickly has answered.
const QUIET: Duration = Duration::from_millis(250);
/// So long after its start, or after another configuration came in force, the agent has done at least once what it does regularly: the
/// history is written each minute.
const SETTLED: Duration = Duration::from_secs(90);
/// How long a thread may take to end.
const JOIN: Duration = Duration::from_secs(25);

/// What the agent needs to start.
#[derive(Debug)]
pub struct Setup {
    /// The configuration to begin with, and where it is read again.
    pub beginning: Beginning,
    /// Reports and state.
    pub data_dir: PathBuf,
    /// `--dry-run`.
    pub dry_run: bool,
    /// Called once, with the first samples: shows the first table.
    pub first_look: fn(&[Sample], Moment),
}

/// A random start for ids.
#[must_use]
pub fn seed() -> u64 {
    let mut bytes = [0; 8];
    match File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)) {
        Ok(()) => u64::from_ne_bytes(bytes),
        Err(_) => u64::from(Moment::now().wall.subsec_nanosecond().unsigned_abs()) ^ (u64::from(std::process::id()) << 32),
    }
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// When the data directory cannot be used, or when a thread ended that should not.
pub fn run(setup: Setup) -> Result<(), String> {
    let cannot = |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}; choose another with --data-dir", path.display());
    let reports = Reports::new(&setup.data_dir).map_err(|error| cannot(&setup.data_dir, &error))?;
    let (recorder, restored) = Recorder::open(reports, Moment::now()).map_err(|error| cannot(&setup.data_dir, &error))?;
    tree::become_subreaper();
    let mut agent = Agent::start(setup, recorder, restored);
    agent.serve()
}

/// The threads and the channels to them. The order of the fields is the order of stopping: who measures, who decides, who acts.
struct Agent {
    shutdown: Option<Sender<()>>,
    collectors: Collectors,
    detector: Worker,
    reloader: Worker,
    healer: Worker,
    recorder: Worker,
    /// The control socket and its clerk; without a socket neither.
    control: Vec<Worker>,
    wires: Wires,
    state: State,
}

struct Wires {
    collect: Sender<collect::Order>,
    detect: Sender<detect::Order>,
    configs: Sender<Arc<Config>>,
    reload: Sender<Now>,
    reloads: Receiver<Reloaded>,
    changes: Receiver<Change>,
    seen: Receiver<Vec<Sample>>,
    requests: Receiver<Request>,
    /// Dropped when nobody has anything more to write down.
    record: Option<Sender<Message>>,
    /// Kept open: the heal worker would stop without its senders.
    _commands: Sender<Command>,
}

/// What the main thread remembers.
struct State {
    config: Arc<Config>,
    manager: Manager,
    first_look: Option<fn(&[Sample], Moment)>,
    first: FirstLook,
    /// How many entries of each open incident's timeline are in the log.
    logged: HashMap<String, usize>,
    open: usize,
    data_dir: PathBuf,
    /// `--dry-run`.
    dry_run: bool,
    board: Board,
}

impl Agent {
    fn start(setup: Setup, recorder: Recorder, restored: Restored) -> Self {
        let Setup { beginning, data_dir, dry_run, first_look } = setup;
        let config = Arc::clone(&beginning.config);
        let (shutdown, stop) = bounded(0);
        let (samples_out, samples) = bounded(SAMPLES);
        let (edges_out, edges) = unbounded();
        let (detect, detect_orders) = unbounded();
        let (configs, configs_in) = unbounded();
        let (commands_out, commands) = unbounded();
        let (changes_out, changes) = unbounded();
        let (seen_out, seen) = unbounded();
        let (reload, reload_requests) = unbounded();
        let (reloads_out, reloads) = unbounded();
        let (record, records) = unbounded();

        let (collectors, collect) = Collectors::start(Arc::clone(&config.settings), samples_out, stop.clone());
        let wiring = detect::Wiring {
            samples,
            orders: detect_orders,
            edges: edges_out,
            record: Some(record.clone()),
            seen: Some(seen_out),
            emptied: collectors.emptied(),
            shutdown: stop.clone(),
        };
        let detector = detect::start(wiring);
        let _ = detect.send(detect::Order::Watch(config.playbooks.clone()));
        let _ = collect.send(collect::Order::Heed(config.metrics()));
        let exclusions = collectors.exclusions();
        let requests = signals::watch();
        let started = Moment::now();
        let board = Board::new(Facts {
            config: Arc::clone(&config),
            state: beginning.state(),
            loaded: started,
            generation: 1,
            problems: if beginning.problems.is_empty() { config.remarks.clone() } else { beginning.problems.clone() },
            started,
            dry_run: dry_run || config.settings.dry_run,
            data_dir: data_dir.clone(),
        });
        let reloader = reload::start(beginning, reloads_out, reload_requests, stop.clone());
        let clerk = Clerk {
            commands: commands_out.clone(),
            detect: detect.clone(),
            reload: reload.clone(),
            board: board.clone(),
            recorder: recorder.state(),
        };
        let control = clerk::listen(clerk, &data_dir, &stop);
        let again = commands_out.clone();
        let recorder = recorder::start(recorder, records, move || drop(again.send(Command::WriteDown)));
        let _ = record.send(Message::Settings(Keep::from(&config.settings.history)));
        let healer = worker::start(Wiring {
            healer: Healer::new(
                crate::host::name(),
                Ids::new(seed()),
                dry_run || config.settings.dry_run,
                config.settings.max_actions_per_hour,
            ),
            config: Arc::clone(&config),
            dry_run,
            saved: saved::restore(restored, &crate::host::boot_id(), Moment::now()),
            data_dir: data_dir.clone(),
            record: record.clone(),
            helper: executor::own_binary(),
            edges,
            configs: configs_in,
            commands,
            collect: collect.clone(),
            exclusions,
            units: collectors.units(),
            detect: Some(detect.clone()),
            changes: changes_out,
            shutdown: stop,
        });
        let wires =
            Wires { collect, detect, configs, reload, reloads, changes, seen, requests, record: Some(record), _commands: commands_out };
        let manager = Manager::from_environment();
        let state = State {
            config,
            manager,
            first_look: Some(first_look),
            first: FirstLook::default(),
            logged: HashMap::new(),
            open: 0,
            data_dir,
            dry_run,
            board,
        };
        Self { shutdown: Some(shutdown), collectors, detector, reloader, healer, recorder, control, wires, state }
    }

    fn serve(&mut self) -> Result<(), String> {
        let first_deadline = after(FIRST_LOOK);
        let mut settled = after(SETTLED);
        let mut quiet = never();
        let broken = loop {
            select! {
                recv(self.wires.requests) -> request => match request {
                    Ok(Request::Reload) => { let _ = self.wires.reload.send(Now { reply: None }); }
                    Ok(Request::Stop) => break None,
                    Err(_) => break Some("signals"),
                },
                recv(self.wires.reloads) -> reload => match reload {
                    Ok(Reloaded::Loaded { config, problems }) => {
                        self.put_in_force(config, problems);
                        settled = after(SETTLED);
                    }
                    Ok(Reloaded::Rejected(problems)) => self.state.rejected(problems),
                    Ok(Reloaded::Unchanged) => {}
                    Err(_) => break Some("reload"),
                },
                recv(self.wires.changes) -> change => match change {
                    Ok(change) => self.state.log(change),
                    Err(_) => break Some("heal"),
                },
                recv(self.wires.seen) -> batch => match batch {
                    Ok(batch) => if self.state.first.saw(&batch) { quiet = after(QUIET) },
                    Err(_) => self.wires.seen = never(),
                },
                recv(quiet) -> _ => { quiet = never(); self.watching(); }
                recv(first_deadline) -> _ => self.watching(),
                recv(settled) -> _ => crate::host::raw::give_back(),
                recv(self.collectors.worker().ended()) -> _ => break Some("collect"),
                recv(self.detector.ended()) -> _ => break Some("detect"),
                recv(self.healer.ended()) -> _ => break Some("heal"),
                recv(self.recorder.ended()) -> _ => break Some("record"),
            }
        };
        self.stop();
        match broken {
            None => Ok(()),
            Some(name) => Err(format!("the thread {name} ended unexpectedly; the log says why")),
        }
    }

    /// The first samples are in: show them, and say that we are ready.
    fn watching(&mut self) {
        let Some(show) = self.state.first_look.take() else { return };
        let first = std::mem::take(&mut self.state.first);
        show(first.samples(), Moment::now());
        let targets = first.targets();
        // From here on nobody reads what the detector sees.
        self.wires.seen = never();
        crate::host::raw::give_back();
        self.state.manager.ready();
        self.state.announce();
        let config = &self.state.config;
        log::info!(
            "ready version={} config={} state={} data={} playbooks={} targets={}",
            env!("CARGO_PKG_VERSION"),
            config.origin,
            self.state.board.read().state,
            self.state.data_dir.display(),
            config.playbooks.iter().filter(|playbook| playbook.enabled).count(),
            targets
        );
    }

    /// The problems are those of the file on disk that is not part of it.
    fn put_in_force(&mut self, config: Arc<Config>, problems: Vec<Problem>) {
        self.state.manager.reloading();
        reload::warn(&config, Some(&self.state.config));
        let _ = self.wires.collect.send(collect::Order::Watch(Arc::clone(&config.settings)));
        let _ = self.wires.detect.send(detect::Order::Watch(config.playbooks.clone()));
        let _ = self.wires.collect.send(collect::Order::Heed(config.metrics()));
        let _ = self.wires.configs.send(Arc::clone(&config));
        let settings = &config.settings;
        if let Some(record) = &self.wires.record {
            let _ = record.send(Message::Settings(Keep::from(&settings.history)));
        }
        self.state.board.change(|facts| {
            facts.put_in_force(&config, problems, Moment::now());
            facts.dry_run = self.state.dry_run || settings.dry_run;
        });
        self.state.config = config;
        self.state.manager.ready();
        self.state.announce();
    }

    /// Drops the channel nobody sends on, then joins: control socket, collectors, detector, reloader, heal worker, recorder.
    fn stop(&mut self) {
        self.state.manager.stopping();
        log::info!("stopping");
        drop(self.shutdown.take());
        let control = self.control.iter().collect::<Vec<_>>();
        let others = [self.collectors.worker(), &self.detector, &self.reloader, &self.healer, &self.recorder];
        for worker in control.into_iter().chain(others) {
            if worker.name() == self.recorder.name() {
                drop(self.wires.record.take());
            }
            if worker.ended().recv_timeout(JOIN).is_err_and(|error| error.is_timeout()) {
                log::error!("thread {} did not end within {} s", worker.name(), JOIN.as_secs());
            }
        }
        log::info!("stopped");
    }
}

impl State {
    /// One line for each thing that happened, and for each thing that people are told.
    fn log(&mut self, change: Change) {
        match change {
            Change::Told(Notice::Escalated | Notice::OverBudget, text) => log::error!("{text}"),
            Change::Told(Notice::Approval, text) => log::warn!("{text}"),
            // People hear of repairs that failed; the lines of the incident tell of those that worked.
            Change::Told(Notice::Recovered, text) => log::warn!("{text}"),
            Change::Told(Notice::Resolved, text) => log::debug!("{text}"),
            Change::Incident { incident, report, open } => {
                self.log_incident(&incident, &report);
                if self.open != open {
                    self.open = open;
                    self.announce();
                }
            }
        }
    }

    fn log_incident(&mut self, incident: &Incident, report: &Path) {
        let logged = self.logged.entry(incident.id.clone()).or_insert(0);
        let key = incident.key();
        for (index, entry) in incident.timeline.iter().enumerate().skip(*logged) {
            let last = index + 1 == incident.timeline.len() && !incident.status.is_live();
            let place = if last { format!(" report={}", report.display()) } else { String::new() };
            log::info!("incident={} {key} {}: {}{place}", incident.id, entry.event, entry.text);
        }
        *logged = incident.timeline.len();
        if !incident.status.is_live() {
            self.logged.remove(&incident.id);
        }
    }

    /// The files on disk are bad, and nothing changed: what runs is a stored copy still if it was one.
    fn rejected(&self, problems: Vec<Problem>) {
        self.board.change(|facts| {
            facts.state = if facts.state == "last_good" { "last_good" } else { "rejected" };
            facts.problems = problems;
        });
        self.announce();
    }

    fn announce(&self) {
        let (targets, playbooks) = (self.config.settings.watch.entries(), self.config.playbooks.len());
        let dry = if self.dry_run || self.config.settings.dry_run { ", dry run" } else { "" };
        let refused = match self.board.read().state {
            "rejected" => "the configuration on disk is refused, the old one stays in force; ",
            "last_good" => "the configuration on disk is refused, the last good copy is in force; ",
            _ => "",
        };
        self.manager.status(&format!("{refused}watching {targets} targets with {playbooks} playbooks{dry}; open incidents: {}", self.open));
    }
}
