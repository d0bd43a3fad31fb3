//! The schedule: absolute deadlines, owned by one thread.
//!
//! A tick is `start + n × interval`, so nothing drifts; ticks that were missed are counted as late and not made up for.

mod entries;
mod keeper;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::hash::BuildHasherDefault;
use std::iter;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, never, select};

use super::entry::Entry;
use super::fresh::Requests;
use super::outbox::{Outbox, Unheard};
use super::pool::{self, Done, Job, Own, Panicked, Pool};
use super::presence::Leaving;
use super::shared::Shared;
use super::slot::Slot;
use super::{Counts, Fresh, Order};
use crate::clock::{Moment, in_words};
use crate::metric::Kind;
use crate::sample::{Batch, Gone, OwnHash, SLEPT, Sample};
use keeper::Inbox;
pub(crate) use keeper::Keeper;

/// How long a full channel of samples is left alone.
const RETRY: Duration = Duration::from_millis(20);

/// What was measured goes to the detector together: so long it waits for what is under way on the pool. A turn costs more than most
/// measurements, and a thousand answers would else be a thousand turns.
const GATHER: Duration = Duration::from_millis(10);

/// Without anything due the clocks are looked at this often, to notice that the machine slept.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// So many measurements that might hang are made by the schedule's own thread in a row. With more of them the pool costs no more, and
/// makes several at a time.
const FEW: usize = 8;

/// Everything that is watched, and when it is measured next.
pub(crate) struct Scheduler {
    shared: Shared,
    /// Boxed, and by numbers that grow: a tick passes over thousands in the order in which they lie in memory.
    slots: HashMap<u64, Box<Slot>, BuildHasherDefault<OwnHash>>,
    next_id: u64,
    /// What is due when (running clock). Entries of one interval have been due together since they came: thousands of files share one
    /// element.
    due: BTreeMap<Duration, Vec<u64>>,
    pool: Pool,
    /// What its own thread measures next, though it might hang.
    own: VecDeque<Own>,
    /// Somebody takes over when its own thread hangs.
    relieved: bool,
    /// Until when what was measured is left to gather.
    gathering: Option<Moment>,
    requests: Requests,
    outbox: Outbox,
    counts: Arc<Counts>,
    /// The kinds of which every entry has been measured or found to hang; found again when that may have changed.
    settled: Option<Vec<Kind>>,
    /// By how much the boot clock was ahead of the running clock.
    asleep: Duration,
    /// Targets of entries that are watched no more.
    leaving: Vec<Leaving>,
}

impl Scheduler {
    pub(crate) fn new(shared: Shared, samples: Sender<Batch>, counts: Arc<Counts>) -> Self {
        let now = Moment::now();
        Self {
            shared,
            slots: HashMap::default(),
            next_id: 0,
            due: BTreeMap::new(),
            pool: Pool::new(),
            own: VecDeque::new(),
            relieved: false,
            gathering: None,
            requests: Requests::default(),
            outbox: Outbox::new(samples, Arc::clone(&counts)),
            counts,
            settled: None,
            asleep: now.boot.saturating_sub(now.running),
            leaving: Vec::new(),
        }
    }

    /// Where the reader of a batch leaves its memory.
    pub(crate) fn emptied(&self) -> Sender<Vec<Sample>> {
        self.outbox.emptied()
    }

    /// Turns until there is something that might hang to be measured by the caller; `None` at the end: nobody wants samples any more.
    fn turns(&mut self, inbox: &mut Inbox) -> Option<Own> {
        let mut was_urgent = false;
        loop {
            let now = Moment::now();
            self.notice_sleep(now);
            self.results();
            self.tick(now);
            self.pool.grow(now);
            self.shared.near().let_go();
            let now = Moment::now();
            if !self.gathers(now) && self.turn_ends(now) == Err(Unheard) {
                return None;
            }
            // A death or a question does not wait until all of them are through, and neither do they for many deaths.
            if (was_urgent || inbox.is_quiet())
                && let Some(own) = self.own.pop_front()
            {
                return Some(own);
            }
            let wait = self.wait(Moment::now());
            was_urgent = select! {
                recv(inbox.shutdown) -> _ => return None,
                // What it rings for is taken in the next turn.
                recv(inbox.bell) -> _ => false,
                recv(inbox.died) -> name => match name {
                    Ok(name) => { self.measure_dead(name, &inbox.died); true }
                    // The thread that waits for deaths has failed; the schedule goes on.
                    Err(_) => { inbox.died = never(); false }
                },
                recv(inbox.orders) -> order => match order {
                    Ok(order) => { self.obey(iter::once(order).chain(inbox.orders.try_iter())); true }
                    // Nobody can ask for anything any more; a closed channel would be ready for ever.
                    Err(_) => { inbox.orders = never(); false }
                },
                default(wait) => false,
            };
            if was_urgent {
                // Before the next tick: that can be another pass over the same thousands of targets.
                self.pool.grow(Moment::now());
                if self.turn_ends(Moment::now()) == Err(Unheard) {
                    return None;
                }
            }
        }
    }

