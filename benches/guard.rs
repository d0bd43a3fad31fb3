//! How long the guard takes for a command. The aim: 99 of 100 under 50 µs, so that nobody is tempted to skip it.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use autoheal::config::settings::{Settings, Watch};
use autoheal::heal::guard::{Policy, Request, Values, shipped};
use criterion::{Criterion, criterion_group, criterion_main};

fn policy() -> Policy {
    let settings = Settings {
        dry_run: false,
        interval: Duration::from_secs(30),
        watch: Watch::default(),
        allowed_commands: shipped(),
        command_path: ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(Into::into).to_vec(),
        services: BTreeMap::new(),
        max_actions_per_hour: 60,
        silences: Vec::new(),
        history: Default::default(),
    };
    Policy::compile(&settings).0
}

fn commands() -> Vec<String> {
    include_str!("../tests/data/guard-sample.jsonl")
        .lines()
        .map(|line| {
            let case: serde_json::Value = serde_json::from_str(line).expect("the sample is JSON lines");
            case["command"].as_str().expect("each case has a command").to_owned()
        })
        .collect()
}

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn percentiles(policy: &Policy, commands: &[String]) {
    let values = Values::new();
    let mut times: Vec<Duration> = Vec::new();
    while times.len() < 60_000 {
        for command in commands {
            let start = Instant::now();
            drop(black_box(policy.review(&Request::Command(black_box(command)), &values)));
            times.push(start.elapsed());
        }
    }
    times.sort_unstable();
    let at = |per_mille: usize| times[times.len() * per_mille / 1000];
    println!("guard: {} reviews: p50 {:?}, p99 {:?}, p99.9 {:?} (aim: p99 under 50 µs)", times.len(), at(500), at(990), at(999));
}

fn bench(criterion: &mut Criterion) {
    let (policy, commands) = (policy(), commands());
    percentiles(&policy, &commands);
    let values = Values::new();
    for command in ["find /tmp -type f -mtime +7 -delete", "find /tmp -type f -exec id", "nginx -s reload && wall hello"] {
        criterion.bench_function(command, |bencher| bencher.iter(|| policy.review(&Request::Command(black_box(command)), &values)));
    }
    criterion.bench_function("compile the shipped rules", |bencher| bencher.iter(self::policy));
}

criterion_group!(benches, bench);
criterion_main!(benches);
