//! What an incident does when its turn has come: actions, their outcomes, the proof, and the end.

use super::event::{Effect, Notice, Prepared};
use super::step::Phase;
use super::verify::{Looks, Next, is_proven};
use super::{ActionStatus, Incident, Proof, Status};
use crate::clock::Moment;
use crate::config::playbook::Strategy;
use crate::heal::outcome::{End, Outcome};
use crate::sample::Sample;

impl Incident {
    pub(super) fn prepared(&mut self, index: usize, prepared: Prepared, now: Moment) -> Vec<Effect> {
        match prepared {
            Prepared::Running(argv, process) => {
                self.actions[index].decided(ActionStatus::Running, argv);
                (self.actions[index].started, self.actions[index].process) = (Some(now), process);
                self.acted = true;
                self.note(now, "action_started", self.actions[index].description.clone());
                Vec::new()
            }
            Prepared::WouldRun(argv) => {
                // The settings may have become a dry run since it opened; with nothing done there is nothing to prove.
                self.dry_run |= !self.acted;
                self.actions[index].decided(ActionStatus::DryRun, argv);
                let text = format!("[dry run] would execute: {}", self.actions[index].command);
                self.note(now, "action_dry_run", text);
                self.after_action(index, now)
            }
            Prepared::Skipped(reason) => {
                self.note(now, "action_skipped", format!("{}: {reason}", self.actions[index].description));
                self.actions[index].left_out(ActionStatus::Skipped, reason);
                self.after_action(index, now)
            }
            Prepared::Refused(reason, code) => {
                let code = code.map(|code| format!(" code={code}")).unwrap_or_default();
                self.note(now, "action_refused", format!("{}: {reason}{code}", self.actions[index].description));
                self.actions[index].left_out(ActionStatus::Refused, reason);
                self.after_action(index, now)
            }
            Prepared::Ask(commands) => self.ask(index, commands, now),
        }
    }

    pub(super) fn finished(&mut self, index: usize, outcome: Outcome, now: Moment) -> Vec<Effect> {
        if outcome.end == End::Stopped && self.actions[index].status != ActionStatus::Running {
            // It was not let go, and has not run: its turn comes again.
            self.enter(Status::Waiting, Phase::Ready { index });
            return Vec::new();
        }
        if outcome.end == End::Stopped {
            // The agent ends: the next one takes it up, and proves what was done.
            self.actions[index].outcome = Some(outcome);
            self.actions[index].left_out(ActionStatus::Interrupted, "the agent was stopped while it ran");
            self.note(now, "action_interrupted", self.actions[index].description.clone());
            return Vec::new();
        }
        self.take_down(index, outcome, now);
        if self.gone {
            return self.target_gone(now);
        }
        self.after_action(index, now)
    }

    fn take_down(&mut self, index: usize, outcome: Outcome, now: Moment) {
        self.actions[index].finished(outcome);
        let record = &self.actions[index];
        let event = if record.succeeded() { "action_succeeded" } else { "action_failed" };
        self.note(now, event, format!("{} ({})", record.description, record.end_in_words()));
    }

    /// The action has a result: what is next?
    pub(super) fn after_action(&mut self, index: usize, now: Moment) -> Vec<Effect> {
        let status = self.actions[index].status;
        let went_on = matches!(status, ActionStatus::Success | ActionStatus::Skipped | ActionStatus::DryRun);
        let ladder = self.playbook.strategy == Strategy::Ladder;
        let last = index + 1 == self.actions.len();
        if !went_on && !ladder && !self.playbook.actions[index].continue_on_failure {
            let text = format!("action {} of {} failed: {}", index + 1, self.actions.len(), self.actions[index].end_in_words());
            self.not_run_after(index, "an earlier action failed");
            return self.escalate(text, now);
        }
        if ladder && status == ActionStatus::Success {
            let looks = Looks::of_rung(&self.playbook, &self.playbook.actions[index], last, now);
            return self.look(Some(index), looks);
        }
        if !last {
            self.enter(Status::Waiting, Phase::Ready { index: index + 1 });
            return Vec::new();
        }
        if self.dry_run {
            return self.end(Status::DryRun, "dry run: nothing was executed", now);
        }
        // In a ladder where nothing worked one look tells whether the trouble went away by itself.
        let hopeless = ladder && self.actions.iter().all(|action| action.status != ActionStatus::Success) && !self.all_skipped();
        let looks = if hopeless { Looks::single(&self.playbook, now) } else { Looks::of_playbook(&self.playbook, now) };
        self.look(None, looks)
    }

    fn all_skipped(&self) -> bool {
        self.actions.iter().all(|action| action.status == ActionStatus::Skipped)
    }

