use super::super::{ApprovalRow, Entry, IncidentRow, NotificationRow, SilenceRow, StepRow};
use super::*;
use crate::record::history::samples::{MINUTE, SampleRow};
use crate::sample::Labels;

const DAY: i64 = 86_400_000;

/// Sweeps until it is done.
fn sweep(history: &mut History, keep: Keep, now: i64) -> usize {
    let mut sweep = Sweep::new(keep, Timestamp::from_millisecond(now).unwrap());
    (1..1000).find(|_| sweep.step(history).unwrap()).expect("it never ends")
}

fn one(history: &History, sql: &str) -> i64 {
    history.connection.query_row(sql, [], |row| row.get(0)).unwrap()
}

fn open(dir: &Path) -> History {
    History::open(dir, Timestamp::UNIX_EPOCH).unwrap().history
}

#[test]
fn incidents_are_forgotten_after_their_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut history = open(dir.path());
    let incident = |id: String, ended_at: Option<i64>| {
        let (steps, approval) = (vec![StepRow::default()], Some(ApprovalRow::default()));
        let row = IncidentRow { id, ended_at, live: ended_at.is_none(), steps, approval, ..IncidentRow::default() };
        Entry::Incident(Box::new(row))
    };
    let message = |id: &str| NotificationRow { id: id.to_owned(), incident: Some(id.to_owned()), ..NotificationRow::default() };
    let mut entries: Vec<Entry> = (0..250).map(|id| incident(format!("old{id}"), Some(DAY))).collect();
    entries.extend([incident("open".to_owned(), None), incident("new".to_owned(), Some(20 * DAY))]);
    entries.extend(["old1", "open"].map(|id| Entry::Notification(message(id))));
    entries.push(Entry::Silence(SilenceRow { id: "s".to_owned(), until_at: DAY, ..SilenceRow::default() }));
    history.write(&entries).unwrap();
    sweep(&mut history, Keep { incidents: Duration::from_secs(10 * 86_400), ..Keep::default() }, 12 * DAY);
    assert_eq!(one(&history, "SELECT count(*) FROM incidents WHERE id IN ('open', 'new')"), 2);
    for (table, left) in [("incidents", 2), ("steps", 2), ("approvals", 2), ("notifications", 1), ("silences", 0)] {
        assert_eq!(one(&history, &format!("SELECT count(*) FROM {table}")), left, "{table}");
    }
}

#[test]
fn samples_are_thinned_and_then_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let mut history = open(dir.path());
    let row = |mount: &str, minute: i64| SampleRow {
        metric: "disk_usage",
        labels: Labels::from([("mount", mount)]),
        at: minute * MINUTE,
        span: MINUTE,
        last: Some(1.0),
        min: Some(1.0),
        max: Some(1.0),
        text: None,
    };
    let rows: Vec<SampleRow> = (0..3 * 1440).map(|minute| row("/data", minute)).chain([row("/gone", 0)]).collect();
    history.write_samples(&rows).unwrap();
    sweep(&mut history, Keep { samples: Duration::from_secs(2 * 86_400), ..Keep::default() }, 3 * DAY);
    assert_eq!(one(&history, "SELECT min(at) FROM samples"), DAY);
    assert_eq!(one(&history, "SELECT count(*) FROM samples WHERE span = 900000"), 96);
    assert_eq!(one(&history, "SELECT count(*) FROM samples WHERE span = 60000"), 1440);
    assert_eq!(one(&history, "SELECT count(*) FROM series"), 1, "a series without samples goes");
}

#[test]
fn only_old_reports_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    let kept = [
        "2026-11-01-abc23456.md",
        "2026-09-01-notes-of-ada.md",
        "2026-09-01-Abc.md",
        "notes.md",
        "2026-09-01-abc23456.txt",
        "2026-99-01-abc23456.md",
    ];
    for name in kept.iter().chain(&["2026-10-31-abc23456.md"]) {
        std::fs::write(dir.path().join(name), "").unwrap();
    }
    remove_reports(dir.path(), Duration::from_secs(86_400), "2026-11-02T00:00:00Z".parse().unwrap());
    for name in kept {
        assert!(dir.path().join(name).exists(), "{name}");
    }
    assert!(!dir.path().join("2026-10-31-abc23456.md").exists());
}
