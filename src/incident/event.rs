//! What can happen to an incident, and what follows from it.

use std::time::Duration;

use crate::heal::outcome::Outcome;
use crate::incident::evidence::Evidence;
use crate::incident::{Answer, RunningProcess};
use crate::sample::Sample;

/// What happens to an incident.
#[derive(Debug)]
pub enum Event<'a> {
    /// The fresh samples that were asked for; those that could not be had are missing.
    Measured(&'a [Sample]),
    /// No other action runs: it is this incident's turn.
    Turn,
    /// What the guard and the look at the host said of the action whose turn it is.
    Prepared(Prepared),
    /// The action ended.
    Finished(Outcome),
    /// What was seen before the cure.
    Evidence(Evidence),
    /// A human answered the question.
    Answered(Answer),
    /// A silence covers it: why, and by whom.
    Silenced(String),
    /// Its target is not there any more.
    Gone,
    /// An action of an earlier life of the agent, which was still running, is over; nobody knows how it ended.
    OutcomeUnknown(String),
    /// Time has passed.
    Tick,
    /// Another incident's action ended since the last look: look again before the first action.
    LookAgain,
    /// Another target of the same playbook was healed meanwhile, and the cooldown is for all of them; it lasts this long.
    RateLimited(Duration),
    /// As many actions as the host may have in an hour have started: this one, and all others, wait.
    OverBudget(u32),
    /// The playbook was removed, disabled or set to dry run.
    Withdrawn,
    /// The settings in force say dry run.
    DryRun,
}

/// What becomes of an action whose turn has come.
#[derive(Clone, Debug, PartialEq)]
pub enum Prepared {
    /// It runs now: the words, and the process that waits for the intent to be on record.
    Running(Vec<String>, Option<RunningProcess>),
    /// It would run, but nothing is executed.
    WouldRun(Vec<String>),
    /// There is no need for it.
    Skipped(String),
    /// The guard refuses it, or what it needs is not there: why, and the code that `autoheal explain` knows, if there is one.
    Refused(String, Option<&'static str>),
    /// A human must say yes to exactly these: which action, and its words.
    Ask(Vec<(usize, Vec<String>)>),
}

/// What must be done after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Measure [`Incident::wants`](super::Incident::wants) afresh and come back with [`Event::Measured`].
    Measure,
    /// Look at the host around the target and come back with [`Event::Evidence`].
    Gather,
    /// Tell people.
    Tell(Notice),
    /// It is over.
    Ended,
}

/// What people are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Notice {
    /// A yes or no is needed.
    Approval,
    /// autoheal could not repair it; a human is needed.
    Escalated,
    /// It was repaired.
    Resolved,
    /// What people were told of is over.
    Recovered,
    /// The host has had its actions of this hour; everything waits.
    OverBudget,
}

impl Notice {
    /// The word for it, in the history and in summaries.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Approval => "approval",
            Self::Escalated => "escalated",
            Self::Resolved => "resolved",
            Self::Recovered => "recovered",
            Self::OverBudget => "over_budget",
        }
    }
}
