use std::fs;

use crossbeam_channel::unbounded;

use super::*;
use crate::metric;
use crate::record::history::IncidentRow;
use crate::record::history::read::Filter;
use crate::record::history::samples::Aggregator;
use crate::sample::{Sample, Target, Value};

/// A recorder that turns when the test says so.
struct Rig {
    root: tempfile::TempDir,
    recorder: Recorder,
    now: Moment,
    acks: (crossbeam_channel::Sender<Acked>, Receiver<Acked>),
}

fn data(root: &Path) -> PathBuf {
    root.join("data")
}

fn open(root: &Path, now: Moment) -> (Recorder, Restored) {
    Recorder::open(Reports::new(&data(root)).unwrap(), now).unwrap()
}

fn row(id: &str, view: &str) -> Box<IncidentRow> {
    Box::new(IncidentRow { id: id.to_owned(), live: true, view: view.to_owned(), state: Some(view.to_owned()), ..IncidentRow::default() })
}

impl Rig {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let now = Moment::at_seconds(0.0);
        let recorder = open(root.path(), now).0;
        Self { root, recorder, now, acks: unbounded() }
    }

    fn tell(&mut self, id: &str, view: &str, token: Option<u64>) {
        let report = (data(self.root.path()).join(format!("2026-11-01-{id}.md")), view.to_owned());
        let ack = token.map(|token| Ack { token, reply: self.acks.0.clone() });
        self.recorder.take(Message::Incident { row: row(id, view), report, ack }, self.now);
    }

    /// Time passes, and the recorder does its work.
    fn turn(&mut self, seconds: u64) -> Vec<(u64, bool)> {
        self.now = self.now.after(Duration::from_secs(seconds));
        self.recorder.turn(self.now);
        self.acks.1.try_iter().map(|acked| (acked.token, acked.durable)).collect()
    }

    fn written(&self) -> Vec<(String, String)> {
        Reader::open(&data(self.root.path())).unwrap().unwrap().restore().unwrap().incidents
    }

    fn state(&self) -> RecorderState {
        self.recorder.state().get()
    }

    fn history(&self) -> &History {
        self.recorder.history.as_ref().unwrap()
    }

    fn report(&self, id: &str) -> Option<String> {
        fs::read_to_string(data(self.root.path()).join(format!("2026-11-01-{id}.md"))).ok()
    }
}

fn pairs<const N: usize>(pairs: [(&str, &str); N]) -> Vec<(String, String)> {
    pairs.map(|(id, view)| (id.to_owned(), view.to_owned())).to_vec()
}

#[test]
fn only_the_latest_row_counts_and_everybody_is_answered() {
    let mut rig = Rig::new();
    rig.tell("a", "one", Some(1));
    rig.tell("b", "one", None);
    rig.tell("a", "two", Some(2));
    assert_eq!(rig.turn(0), [(1, true), (2, true)]);
    assert_eq!(rig.written(), pairs([("a", "two"), ("b", "one")]));
    assert_eq!(rig.report("a").as_deref(), Some("two"));
    assert!(rig.turn(1).is_empty(), "nobody is answered twice");
    assert_eq!(rig.state(), RecorderState::default());
}

#[test]
fn who_waits_comes_before_a_long_backlog() {
    let mut rig = Rig::new();
    (0..200).for_each(|id| rig.tell(&format!("old{id}"), "", None));
    rig.tell("new", "", Some(1));
    assert_eq!(rig.turn(0), [(1, true)]);
    assert!(rig.state().behind > 100 && rig.recorder.wait(rig.now).is_zero(), "one transaction is not too large");
    (0..3).for_each(|_| drop(rig.turn(0)));
    assert_eq!((rig.written().len(), rig.state().behind), (201, 0));
}

#[test]
fn without_room_rows_wait_in_memory() {
    let mut rig = Rig::new();
    rig.history().limit_pages(1);
    let large = "x".repeat(100_000);
    rig.tell("a", &large, Some(1));
    assert_eq!(rig.turn(0), [(1, false)]);
    rig.tell("b", "small", Some(2));
    rig.tell("a", &format!("{large}y"), None);
    assert_eq!(rig.turn(5), [(2, false)], "all of a transaction or nothing");
    assert_eq!(rig.state().behind, 2);
    assert!(rig.state().last_error.unwrap().contains("full"));
    assert!(!data(rig.root.path()).join("ballast").exists(), "it was given up first");
    assert!(rig.recorder.wait(rig.now) <= RETRY && !rig.recorder.wait(rig.now).is_zero());
    rig.history().limit_pages(10_000);
    assert!(rig.turn(5).is_empty());
    assert_eq!(rig.written(), pairs([("a", &format!("{large}y")), ("b", "small")]));
    assert_eq!(rig.state(), RecorderState::default());
    assert!(data(rig.root.path()).join("ballast").exists(), "it is made again when there is room");
}

