//! What is to be written and is not yet: of each thing only the newest.

use super::history::Entry;

/// At most so many entries wait, and so many bytes.
const ENTRIES: usize = 10_000;
const BYTES: usize = 32 * 1024 * 1024;
/// One transaction takes so many entries, or the first ones of so many bytes: it must find room on a small disk, too.
const CHUNK: usize = 64;
const CHUNK_BYTES: usize = 256 * 1024;

/// The entries that wait, in the order in which they are written.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    entries: Vec<Entry>,
    bytes: usize,
    dropped: u64,
}

impl Backlog {
    /// Lets an entry wait in the place of an older one about the same thing; an urgent one before all others.
    pub(super) fn put(&mut self, entry: Entry, urgent: bool) {
        let older = self.entries.iter().position(|older| entry.replaces(older));
        self.bytes += entry.size();
        match older {
            Some(index) if !urgent => {
                self.bytes -= self.entries[index].size();
                self.entries[index] = entry;
            }
            older => {
                older.into_iter().for_each(|index| self.remove(index));
                let place = if urgent { 0 } else { self.entries.len() };
                self.entries.insert(place, entry);
            }
        }
        while self.entries.len() > ENTRIES || (self.bytes > BYTES && self.entries.len() > 1) {
            self.remove(self.least_needed());
            self.dropped += 1;
        }
    }

    /// What the next transaction writes; empty when nothing waits.
    pub(super) fn chunk(&self) -> &[Entry] {
        let mut bytes = 0;
        let fits = |entry: &&Entry| {
            bytes += entry.size();
            bytes <= CHUNK_BYTES
        };
        let most = self.entries.iter().take(CHUNK).take_while(fits).count();
        &self.entries[..most.max(1).min(self.entries.len())]
    }

    /// The first `count` are written.
    pub(super) fn written(&mut self, count: usize) {
        self.bytes -= self.entries.drain(..count).map(|entry| entry.size()).sum::<usize>();
    }

    /// Whether this incident waits.
    pub(super) fn has_incident(&self, id: &str) -> bool {
        self.entries.iter().any(|entry| matches!(entry, Entry::Incident(row) if row.id == id))
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many were dropped, because too many waited.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    fn remove(&mut self, index: usize) {
        self.bytes -= self.entries.remove(index).size();
    }

    /// The oldest incident that is over, else the oldest message. What the next start needs goes last.
    fn least_needed(&self) -> usize {
        let first = |matches: fn(&Entry) -> bool| self.entries.iter().position(matches);
        first(|entry| matches!(entry, Entry::Incident(row) if !row.live))
            .or_else(|| first(|entry| matches!(entry, Entry::Notification(_))))
            .unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::history::IncidentRow;
    use super::*;

    fn incident(id: usize, live: bool, view: &str) -> Entry {
        Entry::Incident(Box::new(IncidentRow { id: id.to_string(), live, view: view.to_owned(), ..IncidentRow::default() }))
    }

    fn ids(entries: &[Entry]) -> Vec<String> {
        let id = |entry: &Entry| if let Entry::Incident(row) = entry { row.id.clone() + &row.view } else { panic!("{entry:?}") };
        entries.iter().map(id).collect()
    }

    #[test]
    fn only_the_newest_of_a_thing_waits() {
        let mut backlog = Backlog::default();
        backlog.put(incident(1, true, "a"), false);
        backlog.put(incident(2, true, "a"), false);
        backlog.put(incident(1, true, "b"), false);
        assert_eq!(ids(backlog.chunk()), ["1b", "2a"]);
        backlog.put(incident(2, true, "b"), true);
        assert_eq!(ids(backlog.chunk()), ["2b", "1b"], "what somebody waits for comes first");
        backlog.written(1);
        assert!(!backlog.has_incident("2") && backlog.has_incident("1"));
        backlog.written(1);
        assert!(backlog.chunk().is_empty() && backlog.bytes == 0);
    }

    #[test]
    fn the_oldest_that_ended_gives_way_first() {
        let mut backlog = Backlog::default();
        backlog.put(incident(0, true, ""), false);
        (1..=ENTRIES).for_each(|id| backlog.put(incident(id, id > 2, ""), false));
        assert_eq!((backlog.len(), backlog.dropped()), (ENTRIES, 1));
        assert!(backlog.has_incident("0") && !backlog.has_incident("1") && backlog.has_incident("2"));
        backlog.put(incident(ENTRIES + 1, true, ""), false);
        backlog.put(incident(ENTRIES + 2, true, ""), false);
        assert!(!backlog.has_incident("2") && !backlog.has_incident("0"), "all that are left go on");
        assert_eq!((backlog.len(), backlog.dropped()), (ENTRIES, 3));
    }

    #[test]
    fn bytes_are_limited_too() {
        let mut backlog = Backlog::default();
        let large = "x".repeat(BYTES / 4);
        (0..5).for_each(|id| backlog.put(incident(id, false, &large), false));
        assert_eq!((backlog.len(), backlog.dropped()), (3, 2));
        assert_eq!(backlog.chunk().len(), 1, "one that is too large for a chunk is one");
    }
}
