//! Opening the database: never through a link, never a newer one, and a damaged one is set aside.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::{History, Opened, schema};

/// The name of the database in the data directory.
pub const FILE: &str = "history.db";
/// What SQLite keeps beside it.
const SIDES: [&str; 3] = ["", "-wal", "-shm"];
/// Readers do not block the writer, so this is for a backup or a curious person at most.
const BUSY: Duration = Duration::from_millis(500);

/// Why there is no history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// A newer program wrote it: this one must not start.
    Newer {
        /// The version of the database.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// Something else has its name: this program must not start.
    Foreign(String),
    /// It cannot be written for now; another try may succeed.
    NoRoom(String),
}

impl std::error::Error for OpenError {}

impl std::fmt::Display for OpenError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Newer { found, known } => write!(
                out,
                "{FILE} is of version {found}, and this autoheal knows versions up to {known}: install the newer autoheal again, or move {FILE} away"
            ),
            Self::Foreign(reason) | Self::NoRoom(reason) => out.write_str(reason),
        }
    }
}

/// Why an attempt to open came to nothing.
enum Trouble {
    Final(OpenError),
    Damaged(String),
}

impl From<OpenError> for Trouble {
    fn from(error: OpenError) -> Self {
        Self::Final(error)
    }
}

/// What fails while a database is opened is for want of room, or it is damaged: a statement that does not fit its tables included.
impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown) => Self::Damaged(error.to_string()),
            _ => Self::Final(OpenError::NoRoom(format!("{FILE}: {error}"))),
        }
    }
}

impl History {
    /// Opens the history of a data directory, or begins one. `now` names what is set aside.
    ///
    /// # Errors
    /// When it is a newer program's, when something else is in its place, and when there is no room for it.
    pub fn open(dir: &Path, now: Timestamp) -> Result<Opened, OpenError> {
        match attempt(dir) {
            Ok((history, is_new)) => Ok(Opened { history, set_aside: None, is_new }),
            Err(Trouble::Final(error)) => Err(error),
            Err(Trouble::Damaged(reason)) => begin_anew(dir, &reason, now),
        }
    }

    /// Sets the database aside, because a write found it damaged, and begins a new one.
    ///
    /// # Errors
    /// When there is no room for that.
    pub fn renew(self, reason: &str, now: Timestamp) -> Result<Opened, OpenError> {
        let dir = self.dir.clone();
        drop(self);
        begin_anew(&dir, reason, now)
    }
}

/// The history, and whether there was none.
fn attempt(dir: &Path) -> Result<(History, bool), Trouble> {
    let no_room = |error: io::Error| OpenError::NoRoom(format!("{}: {error}", dir.join(FILE).display()));
    // SQLite refuses links in every part of the path; those above the data directory are the administrator's.
    let dir = dir.canonicalize().map_err(no_room)?;
    for side in SIDES {
        refuse_foreign(&beside(&dir, side))?;
    }
    let path = dir.join(FILE);
    let (device, inode) = create(&path).map_err(no_room)?;
    let unclean = fs::metadata(beside(&dir, "-wal")).is_ok_and(|wal| wal.len() > 0);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NOFOLLOW | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(&path, flags)?;
    let is_new = prepare(&mut connection, unclean)?;
    Ok((History { dir, connection, device, inode }, is_new))
}

/// Refuses what is not a file with this one name: in a directory that somebody else can write to, it could be anybody's.
fn refuse_foreign(path: &Path) -> Result<(), OpenError> {
    match fs::symlink_metadata(path) {
        Ok(facts) if !facts.is_file() || facts.nlink() != 1 => {
            Err(OpenError::Foreign(format!("{} is no file of its own: remove it", path.display())))
        }
        _ => Ok(()),
    }
}

/// Makes the file if it is missing, because SQLite would let everybody read it. Answers which file it is.
fn create(path: &Path) -> io::Result<(u64, u64)> {
    let flags = nix::fcntl::OFlag::O_NOFOLLOW.bits();
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o640).custom_flags(flags).open(path)?;
    let facts = file.metadata()?;
    Ok((facts.dev(), facts.ino()))
}

/// Answers whether the database has no tables yet; then it gets them.
fn prepare(connection: &mut Connection, unclean: bool) -> Result<bool, Trouble> {
    connection.busy_timeout(BUSY)?;
    connection.execute_batch(
        "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA foreign_keys = ON; PRAGMA cache_size = -256; PRAGMA mmap_size = 0;",
    )?;
    let (found, known) = (schema::version(connection)?, schema::known());
    if found > known {
        return Err(OpenError::Newer { found, known }.into());
    }
    // The log is emptied after 64 pages, so that it stays small beside a small database on a small disk.
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 1048576; PRAGMA wal_autocheckpoint = 64;",
    )?;
    if unclean {
        let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if verdict != "ok" {
            return Err(Trouble::Damaged(verdict));
        }
    }
    schema::migrate(connection, schema::STEPS)?;
    for statement in super::STATEMENTS {
        connection.prepare(statement)?;
    }
    Ok(found == 0)
}

fn begin_anew(dir: &Path, reason: &str, now: Timestamp) -> Result<Opened, OpenError> {
    let set_aside = set_aside(dir, now).map_err(|error| OpenError::NoRoom(format!("cannot set the damaged {FILE} aside: {error}")))?;
    log::error!("{FILE} is damaged ({reason}): it is now {}, and a new one is begun", set_aside.display());
    match attempt(dir) {
        Ok((history, is_new)) => Ok(Opened { history, set_aside: Some(set_aside), is_new }),
        Err(Trouble::Final(error)) => Err(error),
        Err(Trouble::Damaged(reason)) => Err(OpenError::NoRoom(format!("a new {FILE} is damaged at once: {reason}"))),
    }
}

/// Renames the database, and what belongs to it so that SQLite still finds it there.
fn set_aside(dir: &Path, now: Timestamp) -> io::Result<PathBuf> {
    let name = format!("{FILE}.damaged-{}", now.strftime("%Y%m%dT%H%M%SZ"));
    for side in SIDES.iter().rev() {
        match fs::rename(beside(dir, side), dir.join(format!("{name}{side}"))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(dir.join(name))
}

fn beside(dir: &Path, side: &str) -> PathBuf {
    dir.join(format!("{FILE}{side}"))
}
