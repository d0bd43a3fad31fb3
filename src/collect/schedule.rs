//! The schedule: a timer heap with absolute deadlines, owned by one thread.
//!
//! A tick is `start + n × interval`, so nothing drifts; ticks that were missed are counted as late and not made up for.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, never, select, unbounded};

use super::entry::Entry;
use super::fresh::Requests;
use super::outbox::{Gone, Outbox};
use super::pool::{self, Done, Job, Panicked, Pool};
use super::shared::Shared;
use super::{Collector, Counts, Fresh, Order};
use crate::clock::{Moment, in_words};
use crate::config::settings::Settings;
use crate::sample::{Sample, Target};

/// How long a full channel of samples is left alone.
const RETRY: Duration = Duration::from_millis(20);

/// Without anything due the clocks are looked at this often, to notice that the machine slept.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// A machine that slept for less has not slept.
const SLEPT: Duration = Duration::from_secs(1);

/// Everything that is watched, and when it is measured next.
pub(crate) struct Scheduler {
    shared: Shared,
    slots: HashMap<u64, Slot>,
    next_id: u64,
    heap: BinaryHeap<Reverse<(Duration, u64)>>,
    pool: Pool,
    done: Receiver<Done>,
    requests: Requests,
    outbox: Outbox,
    counts: Arc<Counts>,
    /// By how much the boot clock was ahead of the running clock.
    asleep: Duration,
}

/// One entry at work.
struct Slot {
    entry: Entry,
    key: String,
    /// Not here while it measures on the pool.
    collector: Option<Box<dyn Collector>>,
    /// Running clock. A heap element with another time is outdated.
    due: Duration,
    /// When it went to the pool.
    sent: Moment,
    /// What it measured last.
    targets: Vec<Arc<Target>>,
    panicked: bool,
}

impl Scheduler {
    pub(crate) fn new(shared: Shared, samples: Sender<Vec<Sample>>, counts: Arc<Counts>) -> Self {
        let (sender, done) = unbounded();
        let now = Moment::now();
        Self {
            shared,
            slots: HashMap::new(),
            next_id: 0,
            heap: BinaryHeap::new(),
            pool: Pool::new(sender),
            done,
            requests: Requests::default(),
            outbox: Outbox::new(samples, Arc::clone(&counts)),
            counts,
            asleep: now.boot.saturating_sub(now.running),
        }
    }

    /// Watches what these settings say. Entries that were there keep their state and, with the same interval, their schedule.
    pub(crate) fn watch(&mut self, settings: &Settings) {
        let now = Moment::now();
        let mut old: HashMap<String, u64> = self.slots.iter().map(|(id, slot)| (slot.key.clone(), *id)).collect();
        let mut keep = BTreeSet::new();
        for entry in Entry::all(settings) {
            let key = entry.key();
            if let Some(id) = old.remove(&key) {
                keep.insert(id);
                self.adopt(id, entry, now);
            } else if !self.slots.iter().any(|(id, slot)| slot.key == key && keep.contains(id)) {
                let collector = entry.collector(&self.shared);
                keep.insert(self.insert(entry, key, collector, now));
            }
        }
        let gone: Vec<u64> = self.slots.keys().filter(|id| !keep.contains(id)).copied().collect();
        for id in gone {
            self.slots.remove(&id);
            self.requests.give_up(id);
        }
    }

