//! The executor with real programs, each through a permit that the guard gave for it. The helper is the built binary.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use autoheal::clock::Moment;
use autoheal::config::parse_settings;
use autoheal::config::source::Text;
use autoheal::heal::executor::{Execution, run};
use autoheal::heal::guard::{Permit, Policy, Request, Values};
use autoheal::heal::outcome::{End, Limit, Outcome};
use autoheal::heal::tree;

const COMMAND_PATH: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Longer than any test should take: who reaches it has hung.
const LONG: Duration = Duration::from_secs(60);

/// The agent runs one action at a time, and takes what becomes its child meanwhile for the action's.
static TURN: Mutex<()> = Mutex::new(());

pub(crate) fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One action at a time, in a process that inherits orphans, as the agent is.
pub(crate) struct Stage {
    _turn: MutexGuard<'static, ()>,
    dir: tempfile::TempDir,
    stop: Arc<AtomicBool>,
    command_path: Vec<PathBuf>,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let turn = turn();
        tree::become_subreaper();
        let command_path = COMMAND_PATH.map(PathBuf::from).to_vec();
        Self { _turn: turn, dir: tempfile::tempdir().unwrap(), stop: Arc::default(), command_path }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A shell with this script, in which `DIR` is the stage's directory.
    fn script(&self, script: &str, time: Duration) -> Outcome {
        assert!(!script.contains('\''), "the script stands in single quotes");
        self.command(&format!("sh -c '{}'", script.replace("DIR", &self.dir.path().display().to_string())), time)
    }

    fn command(&self, command: &str, time: Duration) -> Outcome {
        self.permitted(&permit(&serde_json::json!(format!("exact: {command}")), command), time)
    }

    pub(crate) fn permitted(&self, permit: &Permit, time: Duration) -> Outcome {
        let execution = Execution {
            helper: Path::new(env!("CARGO_BIN_EXE_autoheal")).to_owned(),
            command_path: self.command_path.clone(),
            facts: vec![("AUTOHEAL_PLAYBOOK".to_owned(), "slow".to_owned()), ("AUTOHEAL_LABEL_MOUNT".to_owned(), "/a b".to_owned())],
            timeout: time,
            unit: None,
        };
        let limit = Limit { deadline: Moment::now().after(time), stop: Arc::clone(&self.stop) };
        run(permit, &execution, &limit, |pid| assert!(pid > 1), || true)
    }

    /// The process whose number the script wrote to a file.
    fn written(&self, name: &str) -> i32 {
        let mut text = String::new();
        wait_until(name, || {
            text = std::fs::read_to_string(self.path(name)).unwrap_or_default();
            text.ends_with('\n')
        });
        text.trim().parse().unwrap()
    }
}

pub(crate) fn permit(rule: &serde_json::Value, command: &str) -> Permit {
    let settings = serde_json::json!({"allowed_commands": [rule], "command_path": COMMAND_PATH});
    let settings = parse_settings(&Text::new("settings", &settings.to_string())).unwrap();
    let (policy, problems) = Policy::compile(&settings);
    assert!(problems.iter().all(|problem| problem.warning), "{problems:?}");
    policy.review(&Request::Command(command), &Values::new()).unwrap()
}

#[track_caller]
fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Moment::now();
    while !holds() {
        assert!(Moment::now().since(begin) < LONG, "in vain: {what}");
        std::thread::yield_now();
    }
}

fn lives(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, fields)| !fields.starts_with(['Z', 'X']))
}

fn kill(pid: i32) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
    wait_until("the daemon ends", || !lives(pid));
    tree::reap_orphans();
}

#[test]
fn the_environment_holds_what_it_should_and_nothing_else() {
    let mut stage = Stage::new();
    stage.command_path.insert(0, stage.dir.path().to_owned());
    let outcome = stage.command("env", LONG);
    let mut names: Vec<&str> = outcome.output.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    names.sort_unstable();
    names.retain(|name| *name != "TZ");
    assert_eq!(names, ["AUTOHEAL_LABEL_MOUNT", "AUTOHEAL_PLAYBOOK", "HOME", "LANG", "LOGNAME", "PATH", "USER"]);
    for line in ["AUTOHEAL_LABEL_MOUNT=/a b", "AUTOHEAL_PLAYBOOK=slow", "LANG=C.UTF-8"] {
        assert!(outcome.output.lines().any(|found| found == line), "{}", outcome.output);
    }
    // The directory for temporary files is everybody's: a program that is found there could be anybody's.
    let path = format!("PATH={}", COMMAND_PATH.join(":"));
    assert!(outcome.output.lines().any(|found| found == path), "{}", outcome.output);
}

