//! What is kept for the next life of the agent: the healer's facts as entries of the history, and back.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::history::{Entry, Restored, SilenceRow};
use super::row::Kept;
use crate::clock::Moment;
use crate::heal::healer::{Fact, Saved};
use crate::heal::silence::Silence;
use crate::heal::track::Track;
use crate::incident::DedupKey;

const BUDGET: &str = "budget";
const TRACK: &str = "track/";
const SILENCE: &str = "silence/";

/// The entries that a fact becomes.
#[must_use]
pub fn entries(fact: Fact, boot: &str, now: Moment) -> Vec<Entry> {
    match fact {
        Fact::Track(key, track) => {
            vec![Entry::Fact { key: format!("{TRACK}{}", text(&key)), text: track.map(|track| keep(&(key, track), boot)) }]
        }
        Fact::Budget(started) => vec![Entry::Fact { key: BUDGET.to_owned(), text: Some(keep(&started, boot)) }],
        Fact::Relapsed(id) => vec![Entry::Relapsed(id)],
        Fact::Silence(silence) => {
            let over = silence.until.is_due_after_sleep(now);
            let kept = (!over).then(|| keep(&silence, boot));
            vec![Entry::Fact { key: format!("{SILENCE}{}", silence.id), text: kept }, Entry::Silence(row(silence, over, now))]
        }
    }
}

fn row(silence: Silence, over: bool, now: Moment) -> SilenceRow {
    SilenceRow {
        labels: text(&silence.labels),
        id: silence.id,
        playbook: silence.playbook,
        from_at: now.wall.as_millisecond(),
        until_at: silence.until.wall.as_millisecond(),
        reason: silence.reason,
        by: Some(silence.by),
        expired: over,
    }
}

fn keep(value: &impl Serialize, boot: &str) -> String {
    text(&Kept { boot: boot.to_owned(), value })
}

fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// What the history holds, with every moment on the clocks of this life of the machine. What this version cannot read is
/// left out, and named in the log.
#[must_use]
pub fn restore(restored: Restored, boot: &str, now: Moment) -> Saved {
    let mut saved = Saved { incidents: Vec::new(), tracks: BTreeMap::new(), budget: Vec::new(), silences: Vec::new() };
    for (id, state) in restored.incidents {
        saved.incidents.extend(read(&format!("incident {id}"), &state, boot, now));
    }
    for (key, state) in restored.facts {
        if key == BUDGET {
            saved.budget = read(&key, &state, boot, now).unwrap_or_default();
        } else if key.starts_with(TRACK) {
            saved.tracks.extend(read::<(DedupKey, Track)>(&key, &state, boot, now));
        } else if key.starts_with(SILENCE) {
            saved.silences.extend(read::<Silence>(&key, &state, boot, now).filter(|silence| !silence.until.is_due_after_sleep(now)));
        }
    }
    saved
}

fn read<T: DeserializeOwned>(what: &str, state: &str, boot: &str, now: Moment) -> Option<T> {
    let read = || -> Result<T, serde_json::Error> {
        let mut kept: Kept<Value> = serde_json::from_str(state)?;
        if kept.boot != boot {
            rebase(&mut kept.value, now);
        }
        serde_json::from_value(kept.value)
    };
    read().map_err(|error| log::error!("{what} of an earlier run cannot be read, and is left out: {error}")).ok()
}

/// Moments of an earlier life of the machine: only their wall time means anything here, so the other clocks follow from it.
fn rebase(value: &mut Value, now: Moment) {
    if let Ok(then) = serde_json::from_value::<Moment>(value.clone()) {
        let moved = match now.wall.duration_since(then.wall).unsigned_abs() {
            span if then.wall <= now.wall => now.before(span),
            span => now.after(span),
        };
        *value = serde_json::json!(Moment { wall: then.wall, ..moved });
        return;
    }
    match value {
        Value::Array(list) => list.iter_mut().for_each(|part| rebase(part, now)),
        Value::Object(object) => object.values_mut().for_each(|part| rebase(part, now)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::heal::healer::{Effect, Healer};
    use crate::incident::id::Ids;
    use crate::sample::Labels;

    fn silence(until: Moment) -> Silence {
        Silence { id: "a".to_owned(), playbook: None, labels: Labels::default(), until, reason: None, by: "root".to_owned() }
    }

    #[test]
    fn what_is_written_down_after_a_loss_is_all_that_a_restart_needs() {
        let now = Moment::at_seconds(1000.0);
        let key = DedupKey { playbook: "disk".to_owned(), identity: Labels::from([("mount", "/data")]) };
        let track: Track = serde_json::from_value(serde_json::json!({"attempts": 2, "denied": true, "cooldown": now})).unwrap();
        let (tracks, budget, silences) = (BTreeMap::from([(key, track)]), vec![now], vec![silence(now.after(Duration::from_secs(60)))]);
        let saved = Saved { incidents: Vec::new(), tracks, budget, silences };
        let mut healer = Healer::new("host".to_owned(), Ids::new(1), false, 60);
        healer.load(saved.clone());
        let facts =
            healer.all_to_save().into_iter().map(|effect| if let Effect::Save(fact) = effect { *fact } else { panic!("{effect:?}") });
        let kept = facts.flat_map(|fact| entries(fact, "boot", now)).filter_map(|entry| match entry {
            Entry::Fact { key, text } => Some((key, text?)),
            _ => None,
        });
        let again = restore(Restored { facts: kept.collect(), ..Restored::default() }, "boot", now);
        assert_eq!((again.tracks, again.budget, again.silences), (saved.tracks, saved.budget, saved.silences));
    }

    #[test]
    fn moments_of_an_earlier_boot_keep_their_wall_time() {
        let now = Moment::at_seconds(1000.0);
        // The machine started anew: its clocks read less than before, an hour of wall time has passed.
        let until = Moment { boot: Duration::from_secs(7), running: Duration::from_secs(7), wall: now.wall + Duration::from_secs(600) };
        let kept = keep(&silence(until), "before");
        let restored = |boot: &str| {
            restore(Restored { facts: vec![("silence/a".to_owned(), kept.clone())], ..Restored::default() }, boot, now).silences
        };
        assert_eq!(restored("now"), [silence(now.after(Duration::from_secs(600)))]);
        assert_eq!(restored("before"), [], "in the same life of the machine the boot clock counts, whatever the wall says");
    }
}