    fn adopt(&mut self, id: u64, entry: Entry, now: Moment) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        if slot.entry.interval() != entry.interval() {
            slot.due = now.running;
            self.heap.push(Reverse((slot.due, id)));
        }
        slot.entry = entry;
    }

    fn insert(&mut self, entry: Entry, key: String, collector: Box<dyn Collector>, now: Moment) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        let slot = Slot { entry, key, collector: Some(collector), due: now.running, sent: now, targets: Vec::new(), panicked: false };
        self.slots.insert(id, slot);
        self.heap.push(Reverse((now.running, id)));
        id
    }

    /// Measures until `shutdown` is disconnected or nobody takes samples any more.
    pub(crate) fn run(mut self, mut orders: Receiver<Order>, shutdown: &Receiver<()>) {
        let done = self.done.clone();
        loop {
            let now = Moment::now();
            self.notice_sleep(now);
            self.tick(now);
            self.pool.grow(now);
            if self.turn_ends(Moment::now()) == Err(Gone) {
                return;
            }
            let wait = self.wait(Moment::now());
            select! {
                recv(shutdown) -> _ => return,
                recv(done) -> result => self.results(result.into_iter().chain(done.try_iter())),
                recv(orders) -> order => match order {
                    Ok(order) => self.obey(order),
                    // Nobody can ask for anything any more; a closed channel would be ready for ever.
                    Err(_) => orders = never(),
                },
                default(wait) => {}
            }
        }
    }

    fn turn_ends(&mut self, now: Moment) -> Result<(), Gone> {
        self.requests.answer(now);
        self.outbox.flush()
    }

    fn wait(&self, now: Moment) -> Duration {
        let retry = self.outbox.is_behind().then(|| now.after(RETRY));
        let soonest = [self.pool.next_look(), self.requests.next_deadline(), retry].into_iter().flatten().map(|at| at.running);
        let due = self.heap.peek().map(|Reverse((due, _))| *due);
        soonest.chain(due).min().map_or(LONGEST_WAIT, |at| at.saturating_sub(now.running)).min(LONGEST_WAIT)
    }

    /// After a sleep of the machine everything is measured once, at once.
    fn notice_sleep(&mut self, now: Moment) {
        let asleep = now.boot.saturating_sub(now.running);
        if asleep >= self.asleep + SLEPT {
            for (id, slot) in &mut self.slots {
                slot.due = now.running;
                self.heap.push(Reverse((now.running, *id)));
            }
        }
        self.asleep = asleep;
    }

    /// Begins every measurement that is due.
    fn tick(&mut self, now: Moment) {
        if self.heap.peek().is_none_or(|Reverse((due, _))| *due > now.running) {
            return;
        }
        self.shared.next_turn();
        while let Some(Reverse((due, id))) = self.heap.peek().copied()
            && due <= now.running
        {
            self.heap.pop();
            let Some(slot) = self.slots.get_mut(&id).filter(|slot| slot.due == due) else { continue };
            let (next, missed) = next_tick(due, slot.entry.interval(), now.running);
            slot.due = next;
            self.heap.push(Reverse((next, id)));
            self.counts.add_late(missed);
            if slot.collector.is_some() {
                self.begin(id);
            } else {
                self.counts.add_late(1);
                self.overdue(id, now);
            }
        }
    }

    /// One more tick finds a measurement still under way.
    fn overdue(&mut self, id: u64, now: Moment) {
        let Some(slot) = self.slots.get(&id) else { return };
        let waited = now.since(slot.sent);
        if waited > slot.entry.patience() {
            let samples = slot.entry.unknown(&slot.targets, &format!("no answer for {}", in_words(waited)), now);
            self.publish(id, samples);
        }
    }

    /// Measures, here or on the pool.
    fn begin(&mut self, id: u64) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        let Some(mut collector) = slot.collector.take() else { return };
        let began = Moment::now();
        if !slot.entry.may_hang(&self.shared) {
            let samples = pool::measure(&mut *collector);
            self.finished(Done { id, collector, began, samples });
            return;
        }
        slot.sent = began;
        if let Err((job, reason)) = self.pool.submit(Job { id, collector }, began) {
            slot.collector = Some(job.collector);
            let samples = slot.entry.unknown(&slot.targets, &format!("not measured: {reason}"), began);
            self.publish(id, samples);
            self.requests.give_up(id);
        }
    }

    fn results(&mut self, results: impl Iterator<Item = Done>) {
        self.shared.next_turn();
        results.for_each(|done| self.finished(done));
    }

    fn finished(&mut self, done: Done) {
        // Watched no more: the result is of no interest.
        let Some(slot) = self.slots.get_mut(&done.id) else { return };
        slot.collector = Some(done.collector);
        let samples = match done.samples {
            Ok(samples) => {
                slot.panicked = false;
                slot.targets = targets(&samples);
                samples
            }
            Err(Panicked(cause)) => {
                self.counts.add_panic();
                if !std::mem::replace(&mut slot.panicked, true) {
                    log::error!("a {} collector panicked; this is a fault of autoheal cause={cause:?}", slot.entry.kind().name());
                }
                slot.entry.unknown(&slot.targets, "the collector panicked; this is a fault of autoheal", Moment::now())
            }
        };
        let again = self.requests.measured(done.id, done.began, &samples);
        self.publish(done.id, samples);
        if again {
            self.begin(done.id);
        }
    }

    fn publish(&mut self, id: u64, mut samples: Vec<Sample>) {
        let Some(slot) = self.slots.get(&id) else { return };
        let interval = slot.entry.interval();
        for sample in &mut samples {
            sample.interval = interval;
        }
        self.outbox.add(samples);
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Watch(settings) => self.watch(&settings),
            Order::Measure(order) => self.measure(order),
        }
    }

    /// Measures what a request wants. What is under way began too early; it is measured again when it returns.
    fn measure(&mut self, order: Fresh) {
        self.shared.next_turn();
        let asked = Moment::now();
        let wanted = |slot: &Slot| order.wants.iter().any(|want| slot.entry.answers(want));
        let awaited: BTreeSet<u64> = self.slots.iter().filter(|(_, slot)| wanted(slot)).map(|(id, _)| *id).collect();
        self.requests.add(order, asked, awaited.clone());
        for id in awaited {
            self.begin(id);
        }
    }
}

/// The first tick after `now`, and how many were missed between `due` and that one.
fn next_tick(due: Duration, interval: Duration, now: Duration) -> (Duration, u64) {
    let behind = now.saturating_sub(due).as_nanos() / interval.as_nanos().max(1);
    let missed = u32::try_from(behind).unwrap_or(u32::MAX);
    (due + interval * missed + interval, u64::from(missed))
}

/// The targets of these samples, each once.
fn targets(samples: &[Sample]) -> Vec<Arc<Target>> {
    let mut targets: Vec<Arc<Target>> = Vec::new();
    for sample in samples {
        if targets.last().is_none_or(|last| !Arc::ptr_eq(last, &sample.target)) {
            targets.push(Arc::clone(&sample.target));
        }
    }
    targets
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
