//! Threads for what can hang. One suffices as long as measurements come back soon; while they do not, others help, and while all
//! are stuck the pool grows. Idle threads end by themselves. A measurement that never returns keeps one thread and nothing else.

mod desk;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Receiver;

use super::Collector;
use crate::clock::{self, Moment};
use crate::sample::Sample;
use crate::threads;
use desk::{Desk, Load};

/// So many threads help each other without any of them being stuck.
const BASE: usize = 4;

/// No more threads than this, whatever hangs.
const CAP: usize = 256;

/// After this a thread that is not through is helped. A check of a healthy endpoint nearby takes a tenth of a millisecond.
const FIRST_LOOK: Duration = Duration::from_millis(4);

/// While the queue moves, the pause between two looks doubles up to this.
const LAST_LOOK: Duration = Duration::from_millis(10);

/// A queue that will be empty within this, at the pace since the last look, needs nobody else.
const SOON: Duration = Duration::from_millis(100);

/// A queue that nobody took from for this long means that all who are at work wait for something. A busy processor may keep a thread
/// from its work for 3 ms.
const SLOW: Duration = Duration::from_micros(3500);

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

impl Job {
    fn make(self, began: Moment) -> Done {
        let Self { id, mut collector } = self;
        let start = clock::instant();
        let samples = measure(&mut *collector);
        Done { id, collector, began, took: Some(start.elapsed()), samples }
    }
}

/// A measurement that its owner makes without a thread of the pool. What comes of it lies with the other results.
pub(crate) struct Own {
    job: Job,
    desk: Arc<Desk>,
}

impl Own {
    /// Makes it, on this thread.
    pub(crate) fn make(self) {
        self.desk.hand_in(self.job.make(Moment::now()));
    }
}

/// A measurement that was made.
pub(crate) struct Done {
    pub(crate) id: u64,
    /// Ready for the next measurement.
    pub(crate) collector: Box<dyn Collector>,
    pub(crate) began: Moment,
    /// How long it took, of one that might have hung.
    pub(crate) took: Option<Duration>,
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
    /// When the queue was looked at last, and how many had been taken from it then.
    before: (Moment, usize),
    /// When the next look is due, and how long after the last one.
    look: (Moment, Duration),
}

impl Pool {
    pub(crate) fn new() -> Self {
        Self::with_cap(CAP)
    }

    fn with_cap(cap: usize) -> Self {
        let (desk, bell) = Desk::new();
        Self {
            cap,
            desk: Arc::new(desk),
            bell,
            submitted: false,
            first: false,
            before: (Moment::now(), 0),
            look: (Moment::now(), FIRST_LOOK),
        }
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

    /// Counts a measurement as one of the pool's that the caller makes itself.
    pub(crate) fn own(&self, job: Job) -> Own {
        self.desk.expect();
        Own { job, desk: Arc::clone(&self.desk) }
    }

    /// The pool makes it after all, as with [`Self::submit`].
    ///
    /// # Errors
    /// As there.
    pub(crate) fn take_over(&mut self, own: Own) -> Result<(), (Job, String)> {
        self.desk.expect_no_more();
        self.submit(own.job)
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
        let look = if soon { self.look.0 } else { self.look.0.max(load.moved_at.after(STUCK)) };
        (load.waiting > 0 && (soon || load.threads < self.cap)).then_some(look)
    }

    /// Puts a thread to work on what was submitted, and later others if it does not get through soon: one if the queue moves, else as
    /// many as are at work, so that a few steps of four milliseconds suffice for many hung targets.
    pub(crate) fn grow(&mut self, now: Moment) {
        let load = self.desk.load();
        let (submitted, first) = (std::mem::take(&mut self.submitted), std::mem::take(&mut self.first));
        let due = self.look.0.is_due(now);
        if load.waiting == 0 || !(submitted || due) {
            return;
        }
        let quiet = now.since(load.moved_at);
        let helpers = if first && load.idle == 0 {
            0
        } else if due && quiet >= SLOW {
            (load.threads - load.idle).clamp(1, load.waiting)
        } else {
            usize::from(submitted || !self.is_soon(load, now))
        };
        self.before = (now, load.taken);
        let pause = if submitted || quiet >= SLOW { FIRST_LOOK } else { (self.look.1 * 2).min(LAST_LOOK) };
        // What is submitted brings the look nearer, and never puts it off.
        if due || self.look.0 > now.after(pause) {
            self.look = (now.after(pause), pause);
        }
        if let Err(reason) = self.help(load, helpers, quiet) {
            log::debug!("the pool of collectors does not grow: {reason}");
            self.look.0 = now.after(REFUSED);
        }
    }

    /// Whether what waits is through in a moment, at the pace since the last time.
    #[expect(clippy::cast_precision_loss, reason = "far fewer measurements than 2^53")]
    fn is_soon(&self, load: Load, now: Moment) -> bool {
        let (at, taken) = self.before;
        let moved = load.taken.wrapping_sub(taken);
        now.since(at).as_secs_f64() * load.waiting as f64 <= SOON.as_secs_f64() * moved as f64
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
    let mut done = None;
    while let Some((job, began)) = desk.next(done, IDLE) {
        done = Some(job.make(began));
    }
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
