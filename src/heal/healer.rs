//! All incidents together: who is next, what is held back, what must be done. Pure: driven by `(input, now)`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::budget::Budget;
use super::cooldown::{Cooldowns, Held};
use super::outcome::Outcome;
use crate::clock::Moment;
use crate::config::playbook::{CooldownScope, Playbook};
use crate::detect::detector::Edge;
use crate::incident::event::{Effect as Step, Event, Notice, Prepared};
use crate::incident::id::Ids;
use crate::incident::{DedupKey, Incident, Opening, Status};
use crate::sample::{Sample, Want};

/// What the healer is told.
#[derive(Debug)]
pub enum Input {
    /// A condition fired or cleared.
    Edge(Edge),
    /// Fresh samples that were asked for under this token.
    Measured {
        /// The token of [`Effect::Measure`].
        token: u64,
        /// What was measured in time.
        samples: Vec<Sample>,
    },
    /// What became of the action whose turn it was.
    Prepared {
        /// The incident.
        id: String,
        /// The result.
        prepared: Prepared,
    },
    /// The running action ended.
    Finished {
        /// The incident.
        id: String,
        /// How.
        outcome: Outcome,
    },
    /// Time has passed.
    Tick,
    /// The playbooks and the dry run in force.
    Configured {
        /// By id.
        playbooks: HashMap<String, Arc<Playbook>>,
        /// The settings' `dry_run`, or `--dry-run`.
        dry_run: bool,
        /// The settings' `max_actions_per_hour`.
        max_actions_per_hour: u32,
    },
}

/// What the shell around the healer must do.
#[derive(Debug)]
pub enum Effect {
    /// Measure afresh and come back with [`Input::Measured`].
    Measure {
        /// Comes back with the answer.
        token: u64,
        /// What.
        wants: Vec<Want>,
    },
    /// Prepare the action (guard, host) and come back with [`Input::Prepared`]; if it runs, later with [`Input::Finished`].
    Prepare {
        /// The incident.
        id: String,
        /// Which of its actions.
        index: usize,
    },
    /// Tell people about the incident.
    Tell(Notice, Box<Incident>),
    /// The incident changed: write its report.
    Changed(Box<Incident>),
    /// The incident is over: its report was announced by [`Effect::Changed`] before; the detector may fire for it again.
    Ended(DedupKey),
}

/// A look before the first action is worth something for this long.
const FRESH: Duration = Duration::from_secs(30);

/// How long the turn is kept for an urgent incident that looks again.
const PATIENCE: Duration = Duration::from_secs(1);

/// The owner of all incidents.
#[derive(Debug)]
pub struct Healer {
    host: String,
    ids: Ids,
    dry_run: bool,
    live: Vec<Incident>,
    /// The incident whose action has its turn: one on a host, whatever fires.
    acting: Option<String>,
    /// When an action last ended: whoever looked before must look again.
    last_action: Option<Moment>,
    cooldowns: Cooldowns,
    budget: Budget,
    /// Fired while something held the key back, and not cleared since.
    held_back: BTreeMap<DedupKey, Opening>,
    /// The most urgent incident looks again before its first action: nothing less urgent begins until then.
    reserved: Option<(String, Moment)>,
    /// Measurements that were asked for.
    asked: HashMap<u64, String>,
    next_token: u64,
}

impl Healer {
    /// A healer without incidents.
    #[must_use]
    pub fn new(host: String, ids: Ids, dry_run: bool, max_actions_per_hour: u32) -> Self {
        Self {
            host,
            ids,
            dry_run,
            live: Vec::new(),
            acting: None,
            last_action: None,
            cooldowns: Cooldowns::default(),
            budget: Budget::new(max_actions_per_hour),
            held_back: BTreeMap::new(),
            reserved: None,
            asked: HashMap::new(),
            next_token: 0,
        }
    }

