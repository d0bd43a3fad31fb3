//! What is on the disk, and what is on its way there: a crash keeps the one and a part of the other.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;

use autoheal::clock::Moment;
use autoheal::heal::healer::{Fact, Saved};
use autoheal::incident::{ActionStatus, DedupKey, Incident};
use autoheal::record::history::{Entry, Restored};
use autoheal::record::{row, saved};
use serde_json::{Value, json};

/// The machine's life: it never ends here.
const BOOT: &str = "boot";

/// What the recorder has written, and what it still has to write, in order. It becomes text when somebody reads it: most is
/// written over before.
#[derive(Default)]
pub(super) struct Disk {
    incidents: BTreeMap<String, Box<Incident>>,
    facts: BTreeMap<String, (Fact, Moment)>,
    pending: VecDeque<Pending>,
}

enum Pending {
    Fact(Box<Fact>, Moment),
    Incident(Box<Incident>),
}

impl Disk {
    /// One turn of the heal worker: facts come before incidents (`write_down` in `heal::worker`).
    pub(super) fn write_down(&mut self, facts: Vec<Fact>, changed: BTreeMap<String, Box<Incident>>, now: Moment) {
        self.pending.extend(facts.into_iter().map(|fact| Pending::Fact(Box::new(fact), now)));
        self.pending.extend(changed.into_values().map(Pending::Incident));
    }

    /// How many entries are on their way.
    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// The first `most` entries that are on their way reach the disk.
    pub(super) fn flush(&mut self, most: usize) {
        for entry in self.pending.drain(..most) {
            match entry {
                Pending::Incident(incident) if incident.status.is_live() => drop(self.incidents.insert(incident.id.clone(), incident)),
                Pending::Incident(incident) => drop(self.incidents.remove(&incident.id)),
                Pending::Fact(fact, at) => drop(self.facts.insert(name(&fact), (*fact, at))),
            }
        }
    }

    /// The agent is dead: what was on its way is lost. Returns the names of the facts that are.
    pub(super) fn lose(&mut self) -> Vec<String> {
        let fact = |entry: Pending| if let Pending::Fact(fact, _) = entry { Some(name(&fact)) } else { None };
        self.pending.drain(..).filter_map(fact).collect()
    }

    /// What the next life of the agent begins with.
    pub(super) fn restore(&self, now: Moment) -> Saved {
        let state = |incident: &Incident| row::of(incident, Path::new("report"), BOOT, incident.detected).state;
        let incidents = self.incidents.iter().filter_map(|(id, incident)| Some((id.clone(), state(incident)?))).collect();
        let entries = self.facts.values().flat_map(|(fact, at)| saved::entries(fact.clone(), BOOT, *at));
        let facts = entries.filter_map(|entry| if let Entry::Fact { key, text } = entry { Some((key, text?)) } else { None }).collect();
        saved::restore(Restored { incidents, facts, silences: Vec::new() }, BOOT, now)
    }

    /// Whether the disk says that this incident has ended, in what it says of the target: its row still says that it is open.
    pub(super) fn knows_end(&self, incident: &Incident) -> bool {
        let fact = self.facts.get(&track(&incident.key()));
        matches!(fact, Some((Fact::Track(_, Some(track)), _)) if json!(track)["ended"][0] == incident.id.as_str())
    }

    /// Whether it is on the disk that this action runs.
    pub(super) fn has_intent(&self, id: &str, index: usize) -> bool {
        self.incidents.get(id).is_some_and(|incident| incident.actions[index].status == ActionStatus::Running)
    }
}

/// What a newer fact of the same name replaces.
fn name(fact: &Fact) -> String {
    match fact {
        Fact::Track(key, _) => track(key),
        Fact::Budget(_) => "budget".to_owned(),
        Fact::Silence(silence) => format!("silence {}", silence.id),
        Fact::Relapsed(id) => format!("relapsed {id}"),
    }
}

/// The name of what is remembered of a key.
pub(super) fn track(key: &DedupKey) -> String {
    format!("track {key}")
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
