//! What others may ask of an incident.

use std::time::Duration;

use super::step::Phase;
use super::{Incident, Status};
use crate::clock::Moment;
use crate::config::playbook::Severity;
use crate::placeholder::Values;
use crate::sample::Want;

impl Incident {
    /// When [`Event::Tick`](super::event::Event::Tick) is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Moment> {
        match self.phase {
            Phase::RecheckWait { until, .. }
            | Phase::Gathering { until, .. }
            | Phase::Asking { until, .. }
            | Phase::VerifyWait { until, .. } => Some(until),
            _ => None,
        }
    }

    /// The action that waits for its turn.
    #[must_use]
    pub fn ready(&self) -> Option<usize> {
        if let Phase::Ready { index } = self.phase { Some(index) } else { None }
    }

    /// Whether it measures before its first action.
    #[must_use]
    pub fn is_looking(&self) -> bool {
        matches!(self.phase, Phase::Rechecking { .. })
    }

    /// Who goes first: severity, then age.
    #[must_use]
    pub fn urgency(&self) -> (Severity, Duration, u64) {
        (self.playbook.severity, self.detected.running, self.sequence)
    }

    /// The action that has its turn.
    #[must_use]
    pub fn acting(&self) -> Option<usize> {
        if let Phase::Acting { index } | Phase::Adopted { index, .. } = self.phase { Some(index) } else { None }
    }

    /// An action of an earlier life of the agent that is waited for, and until when it may run.
    #[must_use]
    pub fn adopted(&self) -> Option<(usize, Moment)> {
        if let Phase::Adopted { index, until } = self.phase { Some((index, until)) } else { None }
    }

    /// Whether its end opens the breaker of its target.
    #[must_use]
    pub fn opens_breaker(&self) -> bool {
        let failed = self.status == Status::Escalated && !self.interrupted && !self.actions.is_empty();
        self.status == Status::Exhausted || failed && self.is_hopeless()
    }

    /// What must be measured afresh for the look that was asked for.
    #[must_use]
    pub fn wants(&self) -> Vec<Want> {
        let condition = match (&self.phase, &self.playbook.verify) {
            (Phase::Verifying { .. }, Some(verify)) => &verify.condition,
            _ => &self.playbook.condition,
        };
        let mut wants: Vec<Want> = Vec::new();
        for comparison in condition.comparisons() {
            let want = Want { metric: comparison.metric, identity: self.target.identity.clone() };
            if !wants.contains(&want) {
                wants.push(want);
            }
        }
        wants
    }

    /// What placeholders of the actions stand for.
    #[must_use]
    pub fn values(&self) -> Values {
        let mut values: Values = self.target.labels().iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let value = self.trigger.value.as_ref().map_or_else(|| "unknown".to_owned(), ToString::to_string);
        for (name, text) in [
            ("incident_id", self.id.as_str()),
            ("playbook", &self.playbook.id),
            ("metric", &self.trigger.metric),
            ("value", &value),
            ("threshold", &self.trigger.threshold),
            ("severity", self.playbook.severity.name()),
            ("hostname", &self.host),
        ] {
            values.insert(name.to_owned(), text.to_owned());
        }
        values
    }

    /// Why it ended, or what happened last.
    #[must_use]
    pub fn last_word(&self) -> &str {
        self.timeline.last().map_or("", |entry| entry.text.as_str())
    }
}
