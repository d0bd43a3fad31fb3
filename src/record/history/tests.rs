use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use jiff::Timestamp;
use serde_json::json;

use super::read::{Filter, Found, Reader};
use super::*;

fn open(dir: &Path) -> History {
    let opened = History::open(dir, Timestamp::UNIX_EPOCH).unwrap();
    assert_eq!(opened.set_aside, None);
    opened.history
}

/// Why it is not opened.
#[track_caller]
fn refused(dir: &Path) -> OpenError {
    History::open(dir, Timestamp::UNIX_EPOCH).map(|opened| opened.set_aside).unwrap_err()
}

fn incident(id: &str, detected_at: i64) -> IncidentRow {
    let view = json!({"id": id, "playbook": "disk", "status": "acting", "relapsed": false, "interrupted": false, "ended_at": null,
        "target": "mount=/data", "actions": [{"index": 0}], "trigger": {}, "initial": [], "verification": {}, "approval": null, "timeline": []});
    IncidentRow {
        id: id.to_owned(),
        playbook: "disk".to_owned(),
        status: "acting".to_owned(),
        detected_at,
        live: true,
        attempt: 1,
        time_to_detect: 1.5,
        view: view.to_string(),
        state: Some(format!("state of {id}")),
        steps: vec![StepRow { command: "df".to_owned(), exit_code: Some(1), ..StepRow::default() }],
        approval: Some(ApprovalRow { state: "asked".to_owned(), deadline: 9, ..ApprovalRow::default() }),
        ..IncidentRow::default()
    }
}

fn ended(id: &str, at: i64, ended_at: i64) -> IncidentRow {
    IncidentRow { status: "resolved".to_owned(), live: false, ended_at: Some(ended_at), state: None, ..incident(id, at) }
}

fn entry(row: IncidentRow) -> Entry {
    Entry::Incident(Box::new(row))
}

fn fact(key: &str, text: Option<&str>) -> Entry {
    Entry::Fact { key: key.to_owned(), text: text.map(str::to_owned) }
}

fn count(history: &History, table: &str) -> i64 {
    history.connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
}

#[test]
fn what_is_live_comes_back_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut history = open(dir.path());
    let silence = SilenceRow { id: "s1".to_owned(), labels: "{}".to_owned(), until_at: 50, ..SilenceRow::default() };
    let over = SilenceRow { id: "s2".to_owned(), expired: true, ..silence.clone() };
    let entries = [entry(incident("bbb", 2)), entry(incident("aaa", 1)), entry(ended("ccc", 0, 5)), fact("budget", Some("[]"))];
    history.write(&entries).unwrap();
    history.write(&[fact("gone", Some("1")), Entry::Silence(silence.clone()), Entry::Silence(over)]).unwrap();
    history.write(&[fact("gone", None), fact("budget", Some("[1]"))]).unwrap();
    drop(history);
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    let restored = open(dir.path()).restore().unwrap();
    assert_eq!(restored.incidents, [pair("aaa", "state of aaa"), pair("bbb", "state of bbb")]);
    assert_eq!(restored.facts, [pair("budget", "[1]")]);
    assert_eq!(restored.silences, [silence]);
}

#[test]
fn writing_again_changes_the_row_and_its_steps() {
    let dir = tempfile::tempdir().unwrap();
    let mut history = open(dir.path());
    let mut row = incident("aaa", 1);
    history.write(&[entry(row.clone()), entry(row.clone())]).unwrap();
    row.steps.push(StepRow { index: 1, ..StepRow::default() });
    history.write(&[entry(row.clone())]).unwrap();
    assert_eq!((count(&history, "incidents"), count(&history, "steps"), count(&history, "approvals")), (1, 2, 1));
    row.steps.truncate(1);
    row.approval = None;
    history.write(&[entry(IncidentRow { relapsed: true, time_to_detect: f64::NAN, ..row })]).unwrap();
    assert_eq!((count(&history, "incidents"), count(&history, "steps"), count(&history, "approvals")), (1, 1, 0));
    let note = NotificationRow { id: "aaa/escalated/1".to_owned(), incident: Some("aaa".to_owned()), ..NotificationRow::default() };
    history.write(&[Entry::Notification(note.clone())]).unwrap();
    history.write(&[Entry::Notification(NotificationRow { delivered_at: Some(3), ..note })]).unwrap();
    assert_eq!(count(&history, "notifications WHERE delivered_at = 3"), 1);
}

