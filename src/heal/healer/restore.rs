//! What an earlier life of the agent left: taken up, and never run again blindly.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::{Effect, Fact, Healer};
use crate::clock::Moment;
use crate::config::playbook::Playbook;
use crate::heal::silence::Silence;
use crate::heal::track::Track;
use crate::incident::resume::Now;
use crate::incident::{DedupKey, Incident};

/// Everything that survives a restart. Moments are on the clocks of this life.
#[derive(Clone, Debug, Default)]
pub struct Saved {
    /// Incidents that were open.
    pub incidents: Vec<Incident>,
    /// What was remembered of targets.
    pub tracks: BTreeMap<DedupKey, Track>,
    /// When the actions of the last hour started.
    pub budget: Vec<Moment>,
    /// Silences by hand.
    pub silences: Vec<Silence>,
}

impl Healer {
    /// Puts back what was saved; nothing happens yet.
    pub fn load(&mut self, saved: Saved) {
        self.budget.restore(saved.budget);
        self.silences = saved.silences;
        for (key, track) in saved.tracks {
            self.tracks.restore(key, track);
        }
        for incident in saved.incidents {
            let key = incident.key();
            self.by_key.insert(key.clone(), incident.id.clone());
            self.live.insert(incident.id.clone(), incident);
            self.begin_anew(&key);
        }
    }

    /// What is saved: the opposite of [`load`](Self::load).
    #[must_use]
    pub fn saved(&self) -> Saved {
        Saved {
            incidents: self.live.values().cloned().collect(),
            tracks: self.tracks.iter().map(|(key, track)| (key.clone(), track.clone())).collect(),
            budget: self.budget.started().collect(),
            silences: self.silences.clone(),
        }
    }

    /// The effects that write all of it down.
    #[must_use]
    pub fn all_to_save(&self) -> Vec<Effect> {
        let Saved { incidents, tracks, budget, silences } = self.saved();
        let tracks = tracks.into_iter().map(|(key, track)| Fact::Track(key, Some(Box::new(track))));
        let facts = tracks.chain([Fact::Budget(budget)]).chain(silences.into_iter().map(Fact::Silence));
        let incidents = incidents.into_iter().map(|incident| Effect::Changed(Box::new(incident)));
        facts.map(|fact| Effect::Save(Box::new(fact))).chain(incidents).collect()
    }

    /// Takes up what was loaded. `still_running` says whether the process of an incident's action is still there.
    pub fn resume(
        &mut self,
        playbooks: &HashMap<String, Arc<Playbook>>,
        still_running: impl Fn(&Incident) -> bool,
        now: Moment,
    ) -> Vec<Effect> {
        let mut effects: Vec<Effect> = self.tracks.iter().map(|(key, _)| Effect::Watch(key.clone())).collect();
        for id in self.live.keys().cloned().collect::<Vec<_>>() {
            let Some(incident) = self.live.get_mut(&id) else { continue };
            // Set to dry run meanwhile, it starts no action any more; what has acted is proven all the same.
            let may_act = |playbook: &Arc<Playbook>| incident.acted || incident.dry_run || !playbook.dry_run;
            let in_force = playbooks.get(&incident.playbook.id).is_some_and(|playbook| playbook.enabled && may_act(playbook));
            let running = still_running(incident);
            let steps = match self.tracks.end_of(incident) {
                Some((status, tells)) => incident.end_again(status, tells, now),
                None => incident.resume(if in_force { Now::InForce } else { Now::Withdrawn }, running, now),
            };
            let adopted = incident.adopted().and_then(|(index, until)| Some((incident.actions[index].process.clone()?, until)));
            if let Some((process, until)) = adopted {
                self.acting = Some(id.clone());
                effects.push(Effect::Adopt { id: id.clone(), process, until });
            }
            effects.push(Effect::Watch(incident.key()));
            self.carry_out(&id, steps, true, now, &mut effects);
        }
        self.turn_ends(now, &mut effects);
        effects
    }
}
