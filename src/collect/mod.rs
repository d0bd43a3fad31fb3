//! Collectors: they measure targets and send samples. A target that fails is data, not an error.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};

use crate::clock::Moment;
use crate::config::settings::Settings;
use crate::sample::Sample;
pub use crate::sample::Want;

/// Measures one watch entry: one mount, one process entry, one endpoint, one glob of logs, …
pub trait Collector: Send {
    /// Measures now. Each sample carries the moment when its measurement ended. Blocks at most for the entry's timeout;
    /// a collector that may block runs on the pool.
    fn measure(&mut self) -> Vec<Sample>;
}

/// What the collectors are told.
#[derive(Debug)]
pub enum Order {
    /// Watch this from now on. Targets whose entry did not change keep their schedule.
    Watch(Arc<Settings>),
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

/// The collectors at work: one local thread off a timer heap, and a pool for what can hang.
#[derive(Debug)]
pub struct Collectors {}

impl Collectors {
    /// Starts measuring. Samples go to `samples` (bounded; a full channel never blocks the schedule: the oldest unsent sample of
    /// a key gives way to a newer one).
    #[must_use]
    pub fn start(_settings: Arc<Settings>, _samples: Sender<Vec<Sample>>, _shutdown: Receiver<()>) -> (Self, Sender<Order>) {
        todo!()
    }
}

/// Measures everything once, now, in parallel, for at most `limit`; what did not answer by then is missing.
#[must_use]
pub fn measure_once(_settings: &Settings, _limit: Duration) -> Vec<Sample> {
    todo!()
}
