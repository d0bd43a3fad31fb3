//! What opens an incident, and what holds a trigger back.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::{Effect, Fact, Healer};
use crate::clock::{Moment, in_words};
use crate::config::playbook::{Playbook, Severity};
use crate::heal::track::Held;
use crate::incident::event::Event;
use crate::incident::{Admission, DedupKey, Incident, Opening, Status};

/// How many incidents are open at once, of one severity and all that are more urgent. The rest wait for room, the most urgent
/// first: memory stays flat whatever fires.
const MOST_OPEN: usize = 250;

/// Triggers that are held back. Boxed: there can be many thousands, and a map is never full.
#[derive(Debug, Default)]
pub(super) struct HeldBack {
    /// With the time (boot clock) at which each is looked at again, if there is one.
    waiting: HashMap<DedupKey, (Box<Opening>, Option<Duration>)>,
    wakes: BTreeSet<(Duration, DedupKey)>,
    /// Nothing but room is missing: most urgent first, then oldest.
    queue: BTreeMap<(Severity, Duration, DedupKey), Box<Opening>>,
    queued: HashMap<DedupKey, (Severity, Duration)>,
    /// Keys whose trigger was recorded as suppressed, and the end of that silence: one record for each.
    suppressed: HashMap<DedupKey, Duration>,
}

impl HeldBack {
    /// Holds a trigger back until a time, or until something changes.
    fn hold(&mut self, opening: Box<Opening>, until: Option<Duration>) {
        let key = opening.key();
        self.remove(&key);
        self.wakes.extend(until.map(|until| (until, key.clone())));
        self.waiting.insert(key, (opening, until));
    }

    fn enqueue(&mut self, opening: Box<Opening>, now: Moment) {
        let key = opening.key();
        if self.queued.contains_key(&key) {
            return;
        }
        self.remove(&key);
        let place = (opening.playbook.severity, now.boot);
        self.queued.insert(key.clone(), place);
        self.queue.insert((place.0, place.1, key), opening);
    }

    /// The trigger is of no consequence any more.
    pub(super) fn remove(&mut self, key: &DedupKey) {
        if let Some((_, Some(until))) = self.waiting.remove(key) {
            self.wakes.remove(&(until, key.clone()));
        }
        if let Some((severity, since)) = self.queued.remove(key) {
            self.queue.remove(&(severity, since, key.clone()));
        }
    }

    /// Whether the key has its record in a silence that goes on; else it gets one now.
    fn suppress_once(&mut self, key: &DedupKey, until: Duration, now: Moment) -> bool {
        self.suppressed.retain(|_, end| *end > now.boot);
        self.suppressed.insert(key.clone(), until).is_none()
    }

    /// Something changed for the key: it is looked at again at the next tick.
    pub(super) fn wake(&mut self, key: &DedupKey) {
        if let Some((opening, _)) = self.waiting.get(key) {
            let opening = opening.clone();
            self.hold(opening, Some(Duration::ZERO));
        }
    }

    /// Something changed for all of them.
    pub(super) fn wake_all(&mut self) {
        let keys: Vec<DedupKey> = self.waiting.keys().cloned().collect();
        keys.iter().for_each(|key| self.wake(key));
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&DedupKey) -> bool) {
        let keys: Vec<DedupKey> = self.waiting.keys().chain(self.queued.keys()).filter(|key| !keep(key)).cloned().collect();
        keys.iter().for_each(|key| self.remove(key));
    }

    /// What was held back opens, if it does, with the playbook in force.
    fn renew(&mut self, playbooks: &HashMap<String, Arc<Playbook>>) {
        for opening in self.waiting.values_mut().map(|(opening, _)| opening).chain(self.queue.values_mut()) {
            if let Some(playbook) = playbooks.get(&opening.playbook.id) {
                opening.playbook = Arc::clone(playbook);
            }
        }
    }

    /// Takes what is due.
    pub(super) fn due(&mut self, now: Moment) -> Vec<Opening> {
        let mut due = Vec::new();
        while let Some((_, key)) = self.wakes.first().filter(|(at, _)| *at <= now.boot).cloned() {
            self.wakes.pop_first();
            due.extend(self.waiting.remove(&key).map(|(opening, _)| *opening));
        }
        due
    }

    pub(super) fn next(&self, now: Moment) -> Option<Duration> {
        self.wakes.first().map(|(at, _)| at.saturating_sub(now.boot))
    }

    /// How many wait for nothing but room.
    pub(super) fn queued(&self) -> usize {
        self.queue.len()
    }
}

