//! Targets that go, with real files.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::config::settings::{CertificateEntry, CertificateSource};
use crate::metric::Kind;
use crate::sample::Target;

fn log(path: &Path) -> LogEntry {
    LogEntry { path: path.display().to_string(), recursive: false, interval: FAST }
}

fn certificates(glob: &Path) -> CertificateEntry {
    let source = CertificateSource::Files { path: glob.display().to_string() };
    CertificateEntry { name: "all".to_owned(), source, ca_file: None, timeout: FAST, interval: FAST }
}

impl Running {
    /// Reads on until targets are gone; the names of all samples on the way are in `seen`.
    #[track_caller]
    fn next_gone(&self, seen: &mut Vec<Sample>) -> Vec<Gone> {
        let mut gone = Vec::new();
        wait_until("something is gone", || {
            let batch = self.samples.recv_timeout(Duration::from_secs(5)).unwrap_or_default();
            gone = batch.gone;
            seen.extend(batch.samples);
            !gone.is_empty()
        });
        gone
    }
}

#[test]
fn a_file_of_a_glob_that_vanished_is_gone_after_three_measurements() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    for name in ["a.pem", "b.pem"] {
        fs::write(path(name), "no certificate").unwrap();
    }
    let mut settings = settings();
    settings.watch.certificates = vec![certificates(&path("*.pem"))];
    let running = Running::new(settings);
    running.next("ssl_status", Some(("path", path("a.pem").to_str().unwrap())));
    fs::remove_file(path("a.pem")).unwrap();
    let identity = Labels::from([("certificate", "all"), ("path", path("a.pem").to_str().unwrap())]);
    let mut seen = Vec::new();
    assert_eq!(running.next_gone(&mut seen), [Gone { kind: Kind::Certificate, identity: identity.clone() }]);
    // Three measurements of the other one without this one; the last comes along with the news, the first may be read already.
    let (own, others): (Vec<_>, Vec<_>) =
        seen.into_iter().filter(|sample| sample.metric.name == "ssl_status").partition(|sample| sample.target.identity == identity);
    let last = own.last().map(|sample| sample.at);
    assert!(others.iter().filter(|sample| last.is_none_or(|last| sample.at > last)).count() >= 2, "{others:?}");
    // It may come back, and go again.
    fs::write(path("a.pem"), "no certificate").unwrap();
    running.next("ssl_status", Some(("path", path("a.pem").to_str().unwrap())));
    fs::remove_file(path("a.pem")).unwrap();
    assert_eq!(running.next_gone(&mut Vec::new()), [Gone { kind: Kind::Certificate, identity }]);
}

#[test]
fn targets_of_removed_entries_are_gone_unless_another_entry_has_them() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    for name in ["a.log", "b.txt"] {
        fs::write(path(name), "x").unwrap();
    }
    let mut first = settings();
    first.watch.memory = Some(FAST);
    first.watch.logs = vec![log(&path("a.log")), log(&path("b.txt"))];
    let mut second = settings();
    second.watch.logs = vec![log(&path("*.log"))];
    let running = Running::new(first);
    running.next("memory_usage", None);
    let ordered = Moment::now();
    running.orders.send(Order::Watch(Arc::new(second))).unwrap();
    let mut gone = Vec::new();
    let mut seen = Vec::new();
    while gone.len() < 2 {
        gone.extend(running.next_gone(&mut seen));
    }
    assert!(Moment::now().since(ordered) >= FAST * 3);
    gone.sort_by_key(|gone| gone.kind);
    let b = Gone { kind: Kind::LogFile, identity: label("path", path("b.txt").to_str().unwrap()) };
    assert_eq!(gone, [Gone { kind: Kind::Memory, identity: Labels::default() }, b]);
    // Nor later: the glob has the other one, and a name that it lost measures 0.
    fs::remove_file(path("a.log")).unwrap();
    for _ in 0..5 {
        let batch = running.samples.recv_timeout(Duration::from_secs(5)).unwrap();
        assert!(batch.gone.is_empty(), "{:?}", batch.gone);
    }
}

