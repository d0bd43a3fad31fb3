//! Samples on their way to the detector. A full channel never blocks: the newest sample of a key waits, older ones give way.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use super::Counts;
use crate::metric::Kind;
use crate::sample::{Batch, Gone, Labels, Sample};

/// What could not be sent yet.
#[derive(Debug)]
pub(crate) struct Outbox {
    batches: Sender<Batch>,
    gone: Vec<Gone>,
    /// What is gone since the last flush, and how many fresh samples were there before.
    going: HashMap<Gone, usize>,
    fresh: Vec<Sample>,
    /// How many samples a batch had lately, at most.
    usual: usize,
    /// The memory of a batch that was read: the next one goes into it. A pass over thousands of targets is a large block, which the
    /// system would map and clear anew each time.
    emptied: (Sender<Vec<Sample>>, Receiver<Vec<Sample>>),
    /// What did not find room. Plain, because it can be a pass over thousands of targets.
    waiting: Vec<Sample>,
    /// The kinds that the detector takes for settled.
    settled: Vec<Kind>,
    counts: Arc<Counts>,
}

/// Nobody reads the samples any more.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unheard;

impl Outbox {
    pub(crate) fn new(batches: Sender<Batch>, counts: Arc<Counts>) -> Self {
        Self {
            batches,
            gone: Vec::new(),
            going: HashMap::new(),
            fresh: Vec::new(),
            usual: 0,
            emptied: bounded(1),
            waiting: Vec::new(),
            settled: Vec::new(),
            counts,
        }
    }

    /// Where the reader of a batch leaves its memory.
    pub(crate) fn emptied(&self) -> Sender<Vec<Sample>> {
        self.emptied.0.clone()
    }

    /// Takes samples for the next [`Self::flush`].
    pub(crate) fn add(&mut self, samples: Vec<Sample>) {
        if self.fresh.is_empty() {
            if self.fresh.capacity() == 0 {
                self.fresh = self.emptied.1.try_recv().unwrap_or_default();
                self.fresh.clear();
                self.fresh.shrink_to(self.usual * 2);
            }
            self.fresh.reserve_exact(self.usual);
        }
        self.fresh.extend(samples);
    }

    /// Takes a target that is gone. Its samples that were not sent yet are of no interest any more; later ones are.
    pub(crate) fn gone(&mut self, gone: Gone) {
        self.going.insert(gone, self.fresh.len());
    }

    /// Whether anything is gone since the last flush.
    pub(crate) fn has_gone(&self) -> bool {
        !self.going.is_empty()
    }

    /// What is gone since the last flush is not where this says so.
    pub(crate) fn is_there(&mut self, there: impl Fn(&Gone) -> bool) {
        self.going.retain(|gone, _| !there(gone));
    }

    /// Whether there are samples for the next [`Self::flush`].
    pub(crate) fn has_news(&self) -> bool {
        !self.fresh.is_empty()
    }

    /// Whether something waits for room.
    pub(crate) fn is_behind(&self) -> bool {
        !self.waiting.is_empty() || !self.gone.is_empty()
    }

    /// Sends what there is, in one batch, if there is room.
    ///
    /// # Errors
    /// When nobody listens any more.
    pub(crate) fn flush(&mut self, settled: &[Kind]) -> Result<(), Unheard> {
        self.drop_gone();
        if !self.is_behind() && self.fresh.is_empty() && self.settled == settled {
            return Ok(());
        }
        let batch = Batch { gone: std::mem::take(&mut self.gone), samples: self.latest(), settled: settled.to_vec() };
        match self.batches.try_send(batch) {
            Ok(()) => {
                self.settled = settled.to_vec();
                Ok(())
            }
            Err(TrySendError::Full(batch)) => {
                (self.gone, self.waiting) = (batch.gone, batch.samples);
                Ok(())
            }
            Err(TrySendError::Disconnected(_)) => Err(Unheard),
        }
    }

    /// Drops the samples that what is gone had before. Thousands can go together: none of them is looked for on its own.
    fn drop_gone(&mut self) {
        if self.going.is_empty() {
            return;
        }
        let going = std::mem::take(&mut self.going);
        let before = |sample: &Sample| going.get(&Gone::of(sample)).copied();
        self.waiting.retain(|sample| before(sample).is_none());
        let mut place = 0;
        self.fresh.retain(|sample| {
            place += 1;
            before(sample).is_none_or(|before| place > before)
        });
        let told: HashSet<Gone> = self.gone.iter().cloned().collect();
        let mut news: Vec<(Gone, usize)> = going.into_iter().filter(|(gone, _)| !told.contains(gone)).collect();
        news.sort_by(|(a, one), (b, other)| (one, a.kind, &a.identity).cmp(&(other, b.kind, &b.identity)));
        self.gone.extend(news.into_iter().map(|(gone, _)| gone));
    }

    /// What is fresh, and what waits of other keys.
    fn latest(&mut self) -> Vec<Sample> {
        self.usual = self.fresh.len().max(self.usual - self.usual / 16);
        let (fresh, mut waiting) = (std::mem::take(&mut self.fresh), std::mem::take(&mut self.waiting));
        if waiting.is_empty() {
            return fresh;
        }
        let newer: HashSet<(&str, &Labels)> = fresh.iter().map(key).collect();
        let before = waiting.len();
        waiting.retain(|sample| !newer.contains(&key(sample)));
        self.counts.add_coalesced(before - waiting.len());
        waiting.extend(fresh);
        waiting
    }
}

