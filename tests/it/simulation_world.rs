//! The world of a history: the core between its shell, which does what the heal worker does, and a host made of numbers.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use autoheal::clock::Moment;
use autoheal::config::playbook::Playbook;
use autoheal::detect::Edge;
use autoheal::detect::detector::Detector;
use autoheal::heal::healer::{Effect, Healer, Input};
use autoheal::heal::outcome::{End, Outcome};
use autoheal::incident::event::{Notice, Prepared};
use autoheal::incident::evidence::Evidence;
use autoheal::incident::id::Ids;
use autoheal::incident::{Incident, RunningProcess};
use autoheal::metric;
use autoheal::sample::{Batch, Labels, Sample, Target, Value, Want};

use super::disk::{Disk, comparable, difference};
use super::rules::Rules;
use super::{Random, Report, playbooks};

/// How a target is.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Health {
    Well,
    Bad,
    Unknown,
    Gone,
}

/// What will happen.
pub(super) enum Due {
    Measured(u64, Vec<Want>),
    /// The helper of the action is there and waits.
    Start(String, usize),
    /// Its intent is durable: the action goes.
    Go(String, usize),
    Finish(String, Outcome, bool),
}

/// One random history.
pub(super) struct History {
    pub(super) seed: u64,
    pub(super) random: Random,
    running: Duration,
    pub(super) slept: Duration,
    /// How far the wall clock was set, in seconds.
    pub(super) wall: i64,
    pub(super) in_force: HashMap<String, Arc<Playbook>>,
    pub(super) withdrawn: HashMap<String, Arc<Playbook>>,
    pub(super) healer: Healer,
    pub(super) detector: Detector,
    pub(super) disk: Disk,
    pub(super) agenda: Vec<(Duration, Due)>,
    pub(super) world: BTreeMap<(&'static str, String), Health>,
    pub(super) dry_run: bool,
    pub(super) most: u32,
    pub(super) rules: Rules,
    /// The action that runs on the host, whoever waits for it.
    pub(super) acting: Option<(String, usize)>,
    /// After so many turns of the worker the agent is killed.
    pub(super) dies_in: Option<u64>,
    pub(super) dead: bool,
    pub(super) lives: u64,
    events: u64,
}

impl History {
    pub(super) fn new(seed: u64, loud: bool) -> Self {
        let mut random = Random(seed);
        let in_force: HashMap<String, Arc<Playbook>> = (0..2 + random.below(3))
            .map(|index| {
                let (id, metric) = (format!("p{index}"), random.of(&playbooks::METRICS));
                (id.clone(), playbooks::make(&mut random, &id, metric))
            })
            .collect();
        let targets = 2 + random.below(3);
        let world =
            playbooks::METRICS.iter().flat_map(|metric| (0..targets).map(move |target| ((*metric, format!("/t{target}")), Health::Well)));
        let most = random.of(&[2, 60, 60, 60]);
        let mut history = Self {
            seed,
            running: Duration::ZERO,
            slept: Duration::ZERO,
            wall: 0,
            withdrawn: HashMap::new(),
            healer: Healer::new("host".to_owned(), Ids::new(seed << 20), false, most),
            detector: Detector::default(),
            disk: Disk::default(),
            agenda: Vec::new(),
            world: world.collect(),
            dry_run: false,
            most,
            rules: Rules::new(loud),
            acting: None,
            dies_in: None,
            dead: false,
            lives: 1,
            events: 0,
            in_force,
            random,
        };
        history.configure();
        history
    }

    pub(super) fn run(mut self) -> Report {
        for _ in 0..40 + self.random.below(81) {
            self.events += 1;
            self.happens();
            self.check();
            if !self.rules.broken.is_empty() {
                break;
            }
        }
        if self.rules.broken.is_empty() {
            self.settles();
        }
        let (started, ended) = (self.rules.started(), self.rules.ended());
        Report { seed: self.seed, events: self.events, started, ended, crashes: self.lives - 1, broken: self.rules.broken }
    }

    pub(super) fn now(&self) -> Moment {
        let awake = Moment::at_seconds(self.running.as_secs_f64());
        let wall = awake.wall + jiff::SignedDuration::from_secs(self.wall) + self.slept;
        Moment { running: awake.running, boot: awake.boot + self.slept, wall }
    }

    /// Puts the playbooks and settings in force, in a new life or an old one.
    pub(super) fn configure(&mut self) {
        let mut playbooks: Vec<_> = self.in_force.values().cloned().collect();
        playbooks.sort_by(|a, b| a.id.cmp(&b.id));
        let edges = self.detector.watch(&playbooks, self.now());
        self.edges(edges);
        let (playbooks, dry_run, max_actions_per_hour) = (self.in_force.clone(), self.dry_run, self.most);
        self.input(Input::Configured { playbooks, dry_run, max_actions_per_hour, silences: Vec::new() });
    }

