//! How an incident moves: `step(event, now)` changes it and says what must be done. Waiting is a deadline in here, never a
//! blocked thread; a crash can be placed between any two steps.
//!
//! ```text
//! Rechecking ─true→ Ready ─turn→ Acting ─outcome→ Ready (next) … → Verifying ─proven→ resolved
//!     │false           │            │asks                             │ not yet → VerifyWait → Verifying
//!     ▼                ▼            ▼                                 ▼ no look left
//!  cleared        (one at a     Asking ─silence→ denied            escalated (ladder: Ready, next rung)
//!                  time)
//! ```

use std::time::Duration;

use super::event::{Effect, Event, Notice, Prepared};
use super::verify::{Looks, Next, is_proven};
use super::{ActionRecord, ActionStatus, Approval, ApprovalState, Incident, Opening, Proof, Status, Verification};
use crate::clock::{Moment, in_words};
use crate::config::playbook::Strategy;
use crate::detect::condition::joins;
use crate::heal::outcome::Outcome;
use crate::sample::Sample;

/// How often the look before the first action is repeated when it says nothing, and how far apart.
const RECHECKS: u32 = 3;
const RECHECK_PAUSE: Duration = Duration::from_secs(10);

/// Where an incident is between two events.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Phase {
    /// Fresh samples were asked for, before the first action.
    Rechecking { tries: u32 },
    /// They said nothing; they are asked for again then.
    RecheckWait { tries: u32, until: Moment },
    /// The action is next, when no other runs.
    Ready { index: usize },
    /// A human is asked about the action.
    Asking { index: usize, until: Moment },
    /// The action has its turn.
    Acting { index: usize },
    /// Fresh samples were asked for, to prove the heal (of that rung, or of all).
    Verifying { rung: Option<usize>, looks: Looks },
    /// The next look is then.
    VerifyWait { rung: Option<usize>, looks: Looks, until: Moment },
    /// It is over.
    Ended,
}