#[test]
fn others_may_not_read_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut history = open(dir.path());
    history.write(&[entry(incident("aaa", 1))]).unwrap();
    for name in ["history.db", "history.db-wal", "history.db-shm"] {
        let mode = fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o137, 0, "{name} has mode {mode:o}");
    }
}

#[test]
fn a_newer_database_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).connection.pragma_update(None, "user_version", 99).unwrap();
    let before = fs::read(dir.path().join("history.db")).unwrap();
    assert_eq!(refused(dir.path()), OpenError::Newer { found: 99, known: 1 });
    assert!(refused(dir.path()).to_string().contains("install the newer autoheal"));
    assert!(Reader::open(dir.path()).unwrap_err().contains("of version 99"));
    assert_eq!(fs::read(dir.path().join("history.db")).unwrap(), before);
}

/// Opens a history that `spoil` has damaged: it must be aside, whole, and a new one must work.
#[track_caller]
fn set_aside(spoil: impl FnOnce(&Path)) {
    let dir = tempfile::tempdir().unwrap();
    let mut history = open(dir.path());
    history.write(&[entry(incident("aaa", 1))]).unwrap();
    drop(history);
    let path = dir.path().join("history.db");
    spoil(&path);
    let spoilt = fs::read(&path).unwrap();
    let opened = History::open(dir.path(), Timestamp::UNIX_EPOCH).unwrap();
    let aside = opened.set_aside.expect("the damage was not seen");
    assert_eq!(aside.file_name().unwrap(), "history.db.damaged-19700101T000000Z");
    assert_eq!(fs::read(aside).unwrap(), spoilt);
    let mut history = opened.history;
    history.write(&[entry(incident("bbb", 1))]).unwrap();
    assert_eq!(history.restore().unwrap().incidents.len(), 1);
}

#[test]
fn a_damaged_database_is_set_aside() {
    set_aside(|path| fs::write(path, "no database at all, but long enough to be looked at as if it were one".repeat(20)).unwrap());
    // A table that somebody changed.
    set_aside(|path| Connection::open(path).unwrap().execute_batch("ALTER TABLE incidents DROP COLUMN view").unwrap());
    // A page of rubbish, and a log beside it that tells of an unclean end.
    set_aside(|path| {
        let mut bytes = fs::read(path).unwrap();
        bytes[4096..].fill(0xa5);
        fs::write(path, bytes).unwrap();
        fs::write(path.with_extension("db-wal"), "x").unwrap();
    });
}

#[test]
fn links_in_its_place_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let victim = dir.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    for name in ["history.db", "history.db-wal"] {
        let data = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(&victim, data.path().join(name)).unwrap();
        assert!(matches!(refused(data.path()), OpenError::Foreign(_)), "{name}");
        fs::remove_file(data.path().join(name)).unwrap();
        fs::hard_link(&victim, data.path().join(name)).unwrap();
        assert!(matches!(refused(data.path()), OpenError::Foreign(_)), "{name}");
    }
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
}

#[test]
fn without_a_directory_there_is_no_room() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(refused(&dir.path().join("missing")), OpenError::NoRoom(_)));
}

#[test]
fn all_of_a_write_is_kept_or_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut history = open(dir.path());
    history.write(&[entry(incident("aaa", 1))]).unwrap();
    history.limit_pages(1);
    let large = IncidentRow { view: "x".repeat(100_000), ..incident("bbb", 2) };
    let error = history.write(&[fact("small", Some("1")), entry(large.clone())]).unwrap_err();
    assert!(matches!(error, WriteError::Full(_)), "{error:?}");
    assert_eq!((count(&history, "facts"), count(&history, "incidents")), (0, 1));
    history.limit_pages(10_000);
    history.write(&[entry(large)]).unwrap();
    assert_eq!(count(&history, "incidents"), 2);
}

#[test]
fn a_removed_file_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let mut history = open(dir.path());
    fs::rename(dir.path().join("history.db"), dir.path().join("elsewhere")).unwrap();
    assert!(matches!(history.write(&[fact("a", Some("1"))]), Err(WriteError::Lost(_))));
    fs::write(dir.path().join("history.db"), "").unwrap();
    assert!(matches!(history.write(&[fact("a", Some("1"))]), Err(WriteError::Lost(_))), "another file has its name");
}

#[test]
fn the_log_stays_small() {
    let dir = tempfile::tempdir().unwrap();
    let mut history = open(dir.path());
    for number in 0..300 {
        history.write(&[entry(IncidentRow { view: "x".repeat(10_000), ..incident("aaa", number) })]).unwrap();
    }
    let log = fs::metadata(dir.path().join("history.db-wal")).unwrap().len();
    assert!(log < 512 * 1024, "{log} bytes");
    drop(history);
    assert!(!dir.path().join("history.db-wal").exists(), "a clean end leaves one file");
}

