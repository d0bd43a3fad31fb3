//! How times and durations stand in JSON: RFC 3339 UTC with milliseconds, seconds with three decimals.

use std::time::Duration;

use jiff::{RoundMode, Timestamp, TimestampRound, Unit};
use serde::{Serialize, Serializer};

/// `2026-11-22T14:32:05Z`: for people.
#[must_use]
pub fn to_the_second(at: Timestamp) -> String {
    at.round(TimestampRound::new().smallest(Unit::Second).mode(RoundMode::Trunc)).unwrap_or(at).to_string()
}

/// `2026-11-22T14:32:05.123Z`.
#[must_use]
pub fn to_the_millisecond(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// [`to_the_millisecond`]: for machines.
///
/// # Errors
/// The serializer's.
pub fn millis<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&to_the_millisecond(*at))
}

/// [`millis`], or `null`.
///
/// # Errors
/// The serializer's.
pub fn optional_millis<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => millis(at, serializer),
        None => serializer.serialize_none(),
    }
}

/// Seconds with three decimals.
///
/// # Errors
/// The serializer's.
pub fn seconds<S: Serializer>(seconds: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((seconds * 1000.0).round() / 1000.0)
}

/// A duration in seconds with three decimals, or `null`.
///
/// # Errors
/// The serializer's.
pub fn optional_span<S: Serializer>(span: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    span.map(|span| (span.as_secs_f64() * 1000.0).round() / 1000.0).serialize(serializer)
}
