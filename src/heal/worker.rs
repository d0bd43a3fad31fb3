//! The heal worker: the one thread that owns the incidents. It carries inputs to the [`Healer`] and does what it says;
//! it never waits for a measurement, an action, or the disk: they come back as events.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, never, select, unbounded};

use super::command::{Change, Command};
use super::evidence::Evidence;
use super::healer::{Effect, Fact, Healer, Input, Saved};
use super::job::{self, Start, Surroundings};
use super::outcome::Outcome;
use super::witness::{self, Wish, Witness};
use super::{adopt, tree};
use crate::clock::Moment;
use crate::collect::{self, Exclusions, Fresh, Measured, Units};
use crate::config::Config;
use crate::config::playbook::Severity;
use crate::detect::{self, Edge};
use crate::incident::event::{Notice, Prepared};
use crate::incident::{DedupKey, Incident};
use crate::notification::Teller;
use crate::record::recorder::{Ack, Acked, Message};
use crate::record::store::report_path;
use crate::record::{notice, report, row, saved};
use crate::threads::{self, Worker};

/// How long a running action may go on when the agent stops.
const LAST_ACTION: Duration = Duration::from_secs(10);
/// How long an action waits until its intent is durable; then it runs without (contract A24).
const INTENT: Duration = Duration::from_secs(2);
/// What a fresh measurement may take on top of the target's own timeout.
const MEASURE_SLACK: Duration = Duration::from_secs(2);
/// So many messages may wait for the recorder, or for the log, before incidents wait for them.
const PRESSED: usize = 256;
/// Without anything due the clocks are looked at this often: waits stand still while the machine sleeps.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The heal worker's channels and belongings.
#[derive(Debug)]
pub struct Wiring {
    /// The configuration to begin with.
    pub config: Arc<Config>,
    /// `--dry-run`.
    pub dry_run: bool,
    /// All incidents.
    pub healer: Healer,
    /// What an earlier life of the agent left.
    pub saved: Saved,
    /// The directory of the reports.
    pub data_dir: PathBuf,
    /// To the recorder.
    pub record: Sender<Message>,
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

/// Starts the heal worker's thread.
#[must_use]
pub fn start(wiring: Wiring) -> Worker {
    threads::spawn("heal", move || HealWorker::new(wiring).run())
}

struct HealWorker {
    wiring: Wiring,
    surroundings: Surroundings,
    boot: String,
    fresh: Sender<Measured>,
    measured: Receiver<Measured>,
    done: Receiver<(String, Outcome)>,
    starts: Receiver<Start>,
    wishes: Sender<Wish>,
    evidence: Receiver<(String, Evidence)>,
    adopted_out: Sender<(String, String)>,
    adopted: Receiver<(String, String)>,
    acks_out: Sender<Acked>,
    acks: Receiver<Acked>,
    next_token: u64,
    /// The words of the action that is about to start.
    prepared: Option<Vec<String>>,
    /// The action whose intent is being written down.
    intent: Option<Intent>,
    followers: Vec<Sender<Change>>,
    teller: Teller,
}

/// An action that waits until its intent is durable.
struct Intent {
    token: u64,
    until: Moment,
    go: Sender<()>,
}

impl HealWorker {
    fn new(wiring: Wiring) -> Self {
        let (fresh, measured) = unbounded();
        let (outcomes, done) = unbounded();
        let (starts_out, starts) = unbounded();
        let (adopted_out, adopted) = unbounded();
        let (acks_out, acks) = unbounded();
        let (wishes, wished) = unbounded();
        let (seen, evidence) = unbounded();
        let (helper, exclusions) = (wiring.helper.clone(), wiring.exclusions.clone());
        let surroundings = Surroundings { helper, stop: Arc::new(AtomicBool::new(false)), exclusions, done: outcomes, starts: starts_out };
        let (helper, exclusions, units) = (wiring.helper.clone(), wiring.exclusions.clone(), wiring.units.clone());
        witness::start(Witness { helper, exclusions, units, stop: Arc::clone(&surroundings.stop), seen }, wished);
        let teller = Teller::new(wiring.record.clone());
        Self {
            wiring,
            surroundings,
            boot: crate::host::boot_id(),
            fresh,
            measured,
            done,
            starts,
            wishes,
            evidence,
            adopted_out,
            adopted,
            acks_out,
            acks,
            next_token: 0,
            prepared: None,
            intent: None,
            followers: Vec::new(),
            teller,
        }
    }

