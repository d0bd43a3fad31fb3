//! `probe`: measures everything once, now, and prints the samples; also without an agent.

use std::io::{self, Write};
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::table;
use crate::clock::Moment;
use crate::collect::measure_once;
use crate::config::problem::nearest;
use crate::config::settings::Settings;
use crate::metric::{self, METRICS, Metric};
use crate::sample::{Sample, SampleView};

/// What hangs longer than its own timeout is left out after this.
const LIMIT: Duration = Duration::from_secs(30);

/// Arguments of `probe`.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = "Example: autoheal probe disk_usage memory_usage")]
pub struct ProbeArgs {
    /// Only these metrics
    #[arg(value_name = "METRIC", value_parser = parse_metric)]
    pub metrics: Vec<&'static Metric>,
}

/// The metric of that name, or what to write instead.
fn parse_metric(name: &str) -> Result<&'static Metric, String> {
    metric::find(name).ok_or_else(|| {
        let names: Vec<&str> = METRICS.iter().map(|metric| metric.name).collect();
        match nearest(name, &names) {
            Some(nearest) => format!("no metric is called so; did you mean {nearest}?"),
            None => format!("no metric is called so; there are {}", names.join(", ")),
        }
    })
}

/// The JSON of `probe` (contract C3).
#[derive(Serialize)]
struct Probed {
    samples: Vec<SampleView>,
    #[serde(serialize_with = "crate::record::json::seconds")]
    took_seconds: f64,
}

/// Measures and prints. The exit code: 0 also when targets are down, 1 when nothing could be measured.
///
/// # Errors
/// When the output cannot be written.
pub fn run(args: &ProbeArgs, settings: &Settings, json: bool, out: &mut dyn Write) -> io::Result<u8> {
    let began = Moment::now();
    let mut samples = measure_once(&narrowed(args, settings), LIMIT);
    if !args.metrics.is_empty() {
        samples.retain(|sample| args.metrics.contains(&sample.metric));
    }
    let now = Moment::now();
    if json {
        let samples: Vec<SampleView> = samples.iter().map(|sample| sample.view(now)).collect();
        serde_json::to_writer_pretty(&mut *out, &Probed { samples, took_seconds: now.since(began).as_secs_f64() })?;
        writeln!(out)?;
    } else if samples.is_empty() {
        writeln!(out, "nothing of this kind is watched; see \"watch\" in autoheal.json")?;
    } else {
        out.write_all(table::samples(&samples, now).as_bytes())?;
    }
    Ok(u8::from(samples.iter().all(nothing)))
}

fn nothing(sample: &Sample) -> bool {
    sample.value.is_none()
}

/// Only what the wanted metrics need: nobody waits for an endpoint in order to read the memory.
fn narrowed(args: &ProbeArgs, settings: &Settings) -> Settings {
    let mut settings = settings.clone();
    if args.metrics.is_empty() {
        return settings;
    }
    let wanted = |kind| args.metrics.iter().any(|metric| metric.kind == kind);
    let watch = &mut settings.watch;
    if !wanted(metric::Kind::Disk) {
        watch.disks = Default::default();
    }
    watch.memory = watch.memory.filter(|_| wanted(metric::Kind::Memory));
    watch.processes.retain(|_| wanted(metric::Kind::Process));
    watch.endpoints.retain(|_| wanted(metric::Kind::Latency));
    watch.certificates.retain(|_| wanted(metric::Kind::Certificate));
    watch.logs.retain(|_| wanted(metric::Kind::LogFile));
    settings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::test_rig::{self, endpoint};

    fn probe(names: &[&str], settings: &Settings, json: bool) -> (u8, String) {
        let args = ProbeArgs { metrics: names.iter().map(|name| metric::find(name).unwrap()).collect() };
        let mut out = Vec::new();
        let code = run(&args, settings, json, &mut out).unwrap();
        (code, String::from_utf8(out).unwrap())
    }

    #[test]
    fn the_host_is_printed_as_table_and_as_json() {
        let mut settings = test_rig::settings();
        settings.watch.memory = Some(Duration::from_secs(30));
        let (code, table) = probe(&[], &settings, false);
        assert_eq!(code, 0);
        assert!(table.contains("memory_usage") && table.contains("cpu_usage") && table.contains('%'), "{table}");
        let (code, text) = probe(&["memory_usage", "cpu_usage"], &settings, true);
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((code, json["samples"].as_array().unwrap().len()), (0, 2), "{text}");
        assert!(json["took_seconds"].is_number() && json["samples"][0]["value"].is_number() && json["samples"][1]["value"].is_number());
        assert_eq!(json["samples"][0]["labels"], serde_json::json!({}));
    }

    #[test]
    fn a_target_that_is_down_is_no_failure() {
        let mut settings = test_rig::settings();
        settings.watch.endpoints.push(endpoint("shop", &format!("http://{}/", test_rig::refusing())));
        let (code, text) = probe(&["api_latency_ms"], &settings, true);
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((code, &json["samples"][0]["value"]), (0, &serde_json::json!("infinite")));
        assert_eq!(json["samples"][0]["reason"], "connection refused");
        assert_eq!(probe(&["memory_usage"], &settings, false).0, 1, "nothing is watched");
    }

    #[test]
    fn an_unknown_metric_is_a_wrong_usage() {
        assert!(parse_metric("disk_usgae").unwrap_err().contains("did you mean disk_usage?"));
        assert!(parse_metric("x").unwrap_err().contains("there are disk_usage"));
        assert_eq!(parse_metric("process_memory").unwrap().name, "process_memory_mb");
    }
}