/// A history with three incidents, that goes on being written.
fn three(dir: &Path) -> History {
    let mut history = open(dir);
    let other = IncidentRow { playbook: "other".to_owned(), ..incident("abd23456", 2) };
    history.write(&[entry(ended("abc23456", 1, 1500)), entry(other), entry(incident("xyz23456", 3))]).unwrap();
    history
}

#[test]
fn a_reader_sees_summaries_while_the_agent_writes() {
    let dir = tempfile::tempdir().unwrap();
    assert!(Reader::open(dir.path()).unwrap().is_none() && Reader::open(&dir.path().join("no")).unwrap().is_none());
    let mut history = three(dir.path());
    let reader = Reader::open(dir.path()).unwrap().unwrap();
    let ids = |filter: Filter| {
        let incidents = reader.incidents(&filter).unwrap();
        incidents.iter().map(|incident| incident["id"].as_str().unwrap().chars().take(3).collect::<String>()).collect::<Vec<_>>()
    };
    assert_eq!(ids(Filter::default()), ["xyz", "abd", "abc"]);
    assert_eq!(ids(Filter { open: true, ..Filter::default() }), ["xyz", "abd"]);
    assert_eq!(ids(Filter { playbook: Some("other".to_owned()), ..Filter::default() }), ["abd"]);
    assert_eq!(ids(Filter { since: Some(2), ..Filter::default() }), ["xyz", "abd"]);
    assert_eq!(ids(Filter { limit: Some(1), ..Filter::default() }), ["xyz"]);
    history.write(&[entry(IncidentRow { relapsed: true, ..ended("abc23456", 1, 1500) })]).unwrap();
    let oldest = reader.incidents(&Filter::default()).unwrap().pop().unwrap();
    let wanted = json!({"id": "abc23456", "playbook": "disk", "status": "resolved", "relapsed": true, "interrupted": false,
        "ended_at": "1970-01-01T00:00:01.500Z", "target": "mount=/data"});
    assert_eq!(oldest, wanted);
}

#[test]
fn the_beginning_of_an_id_is_enough() {
    let dir = tempfile::tempdir().unwrap();
    let mut history = three(dir.path());
    let reader = Reader::open(dir.path()).unwrap().unwrap();
    match reader.incident("x").unwrap() {
        Found::One(incident) => assert_eq!((&incident["id"], &incident["actions"]), (&json!("xyz23456"), &json!([{"index": 0}]))),
        other => panic!("{other:?}"),
    }
    assert_eq!(reader.incident("ab").unwrap(), Found::Several(vec!["abc23456".to_owned(), "abd23456".to_owned()]));
    for none in ["%", "_bc", "abc234567", "ABC"] {
        assert_eq!(reader.incident(none).unwrap(), Found::None, "{none}");
    }
    history.write(&[entry(incident("x", 5))]).unwrap();
    assert!(matches!(reader.incident("x").unwrap(), Found::One(incident) if incident["id"] == "x"), "a whole id is meant");
}

#[test]
fn statistics_and_silences_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let mut history = three(dir.path());
    let silence = SilenceRow { id: "s".to_owned(), until_at: 50, by: Some("ada".to_owned()), ..SilenceRow::default() };
    history.write(&[Entry::Silence(silence.clone())]).unwrap();
    let reader = Reader::open(dir.path()).unwrap().unwrap();
    assert_eq!((reader.silences(49).unwrap(), reader.silences(50).unwrap()), (vec![silence], vec![]));
    let rows = reader.rows(None).unwrap();
    assert_eq!(rows.iter().map(|row| row.detected_at).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!((rows[0].status.as_str(), rows[0].ended_at, rows[0].time_to_detect), ("resolved", Some(1500), 1.5));
    assert_eq!(reader.rows(Some(3)).unwrap().len(), 1);
}

#[test]
fn an_unreadable_view_hides_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let mut history = three(dir.path());
    history.write(&[entry(IncidentRow { view: "rubbish".to_owned(), ..incident("bad23456", 9) })]).unwrap();
    let incidents = Reader::open(dir.path()).unwrap().unwrap().incidents(&Filter::default()).unwrap();
    assert_eq!((incidents.len(), &incidents[0]["id"], &incidents[0]["status"]), (4, &json!("bad23456"), &json!("acting")));
}
