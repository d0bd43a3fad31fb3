//! The JSON of an incident (contract C2).

use std::path::Path;

use jiff::Timestamp;
use serde::Serialize;

use super::{ActionRecord, ActionStatus, Incident, Proof, Source, Status, Trigger};
use crate::clock::Moment;
use crate::config::playbook::Severity;
use crate::heal::outcome::End;
use crate::record::json;
use crate::sample::{Labels, SampleView};

/// What a list shows of an incident.
#[derive(Clone, Debug, Serialize)]
pub struct IncidentSummary {
    id: String,
    playbook: String,
    severity: Severity,
    status: Status,
    target: String,
    labels: Labels,
    #[serde(serialize_with = "json::millis")]
    detected_at: Timestamp,
    #[serde(serialize_with = "json::millis")]
    started_at: Timestamp,
    #[serde(serialize_with = "json::optional_millis")]
    ended_at: Option<Timestamp>,
    #[serde(serialize_with = "json::seconds")]
    time_to_detect_seconds: f64,
    #[serde(serialize_with = "json::optional_span")]
    time_to_recover_seconds: Option<std::time::Duration>,
    interrupted: bool,
    relapsed: bool,
    dry_run: bool,
    attempt: u32,
    source: Source,
    report: Option<String>,
}

/// Everything about an incident.
#[derive(Clone, Debug, Serialize)]
pub struct IncidentView {
    #[serde(flatten)]
    summary: IncidentSummary,
    trigger: Trigger,
    initial: Vec<SampleView>,
    actions: Vec<ActionView>,
    verification: VerificationView,
    approval: Option<ApprovalView>,
    evidence: Vec<super::evidence::Evidence>,
    timeline: Vec<EntryView>,
}

#[derive(Clone, Debug, Serialize)]
struct ActionView {
    index: usize,
    r#type: String,
    description: String,
    command: String,
    argv: Vec<String>,
    status: ActionStatus,
    reason: Option<String>,
    exit_code: Option<i32>,
    signal: Option<String>,
    timed_out: bool,
    #[serde(serialize_with = "json::optional_span")]
    duration_seconds: Option<std::time::Duration>,
    output: String,
    output_truncated: bool,
}

#[derive(Clone, Debug, Serialize)]
struct VerificationView {
    status: Proof,
    checks: u32,
    r#final: Vec<SampleView>,
}

#[derive(Clone, Debug, Serialize)]
struct ApprovalView {
    state: super::ApprovalState,
    by: Option<String>,
    from: Option<String>,
    #[serde(serialize_with = "json::millis")]
    at: Timestamp,
    #[serde(serialize_with = "json::millis")]
    deadline: Timestamp,
}

/// One line of the timeline.
#[derive(Clone, Debug, Serialize)]
pub struct EntryView {
    #[serde(serialize_with = "json::millis")]
    at: Timestamp,
    event: String,
    text: String,
}

impl Incident {
    /// The short form. `report` is the path of the report file.
    #[must_use]
    pub fn summary(&self, report: Option<&Path>) -> IncidentSummary {
        let recovered = self.status == Status::Resolved;
        IncidentSummary {
            id: self.id.clone(),
            playbook: self.playbook.id.clone(),
            severity: self.playbook.severity,
            status: self.status,
            target: self.target.identity.to_string(),
            labels: self.target.labels(),
            detected_at: self.detected.wall,
            started_at: self.started.wall,
            ended_at: self.ended.map(|ended| ended.wall),
            time_to_detect_seconds: self.time_to_detect().as_secs_f64(),
            time_to_recover_seconds: self.time_to_end().filter(|_| recovered),
            interrupted: self.interrupted,
            relapsed: false,
            dry_run: self.dry_run,
            attempt: self.attempt,
            source: self.source,
            report: report.map(|path| path.display().to_string()),
        }
    }

    /// The long form.
    #[must_use]
    pub fn view(&self, report: Option<&Path>, now: Moment) -> IncidentView {
        let samples = |list: &[crate::sample::Sample]| list.iter().map(|sample| sample.view(now)).collect();
        IncidentView {
            summary: self.summary(report),
            trigger: self.trigger.clone(),
            initial: samples(&self.initial),
            actions: self.actions.iter().enumerate().map(|(index, action)| action.view(index)).collect(),
            verification: VerificationView {
                status: self.verification.outcome,
                checks: self.verification.checks,
                r#final: samples(&self.verification.samples),
            },
            approval: self.approval.as_ref().map(|approval| ApprovalView {
                state: approval.state,
                by: approval.by.clone(),
                from: approval.from.clone(),
                at: approval.at.wall,
                deadline: approval.deadline.wall,
            }),
            evidence: self.evidence.clone(),
            timeline: self.timeline.iter().map(super::Entry::view).collect(),
        }
    }
}

impl super::Entry {
    /// The entry as JSON.
    #[must_use]
    pub fn view(&self) -> EntryView {
        EntryView { at: self.at.wall, event: self.event.to_string(), text: self.text.clone() }
    }
}

impl ActionRecord {
    fn view(&self, index: usize) -> ActionView {
        let end = self.outcome.as_ref().map(|outcome| &outcome.end);
        ActionView {
            index,
            r#type: self.kind.to_string(),
            description: self.description.clone(),
            command: self.command.clone(),
            argv: self.argv.clone(),
            status: self.status,
            reason: self.reason.clone().or_else(|| if let Some(End::Failed(reason)) = end { Some(reason.clone()) } else { None }),
            exit_code: if let Some(End::Exited(code)) = end { Some(*code) } else { None },
            signal: if let Some(End::Killed(signal)) = end { Some(signal.clone()) } else { None },
            timed_out: matches!(end, Some(End::TimedOut(_))),
            duration_seconds: self.outcome.as_ref().map(|outcome| outcome.duration),
            output: self.outcome.as_ref().map(|outcome| outcome.output.clone()).unwrap_or_default(),
            output_truncated: self.outcome.as_ref().is_some_and(|outcome| outcome.output_truncated),
        }
    }
}