    fn run(mut self) {
        self.resume();
        loop {
            let effects = select! {
                recv(self.wiring.edges) -> edge => match edge {
                    Ok(edge) => self.handle(Input::Edge(edge)),
                    Err(_) => return self.stop(),
                },
                recv(self.measured) -> measured => match measured {
                    Ok(Measured { token, samples }) => self.handle(Input::Measured { token, samples }),
                    Err(_) => return,
                },
                recv(self.starts) -> start => match start {
                    Ok(start) => { self.starting(start); Vec::new() }
                    Err(_) => return,
                },
                recv(self.acks) -> ack => { self.recorded(ack.ok()); Vec::new() }
                recv(self.done) -> done => match done {
                    Ok((id, outcome)) => {
                        tree::reap_orphans();
                        self.handle(Input::Finished { id, outcome })
                    }
                    Err(_) => return,
                },
                recv(self.evidence) -> seen => match seen {
                    Ok((id, evidence)) => self.handle(Input::Evidence { id, evidence }),
                    Err(_) => { self.evidence = never(); Vec::new() }
                },
                recv(self.adopted) -> ended => match ended {
                    Ok((id, text)) => self.handle(Input::AdoptedEnded { id, text }),
                    Err(_) => return,
                },
                recv(self.wiring.configs) -> config => match config {
                    Ok(config) => self.configured(config),
                    Err(_) => return self.stop(),
                },
                recv(self.wiring.commands) -> command => match command {
                    Ok(Command::Follow(follower)) => { self.followers.push(follower); Vec::new() }
                    Ok(command) => command.obey(&mut self.wiring.healer, Moment::now()),
                    Err(_) => { self.wiring.commands = never(); Vec::new() }
                },
                recv(self.wiring.shutdown) -> _ => return self.stop(),
                default(self.wait(Moment::now())) => {
                    self.recorded(None);
                    self.handle(Input::Tick)
                }
            };
            self.perform(effects);
        }
    }

    fn handle(&mut self, input: Input) -> Vec<Effect> {
        self.wiring.healer.press(self.wiring.record.len().max(self.wiring.changes.len()) > PRESSED);
        self.wiring.healer.handle(input, Moment::now())
    }

    fn wait(&self, now: Moment) -> Duration {
        let intent = self.intent.as_ref().map(|intent| intent.until.running.saturating_sub(now.running));
        self.wiring
            .healer
            .next_tick(now)
            .into_iter()
            .chain(intent)
            .chain(self.teller.next(now))
            .min()
            .map_or(LONGEST_WAIT, |wait| wait.min(LONGEST_WAIT))
    }

    /// Takes up what an earlier life of the agent left.
    fn resume(&mut self) {
        let running = |incident: &Incident| {
            let process = incident.acting().and_then(|index| incident.actions[index].process.as_ref());
            process.is_some_and(adopt::is_running)
        };
        let effects = self.configured(Arc::clone(&self.wiring.config));
        self.perform(effects);
        self.wiring.healer.load(std::mem::take(&mut self.wiring.saved));
        let keys = self.wiring.healer.live().map(Incident::key).collect();
        if let Some(detect) = &self.wiring.detect {
            let _ = detect.send(detect::Order::Expect { keys, interval: self.wiring.config.settings.interval });
        }
        let playbooks = self.wiring.config.by_id();
        let effects = self.wiring.healer.resume(&playbooks, running, Moment::now());
        self.perform(effects);
    }

