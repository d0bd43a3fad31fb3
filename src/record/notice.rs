//! What people are told about an incident. Pure.

use std::fmt::Write;
use std::path::Path;

use crate::incident::event::Notice;
use crate::incident::{ActionStatus, DedupKey, Incident};

/// The message, on one line; text from outside is not yet escaped.
#[must_use]
pub fn text(kind: Notice, incident: &Incident, report: &Path) -> String {
    let what = incident.key();
    match kind {
        Notice::Approval => format!(
            "approval needed on {}: {what} wants to run {:?}; without a yes it does not run (incident={})",
            incident.host,
            incident.actions.iter().find(|action| action.status == ActionStatus::NotRun).map_or("", |action| action.command.as_str()),
            incident.id
        ),
        Notice::Resolved => {
            let took = incident.time_to_end().map(crate::clock::in_words).unwrap_or_default();
            format!("repaired {what} in {took} (incident={} report={})", incident.id, report.display())
        }
        Notice::OverBudget => format!(
            "autoheal waits on {}: as many actions as max_actions_per_hour allows have started; {what} is next, a human should look (incident={} report={})",
            incident.host,
            incident.id,
            report.display()
        ),
        Notice::Recovered => recovered(&what, &incident.id, &incident.host),
        Notice::Escalated => escalation(incident, report),
    }
}

/// That what people were told of is over.
#[must_use]
pub fn recovered(what: &DedupKey, incident: &str, host: &str) -> String {
    format!("recovered: {what} on {host} is well again (incident={incident})")
}

/// That autoheal failed, at what, how urgent it is, what was tried, and where to read on.
fn escalation(incident: &Incident, report: &Path) -> String {
    let mut text = format!(
        "autoheal could not repair {} on {}: a human is needed. {}. Severity {}, trigger {}",
        incident.key(),
        incident.host,
        incident.last_word(),
        incident.playbook.severity.name(),
        incident.trigger.text
    );
    let tried: Vec<String> = incident
        .actions
        .iter()
        .filter(|action| matches!(action.status, ActionStatus::Success | ActionStatus::Failed | ActionStatus::Refused))
        .map(|action| format!("{} ({})", action.description, if action.succeeded() { "ran" } else { "failed" }))
        .collect();
    let _ = write!(text, "; actions tried: {}", tried.len());
    if !tried.is_empty() {
        let _ = write!(text, ": {}", tried.join(", "));
    }
    if let Some(url) = &incident.playbook.runbook_url {
        let _ = write!(text, "; runbook {url}");
    }
    let _ = write!(text, " (incident={} report={})", incident.id, report.display());
    text
}
