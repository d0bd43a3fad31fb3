//! The thread that gathers evidence. It may be held up by a dying disk; the incident waits for it 5 s and no longer.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crossbeam_channel::{Receiver, Sender};

use super::evidence::{Evidence, Gatherer, MOST_TIME, Subject};
use super::outcome::Limit;
use crate::clock::Moment;
use crate::collect::{Exclusions, Units};
use crate::config::Config;
use crate::incident::Incident;
use crate::metric;
use crate::threads::{self, Worker};

/// A wish for evidence.
#[derive(Debug)]
pub(crate) struct Wish {
    pub(crate) incident: Box<Incident>,
    pub(crate) config: Arc<Config>,
    /// Nobody waits longer.
    pub(crate) until: Moment,
}

impl Wish {
    /// Evidence of this incident, now.
    pub(crate) fn new(incident: &Incident, config: &Arc<Config>) -> Self {
        Self { incident: Box::new(incident.clone()), config: Arc::clone(config), until: Moment::now().after(MOST_TIME) }
    }
}

/// What the thread needs of the agent.
#[derive(Debug)]
pub(crate) struct Witness {
    pub(crate) helper: PathBuf,
    pub(crate) exclusions: Exclusions,
    pub(crate) units: Units,
    /// Set when the agent stops.
    pub(crate) stop: Arc<AtomicBool>,
    /// Where evidence goes, by the incident's id.
    pub(crate) seen: Sender<(String, Evidence)>,
}

/// Starts the thread; it ends when nobody can wish any more.
pub(crate) fn start(witness: Witness, wishes: Receiver<Wish>) -> Worker {
    threads::spawn("heal:evidence", move || {
        let mut gatherer = Gatherer::new();
        for wish in wishes {
            // Whoever wished has gone on without.
            if wish.until.is_due(Moment::now()) {
                continue;
            }
            let evidence = witness.look(&mut gatherer, &wish);
            if witness.seen.send((wish.incident.id.clone(), evidence)).is_err() {
                return;
            }
        }
    })
}

impl Witness {
    fn look(&self, gatherer: &mut Gatherer, wish: &Wish) -> Evidence {
        let Wish { incident, config, until } = wish;
        let Some(metric) = metric::find(&incident.trigger.metric) else { return Evidence::default() };
        let unit = incident.target.label("process_name").and_then(|name| {
            let service = config.policy.service_of(name);
            if service == name { self.units.of(name) } else { Some(service.to_owned()) }
        });
        let subject = Subject {
            kind: metric.kind,
            target: &incident.target,
            samples: &incident.initial,
            settings: &config.settings,
            policy: &config.policy,
            unit: unit.as_deref(),
            helper: &self.helper,
            exclusions: &self.exclusions,
        };
        let limit = Limit { deadline: until.earlier(Moment::now().after(MOST_TIME)), stop: Arc::clone(&self.stop) };
        gatherer.gather(&subject, &limit)
    }
}