#[test]
fn a_log_that_is_absent_is_empty_and_a_mount_that_is_absent_is_gone_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.log");
    fs::write(&path, "x").unwrap();
    let mut settings = settings();
    settings.watch.logs = vec![log(&path)];
    settings.watch.disks = Disks::List(vec![DiskEntry { mount: dir.path().join("mount"), interval: FAST }]);
    let running = Running::new(settings);
    running.next("log_file_size_mb", None);
    fs::remove_file(&path).unwrap();
    let mount = label("mount", dir.path().join("mount").to_str().unwrap());
    assert_eq!(running.next_gone(&mut Vec::new()), [Gone { kind: Kind::Disk, identity: mount }]);
    let mut empty = 0;
    wait_until("it was looked at five times more", || {
        let batch = running.samples.recv_timeout(Duration::from_secs(5)).unwrap();
        assert!(batch.gone.is_empty(), "{:?}", batch.gone);
        empty += batch.samples.iter().filter(|sample| sample.value == Some(Value::Number(0.0))).count();
        empty >= 5
    });
    let unmounted = running.next("disk_usage", None);
    assert!(unmounted.reason.unwrap().starts_with("nothing is mounted here"), "it stays unknown");
}

#[test]
fn what_hangs_is_not_gone_and_keeps_its_kind_open() {
    let mut settings = settings();
    settings.watch.memory = Some(FAST);
    settings.watch.endpoints = vec![EndpointEntry { interval: FAST, ..hung("hung") }];
    let running = Running::new(settings);
    for _ in 0..6 {
        let batch = running.samples.recv_timeout(Duration::from_secs(5)).unwrap();
        assert!(batch.gone.is_empty() && !batch.settled.contains(&Kind::Latency));
        assert!(batch.settled.contains(&Kind::Memory) && batch.settled.contains(&Kind::LogFile));
    }
}

#[test]
fn a_target_that_another_entry_may_have_is_not_gone_before_that_was_measured() {
    let (sender, samples) = bounded(16);
    let mut scheduler = Scheduler::new(Shared::new(Exclusions::default()), sender, Arc::default());
    let (dir, start) = (tempfile::tempdir().unwrap(), Moment::now());
    let entry = Entry::Log(log(&dir.path().join("*.log")));
    let identity = label("path", dir.path().join("a.log").to_str().unwrap());
    let collector = entry.collector(&scheduler.shared);
    let id = scheduler.insert(entry, String::new(), collector, start);
    scheduler.leaving.push(Leaving::new(Gone { kind: Kind::LogFile, identity: identity.clone() }, FAST, start));
    let gone = |scheduler: &mut Scheduler, intervals: u32| {
        scheduler.turn_ends(start.after(FAST * intervals)).unwrap();
        samples.try_iter().flat_map(|batch| batch.gone).collect::<Vec<_>>()
    };
    for intervals in [2, 3, 10, 20] {
        assert!(gone(&mut scheduler, intervals).is_empty(), "after {intervals}");
    }
    scheduler.begin(id);
    assert_eq!(gone(&mut scheduler, 30), [Gone { kind: Kind::LogFile, identity }]);
    assert!(gone(&mut scheduler, 40).is_empty() && scheduler.leaving.is_empty());
}

/// Finds a mount as long as it is told to.
struct Finds(Arc<AtomicBool>);

impl Collector for Finds {
    fn measure(&mut self) -> Vec<Sample> {
        let target = Target::new(label("mount", "/data"), Labels::default());
        let one = || Sample::known(metric::named("disk_usage"), &target, Value::Number(1.0), Moment::now());
        self.0.load(Ordering::Relaxed).then(one).into_iter().collect()
    }
}

#[test]
fn a_target_that_only_one_of_two_entries_has_lost_is_not_gone() {
    let (sender, samples) = bounded(16);
    let mut scheduler = Scheduler::new(Shared::new(Exclusions::default()), sender, Arc::default());
    let found = [Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(true))];
    let ids = found.clone().map(|found| scheduler.insert(Entry::AllDisks(FAST), String::new(), Box::new(Finds(found)), Moment::now()));
    let mut turn = || {
        ids.iter().for_each(|id| scheduler.begin(*id));
        scheduler.turn_ends(Moment::now()).unwrap();
        let lost = ids.map(|id| scheduler.slots[&id].presence.identities().next().is_none());
        (lost, samples.try_iter().flat_map(|batch| batch.gone).collect::<Vec<_>>())
    };
    assert_eq!(turn(), ([false, false], Vec::new()));
    found[1].store(false, Ordering::Relaxed);
    wait_until("the second one has lost it", || {
        let (lost, gone) = turn();
        assert!(gone.is_empty());
        lost == [false, true]
    });
    found[0].store(false, Ordering::Relaxed);
    let mut gone = Vec::new();
    wait_until("both have lost it", || {
        let turn = turn();
        gone.extend(turn.1);
        turn.0 == [true, true]
    });
    assert_eq!(gone, [Gone { kind: Kind::Disk, identity: label("mount", "/data") }]);
}
