//! How an incident moves: `step(event, now)` changes it and says what must be done. Waiting is a deadline in here, never a
//! blocked thread; a crash can be placed between any two steps. What happens at a turn is in `act`, questions in `approval`,
//! what follows a restart in `resume`.
//!
//! ```text
//! Rechecking ─true→ Gathering → Ready ─turn→ Acting ─outcome→ Ready (next) … → Verifying ─proven→ resolved
//!   ▲  │false        (evidence)   │           │asks                             │ not yet → VerifyWait → Verifying
//!   │  ▼                          ▼           ▼                                 ▼ no look left
//!   │ cleared                (one at a     Asking ─no, silence→ denied       escalated (ladder: Ready, next rung)
//!   │                         time)           │yes
//!   └─────────────────────────────────────────┘
//! ```

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::event::{Effect, Event, Notice};
use super::evidence::Evidence;
use super::verify::Looks;
use super::{ActionRecord, Admission, Incident, Opening, Source, Status, Verification};
use crate::clock::{Moment, in_words};
use crate::detect::condition::joins;
use crate::sample::Sample;

/// How often the look before the first action is repeated when it says nothing, and how far apart.
const RECHECKS: u32 = 3;
const RECHECK_PAUSE: Duration = Duration::from_secs(10);

/// How long the first action waits for evidence.
const EVIDENCE: Duration = Duration::from_secs(5);
/// Evidence that is older is gathered again before the first action.
const EVIDENCE_AGE: Duration = Duration::from_secs(60);

/// Where an incident is between two events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Phase {
    /// Fresh samples were asked for, before that action.
    Rechecking { index: usize, tries: u32 },
    /// They said nothing; they are asked for again then.
    RecheckWait { index: usize, tries: u32, until: Moment },
    /// The condition holds; evidence is waited for.
    Gathering { index: usize, until: Moment },
    /// The action is next, when no other runs.
    Ready { index: usize },
    /// A human is asked about the action.
    Asking { index: usize, until: Moment },
    /// The action has its turn.
    Acting { index: usize },
    /// An earlier life of the agent started the action, and it still runs; it may until then.
    Adopted { index: usize, until: Moment },
    /// Fresh samples were asked for, to prove the heal (of that rung, or of all).
    Verifying { rung: Option<usize>, looks: Looks },
    /// The next look is then.
    VerifyWait { rung: Option<usize>, looks: Looks, until: Moment },
    /// It is over.
    Ended,
}

impl Phase {
    /// The action that is next, or now.
    pub(super) fn index(&self) -> Option<usize> {
        match self {
            Self::Rechecking { index, .. }
            | Self::RecheckWait { index, .. }
            | Self::Gathering { index, .. }
            | Self::Ready { index }
            | Self::Asking { index, .. }
            | Self::Acting { index }
            | Self::Adopted { index, .. } => Some(*index),
            Self::Verifying { .. } | Self::VerifyWait { .. } | Self::Ended => None,
        }
    }
}

impl Incident {
    /// Opens an incident; the first effect is a fresh measurement, unless it is forced by hand.
    #[must_use]
    pub fn open(admission: Admission, opening: Opening, now: Moment) -> (Self, Vec<Effect>) {
        let force = opening.force;
        let mut incident = Self::new(admission, opening, now);
        incident.evidence_due = Some(now.after(EVIDENCE));
        let next = if force { incident.begin(0, now) } else { vec![Effect::Measure] };
        (incident, [vec![Effect::Gather], next].concat())
    }

    fn new(admission: Admission, opening: Opening, now: Moment) -> Self {
        let Opening { playbook, target, trigger, samples, started, source, force } = opening;
        let Admission { id, host, dry_run, attempt, retry, paged, sequence } = admission;
        let mut incident = Self {
            id,
            target,
            status: Status::Open,
            trigger,
            initial: samples,
            started,
            detected: now,
            ended: None,
            actions: Vec::new(),
            verification: Verification::default(),
            timeline: Vec::new(),
            dry_run: dry_run || playbook.dry_run,
            source,
            host,
            force,
            confirmed: None,
            acted: false,
            approval: None,
            evidence: Vec::new(),
            evidence_due: None,
            attempt,
            retry,
            paged,
            sequence,
            interrupted: false,
            wanted: false,
            gone: false,
            phase: Phase::Rechecking { index: 0, tries: 0 },
            playbook,
        };
        let values = incident.values();
        incident.actions = incident.playbook.actions.iter().map(|action| ActionRecord::new(action, &values)).collect();
        incident.note(now, "opened", incident.trigger.text.clone());
        incident
    }

