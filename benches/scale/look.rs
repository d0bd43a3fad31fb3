//! Runs the collectors over a scene and tells what they cost.

use std::sync::Arc;
use std::time::Duration;

use autoheal::clock::Moment;
use autoheal::collect::Collectors;
use autoheal::sample::Batch;
use crossbeam_channel::{Receiver, bounded};
use rustix::time::{ClockId, clock_gettime};

use super::scene::Scene;
use super::servers;

/// Nothing that is measured here takes longer.
const PATIENCE: Duration = Duration::from_secs(120);

/// Processes that were seen for the first time are read at each look for 2 s: after this they are known.
pub(crate) const WARM: Duration = Duration::from_millis(3500);

/// Processor time of the collectors.
pub(crate) struct Cost {
    /// From the start until each target has been measured once.
    pub(crate) first: Duration,
    /// Of one look at all targets later on.
    pub(crate) each: Duration,
    /// Measurements that were left out because the one before was still under way.
    pub(crate) late: u64,
}

/// Lets the collectors look at the scene: once, for a while, and then so many times that are measured.
pub(crate) fn look(scene: &Scene, looks: usize, warm: Duration) -> Cost {
    let (sender, batches) = bounded(64);
    let (stop, shutdown) = bounded::<()>(0);
    let start = used();
    let (collectors, _orders) = Collectors::start(Arc::new(scene.settings()), sender, shutdown);
    let began = Moment::now();
    take(&batches, scene, 1);
    let first = used().saturating_sub(start);
    while Moment::now().since(began) < warm {
        take(&batches, scene, 1);
    }
    let (before, late) = (used(), collectors.counts().late());
    take(&batches, scene, looks);
    let each = used().saturating_sub(before) / u32::try_from(looks).unwrap_or(1);
    let late = collectors.counts().late() - late;
    drop(stop);
    collectors.worker().ended().recv_timeout(PATIENCE).expect("the collectors end");
    be_quiet();
    Cost { first, each, late }
}

/// Waits until measurements that were left behind are over: they are none of the next scene's.
fn be_quiet() {
    let (_keep, never) = bounded::<()>(0);
    loop {
        let before = used();
        let _ = never.recv_timeout(Duration::from_millis(100));
        if used().saturating_sub(before) < Duration::from_micros(100) {
            return;
        }
    }
}

/// Takes samples until each target has been measured so many times.
fn take(batches: &Receiver<Batch>, scene: &Scene, looks: usize) {
    let mut missing = scene.samples * looks;
    while missing > 0 {
        let batch = batches.recv_timeout(PATIENCE).expect("the collectors measure");
        let of_metric = batch.samples.iter().filter(|sample| sample.metric.name == scene.metric);
        let known = of_metric.map(|sample| assert!(sample.value.is_some(), "{} is unknown: {:?}", sample.target.identity, sample.reason));
        missing = missing.saturating_sub(known.count());
    }
}

/// Processor time of this process, without the thread that asks and without the servers.
fn used() -> Duration {
    clock(ClockId::ProcessCPUTime).saturating_sub(clock(ClockId::ThreadCPUTime)).saturating_sub(servers::used())
}

/// What a clock of processor time shows.
pub(crate) fn clock(id: ClockId) -> Duration {
    let time = clock_gettime(id);
    let part = |number: i64| u64::try_from(number).expect("no time is negative");
    Duration::from_secs(part(time.tv_sec)) + Duration::from_nanos(part(time.tv_nsec))
}