    /// Takes an input into account.
    pub fn handle(&mut self, input: Input, now: Moment) -> Vec<Effect> {
        let mut effects = Vec::new();
        match input {
            Input::Edge(Edge::Fired(opening)) => self.fired(*opening, now, &mut effects),
            Input::Edge(Edge::Cleared(key) | Edge::Gone(key)) => {
                self.held_back.remove(&key);
                self.cooldowns.cleared(&key);
            }
            // Nothing here rests on a target's being well for a while.
            Input::Edge(Edge::Unknown(_)) => {}
            Input::Measured { token, samples } => {
                if let Some(id) = self.asked.remove(&token) {
                    self.step(&id, Event::Measured(&samples), now, &mut effects);
                }
            }
            Input::Prepared { id, prepared } => {
                if matches!(prepared, Prepared::Running(_)) {
                    self.budget.spend(now);
                } else {
                    self.acting = None;
                }
                self.step(&id, Event::Prepared(prepared), now, &mut effects);
            }
            Input::Finished { id, outcome } => {
                self.acting = None;
                self.last_action = Some(now);
                self.step(&id, Event::Finished(outcome), now, &mut effects);
            }
            Input::Tick => self.tick(now, &mut effects),
            Input::Configured { playbooks, dry_run, max_actions_per_hour } => {
                self.budget.limit(max_actions_per_hour);
                self.configured(&playbooks, dry_run, now, &mut effects);
            }
        }
        self.give_turn(now, &mut effects);
        effects
    }

    /// Opens an incident by hand, in spite of a cooldown if it is forced.
    ///
    /// # Errors
    /// How long the cooldown still lasts, or that the key has an open incident.
    pub fn open_by_hand(&mut self, opening: Opening, now: Moment) -> Result<(String, Vec<Effect>), String> {
        let key = opening.key();
        if let Some(open) = self.live.iter().find(|incident| incident.key() == key) {
            return Err(format!("incident {} of {key} is open", open.id));
        }
        if let Some(left) = self.cooldowns.left(&opening.playbook, &key.identity, now).filter(|_| !opening.force) {
            return Err(format!("{key} is in its cooldown for another {}", crate::clock::in_words(left)));
        }
        let mut effects = Vec::new();
        let id = self.open(opening, now, &mut effects);
        self.give_turn(now, &mut effects);
        Ok((id, effects))
    }

    /// The agent stops: the outcome of the running action is taken down, and every open incident ends.
    pub fn halt(&mut self, running: Option<(String, Outcome)>, now: Moment) -> Vec<Effect> {
        let mut effects = Vec::new();
        if let Some((id, outcome)) = running {
            self.step(&id, Event::Stopped(outcome), now, &mut effects);
        }
        for id in self.live.iter().map(|incident| incident.id.clone()).collect::<Vec<_>>() {
            self.step(&id, Event::AgentStops, now, &mut effects);
        }
        effects
    }

    /// The open incidents.
    #[must_use]
    pub fn live(&self) -> &[Incident] {
        &self.live
    }

    /// The open incident of that id.
    #[must_use]
    pub fn incident(&self, id: &str) -> Option<&Incident> {
        self.live.iter().find(|incident| incident.id == id)
    }

    /// Whether the settings, or the command line, say dry run.
    #[must_use]
    pub fn dry_run(&self) -> bool {
        self.dry_run
    }

    /// How long until [`Input::Tick`] is due; `None` when nothing waits.
    #[must_use]
    pub fn next_tick(&self, now: Moment) -> Option<Duration> {
        let deadlines = self.live.iter().filter_map(Incident::deadline).map(|at| at.running.saturating_sub(now.running));
        let reserved = self.reserved.iter().map(|(_, until)| until.running.saturating_sub(now.running));
        let windows = self.held_back.values().filter_map(|opening| match self.cooldowns.held(opening, now) {
            Held::Free => Some(Duration::ZERO),
            Held::For(left) => Some(left),
            Held::UntilCleared => None,
        });
        let budget = if self.live.iter().any(|incident| incident.ready().is_some()) { self.budget.wait(now) } else { None };
        deadlines.chain(windows).chain(reserved).chain(budget).min()
    }