impl Healer {
    pub(super) fn fired(&mut self, opening: Box<Opening>, now: Moment, effects: &mut Vec<Effect>) {
        let key = opening.key();
        if self.by_key.contains_key(&key) {
            return;
        }
        if let Some((until, text)) = self.silenced(&opening.playbook.id, &opening.target, now) {
            self.suppress(opening, until, text, now, effects);
            return;
        }
        if let Some(sample) = opening.samples.iter().find(|sample| sample.is_wanted()) {
            let text = sample.reason.clone().unwrap_or_default();
            if self.tracks.leave(&key, now) {
                self.record(*opening, Status::Suppressed, text, now, effects);
            }
            return;
        }
        if let Some(healed) = self.tracks.fired(&key, self.dry_run || opening.playbook.dry_run, now) {
            effects.push(Effect::Save(Box::new(Fact::Relapsed(healed))));
            let track = self.tracks.get(&key);
            if track.is_some_and(|track| track.breaker.is_none() && track.attempts >= opening.playbook.max_attempts) {
                self.open_breaker(opening, now, effects);
                return;
            }
        }
        match self.tracks.held(&opening, now) {
            Held::Free => self.admit(opening, now, effects),
            Held::Cooldown(left) => {
                if self.tracks.record_once(&opening.playbook, &key, now) {
                    let text = format!("it fired {} before the end of the cooldown", in_words(left));
                    self.record(Opening::clone(&opening), Status::RateLimited, text, now, effects);
                }
                self.held_back.hold(opening, Some(now.boot + left));
            }
            Held::For(left) => self.held_back.hold(opening, Some(now.boot + left)),
            Held::UntilCleared => self.held_back.hold(opening, None),
        }
    }

    /// Opens the incident if there is room for one more of its urgency.
    fn admit(&mut self, opening: Box<Opening>, now: Moment, effects: &mut Vec<Effect>) {
        if self.has_room(opening.playbook.severity) {
            self.open(*opening, now, now, effects);
        } else {
            self.held_back.enqueue(opening, now)
        }
    }

    /// While what is written down cannot keep up, only what is critical is let in: memory stays flat.
    fn has_room(&self, severity: Severity) -> bool {
        if self.pressed && severity != Severity::Critical {
            return false;
        }
        self.live.len() < MOST_OPEN || self.live.values().filter(|incident| incident.playbook.severity <= severity).count() < MOST_OPEN
    }

    /// Opens what waited for nothing but room.
    pub(super) fn let_in(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        while let Some(first) = self.held_back.queue.first_entry() {
            let severity = first.key().0;
            let since = first.key().1;
            if !self.has_room(severity) {
                return;
            }
            let Some((_, opening)) = self.held_back.queue.pop_first() else { return };
            self.held_back.queued.remove(&opening.key());
            let waited = now.boot.saturating_sub(since);
            if self.tracks.held(&opening, now) == Held::Free {
                self.open(*opening, now.before(waited), now, effects);
            } else {
                self.fired(opening, now, effects);
            }
        }
    }

    pub(super) fn admission(&mut self, key: &DedupKey) -> Admission {
        let track = self.tracks.get(key);
        self.opened += 1;
        Admission {
            sequence: self.opened,
            id: self.ids.next_id(),
            host: self.host.clone(),
            dry_run: self.dry_run,
            attempt: track.map_or(0, |track| track.attempts) + 1,
            retry: track.is_some_and(|track| track.breaker.is_some()),
            paged: track.is_some_and(|track| track.page.is_some()),
        }
    }

    pub(super) fn open(&mut self, opening: Opening, detected: Moment, now: Moment, effects: &mut Vec<Effect>) -> String {
        let key = opening.key();
        let (mut incident, steps) = Incident::open(self.admission(&key), opening, now);
        incident.detected = detected;
        let id = incident.id.clone();
        self.by_key.insert(key, id.clone());
        self.live.insert(id.clone(), incident);
        self.carry_out(&id, steps, true, now, effects);
        id
    }

