//! An incident: one occurrence of a firing condition on a target, from open to closed. Here is what it is; how it
//! moves is in [`step`]. Pure: no input or output, no thread, no clock.

mod act;
mod action;
mod approval;
pub mod event;
pub mod evidence;
pub mod id;
mod query;
pub mod resume;
mod step;
mod verify;
pub mod view;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use action::{ActionRecord, ActionStatus, RunningProcess};
pub use approval::{Answer, Approval, ApprovalState};
use evidence::Evidence;
use step::Phase;

use crate::clock::Moment;
use crate::config::playbook::Playbook;
use crate::sample::{Labels, Sample, Target, Value};

/// One incident and everything that is known about it. The report and the JSON are views of this.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Incident {
    /// Eight characters, unique on this host.
    pub id: String,
    /// The playbook that it started with; a later edit does not change it.
    pub playbook: Arc<Playbook>,
    /// What is in trouble.
    pub target: Target,
    /// Where it stands.
    pub status: Status,
    /// What fired.
    pub trigger: Trigger,
    /// The samples of the playbook's metrics when it fired.
    pub initial: Vec<Sample>,
    /// The first bad sample.
    pub started: Moment,
    /// When the condition fired.
    pub detected: Moment,
    /// When it ended.
    pub ended: Option<Moment>,
    /// One record for each action of the playbook, in order.
    pub actions: Vec<ActionRecord>,
    /// How the proof went.
    pub verification: Verification,
    /// What happened when.
    pub timeline: Vec<Entry>,
    /// Nothing is executed.
    pub dry_run: bool,
    /// Who opened it.
    pub source: Source,
    /// This host's name.
    pub host: String,
    /// By hand: the condition is not looked at before the first action.
    pub force: bool,
    /// When its condition was last measured to hold, before the first action.
    pub confirmed: Option<Moment>,
    /// An action was started: its end begins a cooldown.
    pub acted: bool,
    /// A question that was asked.
    pub approval: Option<Approval>,
    /// What was seen before the first action, the first look first.
    pub evidence: Vec<Evidence>,
    /// Of two that fired at once, which was first.
    sequence: u64,
    /// Evidence was asked for; nobody waits for it longer than this.
    evidence_due: Option<Moment>,
    /// Which heal of the target since it was last stable this is; the first is 1.
    pub attempt: u32,
    /// The breaker was open: this is the one attempt that it allows after a while, and nobody is told when it fails.
    pub retry: bool,
    /// People were told of this trouble before, and have not been told that it ended.
    pub paged: bool,
    /// The agent ended in the middle of it.
    pub interrupted: bool,
    /// It ended because a person wants its target to be as it is.
    #[serde(default)]
    pub wanted: bool,
    /// Its target went away while an action ran.
    gone: bool,
    phase: Phase,
}

/// Where an incident stands: the same words everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Its condition is measured again before anything is done.
    Open,
    /// A human is asked.
    AwaitingApproval,
    /// An action runs or is next.
    Acting,
    /// The target is measured to prove the heal.
    Verifying,
    /// It waits: for the next look, or for its turn.
    Waiting,
    /// The heal was proven.
    Resolved,
    /// It did not work; a human is needed.
    Escalated,
    /// It failed too often; the breaker is open.
    Exhausted,
    /// A human said no, or nobody answered.
    Denied,
    /// The trouble was gone before anything ran.
    Cleared,
    /// It fired during the cooldown.
    RateLimited,
    /// Nothing is configured for it.
    NoPlaybook,
    /// Everything was decided, nothing was executed.
    DryRun,
    /// The agent ended in the middle, and the target cannot be verified any more.
    Interrupted,
    /// A silence covered it, or a person had stopped the unit.
    Suppressed,
}

