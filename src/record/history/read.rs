//! Reading the history, in this process or another, whether an agent runs or not.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};
use serde_json::Value;

use super::open::FILE;
use super::{Restored, SilenceRow, schema};
use crate::record::json::to_the_millisecond;

/// What an incident has and its summary has not (contract C2).
const NOT_IN_SUMMARY: [&str; 6] = ["trigger", "initial", "actions", "verification", "approval", "timeline"];
/// So many ids are named when a prefix fits several.
const NAMED: u32 = 20;
/// What [`overlaid`] needs. An incident's row changes after its JSON was made: when trouble comes back, and at a crash.
const OVERLAY: &str = "id, view, status, relapsed, interrupted, ended_at";

/// Reads the history of a data directory and changes nothing.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
}

/// Which incidents are wanted.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only those that go on.
    pub open: bool,
    /// Only of this playbook.
    pub playbook: Option<String>,
    /// Only those detected then (milliseconds since the epoch) or later.
    pub since: Option<i64>,
    /// Only so many, the newest.
    pub limit: Option<u32>,
}

/// What the beginning of an id leads to.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// The JSON of contract C2, `Incident`.
    One(Value),
    /// No incident begins so.
    None,
    /// The ids that begin so; of very many the first ones.
    Several(Vec<String>),
}

/// What statistics are made of.
#[derive(Clone, Debug, PartialEq)]
pub struct StatRow {
    /// The incident's name.
    pub id: String,
    /// Its playbook.
    pub playbook: String,
    /// The identity of its target.
    pub target: String,
    /// The word of the contract.
    pub status: String,
    /// When it was opened, in milliseconds since the epoch.
    pub detected_at: i64,
    /// When it ended, in milliseconds since the epoch.
    pub ended_at: Option<i64>,
    /// Whether an action has started.
    pub acted: bool,
    /// Nothing was to be executed.
    pub dry_run: bool,
    /// The trouble came back soon after.
    pub relapsed: bool,
    /// The agent ended while it was acting.
    pub interrupted: bool,
    /// Seconds from the first bad sample to the incident.
    pub time_to_detect: f64,
    /// Seconds from the first bad sample to the proof.
    pub time_to_recover: Option<f64>,
}

impl Reader {
    /// Opens the history of a data directory; `None` if there is none yet.
    ///
    /// # Errors
    /// When there is one that cannot be read, in words.
    pub fn open(dir: &Path) -> Result<Option<Self>, String> {
        let cannot = |error: &dyn std::fmt::Display| format!("{}: {error}", dir.join(FILE).display());
        // SQLite refuses links in every part of the path; those above the data directory are the administrator's.
        let path = match dir.canonicalize() {
            Ok(dir) => dir.join(FILE),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(cannot(&error)),
        };
        match path.symlink_metadata() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(cannot(&error)),
            Ok(_) => {}
        }
        let (connection, version) = connect(&path).map_err(|error| cannot(&error))?;
        match version {
            // The agent is about to begin it.
            0 => Ok(None),
            found if found > schema::known() => Err(super::OpenError::Newer { found, known: schema::known() }.to_string()),
            _ => Ok(Some(Self { connection })),
        }
    }

    /// Incidents as summaries (contract C2), newest first.
    ///
    /// # Errors
    /// When they cannot be read, in words.
    pub fn incidents(&self, filter: &Filter) -> Result<Vec<Value>, String> {
        let sql = format!(
            "SELECT {OVERLAY} FROM incidents WHERE (NOT ?1 OR live) AND (?2 IS NULL OR playbook = ?2) \
             AND (?3 IS NULL OR detected_at >= ?3) ORDER BY detected_at DESC, id LIMIT ?4"
        );
        let limit = filter.limit.map_or(-1, i64::from);
        let mut incidents = self.all(&sql, params![filter.open, filter.playbook, filter.since, limit], overlaid)?;
        for summary in incidents.iter_mut().filter_map(Value::as_object_mut) {
            NOT_IN_SUMMARY.iter().for_each(|key| drop(summary.remove(*key)));
        }
        Ok(incidents)
    }

    /// The incident whose id begins with `prefix`.
    ///
    /// # Errors
    /// When it cannot be read, in words.
    pub fn incident(&self, prefix: &str) -> Result<Found, String> {
        let ids: Vec<String> = self.all(
            "SELECT id FROM incidents WHERE substr(id, 1, length(?1)) = ?1 ORDER BY id LIMIT ?2",
            params![prefix, NAMED],
            |row| row.get(0),
        )?;
        let id = match ids.as_slice() {
            [] => return Ok(Found::None),
            [id] => id,
            // A whole id is meant, even if another one begins with it; it is the first in the order.
            [id, ..] if id == prefix => id,
            _ => return Ok(Found::Several(ids)),
        };
        let sql = format!("SELECT {OVERLAY} FROM incidents WHERE id = ?1");
        let found = self.connection.query_row(&sql, [id], overlaid).optional().map_err(in_words)?;
        Ok(found.map_or(Found::None, Found::One))
    }

    /// What statistics are made of, oldest first; with `since` (milliseconds since the epoch), of those detected then or later.
    ///
    /// # Errors
    /// When it cannot be read, in words.
    pub fn rows(&self, since: Option<i64>) -> Result<Vec<StatRow>, String> {
        let sql = "SELECT id, playbook, target, status, detected_at, ended_at, acted, dry_run, relapsed, interrupted, time_to_detect, \
                   time_to_recover FROM incidents WHERE ?1 IS NULL OR detected_at >= ?1 ORDER BY detected_at, id";
        self.all(sql, params![since], |row| {
            Ok(StatRow {
                id: row.get(0)?,
                playbook: row.get(1)?,
                target: row.get(2)?,
                status: row.get(3)?,
                detected_at: row.get(4)?,
                ended_at: row.get(5)?,
                acted: row.get(6)?,
                dry_run: row.get(7)?,
                relapsed: row.get(8)?,
                interrupted: row.get(9)?,
                time_to_detect: row.get(10)?,
                time_to_recover: row.get(11)?,
            })
        })
    }

    /// The silences that are not over at `now` (milliseconds since the epoch), the one that ends first at the top.
    ///
    /// # Errors
    /// When they cannot be read, in words.
    pub fn silences(&self, now: i64) -> Result<Vec<SilenceRow>, String> {
        silences(&self.connection, now).map_err(in_words)
    }

    /// What a restart begins with, for an agent that may read but not write.
    ///
    /// # Errors
    /// When it cannot be read, in words.
    pub fn restore(&self) -> Result<Restored, String> {
        restore(&self.connection).map_err(in_words)
    }

    fn all<T>(
        &self,
        sql: &str,
        values: impl rusqlite::Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, String> {
        let read_all = || self.connection.prepare(sql)?.query_map(values, read)?.collect::<rusqlite::Result<_>>();
        read_all().map_err(in_words)
    }
}

