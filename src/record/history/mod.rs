//! The history: a SQLite database in the data directory that one agent writes and everybody may [read](read::Reader).

mod open;
pub mod read;
pub mod retention;
mod rows;
pub mod samples;
mod schema;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior, params};
use serde_json::Value;

pub use open::{FILE, OpenError};
pub use rows::{ApprovalRow, Entry, IncidentRow, NotificationRow, Restored, SilenceRow, StepRow};

/// The database, open for writing.
#[derive(Debug)]
pub struct History {
    dir: PathBuf,
    connection: Connection,
    device: u64,
    inode: u64,
}

/// An open history.
#[derive(Debug)]
pub struct Opened {
    /// The history.
    pub history: History,
    /// Where a damaged one lies now, in whose place this one was begun.
    pub set_aside: Option<PathBuf>,
    /// There was none: what an earlier one held is not in it.
    pub is_new: bool,
}

/// Why nothing of a write was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteError {
    /// The disk is full, or somebody holds the database for too long: try again later.
    Full(String),
    /// It cannot be written, and what this connection believes is on the disk may not be there (a failed `fsync` says so only
    /// once). Drop it, and [open](History::open) the history anew.
    Lost(String),
    /// What is on the disk makes no sense: [`History::renew`].
    Damaged(String),
}

impl std::error::Error for WriteError {}

impl std::fmt::Display for WriteError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Full(reason) | Self::Lost(reason) | Self::Damaged(reason)) = self;
        out.write_str(reason)
    }
}

impl From<rusqlite::Error> for WriteError {
    fn from(error: rusqlite::Error) -> Self {
        let reason = format!("{}: {error}", open::FILE);
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Full(reason),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged(reason),
            _ => Self::Lost(reason),
        }
    }
}

/// Everything that is written; a database whose tables these do not fit is a damaged one.
const STATEMENTS: &[&str] =
    &[FORGET_INCIDENT, INCIDENT, STEP, APPROVAL, FACT, FORGET_FACT, SILENCE, NOTIFICATION, samples::SERIES, samples::SAMPLE];
/// Takes steps and approval with it.
const FORGET_INCIDENT: &str = "DELETE FROM incidents WHERE id = ?1";
const INCIDENT: &str = "INSERT INTO incidents (id, playbook, target, severity, status, source, labels, detected_at, started_at, \
    ended_at, live, dry_run, acted, relapsed, interrupted, attempt, time_to_detect, time_to_recover, report, view, state) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21)";
const STEP: &str = "INSERT OR REPLACE INTO steps (incident, place, kind, description, command, status, reason, exit_code, started_at, \
    duration) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
const APPROVAL: &str = "INSERT INTO approvals (incident, state, by, origin, at, deadline, reason) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
const RELAPSED: &str = "UPDATE incidents SET relapsed = 1 WHERE id = ?1";
const FACT: &str = "INSERT OR REPLACE INTO facts (key, text) VALUES (?1, ?2)";
const FORGET_FACT: &str = "DELETE FROM facts WHERE key = ?1";
const SILENCE: &str = "INSERT OR REPLACE INTO silences (id, playbook, labels, from_at, until_at, reason, by, expired) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
const NOTIFICATION: &str = "INSERT OR REPLACE INTO notifications (id, incident, event, at, channel, text, delivered_at) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";

impl History {
    /// Writes all entries or none, and returns once they would survive a power cut.
    ///
    /// # Errors
    /// When nothing was written; the error says what may help.
    pub fn write(&mut self, entries: &[Entry]) -> Result<(), WriteError> {
        self.transaction(|transaction| entries.iter().try_for_each(|entry| put(transaction, entry)))
    }

    /// What a restart begins with.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn restore(&self) -> Result<Restored, WriteError> {
        Ok(read::restore(&self.connection)?)
    }

    /// The newest `most` incidents that have ended at `since` (milliseconds since the epoch) or later, by the path of their report:
    /// the JSON (contract C2) of those whose report is `wanted`.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn ended_since(&self, since: i64, most: u32, wanted: impl Fn(&Path) -> bool) -> Result<Vec<(PathBuf, Value)>, WriteError> {
        Ok(read::ended_since(&self.connection, since, most, wanted)?)
    }

    fn transaction<T>(&mut self, body: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>) -> Result<T, WriteError> {
        self.still_there()?;
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let done = body(&transaction)?;
        transaction.commit()?;
        Ok(done)
    }

    /// SQLite would go on writing to a file that was removed, and nobody would ever see it again.
    fn still_there(&self) -> Result<(), WriteError> {
        let same = |facts: fs::Metadata| (facts.dev(), facts.ino()) == (self.device, self.inode);
        match fs::symlink_metadata(self.dir.join(open::FILE)).map(same) {
            Ok(true) => Ok(()),
            Ok(false) => Err(WriteError::Lost(format!("{} was replaced", open::FILE))),
            Err(error) => Err(WriteError::Lost(format!("{}: {error}", open::FILE))),
        }
    }

    /// Lets the database grow to this many pages and no further: a full disk for tests.
    #[cfg(test)]
    pub(crate) fn limit_pages(&self, pages: u32) {
        self.connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(())).unwrap();
    }
}

fn put(transaction: &Transaction<'_>, entry: &Entry) -> rusqlite::Result<()> {
    match entry {
        Entry::Incident(row) => put_incident(transaction, row)?,
        Entry::Fact { key, text: Some(text) } => {
            transaction.execute(FACT, params![key, text])?;
        }
        Entry::Fact { key, text: None } => {
            transaction.execute(FORGET_FACT, [key])?;
        }
        Entry::Relapsed(id) => {
            transaction.execute(RELAPSED, [id])?;
        }
        Entry::Silence(row) => {
            let values = params![row.id, row.playbook, row.labels, row.from_at, row.until_at, row.reason, row.by, row.expired];
            transaction.execute(SILENCE, values)?;
        }
        Entry::Notification(row) => {
            let values = params![row.id, row.incident, row.event, row.at, row.channel, row.text, row.delivered_at];
            transaction.execute(NOTIFICATION, values)?;
        }
    }
    Ok(())
}

fn put_incident(transaction: &Transaction<'_>, row: &IncidentRow) -> rusqlite::Result<()> {
    transaction.execute(FORGET_INCIDENT, [&row.id])?;
    transaction.execute(
        INCIDENT,
        params![
            row.id,
            row.playbook,
            row.target,
            row.severity,
            row.status,
            row.source,
            row.labels,
            row.detected_at,
            row.started_at,
            row.ended_at,
            row.live,
            row.dry_run,
            row.acted,
            row.relapsed,
            row.interrupted,
            row.attempt,
            // SQLite takes what is no number for NULL, which the column refuses.
            if row.time_to_detect.is_nan() { 0.0 } else { row.time_to_detect },
            row.time_to_recover,
            row.report,
            row.view,
            row.state,
        ],
    )?;
    for step in &row.steps {
        transaction.execute(
            STEP,
            params![
                row.id,
                step.index,
                step.kind,
                step.description,
                step.command,
                step.status,
                step.reason,
                step.exit_code,
                step.started_at,
                step.duration
            ],
        )?;
    }
    if let Some(approval) = &row.approval {
        let a = approval;
        transaction.execute(APPROVAL, params![row.id, a.state, a.by, a.from, a.at, a.deadline, a.reason])?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
