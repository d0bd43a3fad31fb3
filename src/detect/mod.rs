//! From samples to edges: [`condition`] says what is true, [`detector`] when that matters, and the thread here carries
//! samples in and edges out.

mod canonical;
pub mod condition;
pub mod detector;
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
use crate::record::recorder::Message;
use crate::sample::{Batch, Sample};
use crate::threads::{self, Worker};
use detector::Detector;
pub use detector::Edge;

/// While so many messages wait for the recorder, it gets no samples: a batch can be a pass over thousands of targets, and the next one
/// says much the same.
const BEHIND: usize = 64;

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
    pub seen: Option<Sender<Arc<Vec<Sample>>>>,
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
    let mut samples = wiring.samples.clone();
    loop {
        let wait = detector.next_look(Moment::now()).unwrap_or(Duration::from_secs(30));
        let edges = select! {
            recv(samples) -> batch => match batch {
                Ok(batch) => {
                    let edges = detector.batch(&batch, Moment::now());
                    let samples = Arc::new(batch.samples);
                    if let Some(record) = wiring.record.as_ref().filter(|record| record.len() < BEHIND) {
                        let _ = record.send(Message::Samples(Arc::clone(&samples)));
                    }
                    if let Some(seen) = &wiring.seen {
                        let _ = seen.send(samples);
                    }
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
