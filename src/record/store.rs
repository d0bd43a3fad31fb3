//! Where reports lie: `YYYY-MM-DD-<id>.md` in the data directory, replaced as a whole so that a reader never sees half of one.

use std::collections::VecDeque;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::report;
use crate::incident::Incident;

/// How many reports wait in memory while there is no room for them; the oldest gives way.
const WAITING: usize = 1000;

/// Writes reports, and keeps those that could not be written until they can.
#[derive(Debug)]
pub struct Reports {
    dir: PathBuf,
    waiting: VecDeque<(PathBuf, String)>,
}

impl Reports {
    /// Reports in this directory, which is created (0750) if it is missing.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn new(dir: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o750).create(dir)?;
        Ok(Self { dir: dir.canonicalize()?, waiting: VecDeque::new() })
    }

    /// The file of an incident: its name never changes.
    #[must_use]
    pub fn path(&self, incident: &Incident) -> PathBuf {
        let date = incident.detected.wall.strftime("%Y-%m-%d");
        self.dir.join(format!("{date}-{}.md", incident.id))
    }

    /// Writes the report as it stands now. If there is no room it waits, and a heal never does.
    pub fn write(&mut self, incident: &Incident) {
        let path = self.path(incident);
        let text = report::render(incident);
        self.waiting.retain(|(waiting, _)| *waiting != path);
        if let Err(error) = replace(&path, &text) {
            if self.waiting.is_empty() {
                log::warn!("report={} waits in memory reason={error}", path.display());
            }
            self.waiting.push_back((path, text));
            if self.waiting.len() > WAITING {
                self.waiting.pop_front();
            }
        }
    }

    /// Whether reports wait for room.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Tries again to write what waits.
    pub fn retry(&mut self) {
        while let Some((path, text)) = self.waiting.front() {
            if replace(path, text).is_err() {
                return;
            }
            self.waiting.pop_front();
            if self.waiting.is_empty() {
                log::info!("reports that waited in memory are written");
            }
        }
    }
}

/// Writes beside the file, then takes its place.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let temporary = path.with_extension("md.new");
    // A leftover of a crash, or a link that somebody laid there: never written through.
    let _ = std::fs::remove_file(&temporary);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o640)
        .open(&temporary)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written
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
