//! How long a full playbook file takes to load. The aim: 10,000 playbooks, about as many as fit into the file's 1 MiB, in less
//! than a second, so that the file is in force within a second of its last write.

use std::hint::black_box;
use std::time::Instant;

use autoheal::config::parse;
use autoheal::config::source::{Text, shipped_playbooks, shipped_settings};
use criterion::{Criterion, criterion_group, criterion_main};

const PLAYBOOKS: usize = 10_000;
/// Every playbook has an action and a remark: that its verification is weak.
const BODY: &str = r#"{"condition":"disk_usage>90","actions":[{"type":"top_processes"}],"verify":"disk_usage<95"}"#;
const SHORT: &str = r#"{"condition":"disk_usage>90","actions":[]}"#;

fn file(body: &str) -> Text {
    let entries: Vec<String> = (0..PLAYBOOKS).map(|number| format!("\"p{number}\":{body}")).collect();
    Text::new("playbooks", &format!("{{{}}}", entries.join(",")))
}

/// So many files, and a playbook for each of them.
fn one_for_each(count: usize) -> (Text, Text) {
    let book =
        |number| format!("\"p{number}\":{{\"condition\":\"log_file_size_mb{{path=\\\"/var/log/{number}.log\\\"}}>9\",\"actions\":[]}}");
    let log = |number| format!("{{\"path\":\"/var/log/{number}.log\"}}");
    let join = |entry: &dyn Fn(usize) -> String| (0..count).map(entry).collect::<Vec<_>>().join(",");
    let settings = format!("{{\"watch\":{{\"logs\":[{}]}}}}", join(&log));
    (Text::new("playbooks", &format!("{{{}}}", join(&book))), Text::new("settings", &settings))
}

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn once(what: &str, playbooks: &Text, settings: &Text) {
    let start = Instant::now();
    let result = parse(black_box(playbooks), settings);
    let (count, remarks) = result.map_or_else(|problems| (0, problems.len()), |config| (config.playbooks.len(), config.remarks.len()));
    let size = playbooks.text.len();
    println!("reload: {what}: {count} playbooks, {size} bytes, {remarks} remarks in {:?} (aim: under 1 s)", start.elapsed());
}

fn bench(criterion: &mut Criterion) {
    once("10,000 short playbooks", &file(SHORT), &shipped_settings());
    once("10,000 playbooks with an action and a remark", &file(BODY), &shipped_settings());
    for count in [10, 100, 1000, 2000] {
        let (playbooks, settings) = one_for_each(count);
        once("one for each watched file", &playbooks, &settings);
    }
    let shipped = shipped_playbooks();
    criterion.bench_function("load the shipped files", |bencher| bencher.iter(|| parse(black_box(&shipped), &shipped_settings())));
}

criterion_group!(benches, bench);
criterion_main!(benches);