impl Status {
    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::AwaitingApproval => "awaiting_approval",
            Self::Acting => "acting",
            Self::Verifying => "verifying",
            Self::Waiting => "waiting",
            Self::Resolved => "resolved",
            Self::Escalated => "escalated",
            Self::Exhausted => "exhausted",
            Self::Denied => "denied",
            Self::Cleared => "cleared",
            Self::RateLimited => "rate_limited",
            Self::NoPlaybook => "no_playbook",
            Self::DryRun => "dry_run",
            Self::Interrupted => "interrupted",
            Self::Suppressed => "suppressed",
        }
    }

    /// Whether the incident still lives.
    #[must_use]
    pub fn is_live(self) -> bool {
        matches!(self, Self::Open | Self::AwaitingApproval | Self::Acting | Self::Verifying | Self::Waiting)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// What made it fire.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trigger {
    /// `disk_usage > 90 (was 96.2)`
    pub text: String,
    /// The metric that tells the targets apart.
    pub metric: Cow<'static, str>,
    /// Its value.
    pub value: Option<Value>,
    /// What it was compared with, as text.
    pub threshold: String,
}

/// Who opened an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A condition fired.
    Detector,
    /// `autoheal heal`.
    Cli,
}

/// How the proof went.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Verification {
    /// `resolved`, `failed` or `not_run`.
    pub outcome: Proof,
    /// How often the target was measured for it, over all rungs.
    pub checks: u32,
    /// From the first look to the last one.
    pub took: Duration,
    /// Why it was not run.
    pub reason: Option<String>,
    /// The samples of the last look.
    pub samples: Vec<Sample>,
}

/// The result of a verification.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// The target is well.
    Resolved,
    /// It is not, or nobody can tell.
    Failed,
    /// Nobody looked.
    #[default]
    NotRun,
}

/// One line of the timeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// When.
    pub at: Moment,
    /// A word for machines: `action_failed`.
    pub event: Cow<'static, str>,
    /// A sentence for people; may hold text from outside.
    pub text: String,
}

/// What is needed to open an incident: an edge of the detector, or a request by hand.
#[derive(Clone, Debug)]
pub struct Opening {
    /// What will be done.
    pub playbook: Arc<Playbook>,
    /// To what.
    pub target: Target,
    /// Why.
    pub trigger: Trigger,
    /// The samples behind it.
    pub samples: Vec<Sample>,
    /// The first bad sample.
    pub started: Moment,
    /// Who asks.
    pub source: Source,
    /// Skip the look before the first action.
    pub force: bool,
}

/// What the healer knows of an incident's target when it opens one.
#[derive(Clone, Debug, Default)]
pub struct Admission {
    /// The incident's id.
    pub id: String,
    /// This host's name.
    pub host: String,
    /// The settings, or the command line, say dry run.
    pub dry_run: bool,
    /// See [`Incident::attempt`].
    pub attempt: u32,
    /// See [`Incident::retry`].
    pub retry: bool,
    /// See [`Incident::paged`].
    pub paged: bool,
    /// How many were opened before it.
    pub sequence: u64,
}

/// Playbook and identity: at most one open incident each.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DedupKey {
    /// The playbook's id.
    pub playbook: String,
    /// The target's identity labels.
    pub identity: Labels,
}

impl Opening {
    /// The key of the incident that it opens.
    #[must_use]
    pub fn key(&self) -> DedupKey {
        DedupKey { playbook: self.playbook.id.clone(), identity: self.target.identity.clone() }
    }
}

impl fmt::Display for DedupKey {
    /// `disk_space_low (mount=/data)`
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.identity.is_empty() { out.write_str(&self.playbook) } else { write!(out, "{} ({})", self.playbook, self.identity) }
    }
}

impl Incident {
    /// The key of which at most one incident is open.
    #[must_use]
    pub fn key(&self) -> DedupKey {
        DedupKey { playbook: self.playbook.id.clone(), identity: self.target.identity.clone() }
    }

    /// From the first bad sample to the edge.
    #[must_use]
    pub fn time_to_detect(&self) -> Duration {
        self.detected.since(self.started)
    }

    /// From the edge to the end.
    #[must_use]
    pub fn time_to_end(&self) -> Option<Duration> {
        self.ended.map(|ended| ended.since(self.detected))
    }

    fn note(&mut self, now: Moment, event: &'static str, text: impl Into<String>) {
        self.timeline.push(Entry { at: now, event: Cow::Borrowed(event), text: text.into() });
    }
}
