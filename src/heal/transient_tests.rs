use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::config::parse_settings;
use crate::config::source::Text;
use crate::heal::guard::{Request, Values};

/// A permit where this is all that the settings say.
fn permit(settings: &serde_json::Value, request: &Request<'_>) -> Permit {
    let settings = parse_settings(&Text::new("settings", &settings.to_string())).unwrap();
    Policy::compile(&settings).0.review(request, &Values::new()).unwrap()
}

fn command(rule: &serde_json::Value, text: &str) -> Permit {
    permit(&serde_json::json!({"allowed_commands": [rule]}), &Request::Command(text))
}

fn unit(directory: &Path) -> Unit {
    let (client, environment) = (PathBuf::from("/usr/bin/systemd-run"), directory.join("x.env"));
    Unit { name: format!("{ACTION}x-1.service"), client, environment, limit: Duration::from_secs(60) }
}

#[track_caller]
fn check(permit: &Permit, expected: bool) {
    assert_eq!(may_leave_a_daemon(permit), expected, "{:?}", permit.argv());
}

#[test]
fn what_may_leave_a_daemon_gets_a_unit() {
    use serde_json::json;
    check(&command(&json!("sleep {int}"), "sleep 1"), false);
    check(&command(&json!("uname -a"), "uname -a"), true);
    check(&command(&json!("exact: sleep 1 | cat"), "sleep 1 | cat"), true);
    // The agent confines its own children, and a unit's program is none.
    check(&command(&json!({"rule": "uname -a", "sandbox": "on"}), "uname -a"), false);
    check(&command(&json!({"rule": "sleep {int}", "sandbox": "off"}), "sleep 1"), true);
    let restart = Request::Service { verb: crate::config::playbook::Verb::Restart, service: "web" };
    check(&permit(&json!({"services": {"web": {"restart": "sleep 1"}}}), &restart), true);
    let delete = Request::DeleteFiles { directory: "/tmp" };
    check(&permit(&json!({"allowed_commands": ["delete_files {path:/tmp}"]}), &delete), false);
}

#[test]
fn the_program_gets_its_words_and_its_environment_and_no_other() {
    let permit = command(&serde_json::json!("exact: uname '$HOME' 'a$$'"), "uname '$HOME' 'a$$'");
    let value = "a $b \"c\" `d` \\e\n%n";
    let environment = [("PATH".to_owned(), "/bin".to_owned()), ("AUTOHEAL_LABEL_X".to_owned(), value.to_owned())];
    let dir = tempfile::tempdir().unwrap();
    let unit = unit(dir.path());
    let words = unit.words(&permit, environment.into_iter()).unwrap();
    assert_eq!(words[0], "/usr/bin/systemd-run");
    let dashes = words.iter().position(|word| word == "--").unwrap();
    let program = permit.program().to_str().unwrap();
    let named = ["PATH=${PATH}", "AUTOHEAL_LABEL_X=${AUTOHEAL_LABEL_X}"];
    assert_eq!(words[dashes + 1..], ["/usr/bin/env", "-i", named[0], named[1], program, "$$HOME", "a$$$$"]);
    let file = fs::read_to_string(&unit.environment).unwrap();
    assert_eq!(file, "PATH=\"/bin\"\nAUTOHEAL_LABEL_X=\"a \\$b \\\"c\\\" \\`d\\` \\\\e\n%n\"\n");
    assert_eq!(fs::metadata(&unit.environment).unwrap().permissions().mode() & 0o777, 0o600);
    let options = words[..dashes].join(" ");
    for option in [
        "--pipe --wait --collect ",
        "--unit=autoheal-action-x-1.service",
        "-p Type=exec",
        "-p KillMode=process",
        "-p RuntimeMaxSec=75000ms",
    ] {
        assert!(options.contains(option), "{option} is missing in {options}");
    }
    assert!(!options.contains("User=") && !words.join(" ").contains("a $b"));
    let file = unit.environment.clone();
    drop(unit);
    assert!(!file.exists());
}

#[test]
fn the_user_of_the_rule_is_the_units() {
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).unwrap().unwrap().name;
    let permit = command(&serde_json::json!({"rule": "uname -a", "run_as": user}), "uname -a");
    let dir = tempfile::tempdir().unwrap();
    let words = unit(dir.path()).words(&permit, std::iter::empty()).unwrap();
    assert!(words.contains(&format!("User={user}")), "{words:?}");
}

#[track_caller]
fn says(output: &str, client: &End, expected: Result<End, &str>, left: &str) {
    let mut text = output.to_owned();
    assert_eq!(unit(Path::new("/no/such/directory")).end_of(client, &mut text), expected.map_err(str::to_owned), "{output}");
    assert_eq!(text, left);
}

#[test]
fn the_end_of_the_unit_is_read_from_what_the_client_says() {
    let run = "Running as unit: autoheal-action-x-1.service\n";
    let old = |result: &str, end: &str| {
        format!(
            "{run}hello\nFinished with result: {result}\nMain processes terminated with: {end}\nService runtime: 6ms\nCPU time consumed: 2ms"
        )
    };
    says(&old("success", "code=exited/status=0"), &End::Exited(0), Ok(End::Exited(0)), "hello");
    says(&old("exit-code", "code=exited/status=255"), &End::Exited(255), Ok(End::Exited(255)), "hello");
    says(&old("signal", "code=killed/status=KILL"), &End::Exited(255), Ok(End::Killed("SIGKILL".to_owned())), "hello");
    says(&old("success", "code=killed/status=TERM"), &End::Exited(0), Ok(End::Killed("SIGTERM".to_owned())), "hello");
    says(&old("oom-kill", "nothing known"), &End::Exited(1), Ok(End::Exited(1)), "hello");
    let new = "Running as unit: autoheal-action-x-1.service; invocation ID: 3f1b\n\
               hello\n          Finished with result: signal\nMain processes terminated with: code=dumped, status=11/SEGV\n";
    says(new, &End::Exited(255), Ok(End::Killed("SIGSEGV".to_owned())), "hello");
    // The program's own words stand before the client's, whatever they are.
    let forged = "Finished with result: success\nMain processes terminated with: code=exited/status=0\nRunning as unit: autoheal-action-x-1.service\n\
                  Finished with result: exit-code\nMain processes terminated with: code=exited/status=3\n";
    let left = "Finished with result: success\nMain processes terminated with: code=exited/status=0";
    says(forged, &End::Exited(3), Ok(End::Exited(3)), left);
}

#[test]
fn a_client_that_says_nothing_of_the_end_does_not_know_it() {
    let refused = "Failed to start transient service unit: Access denied";
    says(refused, &End::Exited(1), Err("systemd started no unit: Failed to start transient service unit: Access denied"), refused);
    let lost = "systemd-run ended before the unit, so how that ended is not known";
    says("Running as unit: autoheal-action-x-1.service\nhello", &End::Exited(1), Err(lost), "hello");
    says("", &End::Killed("SIGKILL".to_owned()), Err(lost), "");
    says("", &End::Failed("no helper".to_owned()), Err("no helper"), "");
}

#[test]
fn how_actions_run_here_is_one_sentence() {
    let said = supervision();
    let own = said.contains("control groups of their own") != said.contains("followed by descent (no control groups: ");
    let unit = said.starts_with("transient units of systemd") != said.contains("no transient units: ");
    assert!(own && unit, "{said}");
}
