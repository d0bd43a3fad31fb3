//! Threads for what can hang. One suffices as long as measurements come back soon; while they do not, others help, and while all
//! are stuck the pool grows. Idle threads end by themselves. A measurement that never returns keeps one thread and nothing else.

mod desk;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Receiver;

use super::Collector;
use crate::clock::Moment;
use crate::sample::Sample;
use crate::threads;
use desk::{Desk, Load};

/// So many threads help each other without any of them being stuck.
const BASE: usize = 4;

/// No more threads than this, whatever hangs.
const CAP: usize = 256;

/// After this a thread that is not through is helped. A check of a healthy endpoint nearby takes a tenth of a millisecond.
const FIRST_LOOK: Duration = Duration::from_millis(2);

/// While the queue moves, the pause between two looks doubles up to this.
const LAST_LOOK: Duration = Duration::from_millis(10);

/// A queue that nobody took from for this long means that all who are at work wait for something.
const SLOW: Duration = Duration::from_millis(1);

/// A queue that nobody took from for this long is worth more threads than [`BASE`].
const STUCK: Duration = Duration::from_millis(10);

/// When the system has no thread for us, it is asked again after this.
const REFUSED: Duration = Duration::from_secs(1);

/// An idle thread ends after this.
const IDLE: Duration = Duration::from_secs(10);

/// A measurement to make.
pub(crate) struct Job {
    /// Whose.
    pub(crate) id: u64,
    pub(crate) collector: Box<dyn Collector>,
}

/// A measurement that was made.
pub(crate) struct Done {
    pub(crate) id: u64,
    /// Ready for the next measurement.
    pub(crate) collector: Box<dyn Collector>,
    pub(crate) began: Moment,
    pub(crate) samples: Result<Vec<Sample>, Panicked>,
}

/// The collector panicked, and this is what it said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Panicked(pub(crate) String);

/// Measures, and survives a panic of the collector.
pub(crate) fn measure(collector: &mut dyn Collector) -> Result<Vec<Sample>, Panicked> {
    catch_unwind(AssertUnwindSafe(|| collector.measure())).map_err(|cause| {
        let text = cause.downcast_ref::<&str>().map(|text| (*text).to_owned());
        Panicked(text.or_else(|| cause.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned()))
    })
}

/// The pool. Dropping it ends the threads that are not stuck.
#[derive(Debug)]
pub(crate) struct Pool {
    cap: usize,
    desk: Arc<Desk>,
    bell: Receiver<()>,
    /// Something was submitted since [`Self::grow`].
    submitted: bool,
    /// The first thread was started for it, and comes by itself.
    first: bool,
    /// When the next look is due, and how long after the last one.
    look: (Moment, Duration),
}

impl Pool {
    pub(crate) fn new() -> Self {
        Self::with_cap(CAP)
    }

    fn with_cap(cap: usize) -> Self {
        let (desk, bell) = Desk::new();
        Self { cap, desk: Arc::new(desk), bell, submitted: false, first: false, look: (Moment::now(), FIRST_LOOK) }
    }

    /// Queues a measurement. It begins with [`Self::grow`] at the latest, which belongs behind the last of them.
    ///
    /// # Errors
    /// Gives the job back when there is no thread and none can be started.
    pub(crate) fn submit(&mut self, job: Job) -> Result<(), (Job, String)> {
        if self.desk.load().threads == 0 {
            if let Err(reason) = self.start_thread() {
                return Err((job, reason));
            }
            self.first = true;
        }
        self.desk.put(job);
        self.submitted = true;
        Ok(())
    }

    /// How many measurements are waited for: [`Self::results`] has not had them.
    pub(crate) fn open(&self) -> usize {
        self.desk.open()
    }

    /// Becomes ready when something came back.
    pub(crate) fn bell(&self) -> &Receiver<()> {
        &self.bell
    }

    /// What came back.
    pub(crate) fn results(&self) -> Vec<Done> {
        // What it rang for is here.
        let _ = self.bell.try_recv();
        self.desk.collect()
    }

