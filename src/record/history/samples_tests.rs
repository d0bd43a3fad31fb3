use std::time::Duration;

use jiff::Timestamp;

use super::*;
use crate::clock::Moment;
use crate::metric;
use crate::sample::Target;

/// Beginning of a minute and of a quarter.
const START: i64 = 1_800_000_000_000;

fn sample(name: &str, at: i64, value: Option<Value>) -> Sample {
    let wall = Timestamp::from_millisecond(START + at).unwrap();
    let target = Target::new(Labels::from([("mount", "/data")]), Labels::from([("device", "sda1")]));
    let metric = metric::find(name).unwrap();
    Sample { metric, target, value, reason: None, at: Moment { wall, ..Moment::at_seconds(0.0) }, interval: Duration::from_secs(10) }
}

fn number(at: i64, value: f64) -> Sample {
    sample("disk_usage", at, Some(Value::Number(value)))
}

/// What a row says: `beginning+span last min max text`.
fn said(rows: &[SampleRow]) -> Vec<String> {
    let of = |number: Option<f64>| number.map_or("-".to_owned(), |number| number.to_string());
    let text = |row: &SampleRow| row.text.clone().unwrap_or("-".to_owned());
    rows.iter()
        .map(|row| format!("{}+{} {} {} {} {}", row.at - START, row.span, of(row.last), of(row.min), of(row.max), text(row)))
        .collect()
}

impl Aggregator {
    fn series_held(&self) -> usize {
        self.series.values().map(Vec::len).sum()
    }
}

#[test]
fn a_minute_becomes_a_row() {
    let mut aggregator = Aggregator::default();
    aggregator.feed(&[number(0, 3.0), number(10_000, 1.0), sample("disk_usage", 15_000, None), number(59_999, 2.0)]);
    assert!(aggregator.take_ended(START + MINUTE - 1).is_empty(), "the minute is not over");
    aggregator.feed(&[number(60_000, 9.0)]);
    let rows = aggregator.take_ended(START + MINUTE);
    assert_eq!(said(&rows), ["0+60000 2 1 3 -"]);
    assert_eq!(rows[0].labels, Labels::from([("mount", "/data")]), "facts such as a pid would make a series each");
    assert_eq!(said(&aggregator.take_all()), ["60000+60000 9 9 9 -"]);
    assert!(aggregator.take_all().is_empty() && aggregator.series_held() == 0);
}

#[test]
fn a_word_that_changes_is_a_row_of_its_own() {
    let word = |at, word: &'static str| sample("process_status", at, Some(Value::Text(word.into())));
    let mut aggregator = Aggregator::default();
    aggregator.feed(&[word(0, "running"), word(10_000, "running"), word(20_000, "stopped"), word(70_000, "stopped")]);
    assert_eq!(said(&aggregator.take_all()), ["0+60000 - - - stopped", "20000+0 - - - stopped", "60000+60000 - - - stopped"]);
    let slow = |at, value| sample("api_latency_ms", at, Some(value));
    aggregator.feed(&[slow(0, Value::Number(5.0)), slow(10_000, Value::Infinite)]);
    assert_eq!(said(&aggregator.take_all()), ["0+60000 - 5 5 infinite", "10000+0 - - - infinite"]);
}

#[test]
fn a_series_without_samples_is_forgotten() {
    let mut aggregator = Aggregator::default();
    aggregator.feed(&[number(0, 1.0)]);
    aggregator.take_ended(START + MINUTE);
    assert_eq!(aggregator.series_held(), 1, "its last word is still wanted");
    aggregator.take_ended(START + GONE);
    assert!(aggregator.series_held() == 0);
}

fn stored(history: &History) -> Vec<String> {
    let sql = "SELECT at, span, last, min, max, text FROM samples ORDER BY at, span";
    let mut statement = history.connection.prepare(sql).unwrap();
    let row = |row: &rusqlite::Row<'_>| {
        let labels = Labels::default();
        let (last, min, max) = (row.get(2)?, row.get(3)?, row.get(4)?);
        Ok(SampleRow { metric: "", labels, at: row.get(0)?, span: row.get(1)?, last, min, max, text: row.get(5)? })
    };
    said(&statement.query_map([], row).unwrap().collect::<rusqlite::Result<Vec<_>>>().unwrap())
}

#[test]
fn old_rows_become_quarters_of_an_hour() {
    let dir = tempfile::tempdir().unwrap();
    let mut history = History::open(dir.path(), Timestamp::UNIX_EPOCH).unwrap().history;
    let row = |at, span, value: f64, text: Option<&str>| SampleRow {
        metric: "disk_usage",
        labels: Labels::from([("mount", "/data")]),
        at: START + at,
        span,
        last: Some(value),
        min: Some(value - 1.0),
        max: Some(value + 1.0),
        text: text.map(str::to_owned),
    };
    let rows = [
        row(0, MINUTE, 5.0, None),
        row(MINUTE, MINUTE, 90.0, None),
        row(14 * MINUTE, MINUTE, 7.0, Some("last")),
        row(14 * MINUTE + 30_000, 0, 8.0, Some("within")),
        row(QUARTER, MINUTE, 9.0, None),
        row(2 * QUARTER, MINUTE, 10.0, None),
    ];
    history.write_samples(&rows).unwrap();
    history.write_samples(&rows).unwrap();
    assert_eq!(stored(&history).len(), 6, "writing again is harmless");
    let quarter = ["0+900000 7 4 91 last", "900000+900000 9 8 10 -", "1800000+60000 10 9 11 -"];
    for _ in 0..2 {
        fold(&history.connection, 1, START + 2 * QUARTER + MINUTE).unwrap();
        assert_eq!(stored(&history), quarter);
    }
}