    /// An incident that is only a record, and over at once: it fired during the cooldown, or a silence covers it.
    #[must_use]
    pub fn record(admission: Admission, opening: Opening, status: Status, text: impl Into<String>, now: Moment) -> Self {
        let mut incident = Self::new(admission, opening, now);
        incident.end(status, text, now);
        incident
    }

    /// A heal that was proven and did not hold filled the count: no action follows, and people are told.
    #[must_use]
    pub fn relapsed(admission: Admission, opening: Opening, now: Moment) -> (Self, Vec<Effect>) {
        let mut incident = Self::new(admission, opening, now);
        let text = format!("the fault came back after {} attempts: the breaker is open, and no action follows", incident.attempt);
        let mut effects = incident.end(Status::Exhausted, text, now);
        effects.insert(0, Effect::Tell(Notice::Escalated));
        (incident, effects)
    }

    /// Takes an event into account. Events that do not fit the phase are of no consequence.
    #[must_use]
    pub fn step(&mut self, event: Event<'_>, now: Moment) -> Vec<Effect> {
        match (self.phase.clone(), event) {
            (Phase::Ended, _) => Vec::new(),
            (Phase::Rechecking { index, tries }, Event::Measured(samples)) => self.rechecked(index, tries, &self.own(samples), now),
            (Phase::RecheckWait { index, tries, until }, Event::Tick) if until.is_due(now) => {
                self.enter(Status::Open, Phase::Rechecking { index, tries });
                vec![Effect::Measure]
            }
            (phase, Event::Evidence(evidence)) => self.witnessed(&phase, evidence, now),
            (Phase::Gathering { index, until }, Event::Tick) if until.is_due(now) => {
                self.note(now, "evidence_missing", format!("it was not there within {}", in_words(EVIDENCE)));
                self.evidence_due = None;
                self.begin(index, now)
            }
            (Phase::Ready { index }, Event::Turn) => {
                self.enter(Status::Acting, Phase::Acting { index });
                Vec::new()
            }
            (Phase::Acting { index }, Event::Prepared(prepared)) => self.prepared(index, prepared, now),
            (Phase::Acting { index }, Event::Finished(outcome)) => self.finished(index, outcome, now),
            (Phase::Adopted { index, .. }, Event::OutcomeUnknown(text)) => self.outcome_unknown(index, &text, now),
            (Phase::Asking { index, until }, Event::Tick) if until.is_due_after_sleep(now) => self.nobody_answered(index, now),
            (Phase::Asking { index, .. }, Event::Answered(answer)) => self.answered(index, answer, now),
            (Phase::Verifying { rung, looks }, Event::Measured(samples)) => self.looked(rung, looks, &self.own(samples), now),
            (Phase::VerifyWait { rung, looks, until }, Event::Tick) if until.is_due(now) => {
                self.enter(Status::Verifying, Phase::Verifying { rung, looks });
                vec![Effect::Measure]
            }
            (Phase::Ready { index }, Event::LookAgain) => self.measure_again(index, now),
            (Phase::Ready { .. }, Event::RateLimited(left)) => {
                self.end(Status::RateLimited, format!("another target was healed; the cooldown lasts another {}", in_words(left)), now)
            }
            (Phase::Asking { index, .. }, Event::DryRun) => {
                self.approval = None;
                self.note(now, "approval_withdrawn", "the settings say dry run now: nobody needs to answer");
                self.enter(Status::Waiting, Phase::Ready { index });
                Vec::new()
            }
            (Phase::Ready { .. }, Event::OverBudget(most)) => {
                self.note(now, "over_budget", format!("it waits: max_actions_per_hour allows {most}, and that many have started"));
                vec![Effect::Tell(Notice::OverBudget)]
            }
            // What runs is not left alone: its end is waited for.
            (Phase::Acting { .. } | Phase::Adopted { .. }, Event::Gone) => {
                self.gone = true;
                Vec::new()
            }
            (_, Event::Gone) => self.target_gone(now),
            (_, Event::Silenced(text)) if !self.acted => self.end(Status::Suppressed, text, now),
            (_, Event::Withdrawn) => self.end(Status::Cleared, "playbook withdrawn", now),
            _ => Vec::new(),
        }
    }

