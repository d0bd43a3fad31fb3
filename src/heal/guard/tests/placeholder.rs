//! Placeholders: filled, hostile, and not known yet.

use super::*;

#[track_caller]
fn filled(policy: &Policy, command: &str, labels: &[(&str, &str)], expected: Result<&[&str], RefusalKind>) {
    let answer = policy.test(&Request::Command(command), &values(labels));
    let answer =
        answer.as_ref().map(|reviewed| reviewed.argv.iter().map(String::as_str).collect::<Vec<_>>()).map_err(|refusal| refusal.kind);
    assert_eq!(answer, expected.map(<[&str]>::to_vec), "{command} with {labels:?}");
}

#[test]
fn a_placeholder_is_a_part_of_one_word_and_never_more() {
    use RefusalKind::{NoRule, Placeholder};
    let policy = policy(&[
        "svc {one:restart|start} {name}",
        "tool {re:.+}",
        "show 'literal' {int}",
        "brew cleanup --prune={int}",
        "find {path:/tmp|/var/log} -mtime {age} -delete",
        "docker prune until={int}h",
        "exact: echo web | cat",
        "kill -{one:HUP|TERM} {int}",
    ]);
    let check = |command: &str, labels: &[(&str, &str)], expected: Result<&[&str], RefusalKind>| filled(&policy, command, labels, expected);
    check("svc restart {process_name}", &[("process_name", "web")], Ok(&["svc", "restart", "web"]));
    check("svc {verb} {process_name}", &[("process_name", "web"), ("verb", "start")], Ok(&["svc", "start", "web"]));
    check("svc restart '{process_name}'", &[("process_name", "web")], Ok(&["svc", "restart", "web"]));
    check("docker prune until={hours}h", &[("hours", "48")], Ok(&["docker", "prune", "until=48h"]));
    check("find {mount} -mtime +{days} -delete", &[("mount", "/tmp"), ("days", "7")], Ok(&["find", "/tmp", "-mtime", "+7", "-delete"]));
    check("tool {x}", &[("x", "a b;$(c) {y}"), ("y", "z")], Ok(&["tool", "a b;$(c) {y}"]));
    check("tool {{x}}", &[("x", "z")], Ok(&["tool", "{x}"]));
    for hostile in
        ["web x", "web;x", "-x", "--all", "web\n", "", "../x", "/etc", "a\u{200b}", "{x}", "web --now", "*", "autoheal", "$(id)", "we\0b"]
    {
        check("svc restart {process_name}", &[("process_name", hostile)], Err(Placeholder));
        let answer = policy.test(&Request::Command("svc restart {whatever}"), &values(&[("whatever", hostile)]));
        assert_eq!(answer.unwrap_err().kind, Placeholder, "{hostile:?}");
    }
    for hostile in ["/tmp/../etc", "/etc", "/tmp -o", "/tmp;x", "tmp", "/tmp//x", "/tmp2"] {
        check("find {mount} -mtime +7 -delete", &[("mount", hostile)], Err(Placeholder));
    }
    check("svc restart {process_name}", &[], Err(Placeholder));
    check("svc restart {process_name}", &[("unit", "web")], Err(Placeholder));
    check("{program} restart web", &[("program", "svc")], Err(Placeholder));
    check("brew cleanup --prune={days}", &[("days", "7")], Err(Placeholder));
    check("brew cleanup {option}", &[("option", "--prune=7")], Err(Placeholder));
    check("kill -{signal} 7", &[("signal", "HUP")], Err(Placeholder));
    check("show {what} 7", &[("what", "literal")], Err(Placeholder));
    check("echo {process_name} | cat", &[("process_name", "web")], Err(RefusalKind::Syntax));
    check("tool {x}", &[("x", "-rf")], Err(Placeholder));
    check("show literal {pid}", &[("pid", "12345678901")], Err(Placeholder));
    check("show literal x", &[("pid", "1")], Err(NoRule));
}

#[test]
fn templates_are_checked_before_the_labels_are_known() {
    let policy = shipped_policy();
    for (command, good) in [
        ("systemctl restart {process_name}", true),
        ("systemctl restart {process_name}.service", true),
        ("systemctl restart {process_name}.target", false),
        ("gzip {path}", true),
        ("gzip /etc/{process_name}", false),
        ("gzip /var/log/{process_name}.log", true),
        ("nginx -s {severity}", true),
        ("nginx -s {pid}", false),
        ("{process_name} -s reload", false),
        ("find {mount} -type f -mtime +7 -delete", true),
        ("find {mount} -type f -delete", false),
        ("logrotate -f {path}", false),
        ("docker system prune -f --filter until={pid}h", true),
    ] {
        assert_eq!(policy.check(&Request::Command(command)).is_ok(), good, "{command}");
    }
}