#[test]
fn it_runs_in_a_session_of_its_own_at_the_top_with_nothing_inherited() {
    let stage = Stage::new();
    // Not closed on exec: what a careless parent or library leaves open.
    let file = std::fs::File::open("/dev/null").unwrap();
    rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).unwrap();
    let said = stage.script("read -r line < /proc/self/stat; echo \"$line\"; echo $$; pwd; umask; ls /proc/$$/fd", LONG).output;
    let lines: Vec<&str> = said.lines().collect();
    let fields: Vec<&str> = lines[0].rsplit_once(") ").unwrap().1.split(' ').collect();
    assert_eq!((fields[2], fields[3]), (lines[1], lines[1]), "group and session: {said}");
    assert_eq!(lines[2..4], ["/", "0022"]);
    assert_eq!(lines[4..], ["0", "1", "2"], "{said}");
    let outcome = stage.script("read -r line; echo $?", LONG);
    assert_eq!((outcome.end, outcome.output.as_str()), (End::Exited(0), "1"), "there is nothing to read");
}

#[test]
fn how_it_ended_is_told() {
    let stage = Stage::new();
    for (script, end) in [
        ("exit 0", End::Exited(0)),
        ("exit 3", End::Exited(3)),
        ("exit 125", End::Exited(125)),
        ("kill -KILL $$", End::Killed("SIGKILL".to_owned())),
        ("kill -TERM $$", End::Killed("SIGTERM".to_owned())),
    ] {
        assert_eq!(stage.script(script, LONG).end, end, "{script}");
    }
    let outcome = stage.script("echo out; echo err >&2; printf \"\\377\"", LONG);
    assert!(outcome.output.contains("out\n") && outcome.output.contains("err") && outcome.output.contains('\u{fffd}'), "{outcome:?}");
    assert!(!outcome.output_truncated && outcome.succeeded());
}

#[test]
fn a_program_that_cannot_be_started_is_no_exit_code() {
    let stage = Stage::new();
    if !rustix::process::geteuid().is_root() {
        return;
    }
    // The guard trusts a program that only root could change: nothing below /tmp is one.
    let dir = tempfile::tempdir_in("/run").unwrap();
    let program = dir.path().join("broken");
    std::fs::write(&program, "#!/no/such/interpreter\n").unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let command = program.to_str().unwrap();
    let outcome = stage.command(command, LONG);
    assert_eq!(outcome.end, End::Failed("the program could not be started".to_owned()));
    assert!(outcome.output.starts_with(&format!("autoheal: cannot start {command}: ")), "{}", outcome.output);
    // It is there when the guard looks, and gone when it is to be started.
    let permit = permit(&serde_json::json!(command), command);
    std::fs::remove_file(&program).unwrap();
    let outcome = stage.permitted(&permit, LONG);
    assert_eq!(outcome.end, End::Failed("the program could not be started".to_owned()));
    assert!(outcome.output.contains("No such file"), "{}", outcome.output);
}

#[test]
fn another_user_has_his_own_groups_and_none_of_ours() {
    let stage = Stage::new();
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let permit = permit(
        &serde_json::json!({"rule": "exact: sh -c 'id -u -n; id -G -n; echo $HOME $USER'", "run_as": "nobody"}),
        "sh -c 'id -u -n; id -G -n; echo $HOME $USER'",
    );
    let outcome = stage.permitted(&permit, LONG);
    assert_eq!(outcome.end, End::Exited(0), "{}", outcome.output);
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
    let group = nix::unistd::Group::from_gid(nobody.gid).unwrap().unwrap().name;
    assert_eq!(outcome.output, format!("nobody\n{group}\n{} nobody", nobody.dir.display()));
}

#[test]
fn who_hangs_is_ended_at_the_deadline() {
    let stage = Stage::new();
    let time = Duration::from_millis(300);
    let outcome = stage.command("sleep 1000", time);
    assert_eq!(outcome.end, End::TimedOut(time));
    assert!(outcome.duration >= time && outcome.duration < Duration::from_secs(5), "{:?}", outcome.duration);
}

#[test]
fn who_does_not_heed_term_is_killed() {
    let stage = Stage::new();
    let outcome = stage.script("trap \"\" TERM; echo $$ > DIR/pid; while :; do sleep 1; done", Duration::from_millis(300));
    assert!(matches!(outcome.end, End::TimedOut(_)));
    assert!(outcome.duration >= Duration::from_secs(5), "the grace comes first: {:?}", outcome.duration);
    assert!(!lives(stage.written("pid")));
}

