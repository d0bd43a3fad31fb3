//! Conditions, the detector and the rows of the history: `cargo bench --bench detect`. The time of a sample must not depend on how
//! many targets and playbooks there are.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use autoheal::clock::Moment;
use autoheal::config::parse;
use autoheal::config::playbook::Playbook;
use autoheal::config::source::Text;
use autoheal::detect::detector::Detector;
use autoheal::metric;
use autoheal::record::history::samples::Aggregator;
use autoheal::sample::{Batch, Labels, Sample, Target, Value};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const SETTINGS: &str = r#"{"notify": {"channels": [{"type": "log"}]}}"#;
const SIZES: [usize; 4] = [10, 100, 1000, 2000];
const INTERVAL: Duration = Duration::from_secs(30);
/// What people write about files and disks: six playbooks that look at each of them.
const SIX: [&str; 6] = [
    "log_file_size_mb > 1024",
    "log_growth_mb_per_hour > 512",
    "log_file_size_mb > 100 && log_growth_mb_per_hour > 100",
    "log_file_size_mb{path!=\"/var/log/journal/**\"} > 4096",
    "log_file_size_mb{path=\"/srv/*/x.log\"} > 10",
    "log_growth_mb_per_hour > 10 || log_file_size_mb > 2048",
];

fn playbooks(conditions: impl IntoIterator<Item = String>) -> Vec<Arc<Playbook>> {
    let entry = |(number, condition)| (format!("p{number}"), serde_json::json!({"condition": condition, "actions": []}));
    let all: serde_json::Map<String, serde_json::Value> = conditions.into_iter().enumerate().map(entry).collect();
    let text = serde_json::Value::Object(all).to_string();
    parse(&Text::new("playbooks", &text), &Text::new("settings", SETTINGS)).expect("these are playbooks").playbooks
}

/// A look at so many files.
fn batch(targets: usize, now: Moment) -> Batch {
    let metric = metric::named("log_file_size_mb");
    let sample = |number: usize| {
        let target = Target::new(Labels::from([("path", format!("/var/log/{number}.log").as_str())]), Labels::default());
        Sample { metric, target, value: Some(Value::Number(5.0)), reason: None, at: now, interval: INTERVAL }
    };
    Batch { samples: (0..targets).map(sample).collect(), ..Batch::default() }
}

/// The same look again, a while later.
fn later(mut batch: Batch, now: Moment) -> Batch {
    batch.samples.iter_mut().for_each(|sample| sample.at = now);
    batch
}

fn look(criterion: &mut Criterion, name: &str, playbooks: impl Fn(usize) -> Vec<Arc<Playbook>>) {
    let mut group = criterion.benchmark_group(name);
    for size in SIZES {
        let mut now = Moment::at_seconds(0.0);
        let mut detector = Detector::default();
        let samples = batch(size, now);
        detector.watch(&playbooks(size), now);
        assert!(detector.batch(&mut samples.clone(), now).is_empty(), "nothing is in trouble");
        group.throughput(Throughput::Elements(u64::try_from(size).unwrap_or(0)));
        group.bench_function(BenchmarkId::from_parameter(size), |bench| {
            let next = || {
                now = now.after(INTERVAL);
                (later(samples.clone(), now), now)
            };
            bench.iter_batched(next, |(mut batch, now)| (detector.batch(black_box(&mut batch), now), batch), BatchSize::PerIteration);
        });
    }
    group.finish();
}

fn detector(criterion: &mut Criterion) {
    look(criterion, "batch, six playbooks", |_| playbooks(SIX.map(str::to_owned)));
    let own = |number: usize| format!("log_file_size_mb{{path=\"/var/log/{number}.log\"}} > 100");
    look(criterion, "batch, a playbook for each target", |size| playbooks((0..size).map(own)));
}

/// New playbooks, or the first ones, for targets that were measured.
fn watch(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("playbooks come into force, one for each target");
    for size in SIZES {
        let own = |number: usize| format!("log_file_size_mb{{path=\"/var/log/{number}.log\"}} > 100");
        let (now, playbooks) = (Moment::at_seconds(0.0), playbooks((0..size).map(own)));
        let measured = || {
            let mut detector = Detector::default();
            detector.batch(&mut batch(size, now), now);
            detector
        };
        group.throughput(Throughput::Elements(u64::try_from(size).unwrap_or(0)));
        group.bench_function(BenchmarkId::from_parameter(size), |bench| {
            bench.iter_batched(measured, |mut detector| drop(black_box(detector.watch(&playbooks, now))), BatchSize::LargeInput);
        });
    }
    group.finish();
}

fn condition(criterion: &mut Criterion) {
    let now = Moment::at_seconds(0.0);
    let samples = batch(1, now).samples;
    for (name, text) in [("one comparison", SIX[0]), ("two comparisons", SIX[2]), ("two comparisons, one unknown", SIX[5])] {
        let playbook = playbooks([text.to_owned()]).remove(0);
        let known = |metric: &'static metric::Metric| samples.iter().find(|sample| sample.metric == metric);
        criterion.bench_function(&format!("condition: {name}"), |bench| bench.iter(|| black_box(&playbook.condition).evaluate(&known)));
    }
    let playbook = playbooks([SIX[3].to_owned()]).remove(0);
    let sample = &samples[0];
    criterion.bench_function("condition: is it about this target", |bench| {
        bench.iter(|| black_box(&playbook.condition).concerns(sample.metric, &sample.target));
    });
}

fn rows(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("rows of the history, a minute of looks");
    for size in SIZES {
        let (mut now, mut rows) = (Moment::at_seconds(0.0), Aggregator::default());
        let mut samples = batch(size, now);
        group.throughput(Throughput::Elements(u64::try_from(2 * size).unwrap_or(0)));
        group.bench_function(BenchmarkId::from_parameter(size), |bench| {
            bench.iter(|| {
                for _ in 0..2 {
                    now = now.after(INTERVAL);
                    samples = later(std::mem::take(&mut samples), now);
                    rows.feed(black_box(&samples.samples));
                }
                rows.take_ended(now.wall.as_millisecond())
            });
        });
    }
    group.finish();
}

criterion_group!(benches, condition, detector, watch, rows);
criterion_main!(benches);