    /// With `true` the bell is silent until all are back.
    pub(crate) fn gather(&self, gathers: bool) {
        self.desk.gather(gathers);
    }

    /// When [`Self::grow`] is due: while something is queued and another thread could help.
    pub(crate) fn next_look(&self) -> Option<Moment> {
        let load = self.desk.load();
        let soon = load.idle > 0 || load.threads < BASE.min(self.cap);
        let look = if soon { self.look.0 } else { self.look.0.max(load.taken_at.after(STUCK)) };
        (load.waiting > 0 && (soon || load.threads < self.cap)).then_some(look)
    }

    /// Puts a thread to work on what was submitted, and later others if it does not get through: one if the queue moves, else as
    /// many as are at work, so that a few steps of two milliseconds suffice for many hung targets.
    pub(crate) fn grow(&mut self, now: Moment) {
        let load = self.desk.load();
        let submitted = std::mem::take(&mut self.submitted);
        if load.waiting == 0 || !(submitted || self.look.0.is_due(now)) {
            return;
        }
        let quiet = if submitted { Duration::ZERO } else { now.since(load.taken_at) };
        let pause = if submitted || quiet >= SLOW { FIRST_LOOK } else { (self.look.1 * 2).min(LAST_LOOK) };
        self.look = (now.after(pause), pause);
        let helpers = match std::mem::take(&mut self.first) {
            true => 0,
            false if quiet >= SLOW => (load.threads - load.idle).clamp(1, load.waiting),
            false => 1,
        };
        if let Err(reason) = self.help(load, helpers, quiet) {
            log::debug!("the pool of collectors does not grow: {reason}");
            self.look.0 = now.after(REFUSED);
        }
    }

    /// Wakes so many threads, or starts them.
    fn help(&self, load: Load, helpers: usize, quiet: Duration) -> Result<(), String> {
        let missing = helpers - self.desk.wake(helpers);
        let room = if quiet >= STUCK { missing } else { missing.min(BASE.saturating_sub(load.threads)) };
        (0..room).try_for_each(|_| self.start_thread())
    }

    fn start_thread(&self) -> Result<(), String> {
        if !self.desk.enter(self.cap) {
            return Err(format!("all {} threads for measurements are stuck", self.cap));
        }
        let desk = Arc::clone(&self.desk);
        let started = threads::try_spawn("collect:pool", move || {
            work(&desk);
            desk.leave();
        });
        started.map(drop).map_err(|error| {
            self.desk.leave();
            format!("cannot start a thread: {}", super::reason::plain(&error))
        })
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.desk.close();
    }
}

