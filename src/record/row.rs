//! An incident as a row of the history. Pure.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::history::{ApprovalRow, IncidentRow, StepRow};
use crate::clock::Moment;
use crate::incident::{Approval, Incident, Status};

/// What restores an incident, a track or the budget: the value, and the life of the machine that its moments are of.
#[derive(Debug, Serialize, Deserialize)]
pub struct Kept<T> {
    /// `boot_id`
    pub boot: String,
    /// The thing itself.
    pub value: T,
}

/// The row of an incident as it is now.
#[must_use]
pub fn of(incident: &Incident, report: &Path, boot: &str, now: Moment) -> IncidentRow {
    let millis = |at: Moment| at.wall.as_millisecond();
    let live = incident.status.is_live();
    IncidentRow {
        id: incident.id.clone(),
        playbook: incident.playbook.id.clone(),
        target: incident.target.identity.to_string(),
        severity: incident.playbook.severity.name().to_owned(),
        status: incident.status.name().to_owned(),
        source: word(&incident.source),
        labels: json(&incident.target.labels()),
        detected_at: millis(incident.detected),
        started_at: millis(incident.started),
        ended_at: incident.ended.map(millis),
        live,
        dry_run: incident.dry_run,
        acted: incident.acted,
        relapsed: false,
        interrupted: incident.interrupted,
        attempt: incident.attempt,
        time_to_detect: incident.time_to_detect().as_secs_f64(),
        time_to_recover: incident.time_to_end().filter(|_| incident.status == Status::Resolved).map(|took| took.as_secs_f64()),
        report: report.display().to_string(),
        view: json(&incident.view(Some(report), now)),
        state: live.then(|| json(&Kept { boot: boot.to_owned(), value: incident })),
        steps: incident.actions.iter().enumerate().map(|(index, _)| step(incident, index)).collect(),
        approval: incident.approval.as_ref().map(approval),
    }
}

fn step(incident: &Incident, index: usize) -> StepRow {
    let action = &incident.actions[index];
    let outcome = action.outcome.as_ref();
    StepRow {
        index: u32::try_from(index).unwrap_or(u32::MAX),
        kind: action.kind.to_string(),
        description: action.description.clone(),
        command: action.command.clone(),
        status: word(&action.status),
        reason: action.reason.clone(),
        exit_code: outcome.and_then(|outcome| if let crate::heal::outcome::End::Exited(code) = outcome.end { Some(code) } else { None }),
        started_at: action.started.map(|at| at.wall.as_millisecond()),
        duration: outcome.map(|outcome| outcome.duration.as_secs_f64()),
    }
}

fn approval(approval: &Approval) -> ApprovalRow {
    ApprovalRow {
        state: word(&approval.state),
        by: approval.by.clone(),
        from: approval.from.clone(),
        at: approval.at.wall.as_millisecond(),
        deadline: approval.deadline.wall.as_millisecond(),
        reason: approval.reason.clone(),
    }
}

/// Plain data with text keys always has a JSON text.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// The word for a status.
fn word(value: &impl Serialize) -> String {
    json(value).trim_matches('"').to_owned()
}