impl Incident {
    /// Opens an incident; the first effect is a fresh measurement, unless it is forced by hand.
    #[must_use]
    pub fn open(id: String, opening: Opening, dry_run: bool, host: String, now: Moment) -> (Self, Vec<Effect>) {
        let Opening { playbook, target, trigger, samples, started, source, force } = opening;
        let dry_run = dry_run || playbook.dry_run;
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
            dry_run,
            source,
            host,
            force,
            confirmed: None,
            acted: false,
            approval: None,
            phase: Phase::Rechecking { tries: 0 },
            playbook,
        };
        let values = incident.values();
        incident.actions = incident.playbook.actions.iter().map(|action| ActionRecord::new(action, &values)).collect();
        incident.note(now, "opened", incident.trigger.text.clone());
        let effects = if force { incident.begin(now) } else { vec![Effect::Measure] };
        (incident, effects)
    }

    /// An incident that is only a record: it fired during the cooldown.
    #[must_use]
    pub fn rate_limited(id: String, opening: Opening, host: String, cooldown_left: Duration, now: Moment) -> Self {
        let (mut incident, _) = Self::open(id, opening, false, host, now);
        incident.end(Status::RateLimited, format!("it fired {} before the end of the cooldown", in_words(cooldown_left)), now);
        incident
    }

    /// Takes an event into account. Events that do not fit the phase are of no consequence.
    #[must_use]
    pub fn step(&mut self, event: Event<'_>, now: Moment) -> Vec<Effect> {
        match (self.phase.clone(), event) {
            (Phase::Rechecking { tries }, Event::Measured(samples)) => self.rechecked(tries, &self.own(samples), now),
            (Phase::RecheckWait { tries, until }, Event::Tick) if until.is_due(now) => {
                self.enter(Status::Open, Phase::Rechecking { tries });
                vec![Effect::Measure]
            }
            (Phase::Ready { index }, Event::Turn) => {
                self.enter(Status::Acting, Phase::Acting { index });
                Vec::new()
            }
            (Phase::Acting { index }, Event::Prepared(prepared)) => self.prepared(index, prepared, now),
            (Phase::Acting { index }, Event::Finished(outcome)) => self.finished(index, outcome, now),
            (Phase::Acting { index }, Event::Stopped(outcome)) => self.stopped(index, outcome, now),
            (Phase::Asking { index, until }, Event::Tick) if until.is_due_after_sleep(now) => self.nobody_answered(index, now),
            (Phase::Verifying { rung, looks }, Event::Measured(samples)) => self.looked(rung, looks, &self.own(samples), now),
            (Phase::VerifyWait { rung, looks, until }, Event::Tick) if until.is_due(now) => {
                self.enter(Status::Verifying, Phase::Verifying { rung, looks });
                vec![Effect::Measure]
            }
            (Phase::Ready { .. }, Event::LookAgain) => {
                self.enter(Status::Open, Phase::Rechecking { tries: 0 });
                vec![Effect::Measure]
            }
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
            (phase, Event::AgentStops) if phase != Phase::Ended => self.end(Status::Interrupted, "the agent was stopped", now),
            (phase, Event::Withdrawn) if phase != Phase::Ended => self.end(Status::Cleared, "playbook withdrawn", now),
            _ => Vec::new(),
        }
    }

    /// Of what was measured only that which was wanted: collectors answer with all that they saw on the way.
    fn own(&self, samples: &[Sample]) -> Vec<Sample> {
        let wants = self.wants();
        let wanted =
            |sample: &&Sample| wants.iter().any(|want| want.metric == sample.metric && joins(&want.identity, &sample.target.identity));
        samples.iter().filter(wanted).cloned().collect()
    }

    fn enter(&mut self, status: Status, phase: Phase) {
        self.status = status;
        self.phase = phase;
    }

    fn rechecked(&mut self, tries: u32, samples: &[Sample], now: Moment) -> Vec<Effect> {
        match self.playbook.condition.state_of(&self.target.identity, samples) {
            Some(true) => {
                self.confirmed = Some(now);
                self.note(now, "confirmed", "measured again: the condition holds");
                self.begin(now)
            }
            Some(false) => self.end(Status::Cleared, "measured again: the condition no longer holds", now),
            None if tries + 1 < RECHECKS => {
                let reason = reason_of(samples);
                self.note(now, "unknown", format!("measured again: unknown{reason}; next look in {}", in_words(RECHECK_PAUSE)));
                self.enter(Status::Waiting, Phase::RecheckWait { tries: tries + 1, until: now.after(RECHECK_PAUSE) });
                Vec::new()
            }
            None => {
                let text = format!("the condition fired, but the target can no longer be measured{}", reason_of(samples));
                self.escalate(text, now)
            }
        }
    }

    /// The condition holds: the first action is next.
    fn begin(&mut self, now: Moment) -> Vec<Effect> {
        if self.actions.is_empty() && self.dry_run {
            self.end(Status::DryRun, "no action configured", now)
        } else if self.actions.is_empty() {
            self.escalate("no action configured", now)
        } else {
            self.enter(Status::Waiting, Phase::Ready { index: 0 });
            Vec::new()
        }
    }

    fn prepared(&mut self, index: usize, prepared: Prepared, now: Moment) -> Vec<Effect> {
        match prepared {
            Prepared::Running(argv) => {
                self.actions[index].decided(ActionStatus::Running, argv);
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
            Prepared::Refused(reason) => {
                self.note(now, "action_refused", format!("{}: {reason}", self.actions[index].description));
                self.actions[index].left_out(ActionStatus::Refused, reason);
                self.after_action(index, now)
            }
            Prepared::Ask(argv) => {
                let until = now.after(self.playbook.approval_timeout);
                self.actions[index].decided(ActionStatus::NotRun, argv);
                self.note(now, "approval_asked", self.actions[index].command.clone());
                self.approval = Some(Approval { state: ApprovalState::Asked, at: now, deadline: until });
                self.enter(Status::AwaitingApproval, Phase::Asking { index, until });
                vec![Effect::Tell(Notice::Approval)]
            }
        }
    }

    fn finished(&mut self, index: usize, outcome: Outcome, now: Moment) -> Vec<Effect> {
        self.take_down(index, outcome, now);
        self.after_action(index, now)
    }

    /// The agent stops: what the action did is on record, and nobody knows yet whether it helped.
    fn stopped(&mut self, index: usize, outcome: Outcome, now: Moment) -> Vec<Effect> {
        self.take_down(index, outcome, now);
        self.not_run_after(index, "the agent was stopped");
        self.end(Status::Interrupted, "the agent was stopped while an action ran", now)
    }

    fn take_down(&mut self, index: usize, outcome: Outcome, now: Moment) {
        self.actions[index].finished(outcome);
        let record = &self.actions[index];
        let event = if record.succeeded() { "action_succeeded" } else { "action_failed" };
        self.note(now, event, format!("{} ({})", record.description, record.end_in_words()));
    }

    /// The action has a result: what is next?
    fn after_action(&mut self, index: usize, now: Moment) -> Vec<Effect> {
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

    fn look(&mut self, rung: Option<usize>, looks: Looks) -> Vec<Effect> {
        self.enter(Status::Verifying, Phase::Verifying { rung, looks });
        vec![Effect::Measure]
    }

    fn looked(&mut self, rung: Option<usize>, mut looks: Looks, samples: &[Sample], now: Moment) -> Vec<Effect> {
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

    /// Silence is no. In a ladder it skips the rung; otherwise nobody has looked, and somebody must.
    fn nobody_answered(&mut self, index: usize, now: Moment) -> Vec<Effect> {
        if let Some(approval) = &mut self.approval {
            *approval = Approval { state: ApprovalState::Expired, at: now, deadline: approval.deadline };
        }
        let waited = in_words(self.playbook.approval_timeout);
        self.note(now, "approval_expired", format!("nobody answered within {waited}"));
        if self.playbook.strategy == Strategy::Ladder && !self.playbook.requires_approval {
            self.actions[index].left_out(ActionStatus::Skipped, format!("not approved within {waited}"));
            return self.after_action(index, now);
        }
        self.actions[index].left_out(ActionStatus::Denied, format!("not approved within {waited}"));
        self.not_run_after(index, "not approved");
        let mut effects = self.end(Status::Denied, format!("nobody answered within {waited}"), now);
        effects.insert(0, Effect::Tell(Notice::Escalated));
        effects
    }

    fn not_run_after(&mut self, index: usize, reason: &str) {
        for action in self.actions.iter_mut().skip(index + 1) {
            action.left_out(ActionStatus::NotRun, reason);
        }
    }

    fn escalate(&mut self, text: impl Into<String>, now: Moment) -> Vec<Effect> {
        if self.dry_run {
            return self.end(Status::DryRun, text, now);
        }
        let mut effects = self.end(Status::Escalated, text, now);
        effects.insert(0, Effect::Tell(Notice::Escalated));
        effects
    }

    /// The last step of every incident.
    fn end(&mut self, status: Status, text: impl Into<String>, now: Moment) -> Vec<Effect> {
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

fn reason_of(samples: &[Sample]) -> String {
    samples.iter().find_map(|sample| sample.reason.as_ref()).map(|reason| format!(" ({reason})")).unwrap_or_default()
}
