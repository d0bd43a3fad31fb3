//! All incidents together: who is next, what is held back, what must be done. Pure: driven by `(input, now)`.
//!
//! Here is what it is told and what it says; [`hold`](self) decides what opens, `turn` who acts, `people` answers humans, and
//! `restore` takes up what an earlier life of the agent left.

mod hold;
mod messages;
mod people;
mod restore;
mod turn;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

pub use messages::{Effect, Fact, Input};
pub use people::{NotDone, Standing};
pub use restore::Saved;

use super::budget::Budget;
use super::outcome::Outcome;
use super::silence::{RecurringSilence, Silence};
use super::track::Tracks;
use crate::clock::Moment;
use crate::detect::detector::Edge;
use crate::incident::event::{Effect as Step, Event, Prepared};
use crate::incident::id::Ids;
use crate::incident::{DedupKey, Incident};
use hold::HeldBack;
use turn::Restarts;

/// How soon it is looked whether what is written down keeps up again.
const PRESSED: Duration = Duration::from_millis(20);

/// The owner of all incidents.
#[derive(Debug)]
pub struct Healer {
    host: String,
    ids: Ids,
    dry_run: bool,
    live: BTreeMap<String, Incident>,
    by_key: HashMap<DedupKey, String>,
    /// The incident whose action has its turn: one on a host, whatever fires.
    acting: Option<String>,
    /// When an action last ended: whoever looked before must look again.
    last_action: Option<Moment>,
    tracks: Tracks,
    budget: Budget,
    silences: Vec<Silence>,
    recurring: Vec<RecurringSilence>,
    /// Fired while something held the key back, and not cleared since.
    held_back: HeldBack,
    restarts: Restarts,
    /// The most urgent incident looks again before its first action: nothing less urgent begins until then.
    reserved: Option<(String, Moment)>,
    /// Measurements that were asked for.
    asked: HashMap<u64, String>,
    next_token: u64,
    opened: u64,
    /// What is written down cannot keep up: nothing more is let in from the queue.
    pressed: bool,
    swept: Option<Moment>,
}

impl Healer {
    /// A healer without incidents.
    #[must_use]
    pub fn new(host: String, ids: Ids, dry_run: bool, max_actions_per_hour: u32) -> Self {
        Self {
            host,
            ids,
            dry_run,
            live: BTreeMap::new(),
            by_key: HashMap::new(),
            acting: None,
            last_action: None,
            tracks: Tracks::default(),
            budget: Budget::new(max_actions_per_hour),
            silences: Vec::new(),
            recurring: Vec::new(),
            held_back: HeldBack::default(),
            restarts: Restarts::default(),
            reserved: None,
            asked: HashMap::new(),
            next_token: 0,
            opened: 0,
            pressed: false,
            swept: None,
        }
    }

    /// Takes an input into account.
    pub fn handle(&mut self, input: Input, now: Moment) -> Vec<Effect> {
        let mut effects = Vec::new();
        match input {
            Input::Edge(edge) => self.edge(edge, now, &mut effects),
            Input::Measured { token, samples } => {
                if let Some(id) = self.asked.remove(&token) {
                    self.step(&id, Event::Measured(&samples), now, &mut effects);
                }
            }
            Input::Evidence { id, evidence } => self.step(&id, Event::Evidence(evidence), now, &mut effects),
            Input::Prepared { id, prepared } => {
                if matches!(prepared, Prepared::Running(..)) {
                    self.budget.spend(now);
                    effects.push(Effect::Save(Box::new(Fact::Budget(self.budget.started().collect()))));
                } else {
                    self.acting = None;
                }
                self.step(&id, Event::Prepared(prepared), now, &mut effects);
            }
            Input::Finished { id, outcome } => {
                self.action_ended(now);
                self.note_restart(&id, &outcome, now);
                self.step(&id, Event::Finished(outcome), now, &mut effects);
            }
            Input::AdoptedEnded { id, text } => {
                self.action_ended(now);
                self.step(&id, Event::OutcomeUnknown(text), now, &mut effects);
            }
            Input::Tick => self.tick(now, &mut effects),
            Input::Configured { playbooks, dry_run, max_actions_per_hour, silences } => {
                self.budget.limit(max_actions_per_hour);
                self.recurring = silences;
                self.configured(&playbooks, dry_run, now, &mut effects);
            }
        }
        self.turn_ends(now, &mut effects);
        effects
    }

    /// Whether what is written down keeps up. While it does not, what waits for room goes on waiting: memory stays flat.
    pub fn press(&mut self, pressed: bool) {
        self.pressed = pressed;
    }

    /// Gives the turn, lets in what waited for room, and says what is to be remembered.
    fn turn_ends(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        self.let_in(now, effects);
        self.give_turn(now, effects);
        effects.extend(self.tracks.take_changed().into_iter().map(|(key, track)| Effect::Save(Box::new(Fact::Track(key, track)))));
    }

    /// The agent stops: the outcome of the running action is taken down. Open incidents stay open; the next life takes them up.
    pub fn halt(&mut self, running: Option<(String, Outcome)>, now: Moment) -> Vec<Effect> {
        let mut effects = Vec::new();
        if let Some((id, outcome)) = running {
            self.step(&id, Event::Finished(outcome), now, &mut effects);
        }
        effects.extend(self.tracks.take_changed().into_iter().map(|(key, track)| Effect::Save(Box::new(Fact::Track(key, track)))));
        effects
    }

