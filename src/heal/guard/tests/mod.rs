//! What the whole guard allows and refuses, as tables. The machine need not have any of the programs.

use std::collections::BTreeMap;

use super::*;
use crate::config::settings::{AllowedCommand, ServiceCommand, Watch};
use serde::Deserialize;

mod native;
mod placeholder;
mod property;
mod table;

#[derive(Deserialize)]
struct Case {
    kind: String,
    command: String,
    rule_hint: Option<String>,
}

fn sample() -> Vec<Case> {
    include_str!("../../../../tests/data/guard-sample.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub(super) fn rule(text: &str) -> AllowedCommand {
    AllowedCommand {
        rule: text.to_owned(),
        source: "test".to_owned(),
        run_as: None,
        requires_approval: false,
        timeout: None,
        sandbox: None,
        note: None,
    }
}

pub(super) fn settings(rules: Vec<AllowedCommand>) -> Settings {
    Settings {
        dry_run: false,
        interval: std::time::Duration::from_secs(30),
        watch: Watch::default(),
        allowed_commands: rules,
        command_path: ["/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(PathBuf::from).to_vec(),
        services: BTreeMap::new(),
        max_actions_per_hour: 60,
        silences: Vec::new(),
        history: Default::default(),
    }
}

pub(super) fn policy(rules: &[&str]) -> Policy {
    let (policy, problems) = Policy::compile(&settings(rules.iter().map(|text| rule(text)).collect()));
    assert!(problems.iter().all(|problem| problem.warning), "{problems:?}");
    policy.with_manager(Manager::Systemd)
}

pub(super) fn shipped_policy() -> Policy {
    let (policy, problems) = Policy::compile(&settings(shipped()));
    assert_eq!(problems, [], "the shipped rules are beyond reproach");
    policy.with_manager(Manager::Systemd)
}

fn values(pairs: &[(&str, &str)]) -> Values {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn hints() -> Vec<String> {
    let hint = |case: Case| match case.rule_hint.as_deref() {
        Some("exact:") => Some(format!("exact: {}", case.command)),
        Some(hint) => Some(hint.to_owned()),
        None => None,
    };
    sample().into_iter().filter_map(hint).collect()
}

/// The rules that people would most likely add: every hint of the sample, and the shipped ones.
fn everything() -> Policy {
    let mut rules = shipped();
    rules.extend(hints().iter().map(|hint| rule(hint)));
    Policy::compile(&settings(rules)).0.with_manager(Manager::Systemd)
}

#[test]
fn no_attack_of_the_sample_passes_and_every_legitimate_command_does() {
    let (shipped, everything) = (shipped_policy(), everything());
    for case in sample() {
        let request = Request::Command(&case.command);
        if case.kind == "attack" {
            for policy in [&shipped, &everything] {
                assert!(policy.check(&request).is_err(), "{:?} is allowed", case.command);
                assert!(policy.test(&request, &Values::new()).is_err(), "{:?} is allowed", case.command);
                assert!(policy.review(&request, &Values::new()).is_err(), "{:?} is allowed", case.command);
            }
        } else {
            let hint = case.rule_hint.unwrap();
            let hint = if hint == "exact:" { format!("exact: {}", case.command) } else { hint };
            for answer in [policy(&[&hint]).test(&request, &Values::new()), everything.check(&request)] {
                let reviewed = answer.unwrap_or_else(|refusal| panic!("{}: {refusal}", case.command));
                if reviewed.shell {
                    assert_eq!(reviewed.argv, ["/bin/sh", "-c", &case.command]);
                } else {
                    assert_eq!(reviewed.argv, shell_words::split(&case.command).unwrap());
                }
            }
        }
    }
}

#[test]
fn the_commands_of_the_scenarios_pass_under_the_shipped_rules() {
    let policy = shipped_policy();
    for (command, approval) in [
        ("find /tmp -type f -mtime +7 -delete", false),
        ("find /var/log -name '*.gz' -mtime +30 -delete", false),
        ("npm cache clean --force", false),
        ("yarn cache clean", false),
        ("brew cleanup", false),
        ("docker system prune -f --filter until=168h", false),
        ("docker system prune -f", false),
        ("docker system prune -f --volumes", true),
        ("redis-cli FLUSHALL", true),
        ("nginx -s reload", false),
        ("certbot renew --quiet", false),
        ("certbot renew --quiet --no-random-sleep-on-renew", false),
        ("logrotate -f /etc/logrotate.conf", false),
        ("ps aux | sort -nrk 4 | head -5", false),
        ("gzip /var/log/app.log.1", false),
        ("mv /var/log/app.log.1.gz /var/log/archive/", false),
        ("openclaw gateway restart", false),
        ("pkill -f openclaw", true),
        ("brew services restart postgresql@16", false),
        ("curl -X POST http://localhost:8080/admin/reset-pool", false),
        ("systemctl restart nginx", false),
    ] {
        let reviewed = policy.check(&Request::Command(command)).unwrap_or_else(|refusal| panic!("{command}: {refusal}"));
        assert_eq!(reviewed.requires_approval, approval, "{command}");
    }
}

#[track_caller]
fn refused(policy: &Policy, command: &str, kind: RefusalKind, at: &str, says: &str) {
    let refusal = policy.check(&Request::Command(command)).expect_err(command);
    let span = refusal.span.clone().map(|span| &command[span]);
    assert_eq!((refusal.kind, span), (kind, Some(at)), "{command}: {refusal}");
    assert!(refusal.reason.contains(says), "{command}: {refusal}");
}

#[test]
fn a_refusal_says_where_and_why() {
    let policy = shipped_policy();
    refused(&policy, "find /tmp -type f -exec id", RefusalKind::NoRule, "-exec", "-xdev");
    refused(&policy, "find /tmp2 -delete", RefusalKind::Path, "/tmp2", "a path below /tmp or /var/log");
    refused(&policy, "nginx -s", RefusalKind::NoRule, "", "ends too early: the rule expects reload or reopen");
    refused(&policy, "nginx -s reload -c /x", RefusalKind::NoRule, "-c", "nothing more");
    refused(&policy, "wall hello", RefusalKind::NoRule, "wall", "no rule allows the program");
    refused(&policy, "sudo nginx -s reload", RefusalKind::NoRule, "sudo", "leave it out");
    refused(&policy, "service nginx restart", RefusalKind::NoRule, "service", "service_restart");
    refused(&policy, "A=b nginx -s reload", RefusalKind::NoRule, "A=b", "assignment");
    refused(&policy, "systemctl restart halt.target", RefusalKind::NoRule, "halt.target", "a service");
    refused(&policy, "gzip '/var/log/a", RefusalKind::Syntax, "'", "not closed");
    refused(&policy, "nginx -s reload\u{1b}[1A", RefusalKind::Text, "\u{1b}", "\\u{1b}");
    refused(&policy, "systemctl restart 'a\u{e9}'", RefusalKind::NoRule, "'a\u{e9}'", "a service");
    let refusal = policy.check(&Request::Command("ngnix -s reload")).unwrap_err();
    assert_eq!(refusal.nearest_rule.as_deref(), Some("nginx -s {one:reload|reopen}"));
    let refusal = policy.check(&Request::Command("pkill -f 'node.*openclaw' && openclaw gateway start")).unwrap_err();
    assert_eq!(refusal.suggestion, ["pkill -f 'node.*openclaw'", "openclaw gateway start"]);
    let refusal = policy.check(&Request::Command("find /tmp -type f -delete")).unwrap_err();
    assert!(refusal.reason.contains("needs a test before it"), "{refusal}");
}

#[test]
fn commands_of_the_settings_are_their_own_rules_without_placeholders_or_operators() {
    let check = |command: &str, expected: Option<(bool, &str)>| {
        let mut settings = settings(vec![rule("exact: true && true")]);
        let key = ServiceCommand::Verb(Verb::Start.into());
        settings.services = BTreeMap::from([("web".to_owned(), BTreeMap::from([(key, command.to_owned())]))]);
        let problems = Policy::compile(&settings).1;
        let problem = problems.first().map(|problem| (problem.warning, problem.message.clone()));
        match (expected, problem) {
            (None, None) => {}
            (Some((warning, says)), Some((is_warning, message))) if warning == is_warning && message.contains(says) => {}
            (_, problem) => panic!("{command}: {problem:?}"),
        }
    };
    check("true", None);
    check("true && true", None);
    check("no-such-program start", Some((true, "not found")));
    check("true {process_name}", Some((false, "no placeholder")));
    check("true; true", Some((false, "shell operator")));
    check("find /tmp -delete", Some((false, "needs a test")));
}

#[test]
fn a_permit_needs_everything_that_a_template_may_lack() {
    let policy = policy(&["no-such-program {name}", "true {name}", "true {file:/no-such-root}", "exact: true | cat"]);
    let review = |command: &str| policy.review(&Request::Command(command), &values(&[("process_name", "web")]));
    assert_eq!(review("no-such-program x").unwrap_err().kind, RefusalKind::MissingProgram);
    assert_eq!(policy.check(&Request::Command("no-such-program x")).unwrap().missing_program.as_deref(), Some("no-such-program"));
    assert_eq!(review("true /no-such-root/a").unwrap_err().kind, RefusalKind::Path);
    assert!(policy.check(&Request::Command("true /no-such-root/a")).is_ok());
    let permit = review("true {process_name}").unwrap();
    assert_eq!(permit.argv()[1..], ["web"]);
    assert_eq!(permit.program().to_str(), Some(permit.argv()[0].as_str()));
    let permit = review("true | cat").unwrap();
    assert!(permit.shell());
    assert_eq!(permit.argv(), ["/bin/sh", "-c", "true | cat"]);
    assert_eq!(review(" true | cat ").unwrap().argv(), ["/bin/sh", "-c", "true | cat"]);
    assert!(review("true  | cat").is_err());
}

#[test]
fn a_link_that_exists_is_refused_at_every_stage() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().canonicalize().unwrap();
    std::os::unix::fs::symlink("/etc/shadow", base.join("link.log")).unwrap();
    let policy = policy(&[&format!("true {{file:{}}}", base.display())]);
    let command = format!("true {}/link.log", base.display());
    let request = Request::Command(&command);
    for answer in [policy.check(&request).err(), policy.test(&request, &Values::new()).err(), policy.review(&request, &Values::new()).err()]
    {
        let refusal = answer.unwrap();
        assert_eq!(refusal.kind, RefusalKind::Path);
        assert!(refusal.reason.ends_with("link.log is a link"), "{refusal}");
        assert_eq!(refusal.span, Some(5..command.len()));
    }
    let labels = values(&[("path", base.join("link.log").to_str().unwrap())]);
    assert_eq!(policy.review(&Request::Command("true {path}"), &labels).unwrap_err().kind, RefusalKind::Path);
}

#[test]
fn an_absolute_program_is_the_one_that_the_command_path_finds() {
    let found = |name: &str| program::find(&settings(vec![]).command_path, name).unwrap().to_str().unwrap().to_owned();
    let policy = policy(&["cat {name}", "/opt/x/tool {name}"]);
    assert!(policy.review(&Request::Command(&format!("{} x", found("cat"))), &Values::new()).is_ok());
    assert!(policy.check(&Request::Command("/opt/x/tool a")).is_ok());
    for command in ["/opt/x/cat a", "/tmp/cat a", "./cat a", "tool a", "/opt/x/../x/tool a"] {
        assert!(policy.check(&Request::Command(command)).is_err(), "{command}");
    }
    // Another name of the same file is another program.
    assert!(policy.check(&Request::Command(&format!("{} x", found("true")))).is_err());
}

#[test]
fn the_stricter_limit_of_all_matching_rules_holds() {
    let seconds = std::time::Duration::from_secs;
    let rules = vec![
        AllowedCommand { timeout: Some(seconds(60)), ..rule("true {name}") },
        AllowedCommand { requires_approval: true, timeout: Some(seconds(30)), run_as: Some("root".to_owned()), ..rule("true x") },
    ];
    let (policy, problems) = Policy::compile(&settings(rules));
    assert_eq!(problems, []);
    let permit = policy.review(&Request::Command("true x"), &Values::new()).unwrap();
    assert_eq!((permit.requires_approval(), permit.timeout(), permit.run_as()), (true, Some(seconds(30)), Some("root")));
    let permit = policy.review(&Request::Command("true y"), &Values::new()).unwrap();
    assert_eq!((permit.requires_approval(), permit.timeout(), permit.run_as()), (false, Some(seconds(60)), None));
}

#[test]
fn rules_that_cannot_be_understood_are_errors_with_a_proposal() {
    let problem = |text: &str| Policy::compile(&settings(vec![rule(text)])).1.into_iter().next().unwrap();
    for (text, warning, says, suggestion) in [
        ("^nginx -s reload", true, "understood as the shipped rules", Some("nginx -s {one:reload|reopen}\nnginx -t [-q]")),
        ("^find \\/tmp", true, "understood", None),
        ("^systemctl restart nginx$", false, "regular expression", Some("systemctl restart nginx")),
        ("^openclaw", false, "regular expression", Some("openclaw")),
        ("docker .*", false, "regular expression", Some("docker {name}")),
        ("docker *", false, "wildcards", None),
        ("tool {re:.*}", true, "wide", None),
        ("find {path:/} -mtime {age} -delete", true, "wide", None),
        ("pkill -f {procname}", false, "only a literal", None),
        ("a && b", false, "exact:", None),
    ] {
        let problem = problem(text);
        assert_eq!(problem.warning, warning, "{text}: {}", problem.message);
        assert!(problem.message.contains(says), "{text}: {}", problem.message);
        if suggestion.is_some() {
            assert_eq!(problem.suggestion.as_deref(), suggestion, "{text}");
        }
    }
    let (policy, _) = Policy::compile(&settings(vec![rule("^docker system prune")]));
    assert!(policy.check(&Request::Command("docker system prune -f --volumes")).unwrap().requires_approval);
    assert!(policy.check(&Request::Command("docker system prune -f -a")).is_err());
}
