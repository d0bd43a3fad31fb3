//! What people do in a timeline, and the restart of the agent: all that is left is what was written down.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use autoheal::clock::Moment;
use autoheal::detect::detector::Detector;
use autoheal::heal::healer::{Fact, Healer};
use autoheal::heal::silence::Silence;
use autoheal::incident::id::Ids;
use autoheal::incident::{Answer, Incident};
use autoheal::record::history::{Entry, Restored};
use autoheal::record::{row, saved};
use autoheal::sample::Labels;

use super::{Due, Simulation};

/// What is on the disk.
#[derive(Default)]
pub(super) struct Written {
    incidents: BTreeMap<String, Option<String>>,
    facts: BTreeMap<String, String>,
}

const BOOT: &str = "boot";

impl Written {
    pub(super) fn incident(&mut self, incident: &Incident) {
        let row = row::of(incident, Path::new("report"), BOOT, incident.detected);
        self.incidents.insert(row.id, row.state);
    }

    fn incidents(&self) -> Vec<(String, String)> {
        self.incidents.iter().filter_map(|(id, state)| Some((id.clone(), state.clone()?))).collect()
    }

    pub(super) fn fact(&mut self, fact: Fact, now: Moment) {
        for entry in saved::entries(fact, BOOT, now) {
            match entry {
                Entry::Fact { key, text: Some(text) } => drop(self.facts.insert(key, text)),
                Entry::Fact { key, text: None } => drop(self.facts.remove(&key)),
                _ => {}
            }
        }
    }
}

impl Simulation {
    pub(super) fn people(&mut self, index: usize) {
        let now = self.moment();
        let change = &self.timeline.world[index];
        let (yes, asked) = (change.approve.is_some(), change.approve.clone().or(change.deny.clone()));
        let (silence, reset) = (change.silence_seconds, change.reset.clone());
        if let Some(key) = asked {
            let id = self.healer.live().find(|incident| incident.key().to_string() == key).map(|incident| incident.id.clone());
            let answer = Answer { yes, by: "ops".to_owned(), from: "test".to_owned(), reason: None };
            let result = self.healer.answer(&id.unwrap_or_default(), None, answer, now);
            match result {
                Ok(effects) => self.carry_out(effects),
                Err(error) => self.note(format!("NOT DONE {error:?}")),
            }
        }
        if let Some(seconds) = silence {
            let (id, labels, until) = (String::new(), Labels::default(), now.after(Duration::from_secs_f64(seconds)));
            let silence = Silence { id, playbook: None, labels, until, reason: None, by: "ops".to_owned() };
            let (_, effects) = self.healer.begin_silence(silence, now);
            self.carry_out(effects);
        }
        if let Some(playbook) = reset {
            let (keys, effects) = self.healer.reset(&playbook, &Labels::default(), now);
            self.note(format!("RESET {}", keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")));
            self.carry_out(effects);
        }
    }

    pub(super) fn restart(&mut self) {
        self.note("RESTART".to_owned());
        let restored =
            Restored { incidents: self.written.incidents(), facts: self.written.facts.clone().into_iter().collect(), silences: Vec::new() };
        let saved = saved::restore(restored, BOOT, self.moment());
        let dry_run = self.healer.dry_run();
        self.healer = Healer::new("test-host".to_owned(), Ids::new(1000), dry_run, 60);
        self.detector = Detector::default();
        self.agenda.retain(|(_, due)| !matches!(due, Due::Finish(..)));
        let playbooks =
            self.timeline.world.iter().filter(|change| change.at <= self.now).filter_map(|change| change.playbooks.clone()).next_back();
        self.put_in_force(&playbooks.unwrap_or_else(|| self.timeline.playbooks.clone()), dry_run);
        self.healer.load(saved);
        let effects = self.healer.resume(&self.playbooks.clone(), |_| false, self.moment());
        self.carry_out(effects);
    }
}
