use serde_json::json;

use super::super::agent::tests::{Played, desk, failed};
use super::*;
use crate::record::test_history::test_history;
use crate::serve::protocol::Refusal;
use crate::serve::recorded;

fn agent() -> Played {
    let agent = Played::by(|call| {
        let (id, decision) = match call.request {
            Request::Approve { id, .. } => (id, "approved"),
            Request::Deny { id, .. } => (id, "denied"),
            Request::Incident { id } => return call.reply.refuse(recorded::no_incident(&id)),
            other => panic!("{other:?}"),
        };
        call.reply.ok(json!({"incident": id, "decision": decision}));
    });
    waits(&agent);
    agent
}

fn waits(agent: &Played) {
    let (open, resolved) = ("awaiting_approval", "resolved");
    let at = "2026-11-22T14:00:00Z";
    let all =
        [("7faaaaaa", "disk", resolved, at), ("7fbbbbbb", "web", open, at), ("8aaaaaaa", "web", open, at), ("8abbbbbb", "web", open, at)];
    test_history(agent.dir.path(), &all);
}

/// Exit code or failure, standard output, standard error.
fn answer(agent: &Played, decision: Decision, id: &str, yes: bool, typed: Option<&str>, json: bool) -> (Answer, String, String) {
    let args = AnswerArgs { id: id.to_owned(), reason: Some("seen".to_owned()), yes };
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    let mut input = typed.unwrap_or_default().as_bytes();
    let mut talk = Dialogue { input: &mut input, is_terminal: typed.is_some(), out: &mut out, errors: &mut errors };
    let answer = run(&args, decision, &agent.desk(json), &mut talk);
    (answer, String::from_utf8(out).unwrap(), String::from_utf8(errors).unwrap())
}

#[test]
fn a_yes_is_to_the_words_that_were_shown() {
    let agent = agent();
    // Of 7faaaaaa and 7fbbbbbb only one waits.
    let (code, out, shown) = answer(&agent, Decision::Approve, "7f", false, Some("y\n"), false);
    assert_eq!((code.unwrap(), out.as_str()), (0, "incident 7fbbbbbb: approved\n"));
    let expected = "\
incident  7fbbbbbb
playbook  web (critical)
target    mount=/data
why       disk_usage > 90 (was 96.2)
action    Restart it
command   restart 'web server'
words     /bin/restart
          web server
Run this? [y/N] ";
    assert_eq!(shown, expected);
    let argv = vec!["/bin/restart".to_owned(), "web server".to_owned()];
    assert_eq!(agent.asked(), Request::Approve { id: "7fbbbbbb".to_owned(), argv, reason: Some("seen".to_owned()) });
}

#[test]
fn a_no_is_asked_about_too() {
    let agent = agent();
    let (code, out, shown) = answer(&agent, Decision::Deny, "7fb", false, Some("YES\n"), true);
    assert_eq!(code.unwrap(), 0);
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), json!({"incident": "7fbbbbbb", "decision": "denied"}));
    assert!(shown.ends_with("Deny this? [y/N] "));
    assert_eq!(agent.asked(), Request::Deny { id: "7fbbbbbb".to_owned(), reason: Some("seen".to_owned()) });
}

#[test]
fn nothing_but_a_yes_is_one() {
    let agent = agent();
    for typed in ["n\n", "\n", "", "yo\n", "y e s\n"] {
        let (answer, ..) = answer(&agent, Decision::Approve, "7fb", false, Some(typed), false);
        assert_eq!(failed(answer).0, 1, "{typed:?}");
    }
    let (without, ..) = answer(&agent, Decision::Approve, "7fb", false, None, false);
    let (code, _, text) = failed(without);
    assert!(code == 2 && text.contains("--yes"), "{text}");
    assert!(agent.was_not_asked());
    assert_eq!(answer(&agent, Decision::Approve, "7fb", true, None, false).0.unwrap(), 0);
}

#[test]
fn what_does_not_wait_is_not_answered() {
    let agent = agent();
    let code = |id: &str| failed(answer(&agent, Decision::Approve, id, true, None, false).0);
    let (exit, word, text) = code("7fa");
    assert!((exit, word.as_str()) == (4, "not_waiting") && text.contains("it is resolved"), "{text}");
    assert_eq!((code("8a").0, code("8a").1.as_str()), (1, "ambiguous_id"));
    assert_eq!((code("zz").0, code("zz").1.as_str()), (1, "no_incident"));
    // It waited when it was shown, and no longer when it was answered.
    let late = Played::refusing(Refusal::refused("not_waiting", "too late"));
    waits(&late);
    assert_eq!(failed(answer(&late, Decision::Approve, "7fb", true, None, false).0).0, 4);
}

#[test]
fn without_an_agent_nobody_can_answer() {
    let dir = tempfile::tempdir().unwrap();
    let args = AnswerArgs { id: "7f".to_owned(), reason: None, yes: true };
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    let mut talk = Dialogue { input: &mut &b""[..], is_terminal: false, out: &mut out, errors: &mut errors };
    assert_eq!(failed(run(&args, Decision::Approve, &desk(dir.path(), false), &mut talk)).0, 3);
}
