//! What the healer is told, and what it says.

use std::collections::HashMap;
use std::sync::Arc;

use crate::clock::Moment;
use crate::config::playbook::Playbook;
use crate::detect::detector::Edge;
use crate::heal::outcome::Outcome;
use crate::heal::silence::{RecurringSilence, Silence};
use crate::heal::track::{Page, Track};
use crate::incident::event::{Notice, Prepared};
use crate::incident::evidence::Evidence;
use crate::incident::{DedupKey, Incident};
use crate::sample::{Sample, Want};

/// What the healer is told.
#[derive(Debug)]
pub enum Input {
    /// A condition fired or cleared, or its target is gone.
    Edge(Edge),
    /// Fresh samples that were asked for under this token.
    Measured {
        /// The token of [`Effect::Measure`].
        token: u64,
        /// What was measured in time.
        samples: Vec<Sample>,
    },
    /// What was seen around the incident's target.
    Evidence {
        /// The incident.
        id: String,
        /// What was seen.
        evidence: Evidence,
    },
    /// What became of the action whose turn it was.
    Prepared {
        /// The incident.
        id: String,
        /// The result.
        prepared: Prepared,
    },
    /// The running action ended.
    Finished {
        /// The incident.
        id: String,
        /// How.
        outcome: Outcome,
    },
    /// An action of an earlier life of the agent is over.
    AdoptedEnded {
        /// The incident.
        id: String,
        /// What is known of its end.
        text: String,
    },
    /// Time has passed.
    Tick,
    /// The playbooks and the settings in force.
    Configured {
        /// By id.
        playbooks: HashMap<String, Arc<Playbook>>,
        /// The settings' `dry_run`, or `--dry-run`.
        dry_run: bool,
        /// The settings' `max_actions_per_hour`.
        max_actions_per_hour: u32,
        /// The settings' `silences`.
        silences: Vec<RecurringSilence>,
    },
}

/// What the shell around the healer must do.
#[derive(Debug)]
pub enum Effect {
    /// Measure afresh and come back with [`Input::Measured`].
    Measure {
        /// Comes back with the answer.
        token: u64,
        /// What.
        wants: Vec<Want>,
    },
    /// Look at the host around the incident's target and come back with [`Input::Evidence`].
    Gather {
        /// The incident.
        id: String,
    },
    /// Prepare the action (guard, host) and come back with [`Input::Prepared`]; if it runs, later with [`Input::Finished`].
    Prepare {
        /// The incident.
        id: String,
        /// Which of its actions.
        index: usize,
    },
    /// Wait for the end of an action of an earlier life of the agent, and come back with [`Input::AdoptedEnded`].
    Adopt {
        /// The incident.
        id: String,
        /// Its process.
        process: crate::incident::RunningProcess,
        /// It is ended then.
        until: Moment,
    },
    /// Tell people about the incident.
    Tell(Notice, Box<Incident>),
    /// Tell people that what they were told of is over.
    Recovered(DedupKey, Page),
    /// The incident changed: write it down, and its report.
    Changed(Box<Incident>),
    /// Write this down, together with the incidents of the same turn.
    Save(Box<Fact>),
    /// The incident is over: it was announced by [`Effect::Changed`] before; the detector may fire for it again.
    Ended(DedupKey),
    /// The detector must say whether this key is well or in trouble: nobody knows yet.
    Watch(DedupKey),
}

/// What must survive a restart besides incidents.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact {
    /// What is remembered of a target; `None`: nothing any more.
    Track(DedupKey, Option<Box<Track>>),
    /// When the actions of the last hour started.
    Budget(Vec<Moment>),
    /// A silence by hand.
    Silence(Silence),
    /// The heal of this incident did not hold.
    Relapsed(String),
}
