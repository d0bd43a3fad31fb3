//! From samples to edges: [`condition`] says what is true, [`detector`] when that matters, and the thread here carries
//! samples in and edges out.

mod canonical;
pub mod condition;
pub mod detector;
mod latest;
mod opening;
mod progress;
mod routes;
mod rule;

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, never, select};

use crate::clock::Moment;
use crate::config::playbook::Playbook;
use crate::incident::DedupKey;
use crate::record::history::samples::{Aggregator, SampleRow};
use crate::record::recorder::Message;
use crate::sample::{Batch, Sample};
use crate::threads::{self, Worker};
use detector::Detector;
pub use detector::Edge;

/// How often what was measured goes to the recorder, as rows of whole minutes: it need not wake for each sample.
const FLUSH: Duration = Duration::from_secs(60);

/// What the detector is told.
#[derive(Clone, Debug)]
pub enum Order {
    /// These playbooks are in force.
    Watch(Vec<Arc<Playbook>>),
    /// The key's incident has ended: samples from before are of no consequence, and it may fire again.
    Rearm(DedupKey, Moment),
    /// The latest sample of every metric and target.
    Show(Sender<Vec<Sample>>),
    /// These have incidents from an earlier life of the agent: a target that does not show up within three intervals is gone.
    Expect {
        /// The incidents' keys.
        keys: Vec<DedupKey>,
        /// The settings' default interval.
        interval: Duration,
    },
}

/// The channels of the detector's thread.
#[derive(Debug)]
pub struct Wiring {
    /// From the collectors.
    pub samples: Receiver<Batch>,
    /// From the agent and the heal worker.
    pub orders: Receiver<Order>,
    /// To the heal worker; unbounded, so that an edge is never dropped and never blocks.
    pub edges: Sender<Edge>,
    /// To the recorder.
    pub record: Option<Sender<Message>>,
    /// Everything that was measured, for those who show it; a reader that is gone is no matter.
    pub seen: Option<Sender<Vec<Sample>>>,
    /// Back to the collectors: what held a batch holds another one.
    pub emptied: Sender<Vec<Sample>>,
    /// Disconnected when the agent stops.
    pub shutdown: Receiver<()>,
}

/// Starts the detector's thread.
#[must_use]
pub fn start(wiring: Wiring) -> Worker {
    threads::spawn("detect", move || run(&wiring))
}

fn run(wiring: &Wiring) {
    let mut detector = Detector::default();
    let mut gathered = Gathered::new(wiring.record.clone());
    let mut samples = wiring.samples.clone();
    let mut seen = wiring.seen.clone();
    loop {
        let now = Moment::now();
        gathered.flush(now);
        let wait = detector.next_look(now).unwrap_or(FLUSH).min(gathered.next_flush(now));
        let edges = select! {
            recv(samples) -> batch => match batch {
                Ok(mut batch) => {
                    gathered.feed(&batch.samples);
                    if seen.as_ref().is_some_and(|seen| seen.send(batch.samples.clone()).is_err()) {
                        seen = None;
                    }
                    let edges = detector.batch(&mut batch, Moment::now());
                    let _ = wiring.emptied.try_send(batch.samples);
                    edges
                }
                Err(_) => { samples = never(); Vec::new() }
            },
            recv(wiring.orders) -> order => match order {
                Ok(Order::Watch(playbooks)) => detector.watch(&playbooks, Moment::now()),
                Ok(Order::Rearm(key, at)) => { detector.rearm(&key, at); Vec::new() }
                Ok(Order::Expect { keys, interval }) => { detector.expect(keys, interval, Moment::now()); Vec::new() }
                Ok(Order::Show(reply)) => { let _ = reply.send(detector.latest()); Vec::new() }
                Err(_) => return,
            },
            recv(wiring.shutdown) -> _ => return,
            default(wait) => detector.look(Moment::now()),
        };
        for edge in edges {
            if wiring.edges.send(edge).is_err() {
                return;
            }
        }
    }
}

/// What was measured, on its way to the recorder. The minute that goes on is sent when this is dropped.
struct Gathered {
    rows: Aggregator,
    recorder: Option<Sender<Message>>,
    flush_at: Moment,
}

impl Gathered {
    fn new(recorder: Option<Sender<Message>>) -> Self {
        Self { rows: Aggregator::default(), recorder, flush_at: Moment::now().after(FLUSH) }
    }

    fn feed(&mut self, samples: &[Sample]) {
        if self.recorder.is_some() {
            self.rows.feed(samples);
        }
    }

    fn next_flush(&self, now: Moment) -> Duration {
        self.flush_at.since(now)
    }

    fn flush(&mut self, now: Moment) {
        if self.flush_at.is_due(now) {
            self.flush_at = now.after(FLUSH);
            let rows = self.rows.take_ended(now.wall.as_millisecond());
            self.send(rows);
        }
    }

    fn send(&self, rows: Vec<SampleRow>) {
        if let Some(recorder) = self.recorder.as_ref().filter(|_| !rows.is_empty()) {
            let _ = recorder.send(Message::Samples(rows));
        }
    }
}

impl Drop for Gathered {
    fn drop(&mut self) {
        let rows = self.rows.take_all();
        self.send(rows);
    }
}