    /// Measures the condition again before that action, and looks at the host again if the last look is old.
    pub(super) fn measure_again(&mut self, index: usize, now: Moment) -> Vec<Effect> {
        self.enter(Status::Open, Phase::Rechecking { index, tries: 0 });
        let old = self.confirmed.is_none_or(|confirmed| now.since(confirmed) > EVIDENCE_AGE);
        if !old || self.acted || self.evidence_due.is_some() {
            return vec![Effect::Measure];
        }
        self.evidence_due = Some(now.after(EVIDENCE));
        vec![Effect::Gather, Effect::Measure]
    }

    /// The first look and the last one are kept.
    fn witnessed(&mut self, phase: &Phase, evidence: Evidence, now: Moment) -> Vec<Effect> {
        self.evidence.truncate(1);
        for hint in &evidence.hints {
            self.note(now, "evidence", hint.clone());
        }
        self.evidence.push(evidence);
        self.evidence_due = None;
        if let Phase::Gathering { index, .. } = phase { self.begin(*index, now) } else { Vec::new() }
    }

    /// Of what was measured only that which was wanted: collectors answer with all that they saw on the way.
    fn own(&self, samples: &[Sample]) -> Vec<Sample> {
        let wants = self.wants();
        let wanted =
            |sample: &&Sample| wants.iter().any(|want| want.metric == sample.metric && joins(&want.identity, &sample.target.identity));
        samples.iter().filter(wanted).cloned().collect()
    }

    pub(super) fn enter(&mut self, status: Status, phase: Phase) {
        self.status = status;
        self.phase = phase;
    }

    fn rechecked(&mut self, index: usize, tries: u32, samples: &[Sample], now: Moment) -> Vec<Effect> {
        let wanted = samples.iter().find(|sample| sample.is_wanted()).and_then(|sample| sample.reason.clone());
        match self.playbook.condition.state_of(&self.target.identity, samples) {
            // Who asks for a heal by hand knows what he wants.
            Some(true) if !self.acted && self.source == Source::Detector && wanted.is_some() => {
                self.wanted = true;
                self.end(Status::Suppressed, wanted.unwrap_or_default(), now)
            }
            Some(true) => {
                self.confirmed = Some(now);
                self.note(now, "confirmed", "measured again: the condition holds");
                self.begin(index, now)
            }
            Some(false) => self.end(Status::Cleared, "measured again: the condition no longer holds", now),
            None if tries + 1 < RECHECKS => {
                let reason = reason_of(samples);
                self.note(now, "unknown", format!("measured again: unknown{reason}; next look in {}", in_words(RECHECK_PAUSE)));
                self.enter(Status::Waiting, Phase::RecheckWait { index, tries: tries + 1, until: now.after(RECHECK_PAUSE) });
                Vec::new()
            }
            None => {
                let text = format!("the condition fired, but the target can no longer be measured{}", reason_of(samples));
                self.escalate(text, now)
            }
        }
    }

    /// The condition holds: that action is next, once the evidence is there.
    fn begin(&mut self, index: usize, now: Moment) -> Vec<Effect> {
        if let Some(until) = self.evidence_due.filter(|due| !due.is_due(now)) {
            self.enter(Status::Open, Phase::Gathering { index, until });
            Vec::new()
        } else if self.actions.is_empty() && self.dry_run {
            self.end(Status::DryRun, "no action configured", now)
        } else if self.actions.is_empty() {
            self.escalate("no action configured", now)
        } else {
            self.enter(Status::Waiting, Phase::Ready { index });
            Vec::new()
        }
    }
}

fn reason_of(samples: &[Sample]) -> String {
    samples.iter().find_map(|sample| sample.reason.as_ref()).map(|reason| format!(" ({reason})")).unwrap_or_default()
}
