//! Where reports lie: `YYYY-MM-DD-<id>.md` in the data directory, replaced as a whole so that a reader never sees half of one.
//!
//! What a power cut may do: a report is not waited for until it is on the disk, because a heal may wait behind it. That of an
//! incident that has ended is [synced](Reports::sync) as soon as the recorder has nothing better to do. Before that the cut can leave
//! an older one, an empty file or none; at the next start what is empty or missing is [made anew](Reports::retell) from the history,
//! which is synced with each step. In a burst only the newest are synced, and the system writes the others within half a minute.

use std::collections::VecDeque;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use super::history::History;
use super::retold;
use crate::incident::Incident;

/// How many reports wait in memory while there is no room for them, and how many bytes; the oldest gives way.
const WAITING: usize = 1000;
const WAITING_BYTES: usize = 16 * 1024 * 1024;
/// So many reports of incidents that have ended are remembered until they are synced; the oldest gives way.
const UNSYNCED: usize = 1000;
/// How far back a start looks for reports that are missing, and at how many incidents, the newest first.
const RETOLD: Duration = Duration::from_hours(24);
const MOST_RETOLD: u32 = 256;

/// Writes reports, and keeps those that could not be written until they can.
#[derive(Debug)]
pub struct Reports {
    dir: PathBuf,
    waiting: VecDeque<(PathBuf, String)>,
    dropped: u64,
    /// Of incidents that have ended: written, and not yet known to be on the disk.
    unsynced: VecDeque<PathBuf>,
}

impl Reports {
    /// Reports in this directory, which is created (0750) if it is missing.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn new(dir: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o750).create(dir)?;
        Ok(Self { dir: dir.canonicalize()?, waiting: VecDeque::new(), dropped: 0, unsynced: VecDeque::new() })
    }

    /// The directory that they lie in.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Writes a report as it stands now. If there is no room it waits, and a heal never does.
    pub fn write_text(&mut self, path: &Path, text: String) {
        if let Some(error) = self.put(path, text) {
            log::warn!("report={} waits in memory, with all that follow, until there is room: {error}", path.display());
        }
    }

    /// Remembers to [sync](Self::sync) this one: nothing will be added to it.
    pub fn is_final(&mut self, path: &Path) {
        self.unsynced.push_back(path.to_owned());
        if self.unsynced.len() > UNSYNCED {
            self.unsynced.pop_front();
        }
    }

    /// Brings at most `most` reports of incidents that have ended to the disk, so that they survive a power cut; the newest first,
    /// because the system writes the older ones by itself. Answers whether others are left.
    pub fn sync(&mut self, most: usize) -> bool {
        let first = self.unsynced.len().saturating_sub(most);
        let chosen = self.unsynced.split_off(first);
        if !chosen.is_empty() {
            // A report that waits for room is not there yet: it is synced by nobody, and made anew if it comes to that.
            chosen.iter().map(PathBuf::as_path).chain([self.dir.as_path()]).for_each(|path| {
                let synced = File::open(path).and_then(|file| file.sync_all());
                synced.unwrap_or_else(|error| log::debug!("report={} is not synced: {error}", path.display()));
            });
        }
        !self.unsynced.is_empty()
    }

    /// Writes reports of incidents that have ended of late whose file is missing or empty: the agent was killed between the row and
    /// the report, or the power was cut. A few of the newest are looked at.
    pub fn retell(&mut self, history: &History, now: Timestamp) {
        let since = now.saturating_sub(RETOLD).unwrap_or(Timestamp::MIN).as_millisecond();
        let empty =
            |path: &Path| fs::symlink_metadata(path).map_or_else(|error| error.kind() == io::ErrorKind::NotFound, |file| file.len() == 0);
        let missing = |path: &Path| path.parent() == Some(&self.dir) && empty(path);
        match history.ended_since(since, MOST_RETOLD, missing) {
            Ok(found) => found.iter().for_each(|(path, incident)| {
                log::info!("report={} is missing and made anew from the history", path.display());
                self.write_text(path, retold::report(incident));
                self.is_final(path);
            }),
            Err(error) => log::warn!("whether reports are missing cannot be seen: {error}"),
        }
    }

    /// Writes or keeps. The error is that of the first one that waits: the same disk is full for the next.
    fn put(&mut self, path: &Path, text: String) -> Option<io::Error> {
        let was_behind = self.is_behind();
        self.waiting.retain(|(waiting, _)| waiting != path);
        let Err(error) = replace(path, &text) else {
            self.say_when_written(was_behind);
            return None;
        };
        self.waiting.push_back((path.to_owned(), text));
        while self.waiting.len() > WAITING || (self.waiting_bytes() > WAITING_BYTES && self.waiting.len() > 1) {
            self.waiting.pop_front();
            self.dropped += 1;
        }
        (!was_behind).then_some(error)
    }

    fn say_when_written(&self, was_behind: bool) {
        if was_behind && !self.is_behind() {
            log::info!("reports that waited in memory are written dropped={}", self.dropped);
        }
    }

    /// Whether reports wait for room.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// How many reports wait for room.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// How many reports gave way to newer ones while they waited.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn waiting_bytes(&self) -> usize {
        self.waiting.iter().map(|(_, text)| text.len()).sum()
    }

    /// Tries again to write what waits.
    pub fn retry(&mut self) {
        while let Some((path, text)) = self.waiting.front() {
            if replace(path, text).is_err() {
                return;
            }
            self.waiting.pop_front();
            self.say_when_written(true);
        }
    }
}

/// The file of an incident: its name never changes.
#[must_use]
pub fn report_path(dir: &Path, incident: &Incident) -> PathBuf {
    let date = incident.detected.wall.strftime("%Y-%m-%d");
    dir.join(format!("{date}-{}.md", incident.id))
}

/// It is not synced here.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    crate::host::replace(path, &path.with_extension("md.new"), 0o640, text.as_bytes(), false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_takes_the_place_of_the_older_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.md");
        replace(&path, "one").unwrap();
        replace(&path, "two").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn reports_of_ended_incidents_are_synced_the_newest_first() {
        let dir = tempfile::tempdir().unwrap();
        let mut reports = Reports::new(dir.path()).unwrap();
        let paths: Vec<PathBuf> = (0..UNSYNCED + 5).map(|number| reports.dir.join(format!("{number}.md"))).collect();
        reports.write_text(&paths[0], "one".to_owned());
        paths.iter().for_each(|path| reports.is_final(path));
        assert_eq!(reports.unsynced.len(), UNSYNCED, "the oldest give way");
        // One that is not there is no trouble.
        assert!(reports.sync(3));
        assert_eq!(reports.unsynced.back(), Some(&paths[UNSYNCED + 1]));
        assert!(!reports.sync(UNSYNCED) && !reports.sync(1));
    }

    #[test]
    fn that_the_disk_is_full_is_said_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut reports = Reports::new(&dir.path().join("reports")).unwrap();
        let path = reports.dir.join("x.md");
        std::fs::remove_dir(&reports.dir).unwrap();
        assert!(reports.put(&path, "one".to_owned()).is_some());
        assert!(reports.put(&path, "two".to_owned()).is_none(), "the second step of the same incident is no news");
        std::fs::create_dir(&reports.dir).unwrap();
        reports.retry();
        assert!(!reports.is_behind());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two");
    }

    #[test]
    fn a_link_in_the_way_is_not_written_through() {
        let dir = tempfile::tempdir().unwrap();
        let (path, victim) = (dir.path().join("x.md"), dir.path().join("victim"));
        std::fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, path.with_extension("md.new")).unwrap();
        replace(&path, "report").unwrap();
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "report");
    }
}