    fn fired(&mut self, opening: Opening, now: Moment, effects: &mut Vec<Effect>) {
        let key = opening.key();
        if self.live.iter().any(|incident| incident.key() == key) {
            return;
        }
        match self.cooldowns.held(&opening, now) {
            Held::Free => {
                self.open(opening, now, effects);
                return;
            }
            Held::For(left) if self.cooldowns.record_once(&opening) => {
                let incident = Incident::rate_limited(self.ids.next_id(), opening.clone(), self.host.clone(), left, now);
                effects.push(Effect::Changed(Box::new(incident)));
            }
            Held::For(_) | Held::UntilCleared => {}
        }
        self.held_back.insert(key, opening);
    }

    fn open(&mut self, opening: Opening, now: Moment, effects: &mut Vec<Effect>) -> String {
        let (incident, steps) = Incident::open(self.ids.next_id(), opening, self.dry_run, self.host.clone(), now);
        let id = incident.id.clone();
        self.live.push(incident);
        self.carry_out(&id, steps, now, effects);
        id
    }

    fn step(&mut self, id: &str, event: Event<'_>, now: Moment, effects: &mut Vec<Effect>) {
        if let Some(incident) = self.live.iter_mut().find(|incident| incident.id == id) {
            let steps = incident.step(event, now);
            self.carry_out(id, steps, now, effects);
        }
    }

    fn carry_out(&mut self, id: &str, steps: Vec<Step>, now: Moment, effects: &mut Vec<Effect>) {
        let Some(position) = self.live.iter().position(|incident| incident.id == id) else { return };
        for step in &steps {
            let incident = &self.live[position];
            match step {
                Step::Measure => {
                    self.next_token += 1;
                    self.asked.insert(self.next_token, id.to_owned());
                    effects.push(Effect::Measure { token: self.next_token, wants: incident.wants() });
                }
                Step::Tell(_) | Step::Ended => {}
            }
        }
        let incident = &self.live[position];
        effects.push(Effect::Changed(Box::new(incident.clone())));
        let notices = steps.iter().filter_map(|step| if let Step::Tell(notice) = step { Some(*notice) } else { None });
        effects.extend(notices.map(|notice| Effect::Tell(notice, Box::new(incident.clone()))));
        if steps.contains(&Step::Ended) {
            let incident = self.live.remove(position);
            self.asked.retain(|_, asked| *asked != incident.id);
            self.cooldowns.begin(&incident, now);
            effects.push(Effect::Ended(incident.key()));
        }
    }

    fn tick(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let due: Vec<String> =
            self.live.iter().filter(|incident| incident.deadline().is_some()).map(|incident| incident.id.clone()).collect();
        for id in due {
            self.step(&id, Event::Tick, now, effects);
        }
        self.cooldowns.sweep(now);
        self.reserved.take_if(|(_, until)| until.is_due(now));
        let free: Vec<DedupKey> = self
            .held_back
            .iter()
            .filter(|(_, opening)| self.cooldowns.held(opening, now) == Held::Free)
            .map(|(key, _)| key.clone())
            .collect();
        for opening in free.iter().filter_map(|key| self.held_back.remove(key)).collect::<Vec<_>>() {
            self.fired(opening, now, effects);
        }
    }

    /// The next action goes to the most urgent incident that is ready: severity, then age.
    fn give_turn(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        while self.acting.is_none() {
            let next = self.live.iter().filter(|incident| self.may_act(incident)).min_by_key(|incident| incident.urgency());
            if next.is_some_and(|next| self.is_reserved_against(next, now)) {
                return;
            }
            let Some((id, index)) = next.and_then(|incident| Some((incident.id.clone(), incident.ready()?))) else { return };
            if self.over_budget(&id, now) {
                if self.budget.tell_once() {
                    self.step(&id, Event::OverBudget(self.budget.most()), now, effects);
                }
                return;
            }
            if index == 0 && self.must_look_again(&id, now) {
                self.reserved = Some((id.clone(), now.after(PATIENCE)));
                self.step(&id, Event::LookAgain, now, effects);
            } else if let Some(left) = self.cooldown_of_first_action(&id, index, now) {
                self.note_window(&id);
                self.step(&id, Event::RateLimited(left), now, effects);
            } else {
                self.acting = Some(id.clone());
                self.step(&id, Event::Turn, now, effects);
                effects.push(Effect::Prepare { id, index });
            }
        }
    }