    fn configured(&mut self, config: Arc<Config>) -> Vec<Effect> {
        let dry_run = self.wiring.dry_run || config.settings.dry_run;
        let (max_actions_per_hour, silences) = (config.settings.max_actions_per_hour, config.settings.silences.clone());
        let playbooks = config.by_id();
        self.wiring.config = config;
        self.handle(Input::Configured { playbooks, dry_run, max_actions_per_hour, silences })
    }

    /// The helper is there and waits: the intent is written down, with its process.
    fn starting(&mut self, start: Start) {
        let Start { id, process, go } = start;
        let Some(argv) = self.prepared.take() else { return };
        // A silence or other settings came since it got its turn: dropped, it never starts, and its end says so.
        if !self.wiring.healer.may_start(&id, Moment::now()) {
            return;
        }
        let effects = self.handle(Input::Prepared { id: id.clone(), prepared: Prepared::Running(argv, process) });
        self.next_token += 1;
        let token = self.next_token;
        self.intent = Some(Intent { token, until: Moment::now().after(INTENT), go });
        self.perform_with(effects, Some((id, token)));
    }

    /// The intent is durable, waits in memory for room, or is not waited for any longer: the action goes.
    fn recorded(&mut self, ack: Option<Acked>) {
        let now = Moment::now();
        let goes = |intent: &mut Intent| intent.until.is_due(now) || ack.is_some_and(|ack| ack.token == intent.token);
        if let Some(intent) = self.intent.take_if(goes) {
            if ack.is_none_or(|ack| !ack.durable) {
                log::warn!("an action starts although its intent is only in memory: there is no room, or the disk is slow");
            }
            let _ = intent.go.send(());
        }
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        self.perform_with(effects, None)
    }

    /// Does what the healer says. What is written down comes last: it delays no action. Facts come before incidents: after a
    /// crash between them an incident ends twice, which counts once, and never without its cooldown.
    fn perform_with(&mut self, effects: Vec<Effect>, ack: Option<(String, u64)>) {
        let mut queue: VecDeque<Effect> = effects.into();
        let mut changed: BTreeMap<String, Box<Incident>> = BTreeMap::new();
        let (mut facts, mut told) = (Vec::new(), Vec::new());
        while let Some(effect) = queue.pop_front() {
            match effect {
                Effect::Measure { token, wants } => {
                    let deadline = Moment::now().after(self.wiring.config.settings.watch.longest_timeout() + MEASURE_SLACK);
                    let fresh = Fresh { token, wants, deadline, reply: self.fresh.clone() };
                    let _ = self.wiring.collect.send(collect::Order::Measure(fresh));
                }
                Effect::Gather { id } => self.gather(&id),
                Effect::Prepare { id, index } => queue.extend(self.prepare(&id, index)),
                Effect::Adopt { id, process, until } => {
                    let (ended, shutdown) = (self.adopted_out.clone(), self.wiring.shutdown.clone());
                    adopt::wait(id, process, until, (&self.wiring.exclusions, &self.wiring.helper), ended, shutdown);
                }
                Effect::Tell(kind, incident) => {
                    let text = notice::text(kind, &incident, &self.report(&incident));
                    let critical = incident.playbook.severity == Severity::Critical;
                    told.extend(self.teller.tell(kind, critical, &incident.id, text, Moment::now()));
                }
                Effect::Recovered(key, page) => {
                    let text = notice::recovered(&key, &page.incident, &crate::host::name());
                    told.extend(self.teller.tell(Notice::Recovered, false, &page.incident, text, Moment::now()));
                }
                Effect::Changed(incident) => {
                    changed.insert(incident.id.clone(), incident);
                }
                Effect::Save(fact) => facts.push(*fact),
                Effect::Ended(key) | Effect::Watch(key) => self.rearm(key),
            }
        }
        self.write_down(facts, changed, ack);
        told.extend(self.teller.summaries(Moment::now()));
        for (kind, text) in told {
            self.announce(Change::Told(kind, text));
        }
    }

