//! What people ask: heal by hand, yes and no, silences, resets, and how things stand.

use super::{Effect, Fact, Healer};
use crate::clock::{Moment, in_words};
use crate::heal::silence::Silence;
use crate::heal::track::Track;
use crate::incident::event::Event;
use crate::incident::{Answer, DedupKey, Incident, Opening, Status};
use crate::sample::Labels;

/// Why something that was asked for is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotDone {
    /// There is no open incident of that id.
    Unknown(String),
    /// It is refused: too late, not waiting, in its cooldown, silenced.
    Refused(String),
}

/// How things stand, for those who show it.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The open incidents, most urgent first.
    pub incidents: Vec<Incident>,
    /// What is remembered of targets.
    pub tracks: Vec<(DedupKey, Track)>,
    /// Silences by hand that are not over.
    pub silences: Vec<Silence>,
    /// Triggers that wait for nothing but room.
    pub queued: usize,
}

impl Healer {
    /// Opens an incident by hand, in spite of a cooldown if it is forced. A human who asks has seen what was denied, and what
    /// opened the breaker.
    ///
    /// # Errors
    /// That a silence covers it, that the cooldown lasts, or that the key has an open incident.
    pub fn open_by_hand(&mut self, opening: Opening, now: Moment) -> Result<(String, Vec<Effect>), String> {
        let key = opening.key();
        if let Some(open) = self.by_key.get(&key) {
            return Err(format!("incident {open} of {key} is open"));
        }
        if let Some((_, text)) = self.silenced(&opening.playbook.id, &opening.target, now) {
            return Err(format!("{key} is silenced: {text}"));
        }
        if let Some(left) = self.tracks.left(&opening.playbook, &key.identity, now).filter(|_| !opening.force) {
            return Err(format!("{key} is in its cooldown for another {}", in_words(left)));
        }
        let mut effects = Vec::new();
        self.held_back.remove(&key);
        let id = self.open(opening, now, now, &mut effects);
        self.turn_ends(now, &mut effects);
        Ok((id, effects))
    }

    /// A human's answer to the question of an incident. A yes names the words that were shown.
    ///
    /// # Errors
    /// That no such incident is open, or waits for an answer, or that it asks about other words now.
    pub fn answer(&mut self, id: &str, shown: Option<&[String]>, answer: Answer, now: Moment) -> Result<Vec<Effect>, NotDone> {
        let incident = self.live.get(id).ok_or_else(|| NotDone::Unknown(format!("no open incident has the id {id}")))?;
        if incident.status != Status::AwaitingApproval {
            return Err(NotDone::Refused(format!("incident {id} waits for no answer: it is {}", incident.status)));
        }
        let late = incident.approval.as_ref().is_some_and(|approval| approval.deadline.is_due_after_sleep(now));
        if late {
            return Err(NotDone::Refused(format!("the time to answer for incident {id} is over")));
        }
        let asked = incident.approval.iter().flat_map(|approval| approval.commands.iter().flat_map(|(_, argv)| argv));
        if answer.yes && shown.is_some_and(|shown| !shown.iter().eq(asked)) {
            return Err(NotDone::Refused(format!("incident {id} asks about another command now; look again")));
        }
        let mut effects = Vec::new();
        self.step(id, Event::Answered(answer), now, &mut effects);
        self.turn_ends(now, &mut effects);
        Ok(effects)
    }

    /// Begins a silence. Incidents that it covers and that have not started an action end.
    pub fn begin_silence(&mut self, mut silence: Silence, now: Moment) -> (String, Vec<Effect>) {
        silence.id = self.ids.next_id();
        let id = silence.id.clone();
        let mut effects = vec![Effect::Save(Box::new(Fact::Silence(silence.clone())))];
        self.silences.push(silence);
        for open in self.live.keys().cloned().collect::<Vec<_>>() {
            self.silence(&open, now, &mut effects);
        }
        self.turn_ends(now, &mut effects);
        (id, effects)
    }

    /// Ends a silence by hand before its time.
    ///
    /// # Errors
    /// That no silence has that id.
    pub fn end_silence(&mut self, id: &str, now: Moment) -> Result<Vec<Effect>, NotDone> {
        let at = self.silences.iter().position(|silence| silence.id == id);
        let at = at.ok_or_else(|| NotDone::Unknown(format!("no silence has the id {id}")))?;
        let silence = Silence { until: now, ..self.silences.remove(at) };
        self.held_back.wake_all();
        let mut effects = vec![Effect::Save(Box::new(Fact::Silence(silence)))];
        self.tick(now, &mut effects);
        self.turn_ends(now, &mut effects);
        Ok(effects)
    }

    /// Closes breakers and ends pauses of a playbook, on the targets with these labels. Returns which.
    pub fn reset(&mut self, playbook: &str, labels: &Labels, now: Moment) -> (Vec<DedupKey>, Vec<Effect>) {
        let matches = |key: &&DedupKey| key.playbook == playbook && (key.identity.is_empty() || key.identity.covers(labels));
        let keys: Vec<DedupKey> = self.tracks.iter().map(|(key, _)| key).filter(matches).cloned().collect();
        for key in &keys {
            self.tracks.reset(key, now);
            self.begin_anew(key);
        }
        self.held_back.wake_all();
        let mut effects = Vec::new();
        self.tick(now, &mut effects);
        self.turn_ends(now, &mut effects);
        (keys, effects)
    }

    /// How things stand.
    #[must_use]
    pub fn standing(&self, now: Moment) -> Standing {
        let mut incidents: Vec<Incident> = self.live.values().cloned().collect();
        incidents.sort_by_key(Incident::urgency);
        let tracks = self.tracks.iter().map(|(key, track)| (key.clone(), track.clone())).collect();
        let silences = self.silences.iter().filter(|silence| !silence.until.is_due_after_sleep(now)).cloned().collect();
        Standing { incidents, tracks, silences, queued: self.held_back.queued() }
    }
}