#[test]
fn who_is_ending_may_say_much_without_being_killed_for_it() {
    let stage = Stage::new();
    // More than a pipe holds: nobody reading would keep it from ending.
    let script = "trap \"head -c 300000 /dev/zero | tr \\\"\\\\0\\\" x; echo done; exit 0\" TERM; echo up; while :; do sleep 0.05; done";
    let outcome = stage.script(script, Duration::from_millis(500));
    assert!(matches!(outcome.end, End::TimedOut(_)), "{outcome:?}");
    assert!(outcome.output.starts_with("up") && outcome.output.contains("done"), "{}", &outcome.output[outcome.output.len() - 200..]);
    assert!(outcome.duration < Duration::from_secs(5), "it was not waited for: {:?}", outcome.duration);
}

#[test]
fn nothing_is_left_after_a_deadline_whatever_its_session() {
    let stage = Stage::new();
    let script = "setsid sh -c \"trap : TERM; echo \\$\\$ > DIR/far; while :; do sleep 1; done\" & \
                  (setsid sleep 1000 & echo $! > DIR/orphan) ; sleep 1000 & echo $! > DIR/near; wait";
    let outcome = stage.script(script, Duration::from_millis(500));
    assert!(matches!(outcome.end, End::TimedOut(_)), "{outcome:?}");
    for name in ["far", "orphan", "near"] {
        assert!(!lives(stage.written(name)), "{name}");
    }
}

#[test]
fn a_daemon_that_is_left_lives_on_and_nobody_waits_for_it() {
    let stage = Stage::new();
    let outcome = stage.script("setsid sleep 1000 & echo $! > DIR/pid; echo started", LONG);
    assert_eq!((outcome.end.clone(), outcome.output.as_str()), (End::Exited(0), "started"));
    assert!(outcome.duration < Duration::from_secs(10), "{:?}", outcome.duration);
    let daemon = stage.written("pid");
    assert!(lives(daemon), "it holds the pipe, and lives on");
    // The end of a later action is not its end either.
    assert!(matches!(stage.command("sleep 1000", Duration::from_millis(200)).end, End::TimedOut(_)));
    assert!(lives(daemon));
    kill(daemon);
}

#[test]
fn what_an_older_daemon_leaves_behind_meanwhile_is_not_the_actions() {
    let stage = Stage::new();
    let daemon = "while [ ! -e DIR/go ]; do sleep 0.02; done; (sleep 1000 & echo $! > DIR/worker); exec sleep 1000";
    let outcome = stage.script(&format!("setsid sh -c \"{}\" > /dev/null 2>&1 & echo $! > DIR/daemon", daemon.replace('$', "\\$")), LONG);
    assert_eq!(outcome.end, End::Exited(0), "{}", outcome.output);
    // The daemon's worker loses its parent while the next action runs, which sees it before it hangs.
    let script = "touch DIR/go; while [ ! -s DIR/worker ]; do sleep 0.02; done; echo seen; sleep 1000";
    let outcome = stage.script(script, Duration::from_secs(2));
    assert!(matches!(outcome.end, End::TimedOut(_)) && outcome.output == "seen", "{outcome:?}");
    let (daemon, worker) = (stage.written("daemon"), stage.written("worker"));
    assert!(lives(daemon) && lives(worker), "neither is the action's");
    kill(worker);
    kill(daemon);
}

#[test]
fn an_output_without_end_keeps_its_first_and_its_last_bytes() {
    let stage = Stage::new();
    let before = own_memory();
    let outcome = stage.command("yes endless", Duration::from_secs(1));
    assert!(matches!(outcome.end, End::TimedOut(_)), "{:?}", outcome.end);
    assert!(outcome.output_truncated && outcome.output.starts_with("endless\nendless") && outcome.output.contains("bytes dropped"));
    assert!(outcome.output.len() < 66 * 1024, "{}", outcome.output.len());
    assert!(own_memory() < before + 32 * 1024, "{before} KiB grew to {} KiB", own_memory());
}

/// The resident memory of this process, in KiB.
fn own_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn the_agents_stop_ends_it() {
    let stage = Stage::new();
    let (stop, started) = (Arc::clone(&stage.stop), stage.path("pid"));
    let watcher = autoheal::threads::spawn("stopper", move || {
        wait_until("the action runs", || std::fs::read_to_string(&started).is_ok_and(|text| text.ends_with('\n')));
        stop.store(true, Ordering::Relaxed);
    });
    let outcome = stage.script("echo $$ > DIR/pid; exec sleep 1000", LONG);
    assert_eq!(outcome.end, End::Stopped);
    assert!(outcome.duration < Duration::from_secs(10) && !lives(stage.written("pid")), "{:?}", outcome.duration);
    assert_eq!(watcher.ended().recv(), Ok(true));
}
