//! What holds the program of an action: the helper by itself, as if the guard had let a wrong command through, and whole permits.
//! Where the kernel has no Landlock, each test asks that this is said.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use autoheal::config::parse_settings;
use autoheal::config::playbook::Verb;
use autoheal::config::source::Text;
use autoheal::heal::confine::protections::{self, State};
use autoheal::heal::guard::{Permit, Policy, Request, Values};
use autoheal::heal::outcome::End;

use crate::executor::{Stage, permit, turn};

const LONG: Duration = Duration::from_secs(60);

/// What the kernel can: everything that the tests ask for, or less with a reason.
fn landlock() -> State {
    let found = protections::all().remove(0);
    assert_eq!(found.name, "landlock");
    assert!(!found.detail.is_empty());
    found.state
}

/// Two directories, of which the first may be written.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["in/a", "in/b", "out"] {
            fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        for name in ["in/x", "in/a/x", "out/x"] {
            fs::write(dir.path().join(name), "content\n").unwrap();
        }
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn has(&self, name: &str) -> bool {
        self.path(name).symlink_metadata().is_ok()
    }

    /// Runs the words, in which IN and OUT are the directories, through the helper; only IN may be written.
    #[expect(clippy::disallowed_methods, reason = "the test is about the helper alone")]
    fn run(&self, words: &str) -> Output {
        let _turn = turn();
        let (inside, outside) = (self.path("in"), self.path("out"));
        let words = words.split(' ').map(|word| word.replace("IN", inside.to_str().unwrap()).replace("OUT", outside.to_str().unwrap()));
        let mut words: Vec<String> = words.collect();
        words[0] = program(&words[0]);
        let mut command = Command::new(env!("CARGO_BIN_EXE_autoheal"));
        command.args(["__confine", "--no-new-privileges", "--sandbox", "--write", "/no/such/root", "--write"]).arg(&inside).arg("--");
        let mut child = command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // Who could not be confined has ended at once, and reads nothing.
        let _ = child.stdin.take().unwrap().write_all(b"\n");
        child.wait_with_output().unwrap()
    }
}

fn program(name: &str) -> String {
    let found = ["/usr/bin", "/bin"].iter().map(|directory| format!("{directory}/{name}")).find(|path| Path::new(path).exists());
    if name.starts_with('/') { name.to_owned() } else { found.unwrap() }
}

/// The words work in the sandbox, or fail there and not without.
#[track_caller]
fn check(words: &str, works: bool, then: impl Fn(&Place) -> bool) {
    let place = Place::new();
    let output = place.run(words);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if landlock() == State::Missing {
        assert!(output.status.code() == Some(125) && said.contains("cannot start"), "it ran without what it was to have: {words}");
        return;
    }
    assert_eq!(output.status.success(), works, "{words}: {said}");
    assert!(works || said.contains("ermission denied") || said.contains("cross-device"), "{words}: {said}");
    assert!(then(&place), "{words}: {said}");
}

#[test]
fn a_tool_works_below_its_roots_and_changes_nothing_elsewhere() {
    check("find IN -name x -delete", true, |place| !place.has("in/x") && !place.has("in/a/x") && place.has("in/a"));
    check("find OUT -name x -delete", false, |place| place.has("out/x"));
    check("find OUT IN -name x -delete", false, |place| place.has("out/x") && !place.has("in/x"));
    check("gzip IN/x", true, |place| place.has("in/x.gz") && !place.has("in/x"));
    check("gzip OUT/x", false, |place| place.has("out/x") && !place.has("out/x.gz"));
    check("mv IN/x OUT/y", false, |place| place.has("in/x") && !place.has("out/y"));
    check("mv OUT/x IN/y", false, |place| place.has("out/x"));
    check("cp OUT/x IN/y", true, |place| fs::read(place.path("in/y")).unwrap() == b"content\n");
    check("cp IN/x OUT/x", false, |_| true);
    check("cp IN/x /dev/null", true, |_| true);
    check("ln -s /etc/passwd OUT/y", false, |place| !place.has("out/y"));
    check("ln IN/x OUT/y", false, |place| !place.has("out/y"));
    check("mkdir OUT/y", false, |place| !place.has("out/y"));
    check("rmdir IN/b", true, |place| !place.has("in/b"));
    check("rm -r OUT", false, |place| place.has("out/x"));
    check("truncate -s 0 IN/x", true, |place| fs::read(place.path("in/x")).unwrap().is_empty());
    // Older kernels move nothing between directories, and cannot keep a file from being emptied.
    if landlock() == State::InForce {
        check("mv IN/x IN/b/y", true, |place| place.has("in/b/y") && !place.has("in/x"));
        check("truncate -s 0 OUT/x", false, |place| fs::read(place.path("out/x")).unwrap() == b"content\n");
    }
}

#[test]
fn a_tool_starts_no_other_program() {
    check("find IN -name x -exec touch IN/made {} +", false, |place| !place.has("in/made"));
    check("find IN -name x -exec sh -c :>IN/made {} +", false, |place| !place.has("in/made"));
    check("find IN -name x -execdir /bin/rm {} +", false, |place| place.has("in/x"));
    check("find IN -name x -print", true, |_| true);
}

