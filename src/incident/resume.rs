//! An incident after a restart of the agent. Nothing that may have run is run again: it is proven instead.

use super::event::{Effect, Notice};
use super::step::Phase;
use super::verify::Looks;
use super::{ActionStatus, ApprovalState, Incident, Status};
use crate::clock::Moment;

/// What has become of the incident's playbook meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Now {
    /// It is in force, if perhaps edited.
    InForce,
    /// It was removed or disabled: the incident can no longer be verified.
    Withdrawn,
}

impl Incident {
    /// Takes up an incident of an earlier life of the agent. `still_running`: the process of its action is still there.
    #[must_use]
    pub fn resume(&mut self, playbook: Now, still_running: bool, now: Moment) -> Vec<Effect> {
        let acting = match self.phase {
            Phase::Acting { index } | Phase::Adopted { index, .. } if self.actions[index].status == ActionStatus::Running => Some(index),
            _ => None,
        };
        if let Some(index) = acting.filter(|_| still_running) {
            self.interrupted = true;
            self.note(now, "interrupted", "the agent ended while this action ran; it still runs, and is waited for");
            let left = self.actions[index]
                .process
                .as_ref()
                .zip(self.actions[index].started)
                .map(|(process, started)| process.timeout.saturating_sub(now.since_with_sleep(started)));
            self.enter(Status::Acting, Phase::Adopted { index, until: now.after(left.unwrap_or_default()) });
            return Vec::new();
        }
        if playbook == Now::Withdrawn {
            return self.withdrawn_meanwhile(acting, now);
        }
        match (acting, self.phase.clone()) {
            (Some(index), _) => self.outcome_unknown(index, "the agent ended while it ran", now),
            (None, Phase::Asking { .. } | Phase::VerifyWait { .. } | Phase::Ended) => Vec::new(),
            (None, Phase::Verifying { rung, looks }) if rung.is_none_or(|rung| rung + 1 == self.actions.len()) => {
                self.note(now, "resumed", "the agent started again: the target is measured");
                self.look(rung, looks)
            }
            (None, _) if self.acted => {
                self.interrupted = true;
                self.note(now, "interrupted", "the agent ended between two actions");
                self.prove_what_ran(now)
            }
            (None, phase) => {
                self.note(now, "resumed", "the agent started again, and nothing had run: the condition is measured again");
                let index = phase.index().unwrap_or(0);
                self.measure_again(index, now)
            }
        }
    }

    /// It had ended, and only that was not written down any more. What it did last is lost with it. `tells`: its end was for
    /// people to know, and perhaps nobody was told: twice is better than never.
    #[must_use]
    pub fn end_again(&mut self, status: Status, tells: bool, now: Moment) -> Vec<Effect> {
        for action in self.actions.iter_mut().filter(|action| action.status == ActionStatus::Running) {
            action.left_out(ActionStatus::Interrupted, "it ended, and the agent did before its outcome was written down");
        }
        if let Some(approval) = self.approval.as_mut().filter(|_| status == Status::Denied) {
            approval.state = if tells { ApprovalState::Expired } else { ApprovalState::Denied };
        }
        let mut effects = self.end(status, "the agent ended right after this incident did", now);
        // A failed attempt of an open breaker is no news.
        if tells && !(self.retry && status != Status::Denied) {
            effects.insert(0, Effect::Tell(Notice::Escalated));
        }
        effects
    }

    fn withdrawn_meanwhile(&mut self, acting: Option<usize>, now: Moment) -> Vec<Effect> {
        if let Some(index) = acting {
            self.actions[index].left_out(ActionStatus::Interrupted, "the agent ended while it ran");
        }
        if self.acted {
            self.interrupted = true;
            return self.end(
                Status::Interrupted,
                "the agent ended in the middle, and the playbook is gone: nobody can tell whether it helped",
                now,
            );
        }
        self.end(Status::Cleared, "playbook withdrawn", now)
    }

    /// An action without an outcome is never run again: the target is measured, and that decides.
    pub(super) fn outcome_unknown(&mut self, index: usize, text: &str, now: Moment) -> Vec<Effect> {
        self.interrupted = true;
        self.actions[index].left_out(ActionStatus::Interrupted, text);
        self.note(now, "interrupted", format!("{}: {text}; it is not run again", self.actions[index].description));
        self.prove_what_ran(now)
    }

    fn prove_what_ran(&mut self, now: Moment) -> Vec<Effect> {
        for action in self.actions.iter_mut().filter(|action| action.status == ActionStatus::NotRun) {
            action.left_out(ActionStatus::NotRun, "the agent ended before its turn");
        }
        self.look(None, Looks::of_playbook(&self.playbook, now))
    }
}

#[cfg(test)]
#[path = "resume_tests.rs"]
mod tests;
