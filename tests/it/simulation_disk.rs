//! What is on the disk, and what is on its way there: a crash keeps the one and a part of the other.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;

use autoheal::clock::Moment;
use autoheal::heal::healer::{Fact, Saved};
use autoheal::incident::Incident;
use autoheal::record::history::{Entry, Restored};
use autoheal::record::{row, saved};
use serde_json::{Value, json};

/// The machine's life: it never ends here.
const BOOT: &str = "boot";

/// What the recorder has written, and what it still has to write, in order.
#[derive(Default)]
pub(super) struct Disk {
    incidents: BTreeMap<String, Option<String>>,
    facts: BTreeMap<String, String>,
    pending: VecDeque<Entry>,
}

impl Disk {
    /// One turn of the heal worker: facts come before incidents (`write_down` in `heal::worker`).
    pub(super) fn write_down(&mut self, facts: Vec<Fact>, changed: BTreeMap<String, Box<Incident>>, now: Moment) {
        self.pending.extend(facts.into_iter().flat_map(|fact| saved::entries(fact, BOOT, now)));
        let rows = changed.values().map(|incident| Entry::Incident(Box::new(row::of(incident, Path::new("report"), BOOT, now))));
        self.pending.extend(rows);
    }

    /// How many entries are on their way.
    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// The first `most` entries that are on their way reach the disk.
    pub(super) fn flush(&mut self, most: usize) {
        for entry in self.pending.drain(..most) {
            match entry {
                Entry::Incident(row) => drop(self.incidents.insert(row.id, row.state)),
                Entry::Fact { key, text: Some(text) } => drop(self.facts.insert(key, text)),
                Entry::Fact { key, text: None } => drop(self.facts.remove(&key)),
                _ => {}
            }
        }
    }

    /// The agent is dead: what was on its way is lost. Returns the keys of facts that are.
    pub(super) fn lose(&mut self) -> Vec<String> {
        let fact = |entry: Entry| if let Entry::Fact { key, .. } = entry { Some(key) } else { None };
        self.pending.drain(..).filter_map(fact).collect()
    }

    /// What the next life of the agent begins with.
    pub(super) fn restore(&self, now: Moment) -> Saved {
        let incidents = self.incidents.iter().filter_map(|(id, state)| Some((id.clone(), state.clone()?))).collect();
        saved::restore(Restored { incidents, facts: self.facts.clone().into_iter().collect(), silences: Vec::new() }, BOOT, now)
    }

    /// Whether it is on the disk that this action runs.
    pub(super) fn has_intent(&self, id: &str, index: usize) -> bool {
        let Some(Some(state)) = self.incidents.get(id) else { return false };
        let state: Value = serde_json::from_str(state).unwrap();
        state["value"]["actions"][index]["status"] == "running"
    }
}

/// What must be the same before a crash and after it. Where an incident stands between two entries of its timeline is not
/// written down (a turn, evidence without a hint): it is decided anew.
pub(super) fn comparable(saved: &Saved, now: Moment) -> Value {
    let incident = |incident: &Incident| {
        let mut value = json!(incident);
        for decided_anew in ["phase", "status", "evidence", "evidence_due", "gone", "paged", "attempt", "retry"] {
            value.as_object_mut().unwrap().remove(decided_anew);
        }
        value
    };
    let mut silences: Vec<_> = saved.silences.iter().filter(|silence| !silence.until.is_due_after_sleep(now)).collect();
    silences.sort_by(|a, b| a.id.cmp(&b.id));
    json!({
        "incidents": saved.incidents.iter().map(incident).collect::<Vec<_>>(),
        "tracks": saved.tracks.iter().collect::<Vec<_>>(),
        "budget": saved.budget,
        "silences": silences,
    })
}

/// The first place where two values differ, and both sides.
pub(super) fn difference(path: &str, before: &Value, after: &Value) -> Option<String> {
    match (before, after) {
        (Value::Object(a), Value::Object(b)) if a.keys().eq(b.keys()) => {
            a.iter().find_map(|(key, value)| difference(&format!("{path}.{key}"), value, &b[key]))
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).enumerate().find_map(|(at, (a, b))| difference(&format!("{path}[{at}]"), a, b))
        }
        _ => (before != after).then(|| format!("{path} was {before}, and becomes {after}")),
    }
}
