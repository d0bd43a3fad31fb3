//! A question to a human, and the answer. A yes is bound to the exact words that were shown, and works once.

use serde::{Deserialize, Serialize};

use super::event::{Effect, Notice};
use super::step::Phase;
use super::{ActionStatus, Incident, Status};
use crate::clock::{Moment, in_words};
use crate::config::playbook::Strategy;

/// A question to a human.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Approval {
    /// Where it stands.
    pub state: ApprovalState,
    /// Who answered.
    pub by: Option<String>,
    /// From where.
    pub from: Option<String>,
    /// What they said.
    pub reason: Option<String>,
    /// When the last word was said.
    pub at: Moment,
    /// Until when an answer counts.
    pub deadline: Moment,
    /// What was shown: which action, and its words.
    pub commands: Vec<(usize, Vec<String>)>,
}

/// Where a question stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalState {
    /// Nobody has answered yet.
    Asked,
    /// A human said yes.
    Approved,
    /// A human said no.
    Denied,
    /// Nobody answered in time: that is no.
    Expired,
}

/// What a human said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Yes or no.
    pub yes: bool,
    /// Who.
    pub by: String,
    /// From where.
    pub from: String,
    /// Why.
    pub reason: Option<String>,
}

impl Incident {
    /// Whether a human said yes to exactly these words of this action.
    #[must_use]
    pub fn is_approved(&self, index: usize, argv: &[String]) -> bool {
        let yes = |approval: &&Approval| approval.state == ApprovalState::Approved;
        self.approval.as_ref().filter(yes).is_some_and(|approval| approval.commands.iter().any(|(of, words)| *of == index && words == argv))
    }

    pub(super) fn ask(&mut self, index: usize, commands: Vec<(usize, Vec<String>)>, now: Moment) -> Vec<Effect> {
        let deadline = now.after(self.playbook.approval_timeout);
        for (of, argv) in &commands {
            self.actions[*of].decided(ActionStatus::NotRun, argv.clone());
        }
        let shown: Vec<&str> = commands.iter().map(|(of, _)| self.actions[*of].command.as_str()).collect();
        self.note(now, "approval_asked", shown.join("; "));
        self.approval = Some(Approval { state: ApprovalState::Asked, by: None, from: None, reason: None, at: now, deadline, commands });
        self.enter(Status::AwaitingApproval, Phase::Asking { index, until: deadline });
        vec![Effect::Tell(Notice::Approval)]
    }

    /// After a yes the condition is measured again; a no ends the incident.
    pub(super) fn answered(&mut self, index: usize, answer: Answer, now: Moment) -> Vec<Effect> {
        let Answer { yes, by, from, reason } = answer;
        let word = if yes { "approved" } else { "denied" };
        let why = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let text = format!("{word} by {by} from {from}{why}");
        if let Some(approval) = &mut self.approval {
            approval.state = if yes { ApprovalState::Approved } else { ApprovalState::Denied };
            (approval.at, approval.by, approval.from, approval.reason) = (now, Some(by), Some(from), reason);
        }
        if yes {
            self.note(now, "approved", text);
            return self.measure_again(index, now);
        }
        self.actions[index].left_out(ActionStatus::Denied, text.clone());
        self.not_run_after(index, "not approved");
        self.end(Status::Denied, text, now)
    }

    /// Silence is no. In a ladder it skips the rung; otherwise nobody has looked, and somebody must.
    pub(super) fn nobody_answered(&mut self, index: usize, now: Moment) -> Vec<Effect> {
        if let Some(approval) = &mut self.approval {
            (approval.state, approval.at) = (ApprovalState::Expired, now);
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

    /// Whether it ended because nobody answered.
    #[must_use]
    pub fn was_ignored(&self) -> bool {
        self.status == Status::Denied && self.approval.as_ref().is_some_and(|approval| approval.state == ApprovalState::Expired)
    }
}