fn key(sample: &Sample) -> (&str, &Labels) {
    (sample.metric.name, &sample.target.identity)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crossbeam_channel::bounded;

    use super::*;
    use crate::clock::Moment;
    use crate::metric;
    use crate::sample::{Target, Value};

    fn sample(name: &str, number: f64) -> Sample {
        let target = Target::new(Labels::from([("path", name)]), Labels::default());
        Sample::known(metric::named("log_file_size_mb"), &target, Value::Number(number), Moment::at_seconds(number))
    }

    #[test]
    fn the_latest_of_each_key_waits_for_room() {
        let (sender, receiver) = bounded(1);
        let counts = Arc::new(Counts::default());
        let mut outbox = Outbox::new(sender, Arc::clone(&counts));
        for number in 0..5 {
            outbox.add(vec![sample("a", f64::from(number)), sample("b", f64::from(number))]);
            outbox.flush(&[]).unwrap();
        }
        assert!(outbox.is_behind());
        assert_eq!(receiver.recv().unwrap().samples.len(), 2, "the first batch went through");
        outbox.flush(&[]).unwrap();
        let values: Vec<_> = receiver.recv().unwrap().samples.into_iter().map(|sample| sample.value).collect();
        assert_eq!(values, [Some(Value::Number(4.0)), Some(Value::Number(4.0))]);
        assert!(!outbox.is_behind());
        assert_eq!(counts.coalesced(), 6);
        drop(receiver);
        outbox.add(vec![sample("a", 9.0)]);
        assert_eq!(outbox.flush(&[]), Err(Unheard));
    }

    #[test]
    fn what_is_gone_waits_too_and_takes_its_older_samples_along() {
        let (sender, receiver) = bounded(1);
        let mut outbox = Outbox::new(sender, Arc::default());
        outbox.add(vec![sample("a", 0.0)]);
        outbox.flush(&[]).unwrap();
        outbox.add(vec![sample("a", 1.0), sample("b", 1.0)]);
        outbox.flush(&[Kind::LogFile]).unwrap();
        let gone = Gone { kind: Kind::LogFile, identity: Labels::from([("path", "a")]) };
        for _ in 0..2 {
            outbox.add(vec![sample("a", 2.0)]);
            outbox.gone(gone.clone());
            outbox.flush(&[Kind::LogFile]).unwrap();
        }
        // It is back.
        outbox.add(vec![sample("a", 3.0)]);
        outbox.flush(&[Kind::LogFile]).unwrap();
        receiver.recv().unwrap();
        outbox.flush(&[Kind::LogFile]).unwrap();
        let expected = Batch { gone: vec![gone.clone()], samples: vec![sample("b", 1.0), sample("a", 3.0)], settled: vec![Kind::LogFile] };
        assert_eq!(receiver.recv().unwrap(), expected);
        assert!(!outbox.is_behind());
        // A target that is gone is news without any sample, and so is what is settled.
        outbox.gone(gone);
        outbox.flush(&[Kind::LogFile]).unwrap();
        assert_eq!(receiver.recv().unwrap().gone.len(), 1);
        outbox.flush(&[Kind::LogFile]).unwrap();
        assert!(receiver.is_empty());
        outbox.flush(&[Kind::Disk, Kind::LogFile]).unwrap();
        assert_eq!(receiver.recv().unwrap(), Batch { settled: vec![Kind::Disk, Kind::LogFile], ..Batch::default() });
    }

    #[test]
    fn what_is_gone_takes_only_the_samples_before_it_along() {
        let (sender, receiver) = bounded(1);
        let mut outbox = Outbox::new(sender, Arc::default());
        let gone = |name| Gone { kind: Kind::LogFile, identity: Labels::from([("path", name)]) };
        outbox.add(vec![sample("a", 1.0), sample("b", 1.0), sample("c", 1.0)]);
        outbox.gone(gone("b"));
        outbox.gone(gone("a"));
        outbox.gone(gone("c"));
        outbox.add(vec![sample("a", 2.0), sample("b", 2.0)]);
        outbox.gone(gone("b"));
        // Another entry has it.
        outbox.is_there(|gone| gone.identity.get("path") == Some("c"));
        outbox.flush(&[]).unwrap();
        let expected = Batch { gone: vec![gone("a"), gone("b")], samples: vec![sample("c", 1.0), sample("a", 2.0)], settled: Vec::new() };
        assert_eq!(receiver.recv().unwrap(), expected);
        assert!(!outbox.has_gone() && !outbox.is_behind());
    }

    #[test]
    fn the_memory_of_a_batch_that_was_read_holds_the_next_one_unless_it_is_far_too_large() {
        let (sender, receiver) = bounded(1);
        let mut outbox = Outbox::new(sender, Arc::default());
        let mut round = |count: usize| {
            outbox.add(vec![sample("a", 1.0); count]);
            outbox.flush(&[]).unwrap();
            let mut batch = receiver.recv().unwrap();
            let (place, room) = (batch.samples.as_ptr(), batch.samples.capacity());
            assert_eq!(batch.samples.len(), count);
            batch.samples.truncate(3);
            outbox.emptied().try_send(batch.samples).unwrap();
            (place, room)
        };
        let first = round(1000);
        assert_eq!(round(900), first);
        assert_eq!(round(2), first, "a small one between two large ones");
        assert_eq!(round(1000), first);
        let last = (0..100).map(|_| round(2)).last().unwrap();
        assert!(last.1 < 100, "{} for two", last.1);
    }
}
