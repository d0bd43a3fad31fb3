//! Native actions and services.

use std::collections::BTreeMap;

use super::*;
use crate::config::settings::{ProcessEntry, ProcessMatch};

#[test]
fn native_actions_pass_the_same_list() {
    let policy = shipped_policy();
    let check = |request: Request<'_>, expected: Option<&[&str]>| {
        let answer = policy.check(&request);
        assert_eq!(
            answer.as_ref().ok().map(|reviewed| reviewed.argv.iter().map(String::as_str).collect::<Vec<_>>()),
            expected.map(<[&str]>::to_vec),
            "{request:?}: {answer:?}"
        );
        if let Err(refusal) = answer {
            assert!(refusal.span.is_none() || matches!(request, Request::Command(_)));
        }
    };
    check(Request::DeleteFiles { directory: "/var/tmp" }, Some(&["delete_files", "/var/tmp"]));
    check(Request::DeleteFiles { directory: "/home" }, None);
    check(Request::DeleteFiles { directory: "/tmp/../home" }, None);
    check(Request::ArchiveLog { path: "/var/log/x.log", to: None }, Some(&["archive_log", "/var/log/x.log"]));
    check(
        Request::ArchiveLog { path: "/var/log/x.log", to: Some("/var/log/old") },
        Some(&["archive_log", "/var/log/x.log", "/var/log/old"]),
    );
    check(Request::ArchiveLog { path: "/var/log/x.log", to: Some("/etc") }, None);
    check(Request::ArchiveLog { path: "{path}", to: None }, Some(&["archive_log", "{path}"]));
    check(
        Request::Http { method: "POST", url: "http://localhost:8080/admin/reset-pool" },
        Some(&["http", "POST", "http://localhost:8080/admin/reset-pool"]),
    );
    check(Request::Http { method: "DELETE", url: "http://localhost:8080/admin/reset-pool" }, None);
    check(Request::Http { method: "POST", url: "http://169.254.169.254/" }, None);
    check(Request::SignalProcess { process: "java", signal: "TERM" }, Some(&["signal_process", "java", "TERM"]));
    check(Request::SignalProcess { process: "java", signal: "KILL" }, None);
    check(Request::SignalProcess { process: "autoheal", signal: "TERM" }, None);
    // A rule for a native action is none for a program of that name, nor the other way round.
    check(Request::Command("delete_files /tmp"), None);
    check(Request::Command("http POST http://localhost:8080/admin/reset-pool"), None);
    let permit = policy.review(&Request::DeleteFiles { directory: "{mount}" }, &values(&[("mount", "/tmp")])).unwrap();
    assert!(permit.native() && permit.program().as_os_str().is_empty());
    assert_eq!(permit.argv(), ["delete_files", "/tmp"]);
}

fn watched(name: &str, matcher: ProcessMatch, service: Option<&str>) -> ProcessEntry {
    ProcessEntry {
        name: name.to_owned(),
        matcher,
        service: service.map(str::to_owned),
        restartable: true,
        respect_manual_stop: true,
        user: None,
        interval: std::time::Duration::from_secs(5),
    }
}

fn with_services(rules: &[&str], processes: Vec<ProcessEntry>) -> (Policy, Vec<RuleProblem>) {
    let mut settings = settings(rules.iter().map(|text| rule(text)).collect());
    settings.watch.processes = processes;
    let restart = ServiceCommand::Verb(Verb::Restart.into());
    settings.services = BTreeMap::from([("gateway".to_owned(), BTreeMap::from([(restart, "true restart gateway".to_owned())]))]);
    let (policy, problems) = Policy::compile(&settings);
    (policy.with_manager(Manager::Systemd), problems)
}

#[test]
fn a_service_action_is_the_line_of_its_service() {
    let (policy, problems) = with_services(
        &["systemctl restart {unit}"],
        vec![
            watched("web", ProcessMatch::Command("nginx".to_owned()), Some("nginx")),
            watched("db", ProcessMatch::Unit("postgresql.service".to_owned()), None),
            watched("gateway", ProcessMatch::Unit("gateway.service".to_owned()), None),
            watched("plain", ProcessMatch::Command("plain".to_owned()), None),
        ],
    );
    assert_eq!(problems, []);
    for (service, labels, argv) in [
        ("{process_name}", "web", "systemctl restart nginx"),
        ("{process_name}", "db", "systemctl restart postgresql.service"),
        ("{process_name}", "gateway", "true restart gateway"),
        ("{process_name}", "plain", "systemctl restart plain"),
        ("{process_name}", "unwatched", "systemctl restart unwatched"),
        ("gateway", "", "true restart gateway"),
        ("web", "", "systemctl restart nginx"),
    ] {
        let reviewed = policy.test(&Request::Service { verb: Verb::Restart, service }, &values(&[("process_name", labels)])).unwrap();
        assert_eq!(reviewed.argv.join(" "), argv);
    }
    for (verb, service, kind) in [
        (Verb::Stop, "nginx", RefusalKind::NoRule),
        (Verb::Stop, "gateway", RefusalKind::UnknownService),
        (Verb::Restart, "autoheal", RefusalKind::NoRule),
        (Verb::Restart, "autoheal.service", RefusalKind::NoRule),
        (Verb::Restart, "--all", RefusalKind::UnknownService),
        (Verb::Restart, "x.target", RefusalKind::UnknownService),
        (Verb::Restart, "a b", RefusalKind::UnknownService),
        (Verb::Restart, "", RefusalKind::Text),
    ] {
        assert_eq!(policy.test(&Request::Service { verb, service }, &Values::new()).unwrap_err().kind, kind, "{service}");
    }
    assert_eq!((policy.service_of("web"), policy.service_of("db"), policy.service_of("x")), ("nginx", "postgresql.service", "x"));
    let permit = policy.review(&Request::Service { verb: Verb::Restart, service: "gateway" }, &Values::new()).unwrap();
    assert!(permit.program().is_absolute() && permit.argv()[0].ends_with("/true"));
    assert_eq!(permit.rule(), "$.services.gateway.restart");
}

#[test]
fn a_service_by_placeholder_needs_every_line_that_it_can_come_to() {
    let restart = Request::Service { verb: Verb::Restart, service: "{process_name}" };
    let gateway = || watched("gateway", ProcessMatch::Command("x".to_owned()), None);
    let other = || watched("other", ProcessMatch::Command("x".to_owned()), None);
    let check = |rules: &[&str], processes| with_services(rules, processes).0.check(&restart).is_ok();
    assert!(check(&[], vec![gateway()]), "every process has a command of its own");
    assert!(!check(&[], vec![gateway(), other()]));
    assert!(!check(&[], vec![]));
    assert!(check(&["systemctl restart {unit}"], vec![]));
    assert!(check(&["systemctl restart {unit}"], vec![gateway(), other()]));
    assert!(check(&["systemctl restart other"], vec![gateway(), other()]));
    assert!(!check(&["systemctl restart other"], vec![]));
    let (policy, _) = with_services(&[], vec![gateway(), other()]);
    assert!(policy.check_for(&restart, &["gateway"]).is_ok());
    assert!(policy.check_for(&restart, &["gateway", "other"]).is_err());
    assert!(policy.check_for(&restart, &[]).is_err());
}
