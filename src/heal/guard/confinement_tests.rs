use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::config::settings::{ServiceCommand, VerbKey};
use crate::heal::guard::Values;
use crate::heal::guard::tests::{policy, rule, settings, shipped_policy};
use crate::heal::guard::{Manager, Policy, Request, shipped};

fn held_by(policy: &Policy, command: &str) -> Confinement {
    match policy.check(&Request::Command(command)) {
        Ok(reviewed) => reviewed.confinement,
        Err(refusal) => panic!("{command}: {refusal}"),
    }
}

/// The directories that it may write below, if the table alone confines it.
#[track_caller]
fn below(rules: &[&str], command: &str, expected: &[&str]) {
    let expected = expected.iter().map(|&directory| directory.to_owned()).collect();
    assert_eq!(held_by(&policy(rules), command), Confinement::Sandboxed { writable: expected, asked: false }, "{command}");
}

#[test]
fn the_shipped_rules_hold_what_needs_no_more() {
    let policy = shipped_policy();
    let held = |command: &str| held_by(&policy, command);
    let root = |path: &str| Root::parse(path).unwrap().real;
    let find = Confinement::Sandboxed { writable: vec![root("/tmp"), root("/var/log")], asked: false };
    assert_eq!(held("find /tmp -mtime +7 -delete"), find);
    assert_eq!(held("gzip /var/log/x.log"), Confinement::Sandboxed { writable: vec![root("/var/log")], asked: false });
    assert!(matches!(held("mv /var/log/x /var/log/archive"), Confinement::Sandboxed { .. }));
    for command in [
        "systemctl restart web",
        "brew services restart redis",
        "brew cleanup",
        "openclaw gateway start",
        "nginx -s reload",
        "certbot renew",
        "logrotate -f /etc/logrotate.conf",
        "launchctl kickstart -k system/com.example.web",
    ] {
        assert!(matches!(held(command), Confinement::Free(_)), "{command}: {:?}", held(command));
    }
    for command in ["docker system prune -f", "npm cache clean --force", "pkill -f openclaw", "ps aux | sort -nrk 4 | head -5"] {
        assert!(matches!(held(command), Confinement::NoNewPrivileges(_)), "{command}: {:?}", held(command));
    }
    let native = policy.check(&Request::DeleteFiles { directory: "/tmp/x" }).unwrap().confinement;
    assert!(matches!(native, Confinement::Free(_)));
}

#[test]
fn only_tools_with_a_place_are_held_by_default() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().canonicalize().unwrap();
    let dir = dir.to_str().unwrap();
    let rule = |text: &str| text.replace("DIR", dir);
    below(&[&rule("rm -f {path:DIR}")], &rule("rm -f DIR/x"), &[dir]);
    for (text, command) in [
        ("find {path:DIR} -exec gzip {name} +", "find DIR -exec gzip x +"),
        ("find DIR -name {glob} -delete", "find DIR -name x -delete"),
        ("tool {path:DIR}", "tool DIR"),
        ("gunzip {file:DIR}", "gunzip DIR/x.gz"),
        ("rm -f DIR/x", "rm -f DIR/x"),
    ] {
        let held = held_by(&policy(&[&rule(text)]), &rule(command));
        assert!(matches!(held, Confinement::NoNewPrivileges(_)), "{text}: {held:?}");
    }
    for command in ["sudo -n true", "/etc/init.d/web restart", "service web restart"] {
        assert!(matches!(held_by(&policy(&[command]), command), Confinement::Free(_)), "{command}");
    }
}

