//! `delete_files`: deletes old files below a directory, by directory descriptors. It follows no link, does not leave the
//! directory's file system, and removes regular files only; directories stay.

use std::ffi::{CStr, OsStr};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use globset::{GlobBuilder, GlobMatcher};
use rustix::fs::{AtFlags, Dir, FileType, Stat};
use rustix::io::Errno;

use super::{ended_early, mebibytes};
use crate::clock::Moment;
use crate::heal::outcome::Limit;
use crate::heal::places::{LIST, Mounts, file_type, look, open_below, open_directory};

/// How deep it looks, and so how many directories are open at once.
const DEEPEST: usize = 64;

/// Which files are deleted: those that all the given tests mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Selection<'a> {
    /// Files whose content did not change for longer than this (`mtime`, as `find` goes by).
    pub older_than: Option<Duration>,
    /// Files whose whole name matches this glob; a leading dot needs no dot in the pattern, as with `find -name`.
    pub name: Option<&'a str>,
    /// Files over this many bytes.
    pub larger_than: Option<u64>,
    /// No more than this many bytes are freed; a file that would pass it is left.
    pub max_delete: Option<u64>,
}

/// Deletes the selected files below `directory`; says how many they were and what that freed. None at all is a success.
///
/// # Errors
/// The directory cannot be opened without following a link, the selection names neither an age nor a name, nothing that is
/// selected can be deleted, or the limit was reached: then with what was done until then.
pub fn run(directory: &Path, selection: &Selection<'_>, now: Moment, limit: &Limit) -> Result<String, String> {
    let mut sweep = Sweep::new(selection, now)?;
    let top = open_directory(directory)?;
    let broken = |error: Errno| format!("{}: {error}", directory.display());
    let mut open = vec![Dir::new(top).map_err(broken)?];
    sweep.device = device(&open[0].stat().map_err(broken)?);
    while let Some(dir) = open.last_mut() {
        if limit.is_over() {
            return Err(format!("stopped, because {}; until then {}", ended_early(limit), sweep.said()));
        }
        match dir.read() {
            None => drop(open.pop()),
            Some(Err(error)) => {
                sweep.failed(OsStr::new("a directory"), error);
                open.pop();
            }
            Some(Ok(entry)) => {
                let below = dir.fd().ok().and_then(|here| sweep.entry(here, entry.file_name(), entry.file_type()));
                if let Some(below) = below {
                    if open.len() < DEEPEST { open.push(below) } else { sweep.too_deep += 1 }
                }
            }
        }
    }
    match (&sweep.first_failure, sweep.files) {
        (Some(failure), 0) => Err(format!("{}: nothing was deleted, {} failed; the first: {failure}", directory.display(), sweep.failures)),
        _ => Ok(sweep.said()),
    }
}

/// What is looked for, and what was done.
struct Sweep {
    oldest_kept: Option<i128>,
    name: Option<GlobMatcher>,
    larger_than: u64,
    room: u64,
    device: i128,
    files: u64,
    freed: u64,
    over_limit: u64,
    elsewhere: u64,
    too_deep: u64,
    failures: u64,
    first_failure: Option<String>,
}

impl Sweep {
    fn new(selection: &Selection<'_>, now: Moment) -> Result<Self, String> {
        if selection.older_than.is_none() && selection.name.is_none() {
            return Err("neither older_than_days nor name is given: that would delete every file".to_owned());
        }
        let name = selection.name.map(|name| {
            let glob = GlobBuilder::new(name).literal_separator(true).backslash_escape(true).build();
            glob.map(|glob| glob.compile_matcher()).map_err(|error| format!("name {name:?} is no glob: {}", error.kind()))
        });
        let oldest_kept =
            selection.older_than.map(|age| now.wall.as_nanosecond() - i128::try_from(age.as_nanos()).unwrap_or(i128::from(i64::MAX)));
        Ok(Self {
            oldest_kept,
            name: name.transpose()?,
            larger_than: selection.larger_than.unwrap_or(0),
            room: selection.max_delete.unwrap_or(u64::MAX),
            device: 0,
            files: 0,
            freed: 0,
            over_limit: 0,
            elsewhere: 0,
            too_deep: 0,
            failures: 0,
            first_failure: None,
        })
    }