fn work(desk: &Desk) {
    while let Some((Job { id, mut collector }, began)) = desk.next(IDLE) {
        let samples = measure(&mut *collector);
        if !desk.back(Done { id, collector, began, samples }) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::bounded;

    use super::*;
    use crate::collect::test_rig::wait_until;

    /// Measures when it is told to.
    struct Gate(Receiver<()>);

    impl Collector for Gate {
        fn measure(&mut self) -> Vec<Sample> {
            let _ = self.0.recv();
            Vec::new()
        }
    }

    struct Broken;

    impl Collector for Broken {
        fn measure(&mut self) -> Vec<Sample> {
            panic!("broken on purpose");
        }
    }

    fn submit(pool: &mut Pool, id: u64, collector: impl Collector + 'static) -> Result<(), String> {
        pool.submit(Job { id, collector: Box::new(collector) }).map_err(|(_, reason)| reason)
    }

    fn free() -> Gate {
        Gate(bounded(0).1)
    }

    fn threads(pool: &Pool) -> usize {
        pool.desk.load().threads
    }

    /// Waits until so many are back.
    #[track_caller]
    fn back(pool: &mut Pool, wanted: usize) -> Vec<Done> {
        let mut done = Vec::new();
        wait_until("they are back", || {
            pool.grow(Moment::now());
            done.extend(pool.results());
            done.len() >= wanted
        });
        done
    }

    #[test]
    fn it_grows_while_threads_are_stuck() {
        let (_held, gate) = bounded(0);
        let mut pool = Pool::new();
        for id in 0..20 {
            submit(&mut pool, id, Gate(gate.clone())).unwrap();
        }
        submit(&mut pool, 20, free()).unwrap();
        assert_eq!(back(&mut pool, 1)[0].id, 20);
        assert!(threads(&pool) > 20);
        assert!(pool.next_look().is_none(), "nothing is queued, nothing wakes");
        assert_eq!(pool.open(), 20);
    }

    #[test]
    fn it_stays_small_while_measurements_come_back() {
        let mut pool = Pool::new();
        for id in 0..200 {
            submit(&mut pool, id, free()).unwrap();
        }
        let mut ids: Vec<u64> = back(&mut pool, 200).iter().map(|done| done.id).collect();
        ids.sort_unstable();
        assert_eq!(ids, (0..200).collect::<Vec<_>>());
        assert!(threads(&pool) <= BASE);
    }

    #[test]
    fn one_thread_is_woken_for_all_and_others_only_while_it_is_not_through() {
        let (open, gate) = bounded(0);
        let mut pool = Pool::new();
        let mut now = Moment::now();
        for id in 0..3 {
            submit(&mut pool, id, Gate(gate.clone())).unwrap();
        }
        pool.grow(now);
        for thread in 1..=3 {
            wait_until("it is at work", || pool.desk.load().waiting == 3 - thread);
            assert_eq!(threads(&pool), thread);
            pool.grow(now);
            assert_eq!(threads(&pool), thread, "not before the next look");
            now = pool.look.0;
            pool.grow(now);
        }
        drop(open);
        back(&mut pool, 3);
        wait_until("all wait", || pool.desk.load().idle == 3);
        submit(&mut pool, 3, free()).unwrap();
        submit(&mut pool, 4, free()).unwrap();
        pool.grow(now);
        assert!(pool.desk.load().idle >= 2);
    }

    #[test]
    fn the_bell_rings_for_each_or_for_all() {
        let (open, gate) = bounded(0);
        let mut pool = Pool::new();
        pool.gather(true);
        for id in 0..2 {
            submit(&mut pool, id, Gate(gate.clone())).unwrap();
        }
        pool.grow(Moment::now());
        open.send(()).unwrap();
        wait_until("the first is back", || pool.desk.load().waiting == 0);
        assert!(pool.bell().is_empty(), "another one is under way");
        pool.gather(false);
        assert!(pool.bell().recv_timeout(IDLE).is_ok(), "nobody waits for the other any more");
        assert_eq!(pool.results().len(), 1);
        pool.gather(true);
        open.send(()).unwrap();
        assert!(pool.bell().recv_timeout(IDLE).is_ok(), "all are back");
        assert_eq!(pool.results().len(), 1);
    }

    #[test]
    fn no_more_threads_than_the_cap_and_none_at_all_is_said() {
        let (_held, gate) = bounded(0);
        let mut pool = Pool::with_cap(2);
        for id in 0..10 {
            submit(&mut pool, id, Gate(gate.clone())).unwrap();
        }
        for later in [20, 40, 60] {
            pool.grow(Moment::now().after(Duration::from_millis(later)));
        }
        assert_eq!(threads(&pool), 2);
        let refused = submit(&mut Pool::with_cap(0), 1, free()).unwrap_err();
        assert!(refused.contains("threads"), "{refused}");
    }

    #[test]
    fn a_panic_is_an_answer() {
        let mut pool = Pool::new();
        for id in 0..3 {
            submit(&mut pool, id, Broken).unwrap();
            let done = back(&mut pool, 1).remove(0);
            assert_eq!((done.id, done.samples), (id, Err(Panicked("broken on purpose".to_owned()))));
        }
    }

    #[test]
    fn threads_that_wait_end_with_the_pool() {
        let mut pool = Pool::new();
        submit(&mut pool, 0, free()).unwrap();
        back(&mut pool, 1);
        let desk = Arc::clone(&pool.desk);
        drop(pool);
        wait_until("it ended", || desk.load().threads == 0);
    }
}
