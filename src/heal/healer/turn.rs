//! Whose turn it is: one action at a time on a host, the most urgent incident first.

use std::time::Duration;

use super::{Effect, Healer};
use crate::clock::{Moment, in_words};
use crate::config::playbook::{ActionKind, CooldownScope, Verb};
use crate::heal::outcome::Outcome;
use crate::incident::event::Event;
use crate::incident::{DedupKey, Incident};
use crate::sample::SLEPT;

/// A look before the first action is worth something for this long.
const FRESH: Duration = Duration::from_secs(30);

/// How long the turn is kept for an urgent incident that looks again.
const PATIENCE: Duration = Duration::from_secs(1);

/// A service that was restarted less than this ago is not restarted for another reason.
const JUST_RESTARTED: Duration = Duration::from_secs(60);

/// Which services were restarted of late: the words that did it, for which key, by which incident, and when.
#[derive(Debug, Default)]
pub(super) struct Restarts(Vec<(Vec<String>, DedupKey, String, Moment)>);

impl Healer {
    /// The next action goes to the most urgent incident that is ready: severity, then age.
    pub(super) fn give_turn(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        while self.acting.is_none() {
            let next = self.live.values().filter(|incident| self.may_act(incident)).min_by_key(|incident| incident.urgency());
            if next.is_some_and(|next| self.is_reserved_against(next, now)) {
                return;
            }
            let Some((id, index)) = next.and_then(|incident| Some((incident.id.clone(), incident.ready()?))) else { return };
            self.silence(&id, now, effects);
            if self.incident(&id).is_none() {
                continue;
            }
            if self.over_budget(&id, now) {
                if self.budget.tell_once() {
                    self.step(&id, Event::OverBudget(self.budget.most()), now, effects);
                }
                return;
            }
            if self.must_look_again(&id, now) {
                self.reserved = Some((id.clone(), now.after(PATIENCE)));
                self.step(&id, Event::LookAgain, now, effects);
            } else if let Some(left) = self.cooldown_of_first_action(&id, now) {
                self.note_window(&id, now);
                self.step(&id, Event::RateLimited(left), now, effects);
            } else {
                self.acting = Some(id.clone());
                self.step(&id, Event::Turn, now, effects);
                effects.push(Effect::Prepare { id, index });
            }
        }
    }

    /// Whether the action that got its turn may start now: its incident may have ended meanwhile, or the settings may say dry
    /// run or allow fewer actions. One that may not is never let go, and comes back with an outcome of [`End::Stopped`](crate::heal::outcome::End).
    #[must_use]
    pub fn may_start(&self, id: &str, now: Moment) -> bool {
        let permitted = !self.dry_run && self.budget.wait(now).is_none();
        permitted && self.incident(id).is_some_and(|incident| incident.acting().is_some())
    }

    pub(super) fn action_ended(&mut self, now: Moment) {
        self.acting = None;
        self.last_action = Some(now);
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
    fn note_window(&mut self, id: &str, now: Moment) {
        if let Some(incident) = self.live.get(id) {
            self.tracks.record_once(&incident.playbook, &incident.key(), now);
        }
    }

    /// Ready, and no other incident of a playbook with one cooldown for all targets is between its first action and its end.
    fn may_act(&self, incident: &Incident) -> bool {
        let playbook = &incident.playbook;
        let sibling = |other: &Incident| other.id != incident.id && other.playbook.id == playbook.id && other.acted;
        incident.ready().is_some() && (playbook.cooldown_scope == CooldownScope::Target || !self.live.values().any(sibling))
    }

    /// The look before the first action is no longer worth much: it is old, the machine slept, or another action, which may
    /// have cured both, ended since.
    fn must_look_again(&self, id: &str, now: Moment) -> bool {
        let Some(incident) = self.incident(id).filter(|incident| !incident.acted && incident.ready().is_some()) else { return false };
        let Some(confirmed) = incident.confirmed else { return false };
        let old = now.since(confirmed) > FRESH || now.slept_since(confirmed) >= SLEPT;
        old || self.last_action.is_some_and(|action| confirmed.running < action.running)
    }

    /// A cooldown that began after the incident was opened: another target of the same playbook was healed meanwhile.
    fn cooldown_of_first_action(&self, id: &str, now: Moment) -> Option<Duration> {
        let incident = self.incident(id).filter(|incident| !incident.acted && !incident.force)?;
        self.tracks.left(&incident.playbook, &incident.target.identity, now)
    }

    /// Remembers that a service was restarted.
    pub(super) fn note_restart(&mut self, id: &str, outcome: &Outcome, now: Moment) {
        let Some((incident, index)) = self.incident(id).and_then(|incident| Some((incident, incident.acting()?))) else { return };
        let restarts = matches!(incident.playbook.actions[index].kind, ActionKind::Service { verb: Verb::Restart | Verb::Start, .. });
        if restarts && outcome.succeeded() {
            let entry = (incident.actions[index].argv.clone(), incident.key(), incident.id.clone(), now);
            self.restarts.0.retain(|(_, _, _, at)| now.since(*at) < JUST_RESTARTED);
            self.restarts.0.push(entry);
        }
    }

    /// The incident of another key that did the same to the service a moment ago, in words.
    #[must_use]
    pub fn just_restarted(&self, id: &str, argv: &[String], now: Moment) -> Option<String> {
        let own = self.incident(id)?.key();
        let same = |(words, key, _, at): &&(Vec<String>, DedupKey, String, Moment)| {
            words == argv && *key != own && now.since(*at) < JUST_RESTARTED
        };
        let (_, _, by, at) = self.restarts.0.iter().rev().find(same)?;
        Some(format!("restarted by {by} {} ago", in_words(now.since(*at))))
    }
}
