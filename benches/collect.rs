//! What a look at the host costs: `cargo bench --bench collect`.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::process::Command;
use std::time::Duration;

use autoheal::collect::{measure_once, process};
use autoheal::config::settings::{DiskEntry, Disks, LogEntry, ProcessEntry, ProcessMatch, Settings, Watch};
use criterion::{Criterion, criterion_group, criterion_main};

const INTERVAL: Duration = Duration::from_secs(30);

fn settings(watch: Watch) -> Settings {
    Settings {
        dry_run: true,
        interval: INTERVAL,
        watch,
        allowed_commands: Vec::new(),
        command_path: Vec::new(),
        services: BTreeMap::new(),
        max_actions_per_hour: 0,
        silences: Vec::new(),
        history: Default::default(),
    }
}

fn process(matcher: ProcessMatch) -> ProcessEntry {
    ProcessEntry {
        name: "bench".to_owned(),
        matcher,
        service: None,
        restartable: false,
        respect_manual_stop: true,
        user: None,
        interval: INTERVAL,
    }
}

fn looks(criterion: &mut Criterion) {
    let disks = Disks::List(vec![DiskEntry { mount: "/".into(), interval: INTERVAL }]);
    let one_disk = settings(Watch { disks, ..Watch::default() });
    criterion.bench_function("one mount", |bench| bench.iter(|| measure_once(black_box(&one_disk), INTERVAL)));
    let log = LogEntry { path: "/proc/self/status".to_owned(), recursive: false, interval: INTERVAL };
    let logs = settings(Watch { logs: vec![log; 100], ..Watch::default() });
    criterion.bench_function("100 files", |bench| bench.iter(|| measure_once(black_box(&logs), INTERVAL)));
    // A process that nobody has: the cost is the pass over /proc.
    let nobody = process(ProcessMatch::Command("nobody-is-called-so".to_owned()));
    criterion.bench_function("first pass over all processes", |bench| bench.iter(|| process::matches(black_box(&nobody))));
    one_process(criterion);
}

/// A process that a pid file names: what it costs to read and parse `/proc/PID/stat`, besides the file.
#[expect(clippy::disallowed_methods, reason = "a benchmark starts the process that it watches")]
fn one_process(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let file = dir.path().join("sleep.pid");
    let mut child = Command::new("sleep").arg("600").spawn().expect("a process can be started");
    std::fs::write(&file, child.id().to_string()).expect("a file can be written");
    let entry = process(ProcessMatch::Pidfile(file));
    let found = process::matches(&entry);
    criterion.bench_function("one process by its pid file", |bench| bench.iter(|| process::matches(black_box(&entry))));
    let _ = child.kill().and_then(|()| child.wait());
    assert_eq!(found.map(|found| found.len()), Ok(1));
}

criterion_group!(benches, looks);
criterion_main!(benches);