    /// Time passes; what is due happens, and the targets are sampled now and then.
    pub(super) fn pass(&mut self, span: Duration) {
        let end = self.running + span;
        let interval = (span / 6).max(Duration::from_secs(10));
        let mut sample_at = self.running;
        for turn in 0.. {
            if turn > 5000 {
                self.rules.broken.push(format!("time passes: the healer spins at {:?}", self.running));
            }
            let now = self.now();
            let due = self.agenda.iter().map(|(at, _)| *at).min();
            let waits = [self.healer.next_tick(now), self.detector.next_look(now)].map(|wait| wait.map(|wait| self.running + wait));
            let next = waits.into_iter().flatten().chain(due).chain([sample_at]).min().unwrap_or(end);
            if next > end || !self.rules.broken.is_empty() {
                self.running = end;
                return;
            }
            self.running = next.max(self.running);
            if sample_at <= self.running {
                sample_at = self.running + interval;
                self.sample(interval);
            }
            self.due();
            let edges = self.detector.look(self.now());
            self.edges(edges);
            self.input(Input::Tick);
            self.revive();
        }
    }

    fn due(&mut self) {
        while let Some(at) = self.agenda.iter().position(|(at, _)| *at <= self.running) {
            match self.agenda.remove(at).1 {
                Due::Measured(token, wants) => {
                    let wanted = |sample: &Sample| wants.iter().any(|want| want.metric == sample.metric);
                    let samples = self.samples(Duration::from_secs(10)).into_iter().filter(wanted).collect();
                    self.input(Input::Measured { token, samples });
                }
                Due::Start(id, index) => self.starting(id, index),
                Due::Go(id, index) => self.goes(id, index),
                Due::Finish(id, outcome, cures) => self.finished(id, outcome, cures),
            }
        }
    }