    /// The relapse that fills the count: one incident without an action, and nothing more until the target is well.
    fn open_breaker(&mut self, opening: Box<Opening>, now: Moment, effects: &mut Vec<Effect>) {
        let key = opening.key();
        let admission = Admission { attempt: self.tracks.get(&key).map_or(0, |track| track.attempts), ..self.admission(&key) };
        let (incident, steps) = Incident::relapsed(admission, *opening, now);
        let id = incident.id.clone();
        self.live.insert(id.clone(), incident);
        self.by_key.insert(key, id.clone());
        self.carry_out(&id, steps, true, now, effects);
    }

    /// An incident that is over as soon as it is written down.
    fn record(&mut self, opening: Opening, status: Status, text: String, now: Moment, effects: &mut Vec<Effect>) {
        let admission = self.admission(&opening.key());
        let incident = Incident::record(admission, opening, status, text, now);
        effects.push(Effect::Changed(Box::new(incident)));
    }

    fn suppress(&mut self, opening: Box<Opening>, until: Moment, text: String, now: Moment, effects: &mut Vec<Effect>) {
        if self.held_back.suppress_once(&opening.key(), until.boot, now) {
            self.record(Opening::clone(&opening), Status::Suppressed, text, now, effects);
        }
        self.held_back.hold(opening, Some(until.boot));
    }

    /// What silences this playbook on this target now: until when, and in words.
    pub(super) fn silenced(&self, playbook: &str, target: &crate::sample::Target, now: Moment) -> Option<(Moment, String)> {
        let why = |reason: &Option<String>| reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let by_hand = self
            .silences
            .iter()
            .filter(|silence| silence.covers(playbook, target, now))
            .map(|silence| (silence.until, format!("silence {} by {}{}", silence.id, silence.by, why(&silence.reason))));
        let recurring = self.recurring.iter().filter_map(|silence| {
            let end = silence.covers(playbook, target, now.wall)?;
            let until = now.after(end.duration_since(now.wall).unsigned_abs());
            Some((until, format!("silence of the settings{}", why(&silence.reason))))
        });
        by_hand.chain(recurring).max_by_key(|(until, _)| until.boot)
    }

    /// An incident that has not started an action ends when a silence covers it.
    pub(super) fn silence(&mut self, id: &str, now: Moment, effects: &mut Vec<Effect>) {
        let Some(incident) = self.live.get(id).filter(|incident| !incident.acted) else { return };
        if let Some((until, text)) = self.silenced(&incident.playbook.id, &incident.target, now) {
            self.held_back.suppress_once(&incident.key(), until.boot, now);
            self.step(id, Event::Silenced(text), now, effects);
        }
    }

    /// Incidents that have not started an action end when their playbook was withdrawn.
    pub(super) fn configured(&mut self, playbooks: &HashMap<String, Arc<Playbook>>, dry_run: bool, now: Moment, effects: &mut Vec<Effect>) {
        self.dry_run = dry_run;
        self.tracks.forget_dry_runs();
        self.held_back.renew(playbooks);
        self.held_back.wake_all();
        let gone = |id: &str| playbooks.get(id).is_none_or(|playbook| !playbook.enabled);
        self.held_back.retain(|key| !gone(&key.playbook));
        let withdrawn = |incident: &&Incident| {
            let now_dry = !incident.dry_run && playbooks.get(&incident.playbook.id).is_some_and(|playbook| playbook.dry_run);
            !incident.acted && (gone(&incident.playbook.id) || now_dry)
        };
        let ids: Vec<String> = self.live.values().filter(withdrawn).map(|incident| incident.id.clone()).collect();
        for id in ids {
            self.step(&id, Event::Withdrawn, now, effects);
        }
        // An agent that executes nothing has nothing to ask.
        let asking = |incident: &&Incident| dry_run && incident.status == Status::AwaitingApproval;
        let ids: Vec<String> = self.live.values().filter(asking).map(|incident| incident.id.clone()).collect();
        for id in ids {
            self.step(&id, Event::DryRun, now, effects);
        }
    }
}
