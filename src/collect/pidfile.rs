//! Pid files: which process they name, read again only when they changed.

use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use super::reason;
use crate::clock::Moment;

/// Longer is no process id.
const BYTES: u64 = 64;

/// A file that was changed less than this before it was read may have been changed again in the same tick of the file system's clock.
const SETTLED: Duration = Duration::from_secs(2);

/// A pid file, and what it said last.
#[derive(Debug)]
pub(crate) struct Pidfile {
    path: PathBuf,
    known: Option<(Version, u32)>,
}

/// Differs when somebody has written to the file or put another in its place.
#[derive(Debug, PartialEq, Eq)]
struct Version {
    file: (u64, u64),
    bytes: u64,
    changed: (i64, i64),
}

impl Version {
    fn of(meta: &Metadata) -> Self {
        Self { file: (meta.dev(), meta.ino()), bytes: meta.len(), changed: (meta.ctime(), meta.ctime_nsec()) }
    }

    /// Whether every later change will show.
    fn is_settled(&self, now: Moment) -> bool {
        let changed = Timestamp::new(self.changed.0, i32::try_from(self.changed.1).unwrap_or(0)).unwrap_or(Timestamp::MAX);
        now.wall.duration_since(changed) >= SETTLED.try_into().unwrap_or(jiff::SignedDuration::MAX)
    }
}

impl Pidfile {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, known: None }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The process id in the file; `None` if there is no file.
    ///
    /// # Errors
    /// Why it cannot be known; the message names the file.
    pub(crate) fn read(&mut self) -> Result<Option<u32>, String> {
        let meta = match fs::metadata(&self.path) {
            Ok(meta) if !meta.is_file() => return Err(self.bad("is not a regular file")),
            Ok(meta) if meta.len() > BYTES => return Err(self.bad("is too long for a process id")),
            Ok(meta) => meta,
            Err(error) => return self.failed(&error),
        };
        let version = Version::of(&meta);
        if let Some((known, pid)) = &self.known
            && *known == version
        {
            return Ok(Some(*pid));
        }
        self.known = None;
        let now = Moment::now();
        let text = match self.text() {
            Ok(text) => text,
            Err(error) => return self.failed(&error),
        };
        match text.trim().parse() {
            Ok(0) | Err(_) => Err(self.bad("holds no process id")),
            Ok(pid) => {
                self.known = version.is_settled(now).then_some((version, pid));
                Ok(Some(pid))
            }
        }
    }

    fn text(&self) -> io::Result<String> {
        let mut text = String::new();
        // Whatever is in its place by now must not hold us up.
        let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
        File::options().read(true).custom_flags(flags).open(&self.path)?.take(BYTES).read_to_string(&mut text)?;
        Ok(text)
    }

    fn failed(&self, error: &io::Error) -> Result<Option<u32>, String> {
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => Ok(None),
            _ => Err(self.bad(&format!("cannot be read: {}", reason::plain(error)))),
        }
    }

    fn bad(&self, what: &str) -> String {
        format!("{} {what}", self.path.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_file_is_read_again_when_it_changed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("web.pid");
        let mut pidfile = Pidfile::new(path.clone());
        assert_eq!(pidfile.read(), Ok(None));
        for pid in [7, 8, 9] {
            fs::write(&path, format!("{pid}\n")).unwrap();
            assert_eq!(pidfile.read(), Ok(Some(pid)), "a file of the same length, written just now");
            assert!(pidfile.known.is_none());
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(pidfile.read(), Ok(None));
    }

    #[test]
    fn a_file_that_has_been_left_alone_is_known() {
        // Nobody writes to it, and it is small; what it says does not matter.
        let meta = fs::metadata("/etc/hostname").unwrap();
        let version = Version::of(&meta);
        let changed = Moment { wall: Timestamp::new(meta.ctime(), 0).unwrap(), ..Moment::now() };
        assert!(!version.is_settled(changed.after(Duration::from_secs(1))));
        assert!(version.is_settled(changed.after(Duration::from_secs(4))));
        assert!(!version.is_settled(changed.before(Duration::from_secs(60))), "the clock was set back");
    }
}