    /// The open incidents.
    pub fn live(&self) -> impl ExactSizeIterator<Item = &Incident> {
        self.live.values()
    }

    /// The open incident of that id.
    #[must_use]
    pub fn incident(&self, id: &str) -> Option<&Incident> {
        self.live.get(id)
    }

    /// Whether the settings, or the command line, say dry run.
    #[must_use]
    pub fn dry_run(&self) -> bool {
        self.dry_run
    }

    /// How long until [`Input::Tick`] is due; `None` when nothing waits.
    #[must_use]
    pub fn next_tick(&self, now: Moment) -> Option<Duration> {
        let deadlines = self.live.values().filter_map(Incident::deadline).map(|at| at.running.saturating_sub(now.running));
        let reserved = self.reserved.iter().map(|(_, until)| until.running.saturating_sub(now.running));
        let held = [self.held_back.next(now), self.tracks.next(now)].into_iter().flatten();
        let budget = if self.live.values().any(|incident| incident.ready().is_some()) { self.budget.wait(now) } else { None };
        let pressed = (self.pressed && self.held_back.queued() > 0).then_some(PRESSED);
        deadlines.chain(held).chain(reserved).chain(budget).chain(pressed).min()
    }

    fn edge(&mut self, edge: Edge, now: Moment, effects: &mut Vec<Effect>) {
        match edge {
            Edge::Fired(opening) => {
                // Also where an open incident, or a silence, makes nothing of it: it is not well.
                self.tracks.unknown(&opening.key(), now);
                self.fired(opening, now, effects);
            }
            Edge::Cleared(key) => {
                self.held_back.remove(&key);
                self.tracks.cleared(&key, now);
                self.settle(now, effects);
            }
            Edge::Unknown(key) => self.tracks.unknown(&key, now),
            Edge::Gone(key) => {
                self.held_back.remove(&key);
                if let Some(id) = self.by_key.get(&key).cloned() {
                    self.step(&id, Event::Gone, now, effects);
                }
                effects.extend(self.tracks.gone(&key, now).map(|page| Effect::Recovered(key, page)));
            }
        }
    }

    fn step(&mut self, id: &str, event: Event<'_>, now: Moment, effects: &mut Vec<Effect>) {
        if let Some(incident) = self.live.get_mut(id) {
            let before = incident.timeline.len();
            let steps = incident.step(event, now);
            let changed = before != incident.timeline.len();
            self.carry_out(id, steps, changed, now, effects);
        }
    }

    /// `changed`: there is something new to read; a mere turn or tick is not written down.
    fn carry_out(&mut self, id: &str, steps: Vec<Step>, changed: bool, now: Moment, effects: &mut Vec<Effect>) {
        let Some(incident) = self.live.get(id) else { return };
        let ended = steps.contains(&Step::Ended);
        if changed || !steps.is_empty() {
            effects.push(Effect::Changed(Box::new(incident.clone())));
        }
        for step in steps {
            match step {
                Step::Measure => {
                    self.next_token += 1;
                    self.asked.insert(self.next_token, id.to_owned());
                    effects.push(Effect::Measure { token: self.next_token, wants: incident.wants() });
                }
                Step::Gather => effects.push(Effect::Gather { id: id.to_owned() }),
                Step::Tell(notice) => effects.push(Effect::Tell(notice, Box::new(incident.clone()))),
                Step::Ended => {}
            }
        }
        if ended {
            self.close(id, now, effects);
        }
    }

    fn close(&mut self, id: &str, now: Moment, effects: &mut Vec<Effect>) {
        let Some(incident) = self.live.remove(id) else { return };
        let key = incident.key();
        self.by_key.remove(&key);
        self.asked.retain(|_, asked| asked != id);
        // What ends again after a crash has been counted.
        let page = if self.tracks.end_of(&incident).is_some() { None } else { self.tracks.ended(&incident, now) };
        effects.extend(page.map(|page| Effect::Recovered(key.clone(), page)));
        effects.push(Effect::Ended(key));
    }

    fn settle(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        for (key, page) in self.tracks.settle(now) {
            self.held_back.wake(&key);
            self.begin_anew(&key);
            effects.extend(page.map(|page| Effect::Recovered(key, page)));
        }
    }

    /// The key's series of failures may be over while its incident is open: what that failed before is not held against it, and
    /// people who were told that it is over are told again.
    fn begin_anew(&mut self, key: &DedupKey) {
        let (attempts, breaker, paged) =
            self.tracks.get(key).map_or((0, false, false), |track| (track.attempts, track.breaker.is_some(), track.page.is_some()));
        if let Some(incident) = self.by_key.get(key).and_then(|id| self.live.get_mut(id)) {
            incident.attempt = incident.attempt.min(attempts + 1);
            incident.retry &= breaker;
            incident.paged &= paged;
        }
    }

    fn tick(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let due: Vec<String> =
            self.live.values().filter(|incident| incident.deadline().is_some()).map(|incident| incident.id.clone()).collect();
        for id in due {
            self.silence(&id, now, effects);
            self.step(&id, Event::Tick, now, effects);
        }
        self.settle(now, effects);
        if self.swept.is_none_or(|swept| now.since(swept) > Duration::from_secs(60)) {
            self.swept = Some(now);
            self.tracks.sweep(now);
            self.silences.retain(|silence| !silence.until.is_due_after_sleep(now));
        }
        self.reserved.take_if(|(_, until)| until.is_due(now));
        for opening in self.held_back.due(now) {
            self.fired(Box::new(opening), now, effects);
        }
    }
}
