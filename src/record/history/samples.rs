//! Samples become one row a minute for each series, and with age one for each quarter of an hour.

use std::mem;

use rusqlite::{Connection, params};

use super::{History, WriteError};
use crate::metric::Metric;
use crate::sample::{InOrder, Labels, Sample, Value};

/// What a row stands for at first.
pub(crate) const MINUTE: i64 = 60_000;
/// What an old row stands for.
pub(super) const QUARTER: i64 = 15 * MINUTE;
/// A series that is silent for so long has no target any more.
const GONE: i64 = 60 * MINUTE;

pub(super) const SERIES: &str = "INSERT INTO series (metric, labels) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
pub(super) const SAMPLE: &str = "INSERT OR REPLACE INTO samples (series, at, span, last, min, max, text) \
    SELECT id, ?3, ?4, ?5, ?6, ?7, ?8 FROM series WHERE metric = ?1 AND labels = ?2";
/// The last value of a quarter is that of the row that ends last in it.
const FOLD: &str = "INSERT OR REPLACE INTO samples (series, at, span, last, min, max, text) \
    SELECT DISTINCT series, at / ?3 * ?3, ?3, last_value(last) OVER quarter, min(min) OVER quarter, max(max) OVER quarter, \
    last_value(text) OVER quarter FROM samples WHERE series = ?1 AND at < ?2 AND span < ?3 \
    WINDOW quarter AS (PARTITION BY at / ?3 ORDER BY at + span, at ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)";
const FORGET_FOLDED: &str = "DELETE FROM samples WHERE series = ?1 AND at < ?2 AND span < ?3";

/// What a metric of one target was in a span of time.
#[derive(Clone, Debug, PartialEq)]
pub struct SampleRow {
    /// The metric's name.
    pub metric: &'static str,
    /// The target's identity.
    pub labels: Labels,
    /// The beginning, in milliseconds since the epoch.
    pub at: i64,
    /// For how many milliseconds it stands; 0 for the moment in which a word changed.
    pub span: i64,
    /// The last value, if it was a number.
    pub last: Option<f64>,
    /// The smallest number.
    pub min: Option<f64>,
    /// The largest number.
    pub max: Option<f64>,
    /// The last value, if it was a word or infinite.
    pub text: Option<String>,
}

/// Gathers samples into rows. Unknown values are no part of them.
#[derive(Debug, Default)]
pub struct Aggregator {
    /// By target: what is known of one lies together.
    series: InOrder<Vec<Minute>>,
    ended: Vec<SampleRow>,
}

/// The minute of one series that goes on. Small: a host can have many thousands, and each sample looks at one.
#[derive(Debug)]
struct Minute {
    metric: &'static Metric,
    /// Its beginning; the sum is there until the minute ends.
    at: i64,
    sum: Option<Sum>,
    /// The last value, if it was a word or infinite.
    text: Option<Box<str>>,
}

/// What the numbers of a minute were.
#[derive(Debug, Default)]
struct Sum {
    /// The last value, if it was a number.
    last: Option<f64>,
    /// The smallest and the largest.
    bounds: Option<(f64, f64)>,
}

impl Sum {
    fn add(&mut self, number: Option<f64>) {
        self.last = number;
        if let Some(number) = number {
            let (min, max) = self.bounds.unwrap_or((number, number));
            self.bounds = Some((min.min(number), max.max(number)));
        }
    }
}

impl Minute {
    /// Ends it, if anything was measured in it.
    fn end(&mut self, labels: &Labels) -> Option<SampleRow> {
        let Sum { last, bounds } = self.sum.take()?;
        let (min, max) = bounds.unzip();
        let text = self.text.as_deref().map(str::to_owned);
        Some(SampleRow { metric: self.metric.name, labels: labels.clone(), at: self.at, span: MINUTE, last, min, max, text })
    }
}

impl Aggregator {
    /// Takes in what was measured.
    pub fn feed(&mut self, samples: &[Sample]) {
        for sample in samples {
            let Some(value) = &sample.value else { continue };
            let (number, text) = match value {
                Value::Number(number) => (Some(*number), None),
                Value::Infinite | Value::Text(_) => (None, Some(value.to_string().into())),
            };
            self.add(sample, number, text);
        }
    }

    fn add(&mut self, sample: &Sample, number: Option<f64>, text: Option<Box<str>>) {
        let at = sample.at.wall.as_millisecond();
        let minute = at.div_euclid(MINUTE) * MINUTE;
        let (metric, labels) = (sample.metric, &sample.target.identity);
        let known = self.series.get_mut(labels).and_then(|series| series.iter_mut().find(|series| series.metric == metric));
        let current = match known {
            Some(current) => current,
            None => {
                let series = self.series.get_or_default(labels);
                series.reserve_exact(1);
                series.push_mut(Minute { metric, at: minute, sum: None, text: text.clone() })
            }
        };
        if current.at != minute {
            self.ended.extend(current.end(labels));
            current.at = minute;
        }
        if current.text != text {
            let labels = labels.clone();
            let text = text.as_deref().map(str::to_owned);
            self.ended.push(SampleRow { metric: metric.name, labels, at, span: 0, last: number, min: number, max: number, text });
        }
        current.text = text;
        current.sum.get_or_insert_default().add(number);
    }

    /// The rows of all minutes that are over at `now` (milliseconds since the epoch).
    pub fn take_ended(&mut self, now: i64) -> Vec<SampleRow> {
        self.series.retain(|labels, series| {
            for minute in series.iter_mut().filter(|minute| minute.at + MINUTE <= now) {
                self.ended.extend(minute.end(labels));
            }
            series.retain(|minute| minute.sum.is_some() || minute.at + GONE > now);
            !series.is_empty()
        });
        let mut ended = mem::take(&mut self.ended);
        ended.sort_by(|a, b| (a.metric, &a.labels, a.at).cmp(&(b.metric, &b.labels, b.at)));
        ended
    }

    /// All rows, because no sample will follow.
    pub fn take_all(&mut self) -> Vec<SampleRow> {
        self.take_ended(i64::MAX)
    }
}

impl History {
    /// Writes all rows or none.
    ///
    /// # Errors
    /// When nothing was written; the error says what may help.
    pub fn write_samples(&mut self, rows: &[SampleRow]) -> Result<(), WriteError> {
        self.transaction(|transaction| {
            // They stay prepared: this is written every minute, and the code that reads SQL would lie in memory for nothing else.
            let (mut series, mut sample) = (transaction.prepare_cached(SERIES)?, transaction.prepare_cached(SAMPLE)?);
            for row in rows {
                let labels = serde_json::to_string(&row.labels).unwrap_or_default();
                series.execute(params![row.metric, labels])?;
                sample.execute(params![row.metric, labels, row.at, row.span, row.last, row.min, row.max, row.text])?;
            }
            Ok(())
        })
    }
}

/// Folds the rows of a series that are older than `before` into quarters of an hour.
pub(super) fn fold(connection: &Connection, series: i64, before: i64) -> rusqlite::Result<()> {
    let whole_quarters = before.div_euclid(QUARTER) * QUARTER;
    connection.execute(FOLD, params![series, whole_quarters, QUARTER])?;
    connection.execute(FORGET_FOLDED, params![series, whole_quarters, QUARTER])?;
    Ok(())
}

#[cfg(test)]
#[path = "samples_tests.rs"]
mod tests;