    fn turn_ends(&mut self, now: Moment) -> Result<(), Unheard> {
        self.gathering = None;
        self.requests.answer(now);
        self.see_off(now);
        let settled = match self.settled.take() {
            Some(settled) => settled,
            None => self.find_settled(),
        };
        let flushed = self.outbox.flush(&settled);
        self.settled = Some(settled);
        flushed
    }

    fn find_settled(&self) -> Vec<Kind> {
        let open = |kind: &Kind| self.slots.values().any(|slot| slot.entry.kind() == *kind && !slot.settled);
        Kind::ALL.iter().copied().filter(|kind| !open(kind)).collect()
    }

    /// Whether what was measured is left to gather: there is something or has just been begun, more is under way, and nobody waits
    /// for it.
    fn gathers(&mut self, now: Moment) -> bool {
        let leaves = self.leaving.iter().any(|left| left.at.is_due(now));
        let any = self.outbox.has_news() || self.gathering.is_some();
        let more = any && self.requests.is_empty() && !leaves && self.pool.open() > 0;
        let until = self.gathering.unwrap_or_else(|| now.after(GATHER));
        self.gathering = (more && !until.is_due(now)).then_some(until);
        self.pool.gather(self.gathering.is_some());
        self.gathering.is_some()
    }

    fn wait(&self, now: Moment) -> Duration {
        let retry = self.outbox.is_behind().then(|| now.after(RETRY));
        let left = self.leaving.iter().map(|left| left.at).min();
        let soonest =
            [self.pool.next_look(), self.requests.next_deadline(), self.gathering, retry, left].into_iter().flatten().map(|at| at.running);
        let due = self.due.keys().next().copied();
        soonest.chain(due).min().map_or(LONGEST_WAIT, |at| at.saturating_sub(now.running)).min(LONGEST_WAIT)
    }

    /// After a sleep of the machine everything is measured once, at once.
    fn notice_sleep(&mut self, now: Moment) {
        let asleep = now.boot.saturating_sub(now.running);
        if asleep >= self.asleep + SLEPT {
            for (id, slot) in &mut self.slots {
                slot.due = now.running;
                self.due.entry(now.running).or_default().push(*id);
            }
        }
        self.asleep = asleep;
    }

