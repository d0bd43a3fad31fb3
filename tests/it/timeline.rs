//! Golden timelines: playbooks, a world that changes, scripted outcomes of actions → what the detector and the healer do.
//! The whole core runs, without a thread or a clock. A new case is a new file in `tests/data/timelines/`.
//!
//! `world` sets values of metrics at times (`"disk_usage{mount=/}": 95`; text, `"infinite"`, `null` for unknown with a reason,
//! `"gone"` for no sample at all, `"unmounted"` for a target that is not there any more, `"stopped (by somebody)"` with a remark). Every `interval_seconds` all of them are sampled. A fresh measurement sees the world as it
//! is then. `outcomes` says what each command comes to, one after the other: `exit`, how long it `takes`, what it `set`s,
//! or `skip`, `refuse`, `ask`. `expect` is the trace: `SECONDS playbook (target) event: text`.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use autoheal::clock::Moment;
use autoheal::config;
use autoheal::config::playbook::Playbook;
use autoheal::detect::Edge;
use autoheal::detect::detector::Detector;
use autoheal::heal::healer::{Effect, Healer, Input};
use autoheal::heal::outcome::{End, Outcome};
use autoheal::incident::Incident;
use autoheal::incident::event::Prepared;
use autoheal::incident::evidence::Evidence;
use autoheal::incident::id::Ids;
use autoheal::metric;
use autoheal::record::report::render;
use autoheal::sample::{Batch, Gone, Labels, Sample, Target, Value};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Timeline {
    /// The bullet of the contract that it shows.
    about: String,
    playbooks: serde_json::Value,
    #[serde(default)]
    settings: Option<serde_json::Value>,
    #[serde(default = "ten")]
    interval_seconds: f64,
    world: Vec<Change>,
    #[serde(default)]
    outcomes: BTreeMap<String, Vec<Script>>,
    until: f64,
    expect: Vec<String>,
    /// A file in `tests/data/reports`: the report of the last incident that changed.
    #[serde(default)]
    report: Option<String>,
}

fn ten() -> f64 {
    10.0
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    at: f64,
    #[serde(default)]
    set: BTreeMap<String, serde_json::Value>,
    /// Playbooks put in force at that time.
    #[serde(default)]
    playbooks: Option<serde_json::Value>,
    /// The settings' dry run from then on.
    #[serde(default)]
    dry_run: Option<bool>,
    /// A human says yes or no to the question of this key (`disk (mount=/a)`).
    #[serde(default)]
    approve: Option<String>,
    #[serde(default)]
    deny: Option<String>,
    /// A human silences everything for so many seconds, or resets a playbook.
    #[serde(default)]
    silence_seconds: Option<f64>,
    #[serde(default)]
    reset: Option<String>,
    /// The agent is killed and starts again. What it had written down is all that is left.
    #[serde(default)]
    restart: bool,
    /// For how many seconds the machine sleeps then.
    #[serde(default)]
    sleeps: f64,
}

#[derive(Clone, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Script {
    exit: i32,
    takes: f64,
    output: String,
    set: BTreeMap<String, serde_json::Value>,
    skip: Option<String>,
    refuse: Option<String>,
    ask: bool,
}