    pub(super) fn look(&mut self, rung: Option<usize>, looks: Looks) -> Vec<Effect> {
        self.enter(Status::Verifying, Phase::Verifying { rung, looks });
        vec![Effect::Measure]
    }

    pub(super) fn looked(&mut self, rung: Option<usize>, mut looks: Looks, samples: &[Sample], now: Moment) -> Vec<Effect> {
        let state = is_proven(&self.playbook, &self.target.identity, samples);
        let next = looks.taken(state, now);
        self.verification.checks += 1;
        self.verification.took = now.since(looks.since);
        self.verification.samples = samples.to_vec();
        self.verification.outcome = if next == Next::Proven { Proof::Resolved } else { Proof::Failed };
        let saw = samples.iter().map(|s| s.value.as_ref().map_or("unknown".to_owned(), ToString::to_string)).collect::<Vec<_>>().join(", ");
        let word = if state == Some(true) { "verified" } else { "not_verified" };
        self.note(now, word, format!("measured {saw}{}", if samples.is_empty() { "nothing" } else { "" }));
        match next {
            Next::Proven => {
                let reason = "the target is well again";
                self.not_run_after(rung.unwrap_or(self.actions.len()), "an earlier rung helped");
                let mut effects = self.end(Status::Resolved, reason, now);
                effects.insert(0, Effect::Tell(Notice::Resolved));
                effects
            }
            Next::Again(until) => {
                self.enter(Status::Verifying, Phase::VerifyWait { rung, looks, until });
                Vec::new()
            }
            Next::Unproven => match rung {
                Some(rung) if rung + 1 < self.actions.len() => {
                    self.enter(Status::Waiting, Phase::Ready { index: rung + 1 });
                    Vec::new()
                }
                _ => {
                    let checks = self.verification.checks;
                    let times = if checks == 1 { "once".to_owned() } else { format!("{checks} times") };
                    self.escalate(format!("the actions ran, but the target is not well (measured {times})"), now)
                }
            },
        }
    }

    pub(super) fn not_run_after(&mut self, index: usize, reason: &str) {
        for action in self.actions.iter_mut().skip(index + 1) {
            action.left_out(ActionStatus::NotRun, reason);
        }
    }

    /// It did not work. People are told at the first failure of a series, and when the breaker opens.
    pub(super) fn escalate(&mut self, text: impl Into<String>, now: Moment) -> Vec<Effect> {
        let text = text.into();
        if self.dry_run {
            return self.end(Status::DryRun, text, now);
        }
        let only_tells = self.actions.is_empty();
        let counts = !only_tells && !self.interrupted;
        let fills = counts && (self.retry || self.attempt >= self.playbook.max_attempts);
        let hopeless = counts && self.is_hopeless();
        let tell = only_tells || !counts || !self.paged || hopeless && !self.retry || fills && !self.retry;
        let text = match (fills, hopeless) {
            (true, _) => format!("{text}; attempt {}: the breaker is open, and no action follows", self.attempt),
            (_, true) => format!("{text}; repeating it cannot help: the breaker is open, and no action follows"),
            _ => text,
        };
        let mut effects = self.end(if fills { Status::Exhausted } else { Status::Escalated }, text, now);
        if tell {
            effects.insert(0, Effect::Tell(Notice::Escalated));
        }
        effects
    }

    /// Whether the failure cannot be cured by repetition: what failed was refused, or is not there.
    #[must_use]
    pub fn is_hopeless(&self) -> bool {
        let mut tried = self.actions.iter().filter(|action| matches!(action.status, ActionStatus::Failed | ActionStatus::Refused));
        match self.playbook.strategy {
            Strategy::Ladder => !self.acted && tried.next().is_some() && tried.all(|action| action.status == ActionStatus::Refused),
            Strategy::All => tried.next_back().is_some_and(|action| action.status == ActionStatus::Refused || action.is_unknown_service()),
        }
    }

    /// Its target is not there any more: nothing can be healed, and nothing proven.
    pub(super) fn target_gone(&mut self, now: Moment) -> Vec<Effect> {
        self.end(Status::Cleared, "target gone", now)
    }

    /// The last step of every incident.
    pub(super) fn end(&mut self, status: Status, text: impl Into<String>, now: Moment) -> Vec<Effect> {
        let text = text.into();
        for action in self.actions.iter_mut().filter(|action| action.status == ActionStatus::NotRun && action.reason.is_none()) {
            action.reason = Some(text.clone());
        }
        if self.verification.outcome == Proof::NotRun {
            self.verification.reason = Some(text.clone());
        }
        self.note(now, status.name(), text);
        self.ended = Some(now);
        self.enter(status, Phase::Ended);
        vec![Effect::Ended]
    }
}