    /// Begins every measurement that is due.
    fn tick(&mut self, now: Moment) {
        if self.due.keys().next().is_none_or(|due| *due > now.running) {
            return;
        }
        self.shared.next_turn();
        while let Some(first) = self.due.first_entry().filter(|first| *first.key() <= now.running) {
            let (due, ids) = first.remove_entry();
            for id in ids {
                let Some(slot) = self.slots.get_mut(&id).filter(|slot| slot.due == due) else { continue };
                let (next, missed) = next_tick(due, slot.interval, now.running);
                slot.due = next;
                self.due.entry(next).or_default().push(id);
                self.counts.add_late(missed);
                if slot.collector.is_some() {
                    // Nobody asked for anything since.
                    self.measure(id, now);
                } else {
                    self.counts.add_late(1);
                    self.overdue(id, now);
                }
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

    /// Measures, or has it measured.
    fn begin(&mut self, id: u64) {
        self.measure(id, Moment::now());
    }

    /// As [`Self::begin`]. What was asked for until `asked` is answered by it.
    fn measure(&mut self, id: u64, asked: Moment) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        let Some(mut collector) = slot.collector.take() else { return };
        if !collector.may_hang() {
            let samples = pool::measure(&mut *collector);
            self.finished(Done { id, collector, began: asked, took: None, samples });
            return;
        }
        let (now, job) = (Moment::now(), Job { id, collector });
        slot.sent = now;
        self.gathering.get_or_insert(now.after(GATHER));
        if self.relieved && slot.is_quick() && self.own.len() < FEW {
            self.own.push_back(self.pool.own(job));
        } else {
            let submitted = self.pool.submit(job);
            self.submitted(submitted);
        }
    }

    fn submitted(&mut self, submitted: Result<(), (Job, String)>) {
        let Err((Job { id, collector }, reason)) = submitted else { return };
        let Some(slot) = self.slots.get_mut(&id) else { return };
        slot.collector = Some(collector);
        let samples = slot.entry.unknown(&slot.targets, &format!("not measured: {reason}"), Moment::now());
        self.publish(id, samples);
        self.requests.give_up(id);
    }

    /// Measures the entries of which a process died, whatever the schedule says.
    fn measure_dead(&mut self, first: Arc<str>, others: &Receiver<Arc<str>>) {
        let names: BTreeSet<Arc<str>> = iter::once(first).chain(others.try_iter()).collect();
        self.shared.next_turn();
        let dead = |slot: &Slot| matches!(&*slot.entry, Entry::Process(entry) if names.contains(entry.name.as_str()));
        let ids: Vec<u64> = self.slots.iter().filter(|(_, slot)| dead(slot)).map(|(id, _)| *id).collect();
        for id in ids {
            // One that is under way may have begun too early.
            self.slots.get_mut(&id).into_iter().filter(|slot| slot.collector.is_none()).for_each(|slot| slot.again = true);
            self.begin(id);
        }
    }

    /// Takes what came back from the pool.
    fn results(&mut self) {
        self.pool.results().into_iter().for_each(|done| self.finished(done));
    }

    fn finished(&mut self, done: Done) {
        // Watched no more: the result is of no interest.
        let Some(slot) = self.slots.get_mut(&done.id) else { return };
        if let Some(took) = done.took {
            slot.took(took);
        }
        let (mut soon, mut missing) = (None, Vec::new());
        let mut samples = match done.samples {
            Ok(samples) => {
                missing = slot.has_measured(&samples, done.collector.there());
                soon = done.collector.again();
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
        slot.collector = Some(done.collector);
        if let Some(due) = soon.map(|pause| Moment::now().running + pause).filter(|due| *due < slot.due) {
            slot.due = due;
            self.due.entry(due).or_default().push(done.id);
        }
        missing.into_iter().for_each(|identity| self.outbox.gone(Gone { kind: slot.entry.kind(), identity }));
        let died = std::mem::take(&mut slot.again);
        let again = self.requests.measured(done.id, done.began, &samples) || died;
        if slot.publishes(&mut samples) {
            self.settled = None;
        }
        self.outbox.add(samples);
        if again {
            self.shared.next_turn();
            self.begin(done.id);
        }
    }

    fn publish(&mut self, id: u64, mut samples: Vec<Sample>) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        if slot.publishes(&mut samples) {
            self.settled = None;
        }
        self.outbox.add(samples);
    }

    /// Requests that wait together are met by one measurement: thousands of incidents may look at the same glob.
    fn obey(&mut self, orders: impl Iterator<Item = Order>) {
        // What comes from now on is obeyed in the next turn.
        let orders: Vec<Order> = orders.collect();
        self.shared.next_turn();
        let asked = Moment::now();
        let mut wanted = BTreeSet::new();
        for order in orders {
            match order {
                Order::Watch(settings) => self.watch(&settings),
                Order::Heed(mut metrics) => {
                    metrics.extend(self.requests.metrics());
                    self.shared.interest().set(&metrics);
                }
                Order::Measure(order) => wanted.extend(self.request(order, asked)),
            }
        }
        for id in wanted {
            self.measure(id, asked);
        }
    }

    /// Takes a request and says what must be measured for it. What is under way began too early; it is measured again when it
    /// returns.
    fn request(&mut self, order: Fresh, asked: Moment) -> BTreeSet<u64> {
        order.wants.iter().for_each(|want| self.shared.interest().add(want.metric));
        let wanted = |slot: &Slot| order.wants.iter().any(|want| slot.entry.answers(want));
        let awaited: BTreeSet<u64> = self.slots.iter().filter(|(_, slot)| wanted(slot)).map(|(id, _)| *id).collect();
        self.requests.add(order, asked, awaited.clone());
        awaited
    }
}

/// The first tick after `now`, and how many were missed between `due` and that one.
fn next_tick(due: Duration, interval: Duration, now: Duration) -> (Duration, u64) {
    let behind = now.saturating_sub(due).as_nanos() / interval.as_nanos().max(1);
    let missed = u32::try_from(behind).unwrap_or(u32::MAX);
    (due + interval * missed + interval, u64::from(missed))
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
