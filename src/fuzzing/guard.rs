//! Rules against commands. What is allowed must be what a shell would split, and hold nothing that a shell would act on.

use std::sync::LazyLock;

use regex::Regex;

use super::assert_harmless;
use crate::config::parse_settings;
use crate::config::playbook::Verb;
use crate::config::settings::{AllowedCommand, Settings};
use crate::config::source::shipped_settings;
use crate::heal::guard::{Manager, Policy, Refusal, Request, Reviewed, Values, shipped};

static SETTINGS: LazyLock<Settings> = LazyLock::new(|| parse_settings(&shipped_settings()).expect("the shipped settings are good"));
static SHIPPED: LazyLock<Policy> = LazyLock::new(|| policy(shipped()));

/// Rules (one a line), a blank line, a command, and perhaps a blank line and the value of every placeholder. With the first
/// part alone it is a command under the shipped rules.
///
/// # Panics
/// A command is allowed that should not be, or a refusal points outside of it.
pub fn guard(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut parts = text.splitn(3, "\n\n");
    match (parts.next().unwrap_or_default(), parts.next(), parts.next()) {
        (command, None, _) => judge(&SHIPPED, command, &Values::new()),
        (rules, Some(command), value) => judge(&of(rules), command, &values(value)),
    }
}

fn policy(rules: Vec<AllowedCommand>) -> Policy {
    let (policy, problems) = Policy::compile(&Settings { allowed_commands: rules, ..SETTINGS.clone() });
    problems.iter().for_each(|problem| assert!(!problem.message.is_empty()));
    policy.with_manager(Manager::Systemd)
}

fn of(rules: &str) -> Policy {
    let rule = |text: &str| AllowedCommand {
        rule: text.to_owned(),
        source: "fuzz".to_owned(),
        run_as: None,
        requires_approval: false,
        timeout: None,
        sandbox: None,
        note: None,
    };
    policy(rules.lines().take(8).map(rule).collect())
}

fn values(value: Option<&str>) -> Values {
    let names = ["process_name", "mount", "path", "host", "pid", "value", "url", "x"];
    value.map(|value| names.map(|name| (name.to_owned(), value.to_owned())).into()).unwrap_or_default()
}

fn judge(policy: &Policy, command: &str, values: &Values) {
    let _ = policy.check(&Request::Command(command)).inspect_err(|refusal| refused(command, refusal));
    match policy.test(&Request::Command(command), values) {
        Ok(reviewed) => allowed(policy, command, &reviewed),
        Err(refusal) => refused(command, &refusal),
    }
    if let Ok(reviewed) = policy.test(&Request::Service { verb: Verb::Restart, service: command }, values) {
        assert!(reviewed.argv.len() == 3 && !reviewed.argv[2].starts_with('-') && !reviewed.argv[2].contains(['/', ' ']), "{reviewed:?}");
    }
    if let Ok(reviewed) = policy.test(&Request::DeleteFiles { directory: command }, values) {
        assert!(reviewed.argv[1].starts_with('/') && reviewed.argv[1].split('/').all(|part| part != ".."), "{reviewed:?}");
    }
}

fn refused(command: &str, refusal: &Refusal) {
    assert!(!refusal.reason.is_empty());
    assert_harmless(&refusal.reason);
    if let Some(span) = &refusal.span {
        assert!(command.get(span.clone()).is_some(), "{span:?} is no place in {command:?}: {refusal}");
    }
}

fn allowed(policy: &Policy, command: &str, reviewed: &Reviewed) {
    let exact = reviewed.rule.trim_start().strip_prefix("exact:");
    if let Some(exact) = exact {
        assert_eq!(exact.trim(), command.trim());
    }
    if reviewed.shell {
        assert!(exact.is_some() && reviewed.argv == ["/bin/sh", "-c", command.trim()], "{reviewed:?}");
        return;
    }
    assert_harmless(&command.replace('\t', " "));
    let words = shell_words::split(command).expect("what is allowed can be split");
    assert_eq!(reviewed.argv.len(), words.len(), "{command:?} under {}", reviewed.rule);
    for (own, word) in reviewed.argv.iter().zip(&words) {
        // Braces are ours: a shell does not know placeholders. A path may have become the real one.
        assert!(own == word || word.contains('{') || is_real_path(own, word), "{own:?} is not {word:?} under {}", reviewed.rule);
    }
    assert!(!shell_would_act(command), "{command:?} under {}", reviewed.rule);
    if exact.is_none() && !command.contains('{') {
        again(policy, reviewed);
    }
}

/// The words of a rule without slots are the words; quoted and split again, they are the same words under the same rule.
fn again(policy: &Policy, reviewed: &Reviewed) {
    if !reviewed.rule.contains(['{', '[']) {
        let rule = shell_words::split(&reviewed.rule).expect("a rule can be split");
        assert_eq!(reviewed.argv[1..], rule[1..]);
    }
    let joined = reviewed.argv.iter().map(|word| format!("'{}'", word.replace('\'', r"'\''"))).collect::<Vec<_>>().join(" ");
    match policy.test(&Request::Command(&joined), &Values::new()) {
        Ok(second) => assert_eq!((&second.argv, &second.rule), (&reviewed.argv, &reviewed.rule)),
        Err(refusal) => assert!(joined.len() > 16 * 1024, "{joined:?}: {refusal}"),
    }
}

fn is_real_path(own: &str, word: &str) -> bool {
    own.contains('/') && word.contains('/') && own.rsplit('/').next() == word.rsplit('/').next()
}

/// Another reading than the guard's: what is left of the text without its quotes must hold no sign of a shell.
fn shell_would_act(command: &str) -> bool {
    static QUOTED: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r#"\\.|'[^']*'|"(?:\\.|[^"\\])*""#).expect("it is a constant, and the test runs it"));
    let inside = |quoted: &str| quoted.starts_with('"') && quoted.replace("\\$", "").replace("\\`", "").contains(['$', '`', '!']);
    QUOTED.find_iter(command).any(|quoted| inside(quoted.as_str()))
        || QUOTED.replace_all(command, "").contains([';', '|', '&', '<', '>', '(', ')', '$', '`', '*', '?', '[', ']', '!', '~', '#', '\n'])
}
