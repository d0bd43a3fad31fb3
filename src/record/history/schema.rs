//! The tables, and how an older database gets them. `user_version` counts the steps that were taken.

use rusqlite::{Connection, TransactionBehavior};

/// One step for each version. A step that was released never changes: what changes is a further step.
pub(super) const STEPS: &[&str] = &[FIRST];

const FIRST: &str = "
CREATE TABLE incidents (
    id TEXT PRIMARY KEY NOT NULL, playbook TEXT NOT NULL, target TEXT NOT NULL, severity TEXT NOT NULL, status TEXT NOT NULL,
    source TEXT NOT NULL, labels TEXT NOT NULL, detected_at INTEGER NOT NULL, started_at INTEGER NOT NULL, ended_at INTEGER,
    live INTEGER NOT NULL, dry_run INTEGER NOT NULL, acted INTEGER NOT NULL, relapsed INTEGER NOT NULL,
    interrupted INTEGER NOT NULL, attempt INTEGER NOT NULL, time_to_detect REAL NOT NULL, time_to_recover REAL,
    report TEXT NOT NULL, view TEXT NOT NULL, state TEXT
) STRICT;
CREATE INDEX incidents_by_time ON incidents (detected_at);
CREATE INDEX incidents_by_playbook ON incidents (playbook, detected_at);
CREATE INDEX incidents_by_end ON incidents (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX incidents_live ON incidents (detected_at) WHERE live;
CREATE TABLE steps (
    incident TEXT NOT NULL REFERENCES incidents ON DELETE CASCADE, place INTEGER NOT NULL, kind TEXT NOT NULL,
    description TEXT NOT NULL, command TEXT NOT NULL, status TEXT NOT NULL, reason TEXT, exit_code INTEGER, started_at INTEGER,
    duration REAL, PRIMARY KEY (incident, place)
) STRICT, WITHOUT ROWID;
CREATE TABLE approvals (
    incident TEXT PRIMARY KEY NOT NULL REFERENCES incidents ON DELETE CASCADE, state TEXT NOT NULL, by TEXT, origin TEXT,
    at INTEGER NOT NULL, deadline INTEGER NOT NULL, reason TEXT
) STRICT, WITHOUT ROWID;
CREATE TABLE facts (key TEXT PRIMARY KEY NOT NULL, text TEXT NOT NULL) STRICT;
CREATE TABLE silences (
    id TEXT PRIMARY KEY NOT NULL, playbook TEXT, labels TEXT NOT NULL, from_at INTEGER NOT NULL, until_at INTEGER NOT NULL,
    reason TEXT, by TEXT, expired INTEGER NOT NULL
) STRICT;
CREATE TABLE notifications (
    id TEXT PRIMARY KEY NOT NULL, incident TEXT, event TEXT NOT NULL, at INTEGER NOT NULL, channel TEXT NOT NULL,
    text TEXT NOT NULL, delivered_at INTEGER
) STRICT;
CREATE INDEX notifications_by_time ON notifications (at);
CREATE TABLE series (id INTEGER PRIMARY KEY, metric TEXT NOT NULL, labels TEXT NOT NULL, UNIQUE (metric, labels)) STRICT;
CREATE TABLE samples (
    series INTEGER NOT NULL REFERENCES series ON DELETE CASCADE, at INTEGER NOT NULL, span INTEGER NOT NULL, last REAL, min REAL,
    max REAL, text TEXT, PRIMARY KEY (series, at, span)
) STRICT, WITHOUT ROWID;
";

/// How many steps a database has behind it.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// How many steps this program knows.
pub(super) fn known() -> i64 {
    i64::try_from(STEPS.len()).unwrap_or(i64::MAX)
}

/// Takes the missing steps. Each is one transaction, together with its number: a power cut leaves a whole version.
pub(super) fn migrate(connection: &mut Connection, steps: &[&str]) -> rusqlite::Result<()> {
    let done = usize::try_from(version(connection)?).unwrap_or(0);
    for (index, step) in steps.iter().enumerate().skip(done) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", i64::try_from(index + 1).unwrap_or(i64::MAX))?;
        transaction.commit()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_fails_leaves_the_version_before_it() {
        let mut connection = Connection::open_in_memory().unwrap();
        assert!(migrate(&mut connection, &["CREATE TABLE a (x)", "CREATE TABLE b (x); CREATE TABLE a (x)"]).is_err());
        assert_eq!(version(&connection).unwrap(), 1);
        assert!(connection.prepare("SELECT x FROM b").is_err(), "half a step was kept");
        migrate(&mut connection, &["never run again", "CREATE TABLE c (x)"]).unwrap();
        assert_eq!(version(&connection).unwrap(), 2);
        connection.prepare("SELECT a.x FROM a, c").unwrap();
    }

    #[test]
    fn the_shipped_steps_make_a_database() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, STEPS).unwrap();
        assert_eq!(version(&connection).unwrap(), known());
    }
}
