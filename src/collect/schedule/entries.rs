//! Which entries are on the schedule: they come and go with the settings.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::Scheduler;
use crate::clock::Moment;
use crate::collect::Collector;
use crate::collect::entry::Entry;
use crate::collect::presence::Leaving;
use crate::collect::slot::Slot;
use crate::config::settings::Settings;
use crate::metric::Kind;
use crate::sample::{Gone, Labels, Target};

impl Scheduler {
    /// Watches what these settings say. Entries that were there keep their state and, with the same interval, their schedule.
    pub(crate) fn watch(&mut self, settings: &Settings) {
        let now = Moment::now();
        self.settled = None;
        let mut old: HashMap<String, u64> = self.slots.iter().map(|(id, slot)| (slot.key.clone(), *id)).collect();
        let (mut keep, mut listed) = (HashSet::new(), HashSet::new());
        for entry in Entry::all(settings) {
            let key = entry.key();
            if !listed.insert(key.clone()) {
                continue;
            }
            if let Some(id) = old.remove(&key) {
                keep.insert(id);
                self.adopt(id, entry, now);
            } else {
                let collector = entry.collector(&self.shared);
                keep.insert(self.insert(entry, key, collector, now));
            }
        }
        let gone: Vec<u64> = self.slots.keys().filter(|id| !keep.contains(id)).copied().collect();
        for id in gone {
            self.requests.give_up(id);
            if let Some(slot) = self.slots.remove(&id) {
                self.leaving.extend(slot.leave(now));
            }
        }
    }

    fn adopt(&mut self, id: u64, entry: Entry, now: Moment) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        if slot.interval != entry.interval() {
            slot.interval = entry.interval();
            slot.due = now.running;
            self.due.entry(slot.due).or_default().push(id);
        }
        *slot.entry = entry;
    }

    pub(in crate::collect) fn insert(&mut self, entry: Entry, key: String, collector: Box<dyn Collector>, now: Moment) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.slots.insert(id, Box::new(Slot::new(entry, key, collector, now)));
        self.due.entry(now.running).or_default().push(id);
        id
    }

    /// Tells of targets that their entry has not found for three intervals, or whose entry was removed as long ago, unless another
    /// entry has them by now. For the removed ones that is also one that has not been measured yet, because it hangs, and may have
    /// them.
    pub(super) fn see_off(&mut self, now: Moment) {
        let left: Vec<Leaving> = self.leaving.extract_if(.., |left| left.at.is_due(now)).collect();
        if left.is_empty() && !self.outbox.has_gone() {
            return;
        }
        // Once for all of them: thousands can go together.
        let named: Vec<(Kind, Arc<Target>)> = if left.is_empty() { Vec::new() } else { self.named_targets() };
        let mut there: HashSet<(Kind, &Labels)> = HashSet::new();
        for slot in self.slots.values() {
            there.extend(slot.presence.identities().map(|identity| (slot.entry.kind(), identity)));
        }
        self.outbox.is_there(|gone| there.contains(&(gone.kind, &gone.identity)));
        there.extend(named.iter().map(|(kind, target)| (*kind, &target.identity)));
        let open: Vec<&Entry> = self.slots.values().filter(|slot| !slot.measured).map(|slot| &*slot.entry).collect();
        for left in left {
            let Gone { kind, identity } = &left.gone;
            if there.contains(&(*kind, identity)) {
                continue;
            }
            if open.iter().any(|entry| entry.kind() == *kind && entry.may_have(identity)) {
                self.leaving.push(left.later(now));
            } else {
                self.outbox.gone(left.gone);
            }
        }
    }

    fn named_targets(&self) -> Vec<(Kind, Arc<Target>)> {
        self.slots.values().filter_map(|slot| Some((slot.entry.kind(), slot.entry.named_target()?))).collect()
    }
}