    fn sample(&mut self, interval: Duration) {
        let gone = |(key, _): (&(&'static str, String), &Health)| autoheal::sample::Gone {
            kind: metric::find(key.0).unwrap().kind,
            identity: Labels::from([("mount", key.1.as_str())]),
        };
        let gone = self.world.iter().filter(|(_, health)| **health == Health::Gone).map(gone).collect();
        let mut batch = Batch { gone, samples: self.samples(interval), settled: vec![metric::find("disk_usage").unwrap().kind] };
        let edges = self.detector.batch(&mut batch, self.now());
        self.edges(edges);
    }

    pub(super) fn samples(&self, interval: Duration) -> Vec<Sample> {
        let there = self.world.iter().filter(|(_, health)| **health != Health::Gone);
        there
            .map(|((metric, mount), health)| Sample {
                metric: metric::find(metric).unwrap(),
                target: Target::new(Labels::from([("mount", mount.as_str())]), Labels::default()),
                value: match health {
                    Health::Well => Some(Value::Number(40.0)),
                    Health::Bad => Some(Value::Number(96.0)),
                    _ => None,
                },
                reason: None,
                at: self.now(),
                interval,
            })
            .collect()
    }

    pub(super) fn edges(&mut self, edges: Vec<Edge>) {
        for edge in edges {
            let now = self.now();
            self.rules.edge(&edge, now);
            self.input(Input::Edge(edge));
        }
    }

    pub(super) fn input(&mut self, input: Input) {
        if !self.dead {
            let effects = self.healer.handle(input, self.now());
            self.perform(effects);
        }
    }

    /// What the heal worker does: see `perform_with` there. Then it may be killed.
    pub(super) fn perform(&mut self, effects: Vec<Effect>) {
        let mut queue: VecDeque<Effect> = effects.into();
        let mut changed: BTreeMap<String, Box<Incident>> = BTreeMap::new();
        let (mut facts, mut told, mut recovered) = (Vec::new(), Vec::<(Notice, String)>::new(), Vec::new());
        while let Some(effect) = queue.pop_front() {
            let now = self.now();
            match effect {
                Effect::Measure { token, wants } => {
                    let takes = Duration::from_millis(self.random.of(&[0, 0, 300, 4000]));
                    self.agenda.push((self.running + takes, Due::Measured(token, wants)));
                }
                Effect::Gather { id } => queue.extend(self.healer.handle(Input::Evidence { id, evidence: Evidence::default() }, now)),
                Effect::Prepare { id, index } => queue.extend(self.prepare(id, index)),
                // Its end is on the agenda already.
                Effect::Adopt { .. } => {}
                Effect::Tell(notice, incident) => told.push((notice, incident.id)),
                Effect::Recovered(key, _) => recovered.push(key),
                Effect::Changed(incident) => drop(changed.insert(incident.id.clone(), incident)),
                Effect::Save(fact) => {
                    self.rules.fact(&fact);
                    facts.push(*fact);
                }
                Effect::Ended(key) | Effect::Watch(key) => self.detector.rearm(&key, now),
            }
        }
        let now = self.now();
        for incident in changed.values() {
            self.rules.changed(incident, &told, now);
        }
        // What failed in this turn did so before its target recovered: after that nothing of the target is left to fail in it.
        recovered.iter().for_each(|key| self.rules.recovered(key, now));
        self.rules.live(&self.healer, now);
        let write = !facts.is_empty() || !changed.is_empty();
        self.disk.write_down(facts, changed, now);
        if self.dies_in == Some(0) && write {
            self.dead = true;
        } else if write {
            self.dies_in = self.dies_in.map(|turns| turns - 1);
            let lag = if self.random.percent(20) { self.random.index(self.disk.pending() + 1) } else { 0 };
            self.disk.flush(self.disk.pending() - lag);
        }
    }

    /// What `job::prepare` does, with a guard that sometimes refuses.
    fn prepare(&mut self, id: String, index: usize) -> Vec<Effect> {
        let Some(incident) = self.healer.incident(&id) else { return Vec::new() };
        let argv = vec![incident.actions[index].command.clone()];
        let ask = incident.playbook.requires_approval || incident.playbook.actions[index].requires_approval;
        let prepared = match self.random.below(20) {
            0 => Prepared::Skipped("no need".to_owned()),
            1 => Prepared::Refused("not allowed".to_owned(), None),
            _ if self.healer.dry_run() || incident.dry_run => Prepared::WouldRun(argv),
            _ if ask && !incident.is_approved(index, &argv) => Prepared::Ask(vec![(index, argv)]),
            _ => {
                let takes = Duration::from_millis(self.random.of(&[0, 50, 2000]));
                self.agenda.push((self.running + takes, Due::Start(id, index)));
                return Vec::new();
            }
        };
        self.healer.handle(Input::Prepared { id, prepared }, self.now())
    }

    /// The helper waits: the intent is written down, and the action goes when that is durable.
    fn starting(&mut self, id: String, index: usize) {
        if !self.healer.may_start(&id, self.now()) {
            let outcome = Outcome { end: End::Stopped, duration: Duration::ZERO, output: String::new(), output_truncated: false };
            self.agenda.push((self.running, Due::Finish(id, outcome, false)));
            return;
        }
        if let Some(incident) = self.healer.incident(&id) {
            let dry = self.in_force.get(&incident.playbook.id).is_some_and(|playbook| playbook.dry_run);
            self.rules.permitted(incident, dry, (self.dry_run, self.most), self.now());
        }
        let process = RunningProcess { pid: 7, started: 1, boot: "boot".to_owned(), timeout: Duration::from_secs(300), unit: None };
        self.input(Input::Prepared { id: id.clone(), prepared: Prepared::Running(vec!["fix".to_owned()], Some(process)) });
        if !self.dead {
            let takes = Duration::from_millis(self.random.of(&[0, 20, 1900]));
            self.agenda.push((self.running + takes, Due::Go(id, index)));
        }
    }

    fn goes(&mut self, id: String, index: usize) {
        self.disk.flush(self.disk.pending());
        let now = self.now();
        let intent = self.disk.has_intent(&id, index);
        self.rules.must(intent, || format!("intent first: action {index} of {id} started, and its intent was not written"));
        let other = self.acting.replace((id.clone(), index));
        self.rules.must(other.is_none(), || format!("one at a time: action {index} of {id} started while {other:?} ran"));
        if let Some(incident) = self.healer.incident(&id) {
            self.rules.starts(incident, index, now);
        }
        let end = match self.random.below(10) {
            0..6 => End::Exited(0),
            6..8 => End::Exited(1),
            8 => End::TimedOut(Duration::from_secs(60)),
            _ => End::Killed("SIGKILL".to_owned()),
        };
        let cures = self.random.percent(if end == End::Exited(0) { 60 } else { 10 });
        let takes = Duration::from_millis(self.random.of(&[0, 500, 5000, 60_000]));
        let outcome = Outcome { end, duration: takes, output: String::new(), output_truncated: false };
        self.agenda.push((self.running + takes, Due::Finish(id, outcome, cures)));
    }

    fn finished(&mut self, id: String, outcome: Outcome, cures: bool) {
        self.acting.take_if(|(acting, _)| *acting == id);
        let Some(incident) = self.healer.incident(&id) else { return self.input(Input::Finished { id, outcome }) };
        let (metric, mount) = (incident.trigger.metric.clone(), incident.target.identity.get("mount").unwrap_or_default().to_owned());
        let health = self.world.iter_mut().find(|(key, _)| key.0 == metric && key.1 == mount).map(|(_, health)| health);
        if let Some(health) = health.filter(|health| cures && **health == Health::Bad) {
            *health = Health::Well;
        }
        if incident.adopted().is_some() {
            self.input(Input::AdoptedEnded { id, text: "it ended".to_owned() });
        } else {
            self.input(Input::Finished { id, outcome });
        }
    }

    /// Now and then: what was written is what is there.
    pub(super) fn check(&mut self) {
        if self.events.is_multiple_of(8) {
            self.compare();
        }
    }

    /// If all is written down, another life would begin with the state in which this one is, or ends.
    pub(super) fn compare(&mut self) {
        if self.disk.pending() > 0 || !self.rules.broken.is_empty() {
            return;
        }
        let now = self.now();
        let (before, after) = (comparable(&self.healer.saved(), now), comparable(&self.disk.restore(now), now));
        let lost = difference("", &before, &after);
        self.rules.must(lost.is_none(), || format!("what is written is what is remembered: {}", lost.unwrap()));
    }
}
