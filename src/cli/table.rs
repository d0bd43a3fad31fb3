//! Tables for people: no borders, wide characters in the right columns, nothing in a cell that a terminal would obey.

use std::time::Duration;

use comfy_table::presets::NOTHING;
use comfy_table::{Cell, Table};

use crate::clock::{Moment, in_words};
use crate::collect::reason;
use crate::metric::{Metric, Values};
use crate::record::escape::terminal;
use crate::sample::{Sample, Value};

/// A table with a line of headings; a row that is too short is filled up. Ends with a line break.
#[must_use]
pub fn print(headings: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(headings.iter().map(|heading| Cell::new(heading.to_uppercase())));
    for row in rows {
        table.add_row(row.iter().map(|cell| Cell::new(terminal(cell))));
    }
    let lines: Vec<String> = table.lines().map(|line| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned()).collect();
    lines.join("\n") + "\n"
}

/// One row for each sample, grouped by target: what was measured of what, the value in its unit, and the reason or a remark.
#[must_use]
pub fn samples(samples: &[Sample], now: Moment) -> String {
    let mut last = String::new();
    let rows = samples.iter().map(|sample| {
        let target = target(sample);
        let shown = if target == last { String::new() } else { target.clone() };
        last = target;
        let old = sample.is_stale(now).then(|| format!("{} ago", in_words(now.since(sample.at))));
        let remarks: Vec<String> = sample.reason.iter().cloned().chain(old).collect();
        vec![shown, sample.metric.name.to_owned(), value(sample), remarks.join(", ")]
    });
    print(&["target", "metric", "value", "remark"], rows.collect::<Vec<_>>())
}

/// The table of a start: a rate that only needs time is no news on every target, so such metrics are named once, below.
#[must_use]
pub fn first_samples(all: &[Sample], now: Moment) -> String {
    let is_not_yet = |sample: &&Sample| sample.value.is_none() && sample.reason.as_deref().is_some_and(reason::is_not_yet);
    let (later, known): (Vec<&Sample>, Vec<&Sample>) = all.iter().partition(is_not_yet);
    let known: Vec<Sample> = known.into_iter().cloned().collect();
    let mut names: Vec<&str> = later.iter().map(|sample| sample.metric.name).collect();
    names.sort_unstable();
    names.dedup();
    let later = if names.is_empty() { String::new() } else { format!("known after a while: {}\n", names.join(", ")) };
    samples(&known, now) + &later
}

/// `disk mount=/data`, `memory`.
fn target(sample: &Sample) -> String {
    format!("{} {}", sample.metric.kind.name(), sample.target.identity).trim_end().to_owned()
}

/// `96.2 %`, `running`, `infinite`, `unknown`.
pub(super) fn value(sample: &Sample) -> String {
    match &sample.value {
        None => "unknown".to_owned(),
        Some(Value::Number(number)) => with_unit(sample.metric, *number),
        Some(other) => other.to_string(),
    }
}

fn with_unit(metric: &Metric, number: f64) -> String {
    match metric.values {
        Values::Number("s") if number >= 0.0 => Duration::try_from_secs_f64(number).map_or_else(|_| number.to_string(), in_words),
        // More digits than people read say nothing.
        Values::Number(unit) if number.abs() >= 1000.0 => format!("{number:.0} {unit}").trim_end().to_owned(),
        Values::Number(unit) => format!("{} {unit}", Value::Number(number)).trim_end().to_owned(),
        Values::Words(_) => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric;
    use crate::sample::{Labels, Target};

    #[test]
    fn samples_are_grouped_by_target() {
        let now = Moment::at_seconds(100.0);
        let disk = Target::new(Labels::from([("mount", "/data")]), Labels::default());
        let host = Target::new(Labels::default(), Labels::default());
        let fresh = |sample| Sample { interval: Duration::from_secs(30), ..sample };
        let all = [
            fresh(Sample::known(metric::named("memory_usage"), &host, Value::Number(41.27), now)),
            fresh(Sample::known(metric::named("disk_usage"), &disk, Value::Number(96.2), now)),
            fresh(Sample::known(metric::named("disk_free_mb"), &disk, Value::Number(12345.678), now)),
            fresh(Sample::unknown(metric::named("inode_usage"), &disk, "no \u{1b}[31minodes", now)),
        ];
        let expected = "\
TARGET            METRIC        VALUE      REMARK
memory            memory_usage  41.27 %
disk mount=/data  disk_usage    96.2 %
                  disk_free_mb  12346 MiB
                  inode_usage   unknown    no \\u{1b}[31minodes
";
        assert_eq!(samples(&all, now), expected);
        assert!(samples(&all, now.after(Duration::from_secs(120))).contains("2 min ago"));
    }

    #[test]
    fn what_only_needs_time_does_not_fill_the_first_table() {
        let now = Moment::at_seconds(1.0);
        let host = Target::new(Labels::default(), Labels::default());
        let log = Target::new(Labels::from([("path", "/var/log/a")]), Labels::default());
        let all = [
            Sample::known(metric::named("memory_usage"), &host, Value::Number(41.0), now),
            Sample::unknown(metric::named("cpu_usage"), &host, reason::SECOND_LOOK, now),
            Sample::unknown(metric::named("log_file_size_mb"), &log, "no such file", now),
            Sample::unknown(metric::named("log_growth_mb_per_hour"), &log, reason::TOO_SHORT, now),
        ];
        let expected = "\
TARGET                    METRIC            VALUE    REMARK
memory                    memory_usage      41 %
log_file path=/var/log/a  log_file_size_mb  unknown  no such file
known after a while: cpu_usage, log_growth_mb_per_hour
";
        assert_eq!(first_samples(&all, now), expected);
    }

    #[test]
    fn values_have_units() {
        for (name, number, text) in [
            ("process_uptime_seconds", 150.0, "2 min 30 s"),
            ("process_count", 3.0, "3"),
            ("api_latency_ms", 12.345, "12.35 ms"),
            ("ssl_expires_in_days", -2.5, "-2.5 d"),
        ] {
            assert_eq!(with_unit(metric::named(name), number), text);
        }
    }
}