fn in_words(error: rusqlite::Error) -> String {
    format!("{FILE}: {error}")
}

/// Opens read-only. If the directory lets SQLite not make what it needs beside the database, and nobody else has made it, the
/// database is read as one that does not change.
fn connect(path: &Path) -> rusqlite::Result<(Connection, i64)> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NOFOLLOW | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let first = Connection::open_with_flags(path, flags).and_then(looked_at);
    let Err(error) = first else { return first };
    let still = immutable_uri(path).map(|uri| Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_URI).and_then(looked_at));
    match still {
        Some(Ok(found)) if !has_log(path) => Ok(found),
        _ => Err(error),
    }
}

/// Whether the newest of the database lies beside it, where an unchanging one is not looked for.
fn has_log(path: &Path) -> bool {
    path.with_extension("db-wal").metadata().is_ok_and(|log| log.len() > 0)
}

fn looked_at(connection: Connection) -> rusqlite::Result<(Connection, i64)> {
    connection.busy_timeout(Duration::from_secs(2))?;
    connection.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA cache_size = -256; PRAGMA mmap_size = 0;")?;
    let version = schema::version(&connection)?;
    Ok((connection, version))
}

/// The path as SQLite's URI wants it; `None` if it is not UTF-8.
fn immutable_uri(path: &Path) -> Option<String> {
    let path = path.to_str()?.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    Some(format!("file:{path}?immutable=1"))
}

/// The incident's JSON with what the row knows better.
fn overlaid(row: &Row<'_>) -> rusqlite::Result<Value> {
    let (id, text): (String, String) = (row.get(0)?, row.get(1)?);
    let mut view: Value = serde_json::from_str(&text).unwrap_or_default();
    if !view.is_object() {
        log::warn!("the history has no readable incident={id}");
        view = Value::Object(serde_json::Map::new());
    }
    let ended: Option<i64> = row.get(5)?;
    let ended = ended.and_then(|at| Timestamp::from_millisecond(at).ok()).map(to_the_millisecond);
    view["id"] = id.into();
    view["status"] = row.get::<_, String>(2)?.into();
    view["relapsed"] = row.get::<_, bool>(3)?.into();
    view["interrupted"] = row.get::<_, bool>(4)?.into();
    view["ended_at"] = ended.into();
    Ok(view)
}

/// What [`super::History::ended_since`] gives. Only what is wanted is taken into memory.
pub(super) fn ended_since(
    connection: &Connection,
    since: i64,
    most: u32,
    wanted: impl Fn(&Path) -> bool,
) -> rusqlite::Result<Vec<(PathBuf, Value)>> {
    let sql = format!("SELECT {OVERLAY}, report FROM incidents WHERE ended_at >= ?1 AND NOT live ORDER BY ended_at DESC, id LIMIT ?2");
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query(params![since, most])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let report = PathBuf::from(row.get::<_, String>(6)?);
        if wanted(&report) {
            found.push((report, overlaid(row)?));
        }
    }
    Ok(found)
}

/// What a restart begins with.
pub(super) fn restore(connection: &Connection) -> rusqlite::Result<Restored> {
    let pair = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let pairs = |sql: &str| -> rusqlite::Result<Vec<(String, String)>> { connection.prepare(sql)?.query_map([], pair)?.collect() };
    Ok(Restored {
        incidents: pairs("SELECT id, state FROM incidents WHERE live AND state IS NOT NULL ORDER BY detected_at, id")?,
        facts: pairs("SELECT key, text FROM facts ORDER BY key")?,
        silences: silences(connection, i64::MIN)?,
    })
}

fn silences(connection: &Connection, now: i64) -> rusqlite::Result<Vec<SilenceRow>> {
    let sql = "SELECT id, playbook, labels, from_at, until_at, reason, by, expired FROM silences WHERE NOT expired AND until_at > ?1 \
               ORDER BY until_at, id";
    let read = |row: &Row<'_>| {
        Ok(SilenceRow {
            id: row.get(0)?,
            playbook: row.get(1)?,
            labels: row.get(2)?,
            from_at: row.get(3)?,
            until_at: row.get(4)?,
            reason: row.get(5)?,
            by: row.get(6)?,
            expired: row.get(7)?,
        })
    };
    connection.prepare(sql)?.query_map([now], read)?.collect()
}
