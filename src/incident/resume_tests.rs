use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::config::playbook::{Playbook, SavedPlaybook};
use crate::incident::event::{Event, Prepared};
use crate::incident::evidence::Evidence;
use crate::incident::{Admission, Opening, Source, Trigger};
use crate::sample::{Labels, Target};

/// An incident whose one action has its turn.
fn acting(now: Moment) -> Incident {
    let source = json!({
        "severity": "error",
        "condition": {"metric": "disk_usage", "operator": ">", "threshold": 90},
        "actions": [{"type": "shell", "command": "fix it"}],
    });
    let saved = SavedPlaybook { id: "disk".to_owned(), source: source.to_string().into() };
    let opening = Opening {
        playbook: Arc::new(Playbook::try_from(saved).unwrap()),
        target: (*Target::new(Labels::from([("mount", "/")]), Labels::default())).clone(),
        trigger: Trigger { text: "by hand".to_owned(), metric: "disk_usage".into(), value: None, threshold: "90".to_owned() },
        samples: Vec::new(),
        started: now,
        source: Source::Cli,
        force: true,
    };
    let (mut incident, _) = Incident::open(Admission::default(), opening, now);
    let _ = incident.step(Event::Evidence(Evidence::default()), now);
    let _ = incident.step(Event::Turn, now);
    assert_eq!(incident.acting(), Some(0));
    incident
}

#[test]
fn an_end_after_a_crash_leaves_no_action_that_runs() {
    let now = Moment::at_seconds(5.0);
    let mut incident = acting(now);
    let _ = incident.step(Event::Prepared(Prepared::Running(vec!["fix".to_owned()], None)), now);
    assert_eq!(incident.actions[0].status, ActionStatus::Running);
    let effects = incident.end_again(Status::Escalated, true, now);
    assert_eq!(effects, [Effect::Tell(Notice::Escalated), Effect::Ended]);
    assert_eq!((incident.status, incident.actions[0].status), (Status::Escalated, ActionStatus::Interrupted));
    assert!(incident.actions[0].reason.is_some());
}

#[test]
fn a_question_that_ended_with_the_agent_is_told_again_only_if_nobody_answered() {
    let now = Moment::at_seconds(5.0);
    let mut ignored = acting(now);
    let _ = ignored.step(Event::Prepared(Prepared::Ask(vec![(0, vec!["fix".to_owned()])])), now);
    let mut denied = ignored.clone();
    assert_eq!(ignored.end_again(Status::Denied, true, now), [Effect::Tell(Notice::Escalated), Effect::Ended]);
    assert!(ignored.was_ignored());
    assert_eq!(denied.end_again(Status::Denied, false, now), [Effect::Ended]);
    assert!(!denied.was_ignored());
}