    /// Whether the host has had its actions of this hour. A dry run costs nothing.
    fn over_budget(&self, id: &str, now: Moment) -> bool {
        let dry_run = self.dry_run || self.incident(id).is_some_and(|incident| incident.dry_run);
        !dry_run && self.budget.wait(now).is_some()
    }

    /// Whether a more urgent incident, which is looking again, has the turn before this one.
    fn is_reserved_against(&self, incident: &Incident, now: Moment) -> bool {
        let Some((id, until)) = &self.reserved else { return false };
        !until.is_due(now) && self.incident(id).is_some_and(|first| first.is_looking() && first.urgency() < incident.urgency())
    }

    /// The incident is about to become this window's record of a trigger that came too early.
    fn note_window(&mut self, id: &str) {
        if let Some(incident) = self.live.iter().find(|incident| incident.id == id) {
            self.cooldowns.recorded(&incident.playbook, incident.key());
        }
    }

    /// Ready, and no other incident of a playbook with one cooldown for all targets is between its first action and its end.
    fn may_act(&self, incident: &Incident) -> bool {
        let playbook = &incident.playbook;
        let sibling = |other: &Incident| other.id != incident.id && other.playbook.id == playbook.id && other.acted;
        incident.ready().is_some() && (playbook.cooldown_scope == CooldownScope::Target || !self.live.iter().any(sibling))
    }

    /// The look before the first action is no longer worth much: it is old, or another action, which may have cured both,
    /// ended since.
    fn must_look_again(&self, id: &str, now: Moment) -> bool {
        let Some(confirmed) = self.incident(id).and_then(|incident| incident.confirmed) else { return false };
        now.since(confirmed) > FRESH || self.last_action.is_some_and(|action| confirmed.running < action.running)
    }

    /// A cooldown that began after the incident was opened: another target of the same playbook was healed meanwhile.
    fn cooldown_of_first_action(&self, id: &str, index: usize, now: Moment) -> Option<Duration> {
        let incident = self.incident(id).filter(|incident| index == 0 && !incident.acted && !incident.force)?;
        self.cooldowns.left(&incident.playbook, &incident.target.identity, now)
    }

    /// Incidents that have not started an action end when their playbook was withdrawn.
    fn configured(&mut self, playbooks: &HashMap<String, Arc<Playbook>>, dry_run: bool, now: Moment, effects: &mut Vec<Effect>) {
        self.dry_run = dry_run;
        let gone = |id: &str| playbooks.get(id).is_none_or(|playbook| !playbook.enabled);
        self.held_back.retain(|key, _| !gone(&key.playbook));
        let withdrawn = |incident: &&Incident| {
            let now_dry = !incident.dry_run && playbooks.get(&incident.playbook.id).is_some_and(|playbook| playbook.dry_run);
            !incident.acted && (gone(&incident.playbook.id) || now_dry)
        };
        let ids: Vec<String> = self.live.iter().filter(withdrawn).map(|incident| incident.id.clone()).collect();
        for id in ids {
            self.step(&id, Event::Withdrawn, now, effects);
        }
        // An agent that executes nothing has nothing to ask.
        let asking = |incident: &&Incident| dry_run && incident.status == Status::AwaitingApproval;
        let ids: Vec<String> = self.live.iter().filter(asking).map(|incident| incident.id.clone()).collect();
        for id in ids {
            self.step(&id, Event::DryRun, now, effects);
        }
    }
}