    /// Deals with one entry; gives the directory to go on with if it is one.
    fn entry(&mut self, here: impl AsFd, name: &CStr, kind: FileType) -> Option<Dir> {
        if matches!(name.to_bytes(), b"." | b"..") || !matches!(kind, FileType::RegularFile | FileType::Directory | FileType::Unknown) {
            return None;
        }
        let found = match look(&here, name) {
            Ok(found) => found,
            // Somebody else was faster; that is what was wanted.
            Err(Errno::NOENT) => return None,
            Err(error) => {
                self.failed(OsStr::from_bytes(name.to_bytes()), error);
                return None;
            }
        };
        match file_type(&found) {
            FileType::Directory => self.descend(here, name, &found),
            FileType::RegularFile => {
                self.file(here, name, &found);
                None
            }
            _ => None,
        }
    }

    fn descend(&mut self, here: impl AsFd, name: &CStr, found: &Stat) -> Option<Dir> {
        if device(found) != self.device {
            self.elsewhere += 1;
            return None;
        }
        let opened = open_below(here, name, LIST, Mounts::Stay).and_then(Dir::new).and_then(|dir| Ok((device(&dir.stat()?), dir)));
        match opened {
            Ok((its_device, dir)) if its_device == self.device => Some(dir),
            Ok(_) | Err(Errno::XDEV) => {
                self.elsewhere += 1;
                None
            }
            // Gone, or turned into something else since it was listed.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => None,
            Err(error) => {
                self.failed(OsStr::from_bytes(name.to_bytes()), error);
                None
            }
        }
    }

    /// Deletes the file if it is selected. It was looked at a moment ago by this very directory and name: what may have taken its
    /// place since lies in the same directory, is no directory, and was put there by somebody who may delete here.
    fn file(&mut self, here: impl AsFd, name: &CStr, found: &Stat) {
        if !self.selects(OsStr::from_bytes(name.to_bytes()), found) {
            return;
        }
        // Another name of the same file keeps its content; what is freed is what it takes up, not how long it says it is.
        let frees = if found.st_nlink == 1 { u64::try_from(found.st_blocks).unwrap_or(0).saturating_mul(512) } else { 0 };
        if self.freed.saturating_add(frees) > self.room {
            self.over_limit += 1;
            return;
        }
        match rustix::fs::unlinkat(here, name, AtFlags::empty()) {
            Ok(()) => {
                self.files += 1;
                self.freed += frees;
            }
            Err(Errno::NOENT) => {}
            Err(error) => self.failed(OsStr::from_bytes(name.to_bytes()), error),
        }
    }

    fn selects(&self, name: &OsStr, found: &Stat) -> bool {
        let changed = i128::from(found.st_mtime) * 1_000_000_000 + i128::from(found.st_mtime_nsec);
        device(found) == self.device
            && self.oldest_kept.is_none_or(|oldest| changed < oldest)
            && (self.larger_than == 0 || u64::try_from(found.st_size).unwrap_or(0) > self.larger_than)
            && self.name.as_ref().is_none_or(|glob| glob.is_match(Path::new(name)))
    }

    fn failed(&mut self, name: &OsStr, error: Errno) {
        self.failures += 1;
        self.first_failure.get_or_insert_with(|| format!("{name:?}: {error}"));
    }

    fn said(&self) -> String {
        let count = |number: u64| if number == 1 { "1 file".to_owned() } else { format!("{number} files") };
        let mut text = format!("deleted {}, freed {}", count(self.files), mebibytes(self.freed));
        let mut note = |number: u64, words: &str| {
            if number > 0 {
                text.push_str(&format!("\n{number} {words}"));
            }
        };
        note(self.over_limit, "left, because more would pass max_delete_mb");
        note(self.elsewhere, "not entered, because they are other file systems");
        note(self.too_deep, "not entered, because they lie too deep");
        note(self.failures, &format!("failed; the first: {}", self.first_failure.as_deref().unwrap_or_default()));
        text
    }
}

/// The file system that something lies on. The number has another width and sign on each platform.
fn device(found: &Stat) -> i128 {
    i128::from(found.st_dev)
}

#[cfg(test)]
#[path = "delete_files_tests.rs"]
mod tests;