#[test]
fn a_script_in_the_sandbox_has_its_interpreter_and_nothing_else() {
    let script = |body: &str, works: bool, then: &dyn Fn(&Place) -> bool| {
        let place = Place::new();
        let (inside, outside) = (place.path("in"), place.path("out"));
        let body = body.replace("IN", inside.to_str().unwrap()).replace("OUT", outside.to_str().unwrap());
        fs::write(place.path("script"), format!("#!{}\n{body}\n", program("sh"))).unwrap();
        fs::set_permissions(place.path("script"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let output = place.run(place.path("script").to_str().unwrap());
        if landlock() == State::Missing {
            assert_eq!(output.status.code(), Some(125));
            return;
        }
        assert_eq!(output.status.success(), works, "{body}: {output:?}");
        assert!(then(&place), "{body}: {output:?}");
    };
    script("read line < OUT/x; echo $line > IN/y", true, &|place| fs::read(place.path("in/y")).unwrap() == b"content\n");
    script("echo > OUT/y", false, &|place| !place.has("out/y"));
    script("/bin/rm IN/x", false, &|place| place.has("in/x"));
}

#[test]
fn who_puts_a_link_in_the_way_of_a_root_does_not_choose_what_is_written() {
    let place = Place::new();
    fs::rename(place.path("in"), place.path("moved")).unwrap();
    std::os::unix::fs::symlink(place.path("out"), place.path("in")).unwrap();
    let output = place.run("find IN/ -name x -delete");
    assert!(!output.status.success() && place.has("out/x"), "{output:?}");
}

/// The permit of a rule that may say something about its sandbox.
fn permitted(rule: &str, sandbox: Option<&str>, command: &str) -> Permit {
    let rule = match sandbox {
        Some(word) => serde_json::json!({"rule": rule, "sandbox": word}),
        None => serde_json::json!(rule),
    };
    permit(&rule, command)
}

/// The flag in the kernel's words about a process.
fn no_new_privileges(status: &str) -> bool {
    let line = status.lines().find_map(|line| line.strip_prefix("NoNewPrivs:"));
    line.unwrap().trim() == "1"
}

#[test]
fn no_action_gains_privileges_but_those_that_must() {
    let stage = Stage::new();
    let own = no_new_privileges(&fs::read_to_string("/proc/self/status").unwrap());
    let command = "grep NoNewPrivs /proc/self/status";
    let rule = format!("exact: {command}");
    for (sandbox, expected) in [(None, true), (Some("off"), own), (Some("on"), true)] {
        let outcome = stage.permitted(&permitted(&rule, sandbox, command), LONG);
        assert_eq!((outcome.end, no_new_privileges(&outcome.output)), (End::Exited(0), expected), "{sandbox:?}");
    }
    let settings = serde_json::json!({"services": {"web": {"restart": command}}, "command_path": ["/usr/bin", "/bin"]});
    let settings = parse_settings(&Text::new("settings", &settings.to_string())).unwrap();
    let request = Request::Service { verb: Verb::Restart, service: "web" };
    let outcome = stage.permitted(&Policy::compile(&settings).0.review(&request, &Values::new()).unwrap(), LONG);
    assert_eq!((outcome.end, no_new_privileges(&outcome.output)), (End::Exited(0), own), "a service");
}

#[test]
fn a_permit_brings_its_rules_roots_along() {
    let (stage, place) = (Stage::new(), Place::new());
    let (inside, outside) = (place.path("in"), place.path("out"));
    let (inside, outside) = (inside.to_str().unwrap(), outside.to_str().unwrap());
    let run = |rule: &str, sandbox, command: &str| {
        let fill = |text: &str| text.replace("IN", inside).replace("OUT", outside);
        stage.permitted(&permitted(&fill(rule), sandbox, &fill(command)), LONG)
    };
    let worked = |outcome: autoheal::heal::outcome::Outcome| outcome.end == End::Exited(0);
    // By the table, with real roots.
    assert!(worked(run("find {path:IN} -name {glob} -delete", None, "find IN/a -name x -delete")));
    assert!(!place.has("in/a/x") && place.has("in/x"));
    assert!(worked(run("gzip {file:IN/x}", None, "gzip IN/x")) && place.has("in/x.gz"));
    assert!(worked(run("mv {file:IN} OUT/", None, "mv IN/x.gz OUT/")) && place.has("out/x.gz"));
    // The rule lets more through than its roots: that is what the sandbox is for.
    let held = landlock() != State::Missing;
    assert_eq!(worked(run("find {path:IN} {re:.*} -name x -delete", None, "find IN OUT -name x -delete")), !held);
    assert_eq!(place.has("out/x"), held);
    // "off", and programs that are not in the table, may do what they like; "on" without a path writes nothing.
    fs::write(place.path("out/x"), "").unwrap();
    assert!(worked(run("find {path:IN} {re:.*} -name x -delete", Some("off"), "find IN OUT -name x -delete")) && !place.has("out/x"));
    assert!(worked(run("exact: sh -c 'echo x > OUT/x; ls IN'", None, "sh -c 'echo x > OUT/x; ls IN'")));
    assert!(worked(run("exact: tee OUT/y", Some("off"), "tee OUT/y")) && place.has("out/y"));
    assert_eq!(worked(run("exact: sh -c 'echo x > OUT/z'", Some("on"), "sh -c 'echo x > OUT/z'")), !held);
    assert_eq!(place.has("out/z"), !held);
}

#[test]
fn no_shell_reads_what_the_kernel_cannot_start() {
    let place = Place::new();
    let file = place.path("in/no-format");
    fs::write(&file, format!("echo ran > {}\n", place.path("in/ran").display())).unwrap();
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let output = place.run(file.to_str().unwrap());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(125) && said.contains("Exec format error"), "{output:?}");
    assert!(!place.has("in/ran"));
}
