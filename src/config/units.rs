//! The units that a number may have in an expression.

use super::problem::Draft;
use crate::metric::{Metric, Values};

/// A unit, and what a number in it is multiplied with and then divided by to be in the metric's own. Both are whole numbers, so
/// that `9ms` is 0.009 s and not a hair more, as a factor of 0.001 would make it.
pub(crate) struct Unit {
    pub(crate) name: &'static str,
    times: f64,
    by: f64,
}

const fn unit(name: &'static str, times: f64, by: f64) -> Unit {
    Unit { name, times, by }
}

const PERCENT: &[Unit] = &[unit("%", 1.0, 1.0)];
const MILLISECONDS: &[Unit] =
    &[unit("ms", 1.0, 1.0), unit("s", 1000.0, 1.0), unit("m", 60_000.0, 1.0), unit("h", 3_600_000.0, 1.0), unit("d", 86_400_000.0, 1.0)];
const SECONDS: &[Unit] =
    &[unit("s", 1.0, 1.0), unit("ms", 1.0, 1000.0), unit("m", 60.0, 1.0), unit("h", 3600.0, 1.0), unit("d", 86_400.0, 1.0)];
const DAYS: &[Unit] =
    &[unit("d", 1.0, 1.0), unit("h", 1.0, 24.0), unit("m", 1.0, 1440.0), unit("s", 1.0, 86_400.0), unit("ms", 1.0, 86_400_000.0)];
/// As the names of the metrics have it, MB are what is called MiB elsewhere.
const SIZES: &[Unit] = &[unit("MB", 1.0, 1.0), unit("GB", 1024.0, 1.0)];

/// The units that a number of the metric may have, its own first; none for words and for what is only counted.
pub(crate) fn units_of(metric: &Metric) -> &'static [Unit] {
    match metric.values {
        Values::Number("%") => PERCENT,
        Values::Number("ms") => MILLISECONDS,
        Values::Number("s") => SECONDS,
        Values::Number("d") => DAYS,
        Values::Number("MiB" | "MiB/h") => SIZES,
        _ => &[],
    }
}

/// The number in the metric's own unit.
pub(crate) fn in_own(metric: &Metric, number: f64, name: &str) -> Result<f64, Draft> {
    let units = units_of(metric);
    if let Some(number) = converted(units, number, name) {
        return if number.is_finite() { Ok(number) } else { Err(Draft::error("bad_unit", "this is not a finite number in that unit")) };
    }
    let message = match units.first() {
        Some(own) => format!("{} is measured in {}, which {name:?} is not a multiple of", metric.name, own.name),
        None => format!("{} has no unit, found {name:?}", metric.name),
    };
    let allowed: Vec<&str> = units.iter().map(|unit| unit.name).collect();
    let meant = meant(name, units).map(|unit| format!("did you mean {unit:?}?"));
    Err(Draft::error("bad_unit", message).found(name).allowed(allowed).suggest_if(meant))
}

/// So many seconds.
pub(crate) fn in_seconds(number: f64, name: &str) -> Option<f64> {
    converted(SECONDS, number, name)
}

/// The unit of time that somebody meant who spelt it otherwise.
pub(crate) fn meant_time(name: &str) -> Option<&'static str> {
    meant(name, SECONDS)
}

fn converted(units: &[Unit], number: f64, name: &str) -> Option<f64> {
    units.iter().find(|unit| unit.name == name).map(|unit| number * unit.times / unit.by)
}

/// How people write units elsewhere, in small letters.
const SPELLINGS: &[(&str, &[&str])] = &[
    ("%", &["percent", "pct"]),
    ("ms", &["ms", "msec", "millis", "millisecond", "milliseconds"]),
    ("s", &["s", "sec", "secs", "second", "seconds"]),
    ("m", &["m", "min", "mins", "minute", "minutes"]),
    ("h", &["h", "hr", "hrs", "hour", "hours"]),
    ("d", &["d", "day", "days"]),
    ("MB", &["mb", "mib", "m", "meg", "megabytes"]),
    ("GB", &["gb", "gib", "g", "gig", "gigabytes"]),
];

fn meant(name: &str, units: &[Unit]) -> Option<&'static str> {
    let lower = name.to_lowercase();
    let spelt = |unit: &Unit| SPELLINGS.iter().any(|(name, spellings)| *name == unit.name && spellings.contains(&lower.as_str()));
    units.iter().find(|unit| spelt(unit)).map(|unit| unit.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::{METRICS, named};

    #[test]
    fn every_unit_of_the_table_of_metrics_is_known() {
        for metric in METRICS {
            let counted = matches!(metric.values, Values::Words(_) | Values::Number(""));
            assert_eq!(units_of(metric).is_empty(), counted, "{}", metric.name);
            let own = units_of(metric).first().map(|unit| in_own(metric, 7.0, unit.name).unwrap());
            assert!(own.is_none_or(|own| (own - 7.0).abs() < f64::EPSILON), "{}", metric.name);
        }
    }

    #[test]
    fn numbers_are_converted_without_a_rounding_of_the_factor() {
        for (metric, number, unit, expected) in [
            ("process_uptime_seconds", 9.0, "ms", 0.009),
            ("ssl_expires_in_days", 7.0, "h", 7.0 / 24.0),
            ("ssl_expires_in_days", 90.0, "m", 0.0625),
            ("api_latency_ms", 1.5, "s", 1500.0),
            ("disk_free_mb", 0.5, "GB", 512.0),
        ] {
            assert_eq!(in_own(named(metric), number, unit).ok(), Some(expected), "{number}{unit}");
        }
    }

    #[test]
    fn other_spellings_of_a_unit_are_understood_but_not_taken() {
        let suggestion = |metric, unit| {
            let draft = in_own(named(metric), 1.0, unit).unwrap_err();
            draft.at("f", "$", 0..0).suggestion
        };
        assert_eq!(suggestion("disk_free_mb", "gb").as_deref(), Some("did you mean \"GB\"?"));
        assert_eq!(suggestion("disk_free_mb", "M").as_deref(), Some("did you mean \"MB\"?"));
        assert_eq!(suggestion("api_latency_ms", "Minutes").as_deref(), Some("did you mean \"m\"?"));
        assert_eq!(suggestion("disk_usage", "percent").as_deref(), Some("did you mean \"%\"?"));
        assert_eq!(suggestion("disk_usage", "MB"), None);
    }
}
