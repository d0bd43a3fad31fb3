//! How times and durations stand in JSON: RFC 3339 UTC with milliseconds, seconds with three decimals. And back: fields of JSON as
//! people read them. What is missing or of another type reads as nothing: another build may know less or more.

use std::time::Duration;

use jiff::{RoundMode, Timestamp, TimestampRound, Unit};
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::clock::in_words;

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

/// Text as it is, numbers and words as JSON writes them, nothing for `null`.
#[must_use]
pub fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A list, or an empty one.
#[must_use]
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// `2026-11-22T14:32:05Z`
#[must_use]
pub fn time(value: &Value) -> String {
    let text = text(value);
    text.parse().map_or(text, to_the_second)
}

/// `41 s`
#[must_use]
pub fn span(value: &Value) -> String {
    let span = value.as_f64().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    span.map(in_words).unwrap_or_default()
}
