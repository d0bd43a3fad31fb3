use std::cell::Cell;
use std::sync::{MutexGuard, Weak};
use std::thread::{self, ThreadId};

use crossbeam_channel::{Sender, bounded, unbounded};

use super::*;
use crate::clock::Moment;
use crate::collect::entry::Entry;
use crate::collect::shared::Shared;
use crate::collect::test_rig::wait_until;
use crate::collect::{Collector, Exclusions};
use crate::metric;
use crate::sample::{Batch, Sample, Value};
use crate::threads::Worker;

const PATIENCE: Duration = Duration::from_secs(20);
const FAST: Duration = Duration::from_millis(5);

/// What is shut with a lock, and who stands there then.
#[derive(Default)]
struct Gate {
    lock: Mutex<()>,
    stuck: Mutex<Option<ThreadId>>,
}

impl Gate {
    fn pass(&self) {
        if self.lock.try_lock().is_err() {
            *self.stuck.lock().unwrap() = Some(thread::current().id());
            drop(self.lock.lock().unwrap());
        }
    }

    fn shut(&self) -> MutexGuard<'_, ()> {
        let shut = self.lock.lock().unwrap();
        *self.stuck.lock().unwrap() = None;
        shut
    }

    fn wait_for_stuck(&self) -> ThreadId {
        wait_until("somebody stands at the gate", || self.stuck.lock().unwrap().is_some());
        self.stuck.lock().unwrap().unwrap()
    }
}

/// Says on which thread it is measured, and then passes the gate.
struct Watched {
    may_hang: bool,
    seen: Sender<ThreadId>,
    gate: Arc<Gate>,
}

impl Collector for Watched {
    fn may_hang(&mut self) -> bool {
        self.may_hang
    }

    fn measure(&mut self) -> Vec<Sample> {
        let _ = self.seen.send(thread::current().id());
        self.gate.pass();
        vec![Sample::known(metric::named("memory_usage"), &Arc::default(), Value::Number(1.0), Moment::now())]
    }
}

/// A schedule with an entry that cannot hang, and one that does while its gate is shut.
struct Rig {
    plain: Receiver<ThreadId>,
    other: Receiver<ThreadId>,
    gate: Arc<Gate>,
    relief: Weak<Relief>,
    worker: Worker,
    stop: Cell<Option<Sender<()>>>,
    _ends: (Receiver<Batch>, Sender<Order>),
}

impl Rig {
    fn new() -> Self {
        let (sender, samples) = bounded(1);
        let mut schedule = Scheduler::new(Shared::new(Exclusions::default()), sender, Arc::default());
        let gate = Arc::<Gate>::default();
        let ((one, plain), (another, other)) = (unbounded(), unbounded());
        let collectors = [
            Watched { may_hang: false, seen: one, gate: Arc::default() },
            Watched { may_hang: true, seen: another, gate: Arc::clone(&gate) },
        ];
        for collector in collectors {
            schedule.insert(Entry::Memory(FAST), String::new(), Box::new(collector), Moment::now());
        }
        schedule.relieved = true;
        let ((stop, shutdown), (orders, inbox)) = (bounded(0), unbounded());
        let (role, worker) = Role::new("test:collect");
        let keeper = Keeper::new(schedule, inbox, shutdown, role);
        let relief = Relief::start().unwrap();
        let weak = Arc::downgrade(&relief);
        threads::spawn("test:collect", move || relief.keep(keeper));
        Self { plain, other, gate, relief: weak, worker, stop: Cell::new(Some(stop)), _ends: (samples, orders) }
    }

    /// The thread of the schedule: what cannot hang is measured there.
    fn keeper(&self) -> ThreadId {
        next(&self.plain)
    }

    /// Shuts the gate when the thread of the schedule measures what may hang, and waits until another thread has the schedule. Gives
    /// the thread that hangs too.
    fn hang(&self) -> (MutexGuard<'_, ()>, ThreadId) {
        loop {
            wait_until("the thread of the schedule measures it", || next(&self.other) == self.keeper());
            let before = self.keeper();
            let shut = self.gate.shut();
            let stuck = self.gate.wait_for_stuck();
            // A machine that is busy enough makes it a slow one: then the pool asks it.
            if stuck == before {
                wait_until("another thread has the schedule", || self.keeper() != stuck);
                return (shut, stuck);
            }
        }
    }

    fn end(&self) {
        drop(self.stop.take());
        assert_eq!(self.worker.ended().recv_timeout(PATIENCE), Ok(true));
    }
}

/// What comes from now on.
fn next(seen: &Receiver<ThreadId>) -> ThreadId {
    seen.try_iter().for_each(drop);
    seen.recv_timeout(PATIENCE).unwrap()
}

#[test]
fn whoever_hangs_is_left_behind_and_the_schedule_goes_on() {
    let rig = Rig::new();
    for _ in 0..3 {
        let (shut, stuck) = rig.hang();
        rig.other.try_iter().for_each(drop);
        (0..20).for_each(|_| assert_ne!(rig.keeper(), stuck));
        assert!(rig.other.is_empty(), "it is not asked again before it has answered");
        drop(shut);
    }
    rig.end();
}

#[test]
fn the_end_does_not_wait_for_what_hangs() {
    let rig = Rig::new();
    let _shut = rig.hang();
    rig.end();
}

#[test]
fn the_thread_that_stands_by_ends_with_the_schedule() {
    let rig = Rig::new();
    drop(rig.hang());
    rig.end();
    wait_until("nobody stands by", || rig.relief.upgrade().is_none());
}

#[test]
fn many_that_hang_together_are_left_to_the_pool_but_the_first() {
    let (sender, _samples) = bounded(1);
    let mut schedule = Scheduler::new(Shared::new(Exclusions::default()), sender, Arc::default());
    let (seen, asked) = unbounded();
    let gate = Arc::<Gate>::default();
    let add = |schedule: &mut Scheduler| {
        let collector = Watched { may_hang: true, seen: seen.clone(), gate: Arc::clone(&gate) };
        schedule.insert(Entry::Memory(FAST), String::new(), Box::new(collector), Moment::now())
    };
    let ids: Vec<u64> = (0..3).map(|_| add(&mut schedule)).collect();
    schedule.relieved = true;
    for id in &ids {
        (0..100).for_each(|_| schedule.slots.get_mut(id).unwrap().took(Duration::ZERO));
    }
    let shut = gate.shut();
    schedule.tick(Moment::now());
    assert_eq!((schedule.own.len(), schedule.pool.open()), (3, 3));
    let first = schedule.own.pop_front();
    schedule.taken_over(true);
    assert!(schedule.own.is_empty());
    schedule.pool.grow(Moment::now());
    assert_ne!(asked.recv_timeout(PATIENCE).unwrap(), thread::current().id());
    drop(shut);
    first.unwrap().make();
    wait_until("all are back", || {
        schedule.pool.grow(Moment::now());
        schedule.results();
        schedule.pool.open() == 0
    });
}