#[test]
fn a_directory_that_comes_back_gets_everything() {
    let mut rig = Rig::new();
    let data = data(rig.root.path());
    fs::rename(&data, rig.root.path().join("away")).unwrap();
    rig.tell("a", "one", Some(1));
    assert_eq!(rig.turn(0), [(1, false)]);
    assert_eq!(rig.state().behind, 2, "a row and a report");
    fs::create_dir(&data).unwrap();
    rig.turn(5);
    assert_eq!((rig.written(), rig.report("a").as_deref()), (pairs([("a", "one")]), Some("one")));
    assert_eq!(rig.state(), RecorderState::default());
}

#[test]
fn a_start_without_room_is_a_start() {
    let root = tempfile::tempdir().unwrap();
    let reports = Reports::new(&data(root.path())).unwrap();
    fs::remove_dir(reports.dir()).unwrap();
    let now = Moment::at_seconds(0.0);
    let (mut recorder, restored) = Recorder::open(reports, now).unwrap();
    assert_eq!(restored, Restored::default());
    recorder.take(Message::Entry(Entry::Incident(row("a", "one"))), now);
    recorder.turn(now);
    assert!(recorder.state().get().last_error.is_some());
    fs::create_dir(data(root.path())).unwrap();
    recorder.turn(now);
    assert_eq!(recorder.state().get(), RecorderState::default());
    drop(recorder);
    assert_eq!(open(root.path(), now).1.incidents, pairs([("a", "one")]));
}

/// Overwrites the first page of the incidents.
fn damage(dir: &Path) {
    let path = dir.join("history.db");
    let connection = rusqlite::Connection::open(&path).unwrap();
    let root = "SELECT rootpage FROM sqlite_schema WHERE name = 'incidents'";
    let page: u32 = connection.query_row(root, [], |row| row.get(0)).unwrap();
    drop(connection);
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[0xa5; 4096], u64::from(page - 1) * 4096).unwrap();
}

#[test]
fn a_history_that_is_lost_is_given_its_facts_again() {
    let root = tempfile::tempdir().unwrap();
    let (sender, messages) = unbounded();
    let (forgot, asked) = unbounded();
    let worker = start(open(root.path(), Moment::now()).0, messages, move || forgot.send(()).unwrap());
    let fact = || Message::Entry(Entry::Fact { key: "track/a".to_owned(), text: Some("cooldown".to_owned()) });
    let (reply, acked) = unbounded();
    let tell = |token| {
        let report = (data(root.path()).join("2026-11-01-a.md"), "one".to_owned());
        let ack = Some(Ack { token, reply: reply.clone() });
        sender.send(Message::Incident { row: row("a", "one"), report, ack }).unwrap();
        assert_eq!(acked.recv_timeout(Duration::from_secs(10)), Ok(Acked { token, durable: true }));
    };
    sender.send(fact()).unwrap();
    tell(1);
    assert!(asked.is_empty());
    // Whatever the reason, the next write finds another history in its place.
    fs::remove_file(data(root.path()).join("history.db")).unwrap();
    tell(2);
    assert_eq!(asked.recv_timeout(Duration::from_secs(10)), Ok(()));
    sender.send(fact()).unwrap();
    drop(sender);
    assert_eq!(worker.ended().recv_timeout(Duration::from_secs(20)), Ok(true));
    assert_eq!(open(root.path(), Moment::now()).1.facts, pairs([("track/a", "cooldown")]));
}

