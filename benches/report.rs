//! How long the report of an incident takes. It is written anew after each step: `cargo bench --bench report`.

use std::hint::black_box;

use autoheal::incident::Incident;
use autoheal::incident::evidence::Section;
use autoheal::record::report::render;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// More output than a report shows.
const OUTPUT_BYTES: usize = 100_000;

/// An incident with an action, evidence and a timeline, in whose texts from outside stands a line as programs print it.
fn typical() -> Incident {
    let json = include_str!("../tests/data/incident.json").replace("FOREIGN", "no space left on device: /var/log/x_*.log");
    serde_json::from_str(&json).expect("the test data is an incident")
}

/// Ten actions that printed more than is shown, as much evidence, and a thousand steps.
fn large() -> Incident {
    let mut incident = typical();
    let line = "1234 root  *12.3* | 45 MiB `sleep` <x>\u{1b}[1m\n";
    let text = line.repeat(OUTPUT_BYTES / line.len());
    incident.actions = incident.actions.iter().cycle().take(10).cloned().collect();
    for outcome in incident.actions.iter_mut().filter_map(|action| action.outcome.as_mut()) {
        outcome.output.clone_from(&text);
    }
    let section = Section { title: "The largest files".to_owned(), lines: text.lines().map(str::to_owned).collect(), note: None };
    for evidence in &mut incident.evidence {
        evidence.sections = vec![section.clone(); 3];
    }
    incident.timeline = incident.timeline.iter().cycle().take(1000).cloned().collect();
    incident
}

fn reports(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("report");
    for (name, incident) in [("typical", typical()), ("large", large())] {
        group.throughput(Throughput::Bytes(u64::try_from(render(&incident).len()).unwrap_or(0)));
        group.bench_function(name, |bench| bench.iter(|| render(black_box(&incident))));
    }
    group.finish();
}

criterion_group!(benches, reports);
criterion_main!(benches);
