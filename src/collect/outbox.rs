//! Samples on their way to the detector. A full channel never blocks: the newest sample of a key waits, older ones give way.

use std::collections::BTreeMap;
use std::sync::Arc;

use crossbeam_channel::{Sender, TrySendError};

use super::Counts;
use crate::sample::{Labels, Sample};

/// What could not be sent yet.
#[derive(Debug)]
pub(crate) struct Outbox {
    samples: Sender<Vec<Sample>>,
    fresh: Vec<Sample>,
    waiting: BTreeMap<(&'static str, Labels), Sample>,
    counts: Arc<Counts>,
}

/// Nobody reads the samples any more.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Gone;

impl Outbox {
    pub(crate) fn new(samples: Sender<Vec<Sample>>, counts: Arc<Counts>) -> Self {
        Self { samples, fresh: Vec::new(), waiting: BTreeMap::new(), counts }
    }

    /// Takes samples for the next [`Self::flush`].
    pub(crate) fn add(&mut self, samples: Vec<Sample>) {
        self.fresh.extend(samples);
    }

    /// Whether something waits for room.
    pub(crate) fn is_behind(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Sends what there is, in one batch, if there is room.
    ///
    /// # Errors
    /// When nobody listens any more.
    pub(crate) fn flush(&mut self) -> Result<(), Gone> {
        if self.is_behind() {
            let fresh = std::mem::take(&mut self.fresh);
            self.keep(fresh);
        }
        let batch = if self.is_behind() {
            std::mem::take(&mut self.waiting).into_values().collect()
        } else if self.fresh.is_empty() {
            return Ok(());
        } else {
            std::mem::take(&mut self.fresh)
        };
        match self.samples.try_send(batch) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(batch)) => {
                self.keep(batch);
                Ok(())
            }
            Err(TrySendError::Disconnected(_)) => Err(Gone),
        }
    }

    fn keep(&mut self, samples: Vec<Sample>) {
        for sample in samples {
            let key = (sample.metric.name, sample.target.identity.clone());
            if self.waiting.insert(key, sample).is_some() {
                self.counts.add_coalesced();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crossbeam_channel::bounded;

    use super::*;
    use crate::clock::Moment;
    use crate::metric;
    use crate::sample::{Target, Value};

    fn sample(name: &str, number: f64) -> Sample {
        let target = Target::new(Labels::from([("path", name)]), Labels::default());
        Sample::known(metric::named("log_file_size_mb"), &target, Value::Number(number), Moment::at_seconds(number))
    }

    #[test]
    fn the_latest_of_each_key_waits_for_room() {
        let (sender, receiver) = bounded(1);
        let counts = Arc::new(Counts::default());
        let mut outbox = Outbox::new(sender, Arc::clone(&counts));
        for number in 0..5 {
            outbox.add(vec![sample("a", f64::from(number)), sample("b", f64::from(number))]);
            outbox.flush().unwrap();
        }
        assert!(outbox.is_behind());
        assert_eq!(receiver.recv().unwrap().len(), 2, "the first batch went through");
        outbox.flush().unwrap();
        let values: Vec<_> = receiver.recv().unwrap().into_iter().map(|sample| sample.value).collect();
        assert_eq!(values, [Some(Value::Number(4.0)), Some(Value::Number(4.0))]);
        assert!(!outbox.is_behind());
        assert_eq!(counts.coalesced(), 6);
        drop(receiver);
        outbox.add(vec![sample("a", 9.0)]);
        assert_eq!(outbox.flush(), Err(Gone));
    }
}
