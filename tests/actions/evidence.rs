//! Evidence that needs programs: the fixed looks, run by the built binary.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use autoheal::clock::Moment;
use autoheal::collect::Exclusions;
use autoheal::config::parse_settings;
use autoheal::config::source::Text;
use autoheal::heal::evidence::{Evidence, Gatherer, Subject};
use autoheal::heal::executor::{Execution, look};
use autoheal::heal::guard::{Manager, Policy};
use autoheal::heal::outcome::{End, Limit};
use autoheal::metric::{self, Kind};
use autoheal::sample::{Labels, Sample, Target, Value};

use crate::executor::{Stage, permit};

fn limit(time: Duration) -> Limit {
    Limit { deadline: Moment::now().after(time), stop: Arc::default() }
}

fn helper() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_autoheal"))
}

/// An action that begins while a look is under way: a process with a session of its own. Ends with the test, however that ends.
struct Beside(Child);

impl Beside {
    #[expect(clippy::disallowed_methods, reason = "a test needs a second process")]
    fn start() -> Self {
        let null = || Stdio::null();
        let mut command = Command::new(helper());
        command.args(["__confine", "--", "/bin/sleep", "600"]).stdin(Stdio::piped()).stdout(null()).stderr(null());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"\n").unwrap();
        Self(child)
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_look_is_killed_alone_at_its_limit() {
    let _stage = Stage::new();
    let slow = permit(&serde_json::json!("exact: sleep 600"), "sleep 600");
    let time = Duration::from_millis(300);
    let execution = Execution { helper: helper().to_owned(), command_path: Vec::new(), facts: Vec::new(), timeout: time, unit: None };
    let (mut number, mut beside) = (0, None);
    let outcome = look(&slow, &execution, &limit(time), |pid| {
        number = pid;
        beside = Some(Beside::start());
    });
    assert_eq!(outcome.end, End::TimedOut(time));
    assert!(outcome.duration < Duration::from_secs(4), "{outcome:?}");
    assert!(rustix::process::test_kill_process(rustix::process::Pid::from_raw(number).unwrap()).is_err(), "the look is still there");
    assert_eq!(beside.unwrap().0.try_wait().unwrap(), None, "it was taken for the look's");
}

/// What is gathered about a dead process on a host that is run by systemd, or believes so.
fn dead_process(unit: &str) -> Evidence {
    let settings = parse_settings(&Text::new("settings", "{}")).unwrap();
    let policy = Policy::compile(&settings).0.with_manager(Manager::Systemd);
    let target = Target::new(Labels::from([("process_name", "web")]), Labels::default());
    let (at, interval) = (Moment::now(), Duration::from_secs(10));
    let metric = metric::named("process_status");
    let stopped = Sample { metric, target: Arc::clone(&target), value: Some(Value::Text("stopped".into())), reason: None, at, interval };
    let exclusions = Exclusions::default();
    let subject = Subject {
        kind: Kind::Process,
        target: &target,
        samples: &[stopped],
        settings: &settings,
        policy: &policy,
        unit: Some(unit),
        helper: helper(),
        exclusions: &exclusions,
    };
    Gatherer::new().gather(&subject, &limit(Duration::from_secs(60)))
}

#[test]
fn the_unit_of_a_dead_process_is_looked_at() {
    let _stage = Stage::new();
    let found = dead_process("no-such-unit-here.service");
    let [state, journal] = ["no-such-unit-here.service in systemd", "Last lines of no-such-unit-here.service in the journal"]
        .map(|title| found.sections.iter().find(|section| section.title == title).unwrap_or_else(|| panic!("no {title}: {found:?}")));
    // Where systemd does not run or is not installed, the note says so in the program's words.
    let running = Path::new("/run/systemd/system").is_dir();
    assert_eq!((state.lines.is_empty(), state.note.is_some()), (!running, !running), "{state:?}");
    let nothing = |line: &String| line.contains("No journal files") || line.starts_with("Hint:");
    assert!(journal.note.is_some() || (!journal.lines.is_empty() && journal.lines.iter().all(nothing)), "{journal:?}");
}

#[test]
fn a_name_that_is_no_unit_runs_nothing() {
    let _stage = Stage::new();
    let found = dead_process("--version");
    let [state, journal, ..] = found.sections.as_slice() else { panic!("{found:?}") };
    for section in [state, journal] {
        assert!(section.lines.is_empty() && section.note.as_ref().unwrap().contains("is not a service"), "{section:?}");
    }
}
