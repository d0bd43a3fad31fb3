//! Threads for what can hang. A few suffice as long as measurements come back; while they are stuck the pool grows, and idle
//! threads end by themselves. A measurement that never returns keeps one thread and nothing else.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::Collector;
use crate::clock::Moment;
use crate::sample::Sample;
use crate::threads;

/// So many threads are started without waiting whether the others come back.
const BASE: usize = 4;

/// No more threads than this, whatever hangs.
const CAP: usize = 256;

/// A queue that nobody took from for this long means that the threads are stuck.
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
pub(crate) struct Pool {
    cap: usize,
    queue: Sender<Job>,
    jobs: Receiver<Job>,
    done: Sender<Done>,
    crew: Arc<Crew>,
    /// When the queue was last seen to move, and how many jobs had been taken then.
    moved: (Moment, usize),
}

#[derive(Default)]
struct Crew {
    threads: AtomicUsize,
    idle: AtomicUsize,
    taken: AtomicUsize,
}

impl Pool {
    /// A pool that reports to `done`.
    pub(crate) fn new(done: Sender<Done>) -> Self {
        Self::with_cap(done, CAP)
    }

    fn with_cap(done: Sender<Done>, cap: usize) -> Self {
        let (queue, jobs) = unbounded();
        Self { cap, queue, jobs, done, crew: Arc::default(), moved: (Moment::now(), 0) }
    }

    /// Queues a measurement.
    ///
    /// # Errors
    /// Gives the job back when there is no thread and none can be started.
    pub(crate) fn submit(&mut self, job: Job, now: Moment) -> Result<(), (Job, String)> {
        if self.jobs.is_empty() {
            self.moved = (now, self.crew.taken.load(Ordering::Relaxed));
        }
        let waiting = self.jobs.len() + 1;
        let (threads, idle) = (self.threads(), self.crew.idle.load(Ordering::Relaxed));
        if idle < waiting
            && threads < BASE
            && let Err(reason) = self.start_thread()
            && threads == 0
        {
            return Err((job, reason));
        }
        // The pool holds a receiver of its own, so the channel is never closed.
        let _ = self.queue.send(job);
        Ok(())
    }

    fn threads(&self) -> usize {
        self.crew.threads.load(Ordering::Relaxed)
    }

    /// When [`Self::grow`] is due: while something is queued and another thread could help.
    pub(crate) fn next_look(&self) -> Option<Moment> {
        (!self.jobs.is_empty() && self.threads() < self.cap).then(|| self.moved.0.after(STUCK))
    }

    /// Starts threads if the queue has not moved: as many as there are, so that few steps suffice for many hung targets.
    pub(crate) fn grow(&mut self, now: Moment) {
        let taken = self.crew.taken.load(Ordering::Relaxed);
        if self.jobs.is_empty() || taken != self.moved.1 {
            self.moved = (now, taken);
            return;
        }
        if now.since(self.moved.0) < STUCK {
            return;
        }
        self.moved.0 = now;
        for _ in 0..self.jobs.len().min(self.threads().max(1)) {
            if let Err(reason) = self.start_thread() {
                log::debug!("the pool of collectors does not grow: {reason}");
                self.moved.0 = now.after(REFUSED);
                return;
            }
        }
    }

    fn start_thread(&self) -> Result<(), String> {
        if self.threads() >= self.cap {
            return Err(format!("all {} threads for measurements are stuck", self.cap));
        }
        let (jobs, done, crew) = (self.jobs.clone(), self.done.clone(), Arc::clone(&self.crew));
        crew.threads.fetch_add(1, Ordering::Relaxed);
        let started = threads::try_spawn("collect:pool", move || {
            work(&jobs, &done, &crew);
            crew.threads.fetch_sub(1, Ordering::Relaxed);
        });
        started.map(drop).map_err(|error| {
            self.crew.threads.fetch_sub(1, Ordering::Relaxed);
            format!("cannot start a thread: {}", super::reason::plain(&error))
        })
    }
}

fn work(jobs: &Receiver<Job>, done: &Sender<Done>, crew: &Crew) {
    loop {
        crew.idle.fetch_add(1, Ordering::Relaxed);
        let next = threads::next(jobs, IDLE);
        crew.idle.fetch_sub(1, Ordering::Relaxed);
        let Ok(Job { id, mut collector }) = next else { return };
        crew.taken.fetch_add(1, Ordering::Relaxed);
        let began = Moment::now();
        let samples = measure(&mut *collector);
        if done.send(Done { id, collector, began, samples }).is_err() {
            return;
        }
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Pool {{ threads: {}, queued: {} }}", self.threads(), self.jobs.len())
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
        pool.submit(Job { id, collector: Box::new(collector) }, Moment::now()).map_err(|(_, reason)| reason)
    }

    fn free() -> Gate {
        Gate(bounded(0).1)
    }

    #[test]
    fn it_grows_while_threads_are_stuck() {
        let (done, results) = unbounded();
        let (_held, gate) = bounded(0);
        let mut pool = Pool::new(done);
        for id in 0..20 {
            submit(&mut pool, id, Gate(gate.clone())).unwrap();
        }
        submit(&mut pool, 20, free()).unwrap();
        wait_until("the one that does not hang is through", || {
            pool.grow(Moment::now());
            results.try_recv().is_ok_and(|done| done.id == 20)
        });
        assert!(pool.threads() > 20);
        assert!(pool.next_look().is_none(), "nothing is queued, nothing wakes");
    }

    #[test]
    fn it_stays_small_while_measurements_come_back() {
        let (done, results) = unbounded();
        let mut pool = Pool::new(done);
        for id in 0..200 {
            submit(&mut pool, id, free()).unwrap();
        }
        let mut ids: Vec<u64> = results.iter().take(200).map(|done| done.id).collect();
        ids.sort_unstable();
        assert_eq!(ids, (0..200).collect::<Vec<_>>());
        assert!(pool.threads() <= BASE);
    }

    #[test]
    fn no_more_threads_than_the_cap_and_none_at_all_is_said() {
        let (done, _results) = unbounded();
        let (_held, gate) = bounded(0);
        let mut pool = Pool::with_cap(done.clone(), 2);
        for id in 0..10 {
            submit(&mut pool, id, Gate(gate.clone())).unwrap();
        }
        for later in [20, 40, 60] {
            pool.grow(Moment::now().after(Duration::from_millis(later)));
        }
        assert_eq!(pool.threads(), 2);
        let refused = submit(&mut Pool::with_cap(done, 0), 1, free()).unwrap_err();
        assert!(refused.contains("threads"), "{refused}");
    }

    #[test]
    fn a_panic_is_an_answer() {
        let (done, results) = unbounded();
        let mut pool = Pool::new(done);
        for id in 0..3 {
            submit(&mut pool, id, Broken).unwrap();
            let done = results.recv().unwrap();
            assert_eq!((done.id, done.samples), (id, Err(Panicked("broken on purpose".to_owned()))));
        }
    }
}
