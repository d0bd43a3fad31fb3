//! Requests for fresh samples that are not answered yet.

use std::collections::{BTreeSet, HashMap};

use super::{Fresh, Measured, Want};
use crate::clock::Moment;
use crate::metric::Metric;
use crate::sample::{Labels, Sample};

/// Up to so many requests look through all samples themselves.
const FEW: usize = 8;

/// The open requests.
#[derive(Debug, Default)]
pub(crate) struct Requests(Vec<Request>);

#[derive(Debug)]
struct Request {
    order: Fresh,
    asked: Moment,
    /// Whose measurements are still awaited.
    awaited: BTreeSet<u64>,
    samples: Vec<Sample>,
}

impl Requests {
    /// A new request, for measurements of `awaited` that begin from `asked` on.
    pub(crate) fn add(&mut self, order: Fresh, asked: Moment, awaited: BTreeSet<u64>) {
        self.0.push(Request { order, asked, awaited, samples: Vec::new() });
    }

    /// A measurement is done. `true`: it began too early for somebody, so another one is needed.
    pub(crate) fn measured(&mut self, id: u64, began: Moment, samples: &[Sample]) -> bool {
        let mut again = false;
        // One measurement can be the answer to hundreds of requests, each for one of thousands of targets.
        let mut by_target: HashMap<&Labels, Vec<&Sample>> = HashMap::new();
        if self.0.len() > FEW {
            samples.iter().for_each(|sample| by_target.entry(&sample.target.identity).or_default().push(sample));
        }
        for request in self.0.iter_mut().filter(|request| request.awaited.contains(&id)) {
            if began < request.asked {
                again = true;
                continue;
            }
            request.awaited.remove(&id);
            let wants = &request.order.wants;
            let wanted = |sample: &&Sample| wants.iter().any(|want| concerns(want, sample));
            match wants.first().and_then(|want| by_target.get(&want.identity)) {
                Some(own) => request.samples.extend(own.iter().copied().filter(wanted).cloned()),
                None => request.samples.extend(samples.iter().filter(wanted).cloned()),
            }
        }
        again
    }

    /// This one is watched no more, or cannot be measured.
    pub(crate) fn give_up(&mut self, id: u64) {
        for request in &mut self.0 {
            request.awaited.remove(&id);
        }
    }

    /// Answers what is complete or due.
    pub(crate) fn answer(&mut self, now: Moment) {
        let (ready, open) = std::mem::take(&mut self.0)
            .into_iter()
            .partition(|request| request.awaited.is_empty() || request.order.deadline.running <= now.running);
        self.0 = open;
        let ready: Vec<Request> = ready;
        for Request { order, samples, .. } in ready {
            // Who asked may have gone meanwhile.
            let _ = order.reply.send(Measured { token: order.token, samples });
        }
    }

    /// The metrics that somebody waits for.
    pub(crate) fn metrics(&self) -> impl Iterator<Item = &'static Metric> {
        self.0.iter().flat_map(|request| &request.order.wants).map(|want| want.metric)
    }

    /// Whether nobody waits for anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The earliest deadline.
    pub(crate) fn next_deadline(&self) -> Option<Moment> {
        self.0.iter().map(|request| request.order.deadline).min()
    }
}

/// Whether the sample is of the target that is wanted: the labels that both name are equal. Other metrics of it go along.
fn concerns(want: &Want, sample: &Sample) -> bool {
    let same = |(name, value): (&str, &str)| want.identity.get(name).is_none_or(|wanted| wanted == value);
    sample.metric.kind == want.metric.kind && sample.target.identity.iter().all(same)
}