    fn write_down(&mut self, facts: Vec<Fact>, changed: BTreeMap<String, Box<Incident>>, mut ack: Option<(String, u64)>) {
        let now = Moment::now();
        for entry in facts.into_iter().flat_map(|fact| saved::entries(fact, &self.boot, now)) {
            let _ = self.wiring.record.send(Message::Entry(entry));
        }
        for incident in changed.into_values() {
            let report = self.report(&incident);
            let token = ack.take_if(|(id, _)| *id == incident.id).map(|(_, token)| token);
            let message = Message::Incident {
                row: Box::new(row::of(&incident, &report, &self.boot, now)),
                report: (report.clone(), report::render(&incident)),
                ack: token.map(|token| Ack { token, reply: self.acks_out.clone() }),
            };
            let _ = self.wiring.record.send(message);
            let open = self.wiring.healer.live().len();
            self.announce(Change::Incident { incident, report, open });
        }
    }

    fn announce(&mut self, change: Change) {
        self.followers.retain(|follower| follower.try_send(change.clone()).is_ok());
        let _ = self.wiring.changes.send(change);
    }

    fn report(&self, incident: &Incident) -> PathBuf {
        report_path(&self.wiring.data_dir, incident)
    }

    fn rearm(&self, key: DedupKey) {
        if let Some(detect) = &self.wiring.detect {
            let _ = detect.send(detect::Order::Rearm(key, Moment::now()));
        }
    }

    /// Evidence comes back as an event; the incident knows how long it waits.
    fn gather(&self, id: &str) {
        let wish = self.wiring.healer.incident(id).map(|incident| Wish::new(incident, &self.wiring.config));
        wish.into_iter().for_each(|wish| drop(self.wishes.send(wish)));
    }

    fn prepare(&mut self, id: &str, index: usize) -> Vec<Effect> {
        let healer = &self.wiring.healer;
        let Some(incident) = healer.incident(id) else { return Vec::new() };
        match job::prepare(healer, incident, index, &self.wiring.config, &self.wiring.units) {
            (Prepared::Running(argv, _), Some(job)) => {
                job::start(job, incident, &self.wiring.config, &self.surroundings);
                self.prepared = Some(argv);
                Vec::new()
            }
            (prepared, _) => self.handle(Input::Prepared { id: id.to_owned(), prepared }),
        }
    }

    /// A running action gets its time to end, then it is ended; its outcome is recorded either way. One that has not started
    /// never does.
    fn stop(mut self) {
        self.prepared = None;
        self.intent = None;
        let adopted = |incident: &Incident| incident.adopted().is_some();
        let acting = self.wiring.healer.live().any(|incident| incident.acting().is_some() && !adopted(incident));
        let running = acting.then(|| self.last_outcome()).flatten();
        let effects = self.wiring.healer.halt(running, Moment::now());
        let kept = effects.into_iter().filter(|effect| matches!(effect, Effect::Changed(_) | Effect::Save(_) | Effect::Tell(..)));
        self.perform(kept.collect());
    }

    fn last_outcome(&self) -> Option<(String, Outcome)> {
        log::info!("a running action may go on for at most {} s", LAST_ACTION.as_secs());
        let begin = Moment::now();
        loop {
            let left = LAST_ACTION.saturating_sub(Moment::now().since(begin));
            select! {
                recv(self.done) -> done => return done.ok(),
                // What is about to start is not let go.
                recv(self.starts) -> start => drop(start),
                default(left) => break,
            }
        }
        self.surroundings.stop.store(true, Ordering::Relaxed);
        self.done.recv_timeout(LAST_ACTION).ok()
    }
}
