//! Collectors: they measure targets and send samples. A target that fails is data, not an error.
//!
//! One thread (`collect`) owns a schedule of absolute deadlines and measures inline what cannot block: memory, processes,
//! disks and logs on local file systems. What can hang (endpoints, served certificates, anything on a network file system)
//! runs on a pool that grows only while its threads are stuck, or on `collect` itself while it comes back soon: another thread takes
//! the schedule over if it does not. A target has at most one measurement under way: a tick that finds it still there is counted as
//! late and never queued, so a hung target delays nobody but itself.

pub mod census;
pub(crate) mod certificate;
pub(crate) mod chain;
mod counts;
mod deaths;
mod dial;
mod disk;
mod entry;
mod exclusions;
mod file_glob;
mod fresh;
mod handshake;
mod hold;
mod interest;
pub(crate) mod https;
pub(crate) mod host;
pub(crate) mod latency;
mod log_file;
mod looks;
mod manager;
mod memory;
mod mount_table;
pub(crate) mod mounts;
mod near;
mod once;
mod outbox;
mod pidfile;
mod pool;
mod presence;
pub mod process;
mod process_match;
mod process_table;
pub(crate) mod reason;
mod sampling;
mod schedule;
pub(crate) mod shared;
mod slot;
mod stages;
#[cfg(test)]
pub(crate) mod test_rig;
pub mod tls;
mod units;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::clock::Moment;
use crate::config::settings::Settings;
use crate::metric::Metric;
pub use crate::sample::Want;
use crate::sample::{Batch, Sample};
use crate::threads::{self, Role, Worker};

pub use counts::Counts;
pub use exclusions::{Excluded, Exclusions};
pub use interest::SELDOM;
pub use once::{Survey, measure_once, survey};
use schedule::{Keeper, Scheduler};
use shared::Shared;
pub use units::Units;

/// Measures one watch entry: one mount, one process entry, one endpoint, one glob of logs, …
pub trait Collector: Send {
    /// Whether measuring may block: then nobody waits for it.
    fn may_hang(&mut self) -> bool {
        false
    }

    /// Measures now. Each sample carries the moment when its measurement ended. Blocks at most for the entry's timeout. The schedule fills in the samples' interval.
    fn measure(&mut self) -> Vec<Sample>;

    /// Which targets the last measurement found to be there.
    fn there(&self) -> There {
        There::Measured
    }

    /// How soon it should measure again, if that is sooner than by the schedule: the last measurement found something in motion.
    fn again(&self) -> Option<Duration> {
        None
    }
}

/// Which targets a measurement found to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum There {
    /// Those that it has samples of.
    Measured,
    /// None: what it has samples of is not there.
    Nothing,
    /// It could not look everywhere: what it did not find may be there all the same.
    Unsure,
}

/// What the collectors are told.
#[derive(Debug)]
pub enum Order {
    /// Watch this from now on. Targets whose entry did not change keep their schedule.
    Watch(Arc<Settings>),
    /// Conditions and proofs name these metrics, and no others: what else costs a look of its own is measured every ten seconds at most.
    Heed(Vec<&'static Metric>),
    /// Measure these now, whatever the schedule says, and answer.
    Measure(Fresh),
}

/// A request for fresh samples: measured after the request was made, never cached ones.
#[derive(Debug)]
pub struct Fresh {
    /// Comes back with the answer.
    pub token: u64,
    /// What is wanted. The answer may hold more.
    pub wants: Vec<Want>,
    /// When the answer is sent at the latest (running clock), with what there is by then.
    pub deadline: Moment,
    /// Where the answer goes; never blocks (unbounded).
    pub reply: Sender<Measured>,
}

/// The answer to [`Fresh`].
#[derive(Debug)]
pub struct Measured {
    /// The request's token.
    pub token: u64,
    /// What was measured in time. A want without a sample is unknown.
    pub samples: Vec<Sample>,
}

/// The collectors at work: one local thread off the schedule, and a pool for what can hang.
#[derive(Debug)]
pub struct Collectors {
    worker: Worker,
    exclusions: Exclusions,
    units: Units,
    counts: Arc<Counts>,
    emptied: Sender<Vec<Sample>>,
}

impl Collectors {
    /// Starts measuring, everything once at once. What is found goes to `samples` (bounded; a full channel never blocks the schedule: the
    /// oldest unsent sample of a key gives way to a newer one). Ends when `shutdown` is disconnected; measurements that hang at
    /// that moment are left behind.
    #[must_use]
    pub fn start(settings: Arc<Settings>, samples: Sender<Batch>, shutdown: Receiver<()>) -> (Self, Sender<Order>) {
        let (orders, inbox) = unbounded();
        let exclusions = Exclusions::default();
        let counts = Arc::new(Counts::default());
        let shared = Shared::new(exclusions.clone());
        let units = shared.units().clone();
        let mut scheduler = Scheduler::new(shared, samples, Arc::clone(&counts));
        let emptied = scheduler.emptied();
        let (role, worker) = Role::new("collect");
        threads::spawn("collect", move || {
            scheduler.watch(&settings);
            Keeper::new(scheduler, inbox, shutdown, role).keep();
        });
        (Self { worker, exclusions, units, counts, emptied }, orders)
    }

    /// The thread that has the schedule, to wait for its end.
    #[must_use]
    pub fn worker(&self) -> &Worker {
        &self.worker
    }

    /// Where the reader of a batch may leave its memory, for another batch.
    #[must_use]
    pub fn emptied(&self) -> Sender<Vec<Sample>> {
        self.emptied.clone()
    }

    /// Where the executor says which processes belong to the action that is running.
    #[must_use]
    pub fn exclusions(&self) -> Exclusions {
        self.exclusions.clone()
    }

    /// In which unit each watched process was last seen.
    #[must_use]
    pub fn units(&self) -> Units {
        self.units.clone()
    }

    /// What went late, was coalesced or panicked so far.
    #[must_use]
    pub fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }
}