#[test]
fn a_file_stands_for_its_directory_and_a_literal_path_counts() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().canonicalize().unwrap();
    let dir = dir.to_str().unwrap();
    fs::create_dir_all(format!("{dir}/logs")).unwrap();
    fs::create_dir_all(format!("{dir}/old")).unwrap();
    fs::write(format!("{dir}/logs/a"), "").unwrap();
    let rule = |text: &str| text.replace("DIR", dir);
    let (logs, old, gone) = (rule("DIR/logs"), rule("DIR/old"), rule("DIR/gone"));
    below(&[&rule("gzip {file:DIR/logs/a}")], &rule("gzip DIR/logs/a"), &[&logs]);
    below(&[&rule("touch {file:DIR/logs/new}")], &rule("touch DIR/logs/new"), &[&logs]);
    below(&[&rule("mv {file:DIR/logs} DIR/old/")], &rule("mv DIR/logs/a DIR/old/"), &[&logs, &old]);
    below(&[&rule("cp {file:DIR/logs} DIR/old/copy")], &rule("cp DIR/logs/a DIR/old/copy"), &[&logs, &old]);
    // A tree that is not there is none, and nothing in its place.
    below(&[&rule("rm -r {path:DIR/gone}")], &rule("rm -r DIR/gone"), &[&gone]);
    below(&[&rule("find {path:DIR/logs} -newer DIR/old/stamp -delete")], &rule("find DIR/logs -newer DIR/old/stamp -delete"), &[&logs]);
    let two = rule("find DIR/old {path:DIR/logs} -newer DIR/stamp -delete");
    below(&[&two], &rule("find DIR/old DIR/logs -newer DIR/stamp -delete"), &[&logs, &old]);
    // Where several rules match, only what all of them name.
    below(&[&rule("rm -f {path:DIR}"), &rule("rm -f {path:DIR/logs|/var/tmp}")], &rule("rm -f DIR/logs/a"), &[&logs]);
}

#[test]
fn a_rule_says_on_and_off() {
    let held = |first: (&str, Option<bool>), second: (&str, Option<bool>), command: &str| {
        let with = |(text, sandbox): (&str, Option<bool>)| crate::config::settings::AllowedCommand { sandbox, ..rule(text) };
        let (policy, problems) = Policy::compile(&settings(vec![with(first), with(second)]));
        (held_by(&policy.with_manager(Manager::Systemd), command), problems)
    };
    let gzip = "gzip {file:/var/log}";
    let log = Root::parse("/var/log").unwrap().real;
    assert!(matches!(held((gzip, None), (gzip, Some(false)), "gzip /var/log/a").0, Confinement::Free(_)));
    let on = Confinement::Sandboxed { writable: vec![log], asked: true };
    assert_eq!(held((gzip, Some(true)), (gzip, Some(false)), "gzip /var/log/a").0, on);
    let nothing = Confinement::Sandboxed { writable: vec![], asked: true };
    assert_eq!(held(("tool {int}", Some(true)), ("x", None), "tool 7").0, nothing);
    assert_eq!(held(("systemctl restart {unit}", Some(true)), ("x", None), "systemctl restart web").0, nothing);
    let exact = Confinement::Sandboxed { writable: vec!["/usr".to_owned()], asked: true };
    assert_eq!(held(("exact: tool '/usr'", Some(true)), ("x", None), "tool '/usr'").0, exact);
    let (shell, problems) = held(("exact: a | b", Some(true)), ("delete_files {path:/tmp}", Some(true)), "a | b");
    assert_eq!(shell, nothing);
    let remarks: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
    assert!(problems.iter().all(|problem| problem.warning), "{problems:?}");
    assert!(remarks.len() == 2 && remarks[0].contains("a shell starts no program") && remarks[1].contains("native"), "{remarks:?}");
}

#[test]
fn a_tool_that_is_a_script_here_is_not_held_unless_somebody_asks() {
    let temp = tempfile::tempdir().unwrap();
    let script = temp.path().join("gzip");
    fs::write(&script, "#!/bin/sh\nexec true\n").unwrap();
    fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    let of = |sandbox| Confinement::of("gzip", Some(&script), sandbox, Some(&[]));
    assert!(matches!(of(None), Confinement::NoNewPrivileges(why) if why.contains("script")));
    assert!(matches!(of(Some(true)), Confinement::Sandboxed { asked: true, .. }));
}

#[test]
fn commands_of_services_are_free() {
    let mut settings = settings(vec![]);
    let restart = (ServiceCommand::Verb(VerbKey::Restart), "touch /run/web".to_owned());
    settings.services.insert("web".to_owned(), [restart].into());
    let (policy, _) = Policy::compile(&settings);
    let request = Request::Service { verb: crate::config::playbook::Verb::Restart, service: "web" };
    assert!(matches!(policy.check(&request).unwrap().confinement, Confinement::Free(_)));
    assert!(matches!(policy.review(&request, &Values::new()).unwrap().confinement(), Confinement::Free(_)));
}

#[test]
fn the_tables_hold_each_program_once() {
    let all: Vec<&&str> = TOOLS.iter().chain(SERVICE_MANAGERS).chain(TO_OTHER_USERS).collect();
    assert!(all.iter().enumerate().all(|(at, name)| !all[..at].contains(name)));
    assert!(shipped().iter().any(|command| command.rule.starts_with(TOOLS[3])));
}
