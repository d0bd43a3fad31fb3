//! What was measured first: shown once, as a table, when everything that answers quickly has answered.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use crate::metric::{Kind, Metric};
use crate::sample::{Labels, Sample};

/// So many samples are kept for the first table.
const SAMPLES: usize = 1000;

/// The latest of the first samples.
#[derive(Debug, Default)]
pub(super) struct FirstLook {
    samples: Vec<Sample>,
    /// Where the sample of a metric and target stands in `samples`.
    places: HashMap<(&'static Metric, Labels), usize>,
}

impl FirstLook {
    /// Keeps the latest of the first samples. Whether one of them is of something new: a short interval brings the known ones
    /// again and again, and that is no reason to wait on.
    pub(super) fn saw(&mut self, batch: &[Sample]) -> bool {
        let known = self.places.len();
        for sample in batch {
            match self.places.entry((sample.metric, sample.target.identity.clone())) {
                Entry::Occupied(place) => {
                    if let Some(first) = self.samples.get_mut(*place.get()) {
                        first.clone_from(sample);
                    }
                }
                Entry::Vacant(place) => {
                    place.insert(self.samples.len());
                    // Nobody reads a table of thousands, and it is not kept for nothing.
                    if self.samples.len() < SAMPLES {
                        self.samples.push(sample.clone());
                    }
                }
            }
        }
        self.places.len() > known
    }

    pub(super) fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// How many targets there are.
    pub(super) fn targets(&self) -> usize {
        self.places.keys().map(|(metric, identity)| (metric.kind, identity)).collect::<HashSet<(Kind, &Labels)>>().len()
    }
}
