//! What is forgotten, and when: at the start of the agent and once a day, one small step at a time, so that what is to be written
//! waits for none of it.

use std::collections::VecDeque;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use rusqlite::params;

use super::{History, WriteError, samples};

/// So many incidents are forgotten in one step.
const AT_ONCE: u32 = 100;
/// Rows of samples stand for a minute until they are so old.
const FINE: Duration = Duration::from_secs(86_400);

/// How long things are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Incidents after their end, with all that belongs to them.
    pub incidents: Duration,
    /// Samples.
    pub samples: Duration,
    /// Report files, by the date in the name; `None` for ever.
    pub reports: Option<Duration>,
}

impl From<&crate::config::settings::History> for Keep {
    fn from(settings: &crate::config::settings::History) -> Self {
        Self { incidents: settings.incidents, samples: settings.samples, reports: settings.keep_reports }
    }
}

impl Default for Keep {
    /// 90 days of incidents, 7 days of samples, all reports.
    fn default() -> Self {
        let days = |days: u64| Duration::from_secs(days * 86_400);
        Self { incidents: days(90), samples: days(7), reports: None }
    }
}

/// A round of forgetting that goes on.
#[derive(Debug)]
pub struct Sweep {
    keep: Keep,
    now: Timestamp,
    series: Option<VecDeque<i64>>,
}

impl Sweep {
    /// Begins a round.
    #[must_use]
    pub fn new(keep: Keep, now: Timestamp) -> Self {
        Self { keep, now, series: None }
    }

    /// Does the next step. `true` when the round is done.
    ///
    /// # Errors
    /// When the history cannot be written.
    pub fn step(&mut self, history: &mut History) -> Result<bool, WriteError> {
        let Some(series) = &mut self.series else {
            let before = self.before(self.keep.incidents);
            if history.forget_incidents(before)? == 0 {
                self.series = Some(history.series()?);
            }
            return Ok(false);
        };
        let Some(next) = series.pop_front() else { return Ok(true) };
        history.age_series(next, self.before(self.keep.samples), self.before(FINE))?;
        Ok(false)
    }

    fn before(&self, age: Duration) -> i64 {
        self.now.as_millisecond().saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX))
    }
}

impl History {
    /// Forgets some of what ended before then. Answers how many incidents these were: none when all is done.
    fn forget_incidents(&mut self, before: i64) -> Result<usize, WriteError> {
        self.transaction(|transaction| {
            let old = "DELETE FROM incidents WHERE id IN (SELECT id FROM incidents WHERE ended_at < ?1 AND NOT live LIMIT ?2)";
            let forgotten = transaction.execute(old, params![before, AT_ONCE])?;
            if forgotten == 0 {
                transaction.execute("DELETE FROM silences WHERE until_at < ?1", [before])?;
                let unneeded = "DELETE FROM notifications WHERE at < ?1 \
                                AND NOT EXISTS (SELECT 1 FROM incidents WHERE incidents.id = notifications.incident)";
                transaction.execute(unneeded, [before])?;
            }
            Ok(forgotten)
        })
    }

    fn series(&mut self) -> Result<VecDeque<i64>, WriteError> {
        self.transaction(|transaction| transaction.prepare("SELECT id FROM series")?.query_map([], |row| row.get(0))?.collect())
    }

    fn age_series(&mut self, series: i64, forget_before: i64, fold_before: i64) -> Result<(), WriteError> {
        self.transaction(|transaction| {
            transaction.execute("DELETE FROM samples WHERE series = ?1 AND at < ?2", params![series, forget_before])?;
            samples::fold(transaction, series, fold_before)?;
            let empty = "DELETE FROM series WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM samples WHERE series = ?1)";
            transaction.execute(empty, [series])?;
            Ok(())
        })
    }
}

/// Removes the reports in `dir` whose date is older than `age`. What has another kind of name is none of ours.
pub fn remove_reports(dir: &Path, age: Duration, now: Timestamp) {
    let Ok(before) = now.checked_sub(age) else { return };
    let before = before.to_zoned(jiff::tz::TimeZone::UTC).date();
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let date = path.file_name().and_then(|name| report_date(name.to_str()?));
        if date.is_some_and(|date| date < before) {
            match std::fs::remove_file(&path) {
                Ok(()) => log::debug!("removed the old report={}", path.display()),
                Err(error) => log::warn!("cannot remove the old report={}: {error}", path.display()),
            }
        }
    }
}

/// The date in the name of a report, `YYYY-MM-DD-<id>.md`.
fn report_date(name: &str) -> Option<Date> {
    let (date, id) = name.strip_suffix(".md")?.split_at_checked(10)?;
    let id = id.strip_prefix('-')?;
    let plain = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    if plain { date.parse().ok() } else { None }
}

#[cfg(test)]
#[path = "retention_tests.rs"]
mod tests;