/// An incident with an end, and where its report belongs.
fn ended(root: &Path, id: &str, at: Moment) -> (Box<IncidentRow>, PathBuf) {
    let path = data(root).join(format!("2026-11-01-{id}.md"));
    let view = format!(r#"{{"playbook": "disk", "timeline": [{{"event": "escalated", "text": "{id} failed"}}]}}"#);
    let (status, report) = ("escalated".to_owned(), path.display().to_string());
    let row = IncidentRow { live: false, ended_at: Some(at.wall.as_millisecond()), status, report, state: None, ..*row(id, &view) };
    (Box::new(row), path)
}

#[test]
fn a_report_that_a_crash_kept_from_being_written_is_made_anew() {
    let mut rig = Rig::new();
    let day_ago = rig.now.before(Duration::from_secs(86_401));
    let paths: Vec<PathBuf> = [("killed", rig.now), ("cut", rig.now), ("whole", rig.now), ("old", day_ago)]
        .map(|(id, at)| {
            let (row, path) = ended(rig.root.path(), id, at);
            rig.recorder.take(Message::Entry(Entry::Incident(row)), rig.now);
            path
        })
        .into();
    fs::write(&paths[1], "").unwrap();
    fs::write(&paths[2], "as it was").unwrap();
    rig.turn(0);
    assert!(!paths[0].exists(), "killed between the row and the report");
    drop(rig.recorder);
    let _next = open(rig.root.path(), rig.now);
    for (path, id) in paths.iter().zip(["killed", "cut"]) {
        let text = fs::read_to_string(path).unwrap();
        assert!(text.contains(&format!("# Incident {id}\n")) && text.contains(&format!("{id} failed")), "{text}");
        assert!(text.contains("- **Status**: escalated"), "{text}");
    }
    assert_eq!(fs::read_to_string(&paths[2]).unwrap(), "as it was");
    assert!(!paths[3].exists(), "what ended long ago is left as somebody left it");
}

#[test]
fn a_database_that_is_damaged_while_the_agent_runs_is_set_aside() {
    let mut rig = Rig::new();
    rig.tell("a", "one", None);
    rig.turn(0);
    rig.recorder.history = None;
    damage(&data(rig.root.path()));
    rig.tell("b", "one", Some(1));
    assert_eq!(rig.turn(5), [(1, true)]);
    assert_eq!(rig.written(), pairs([("b", "one")]));
    assert!(rig.recorder.forgot, "who remembers facts is asked for them");
    let aside = |entry: fs::DirEntry| entry.file_name().to_string_lossy().starts_with("history.db.damaged-");
    assert!(fs::read_dir(data(rig.root.path())).unwrap().any(|entry| aside(entry.unwrap())));
}

#[test]
fn a_newer_history_ends_the_start() {
    let root = tempfile::tempdir().unwrap();
    let now = Moment::at_seconds(0.0);
    drop(open(root.path(), now));
    rusqlite::Connection::open(data(root.path()).join("history.db")).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let error = Recorder::open(Reports::new(&data(root.path())).unwrap(), now).map(|_| ()).unwrap_err();
    assert!(matches!(error, OpenError::Newer { found: 99, .. }));
}

#[test]
fn samples_are_written_once_a_minute_and_old_things_once_a_day() {
    let mut rig = Rig::new();
    let sample = |at: Moment| Sample {
        metric: metric::find("memory_usage").unwrap(),
        target: Target::new(Default::default(), Default::default()),
        value: Some(Value::Number(50.0)),
        reason: None,
        at,
        interval: Duration::from_secs(10),
    };
    let rows = |rig: &Rig| -> i64 {
        let connection = rusqlite::Connection::open(data(rig.root.path()).join("history.db")).unwrap();
        connection.query_row("SELECT count(*) FROM samples", [], |row| row.get(0)).unwrap()
    };
    let mut gathered = Aggregator::default();
    gathered.feed(&[sample(rig.now)]);
    rig.recorder.take(Message::Samples(gathered.take_all()), rig.now);
    assert_eq!(rows(&rig), 0);
    rig.turn(1);
    assert_eq!(rows(&rig), 1);
    let report = data(rig.root.path()).join("2020-01-01-abc23456.md");
    fs::write(&report, "").unwrap();
    let keep = Keep { samples: Duration::from_secs(3600), reports: Some(Duration::from_secs(86_400)), ..Keep::default() };
    rig.recorder.take(Message::Settings(keep), rig.now);
    (0..5).for_each(|_| drop(rig.turn(1)));
    assert_eq!((rows(&rig), report.exists()), (1, false), "new settings count at once");
    rig.turn(86_400);
    (0..5).for_each(|_| drop(rig.turn(1)));
    assert_eq!(rows(&rig), 0);
}

#[test]
fn the_thread_writes_what_it_has_and_ends() {
    let root = tempfile::tempdir().unwrap();
    let (sender, messages) = unbounded();
    let worker = start(open(root.path(), Moment::now()).0, messages, || ());
    let (reply, acked) = unbounded();
    let report = (data(root.path()).join("2026-11-01-a.md"), "one".to_owned());
    sender.send(Message::Incident { row: row("a", "{}"), report: report.clone(), ack: Some(Ack { token: 7, reply }) }).unwrap();
    assert_eq!(acked.recv_timeout(Duration::from_secs(10)), Ok(Acked { token: 7, durable: true }));
    (0..500).for_each(|id| sender.send(Message::Entry(Entry::Incident(row(&format!("b{id}"), "{}")))).unwrap());
    drop(sender);
    assert_eq!(worker.ended().recv_timeout(Duration::from_secs(20)), Ok(true));
    let reader = Reader::open(&data(root.path())).unwrap().unwrap();
    assert_eq!(reader.incidents(&Filter::default()).unwrap().len(), 501);
    assert_eq!(fs::read_to_string(report.0).unwrap(), "one");
}