#[test]
fn timelines_come_out_as_written() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/timelines");
    let mut failed = Vec::new();
    let mut files: Vec<_> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 10, "the timelines are missing");
    for path in files {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let timeline: Timeline =
            serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let about = timeline.about.clone();
        let expected = timeline.expect.clone();
        let report = timeline.report.clone();
        let (trace, last) = Simulation::new(timeline).run();
        if let Some((file, incident)) = report.zip(last) {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/reports").join(file);
            let expected = fs::read_to_string(&path).unwrap_or_default();
            let rendered = render(&incident);
            if rendered != expected {
                failed.push(format!("{name}: the report is not {}, but\n{rendered}", path.display()));
            }
        }
        if trace != expected {
            let lines = trace.iter().map(|line| format!("    {},", serde_json::json!(line))).collect::<Vec<_>>().join("\n");
            failed.push(format!("{name} ({about}) came out as\n{lines}"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

/// What will happen, at which second.
enum Due {
    Change(usize),
    Sample,
    Finish(String, Outcome, BTreeMap<String, serde_json::Value>),
}

#[path = "timeline_people.rs"]
mod people;
use people::Written;

struct Simulation {
    timeline: Timeline,
    detector: Detector,
    healer: Healer,
    world: BTreeMap<String, serde_json::Value>,
    agenda: Vec<(f64, Due)>,
    scripts: HashMap<String, usize>,
    seen: HashMap<String, usize>,
    trace: Vec<String>,
    inputs: VecDeque<Input>,
    last: Option<Incident>,
    playbooks: HashMap<String, Arc<Playbook>>,
    written: Written,
    now: f64,
    slept: f64,
    /// How often each key was sampled in vain.
    unmounted: HashMap<String, u32>,
}

impl Simulation {
    fn new(timeline: Timeline) -> Self {
        let mut agenda: Vec<(f64, Due)> =
            timeline.world.iter().enumerate().map(|(index, change)| (change.at, Due::Change(index))).collect();
        agenda.push((0.0, Due::Sample));
        let dry_run = timeline.settings.as_ref().is_some_and(|settings| settings["dry_run"] == true);
        let healer = Healer::new("test-host".to_owned(), Ids::new(1), dry_run, 60);
        let mut simulation = Self {
            detector: Detector::default(),
            healer,
            world: BTreeMap::new(),
            agenda,
            scripts: HashMap::new(),
            seen: HashMap::new(),
            trace: Vec::new(),
            inputs: VecDeque::new(),
            last: None,
            playbooks: HashMap::new(),
            written: Written::default(),
            now: 0.0,
            slept: 0.0,
            unmounted: HashMap::new(),
            timeline,
        };
        let playbooks = simulation.timeline.playbooks.clone();
        simulation.put_in_force(&playbooks, dry_run);
        simulation
    }

    fn moment(&self) -> Moment {
        let awake = Moment::at_seconds(self.now);
        Moment { boot: awake.boot + Duration::from_secs_f64(self.slept), ..awake }
    }

    fn put_in_force(&mut self, playbooks: &serde_json::Value, dry_run: bool) {
        let mut settings = self.timeline.settings.clone().unwrap_or_else(|| serde_json::json!({}));
        settings["allowed_commands"] = serde_json::json!(["@shipped", "fix {re:[a-z0-9]+}", "svc {one:restart} {name}"]);
        let config = config::parse(
            &config::source::Text::new("playbooks", &serde_json::to_string_pretty(playbooks).unwrap()),
            &config::source::Text::new("settings", &settings.to_string()),
        );
        let config = config.unwrap_or_else(|problems| panic!("{}: {problems:#?}", self.timeline.about));
        let edges = self.detector.watch(&config.playbooks, self.moment());
        self.edges(edges);
        let playbooks: HashMap<_, _> = config.playbooks.iter().map(|playbook| (playbook.id.clone(), Arc::clone(playbook))).collect();
        self.playbooks.clone_from(&playbooks);
        let max_actions_per_hour = config.settings.max_actions_per_hour;
        self.heal(Input::Configured { playbooks, dry_run, max_actions_per_hour, silences: config.settings.silences.clone() });
    }

    fn run(mut self) -> (Vec<String>, Option<Incident>) {
        for turn in 0.. {
            assert!(turn < 100_000, "{}: it spins at second {}", self.timeline.about, self.now);
            let event = self.agenda.iter().map(|(at, _)| *at).fold(f64::INFINITY, f64::min);
            let tick = self.healer.next_tick(self.moment()).map(|wait| self.now + wait.as_secs_f64());
            let look = self.detector.next_look(self.moment()).map(|wait| self.now + wait.as_secs_f64());
            let next = [Some(event), tick, look].into_iter().flatten().fold(f64::INFINITY, f64::min);
            if next > self.timeline.until {
                break;
            }
            self.now = next;
            self.due();
            let edges = self.detector.look(self.moment());
            self.edges(edges);
            self.heal(Input::Tick);
        }
        (self.trace, self.last)
    }

    fn due(&mut self) {
        while let Some(index) = self.agenda.iter().position(|(at, _)| *at <= self.now) {
            match self.agenda.remove(index).1 {
                Due::Change(index) => {
                    let change = &self.timeline.world[index];
                    self.world.extend(change.set.clone());
                    self.slept += change.sleeps;
                    let (playbooks, dry_run) = (change.playbooks.clone(), change.dry_run);
                    if !change.restart && (playbooks.is_some() || dry_run.is_some()) {
                        let playbooks = playbooks.unwrap_or_else(|| self.timeline.playbooks.clone());
                        self.put_in_force(&playbooks, dry_run.unwrap_or(self.healer.dry_run()));
                    }
                    self.people(index);
                    if self.timeline.world[index].restart {
                        self.restart();
                    }
                }
                Due::Sample => {
                    self.agenda.push((self.now + self.timeline.interval_seconds, Due::Sample));
                    let mut batch = Batch { gone: self.gone(), samples: self.samples(), ..Batch::default() };
                    let edges = self.detector.batch(&mut batch, self.moment());
                    self.edges(edges);
                }
                Due::Finish(id, outcome, set) => {
                    self.world.extend(set);
                    self.heal(Input::Finished { id, outcome });
                }
            }
        }
    }

    fn samples(&self) -> Vec<Sample> {
        let absent = |value: &serde_json::Value| value == "gone" || value == "unmounted";
        self.world.iter().filter(|(_, value)| !absent(value)).map(|(key, value)| self.sample(key, value)).collect()
    }

    /// Targets that three samplings in a row did not find, as the collectors tell of them.
    fn gone(&mut self) -> Vec<Gone> {
        let mut gone = Vec::new();
        for (key, value) in &self.world {
            let times = self.unmounted.entry(key.clone()).or_insert(0);
            *times = if value == "unmounted" { *times + 1 } else { 0 };
            if *times == 3 {
                let sample = self.sample(key, value);
                gone.push(Gone { kind: sample.metric.kind, identity: sample.target.identity.clone() });
            }
        }
        gone
    }

    /// `disk_usage{mount=/}` and its value.
    fn sample(&self, key: &str, value: &serde_json::Value) -> Sample {
        let (name, labels) = key.split_once('{').map_or((key, ""), |(name, rest)| (name, rest.trim_end_matches('}')));
        let labels: Labels = labels.split(',').filter_map(|label| label.split_once('=')).collect();
        let facts: Labels = labels.iter().filter(|(name, _)| metric::is_fact(name)).collect();
        // `stopped (by whom)`: a word and a remark.
        let remark = value.as_str().and_then(|text| Some(text.split_once(" (")?.1.trim_end_matches(')').to_owned()));
        let value = match value {
            serde_json::Value::Number(number) => number.as_f64().map(Value::Number),
            serde_json::Value::String(text) if text == "infinite" => Some(Value::Infinite),
            serde_json::Value::String(text) => text.split(" (").next().map(|word| Value::Text(word.to_owned().into())),
            _ => None,
        };
        Sample {
            metric: metric::find(name).unwrap_or_else(|| panic!("no metric {name}")),
            target: Target::new(labels.identity(), facts),
            reason: remark.or_else(|| value.is_none().then(|| "cannot tell".to_owned())),
            value,
            at: self.moment(),
            interval: Duration::from_secs_f64(self.timeline.interval_seconds),
        }
    }

    fn edges(&mut self, edges: Vec<Edge>) {
        for edge in edges {
            match &edge {
                Edge::Fired(opening) => self.note(format!("{} FIRED", opening.key())),
                Edge::Cleared(key) => self.note(format!("{key} CLEARED")),
                Edge::Unknown(key) => self.note(format!("{key} UNKNOWN")),
                Edge::Gone(key) => self.note(format!("{key} GONE")),
            }
            self.heal(Input::Edge(edge));
        }
    }

    fn note(&mut self, text: String) {
        self.trace.push(format!("{} {text}", self.now));
    }

    /// Inputs that follow from effects come after all effects, as they do through channels.
    fn heal(&mut self, input: Input) {
        self.inputs.push_back(input);
        if self.inputs.len() > 1 {
            return;
        }
        while let Some(input) = self.inputs.front_mut() {
            let input = std::mem::replace(input, Input::Tick);
            self.handle(input);
            self.inputs.pop_front();
        }
    }

    fn handle(&mut self, input: Input) {
        let effects = self.healer.handle(input, self.moment());
        self.carry_out(effects);
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Measure { token, wants } => {
                    let wanted = |sample: &Sample| wants.iter().any(|want| want.metric == sample.metric);
                    let samples = self.samples().into_iter().filter(wanted).collect();
                    self.heal(Input::Measured { token, samples });
                }
                Effect::Gather { id } => self.heal(Input::Evidence { id, evidence: Evidence::default() }),
                Effect::Prepare { id, index } => self.prepare(id, index),
                Effect::Adopt { .. } => panic!("nothing runs over a restart here"),
                Effect::Tell(notice, incident) => self.note(format!("{} TELL {notice:?}", incident.key())),
                Effect::Recovered(key, _) => self.note(format!("{key} TELL Recovered")),
                Effect::Changed(incident) => self.changed(&incident),
                Effect::Save(fact) => self.written.fact(*fact, self.moment()),
                Effect::Ended(key) | Effect::Watch(key) => self.detector.rearm(&key, self.moment()),
            }
        }
        assert!(self.healer.live().filter(|incident| incident.acting().is_some()).count() <= 1, "two actions at once");
    }

    fn prepare(&mut self, id: String, index: usize) {
        let Some(incident) = self.healer.incident(&id).cloned() else { return };
        let (command, dry_run) = (incident.actions[index].command.clone(), incident.dry_run || self.healer.dry_run());
        let count = self.scripts.entry(command.clone()).or_insert(0);
        let scripts = self.timeline.outcomes.get(&command).cloned().unwrap_or_default();
        let script = scripts.get(*count).or(scripts.last()).cloned().unwrap_or_default();
        *count += 1;
        let prepared = match (&script.skip, &script.refuse) {
            (Some(reason), _) => Prepared::Skipped(reason.clone()),
            (_, Some(reason)) => Prepared::Refused(reason.clone(), Some("command_refused")),
            _ if dry_run => Prepared::WouldRun(vec![command]),
            _ if script.ask && !incident.is_approved(index, std::slice::from_ref(&command)) => Prepared::Ask(vec![(index, vec![command])]),
            _ => {
                let duration = Duration::from_secs_f64(script.takes);
                let outcome = Outcome { end: End::Exited(script.exit), duration, output: script.output.clone(), output_truncated: false };
                self.agenda.push((self.now + script.takes, Due::Finish(id.clone(), outcome, script.set.clone())));
                Prepared::Running(vec![command], None)
            }
        };
        self.heal(Input::Prepared { id, prepared });
    }

    fn changed(&mut self, incident: &Incident) {
        self.last = Some(incident.clone());
        self.written.incident(incident);
        let from = self.seen.insert(incident.id.clone(), incident.timeline.len()).unwrap_or(0);
        for entry in incident.timeline.iter().skip(from) {
            self.note(format!("{} {}: {}", incident.key(), entry.event, entry.text));
        }
    }
}
