//! Where the pool's threads and its owner hand each other measurements: those to make, and those that were made.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::{Done, Job};
use crate::clock::Moment;

/// The desk. A wake-up costs more than most measurements, so nobody is woken by what is put here: the owner says when a thread
/// is, and is told itself as seldom as it likes.
#[derive(Debug)]
pub(super) struct Desk {
    state: Mutex<State>,
    bell: Sender<()>,
}

struct State {
    jobs: VecDeque<Job>,
    done: Vec<Done>,
    /// How many were put here and not collected yet: those that wait, those under way, and those that are done.
    open: usize,
    /// How many were taken by a thread, ever.
    taken: usize,
    /// When the queue moved last: a thread took one, or the first one came.
    moved_at: Moment,
    threads: usize,
    /// The threads that wait. The one that came last is the next to be woken: it is the one whose memory is still at hand, and
    /// those that are not needed become old and end.
    idle: Vec<Thread>,
    /// The owner wants to hear of results only when all are back.
    gathers: bool,
    closed: bool,
}

/// How much is on the desk, and who works on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) waiting: usize,
    pub(super) taken: usize,
    pub(super) moved_at: Moment,
    pub(super) threads: usize,
    pub(super) idle: usize,
}

impl Desk {
    /// A desk, and the bell that rings for its owner.
    pub(super) fn new() -> (Self, Receiver<()>) {
        let (bell, rings) = bounded(1);
        let state = State {
            jobs: VecDeque::new(),
            done: Vec::new(),
            open: 0,
            taken: 0,
            moved_at: Moment::now(),
            threads: 0,
            idle: Vec::new(),
            gathers: false,
            closed: false,
        };
        (Self { state: Mutex::new(state), bell }, rings)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn put(&self, job: Job) {
        let mut state = self.state();
        state.open += 1;
        if state.jobs.is_empty() {
            state.moved_at = Moment::now();
        }
        state.jobs.push_back(job);
    }

    /// One more is open that no thread will take from here.
    pub(super) fn expect(&self) {
        self.state().open += 1;
    }

    /// Takes [`Self::expect`] back.
    pub(super) fn expect_no_more(&self) {
        self.state().open -= 1;
    }

    pub(super) fn load(&self) -> Load {
        let state = self.state();
        let (waiting, idle) = (state.jobs.len(), state.idle.len());
        Load { waiting, taken: state.taken, moved_at: state.moved_at, threads: state.threads, idle }
    }

    /// How many measurements were not collected yet.
    pub(super) fn open(&self) -> usize {
        self.state().open
    }

    /// What came back.
    pub(super) fn collect(&self) -> Vec<Done> {
        let mut state = self.state();
        state.open -= state.done.len();
        std::mem::take(&mut state.done)
    }

    /// With `true` the bell rings when the last one is back, else for each.
    pub(super) fn gather(&self, gathers: bool) {
        let mut state = self.state();
        state.gathers = gathers;
        let rings = !state.done.is_empty() && state.rings();
        drop(state);
        if rings {
            self.ring();
        }
    }

    /// Takes what was made.
    pub(super) fn hand_in(&self, done: Done) {
        let mut state = self.state();
        state.done.push(done);
        let rings = state.rings();
        drop(state);
        if rings {
            self.ring();
        }
    }

    fn ring(&self) {
        // It rings already, or the owner is gone.
        let _ = self.bell.try_send(());
    }

    /// Wakes up to so many idle threads; returns how many there were.
    pub(super) fn wake(&self, wanted: usize) -> usize {
        let mut state = self.state();
        let rest = state.idle.len().saturating_sub(wanted);
        let woken = state.idle.split_off(rest);
        drop(state);
        woken.iter().for_each(Thread::unpark);
        woken.len()
    }

    /// One more thread works here, unless there are `cap` of them.
    pub(super) fn enter(&self, cap: usize) -> bool {
        let mut state = self.state();
        let room = state.threads < cap;
        state.threads += usize::from(room);
        room
    }

    /// One thread less works here.
    pub(super) fn leave(&self) {
        self.state().threads -= 1;
    }

    /// For the pool's threads: hands in what was made, and gives the next measurement to make and when that begins. `None`: there was
    /// none for `patience`, or no more will come.
    pub(super) fn next(&self, done: Option<Done>, patience: Duration) -> Option<(Job, Moment)> {
        let mut now = Moment::now();
        let end = now.after(patience);
        if let Some(done) = done {
            self.hand_in(done);
        }
        let mut state = self.state();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                (state.taken, state.moved_at) = (state.taken.wrapping_add(1), now);
                return Some((job, now));
            }
            let left = end.since(now);
            if state.closed || left.is_zero() {
                return None;
            }
            let myself = thread::current();
            let id = myself.id();
            state.idle.push(myself);
            drop(state);
            thread::park_timeout(left);
            now = Moment::now();
            state = self.state();
            // Who woke it took it from the list.
            state.idle.retain(|idle| idle.id() != id);
        }
    }

    /// No more measurements come, and nobody waits for results.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.jobs.clear();
        drop(state);
        self.wake(usize::MAX);
    }
}

impl State {
    fn rings(&self) -> bool {
        !self.gathers || self.open == self.done.len()
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "State {{ waiting: {}, open: {}, threads: {} }}", self.jobs.len(), self.open, self.threads)
    }
}
