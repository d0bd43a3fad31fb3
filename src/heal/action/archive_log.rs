//! `archive_log`: compresses a copy of a log and truncates the original in place, so that the writer, which has it open, goes on.
//!
//! The order is what makes it safe: the copy is on disk under its final name before anything is truncated; then what the writer
//! added meanwhile is copied as further gzip members until there is nothing new, and only that moment the log is truncated. A line
//! that is written between that last look and the truncation (some microseconds) is lost, as with every tool that truncates.

use std::cmp::Ordering;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::{archive_names, ended_early, mebibytes};
use crate::clock::Moment;
use crate::heal::outcome::Limit;
use crate::heal::places::{file_type, look, open_directory, open_parent, same_file};

/// How much is read at once; between two reads the limit is looked at.
const BLOCK: usize = 128 * 1024;
/// Up to how much the writer may be ahead before the copy goes under its final name.
const NEARLY_DONE: u64 = 1024 * 1024;

/// Archives the log as `NAME-YYYYmmddTHHMMSSZ.gz` in `to` (by default its own directory), truncates it, and removes the oldest
/// archives of the same log over `keep`. The archive has the log's owner and group and never wider rights than the log.
///
/// # Errors
/// The log is no regular file with one name, a link is in the way, there is no room for the copy, the writer is faster than the
/// copy, or the limit was reached. The log is then as it was and the copy is gone.
pub fn run(path: &Path, to: Option<&Path>, keep: Option<u32>, now: Moment, limit: &Limit) -> Result<String, String> {
    let (home, name) = open_parent(path)?;
    let log = open_log(&home, &name).map_err(|reason| format!("{}: {reason}", path.display()))?;
    let place = to.or_else(|| path.parent()).unwrap_or(Path::new("/"));
    let store = open_directory(place)?;
    archive_names::remove_partial(&store, &name);
    let mut copy = Copy::begin(&log, &store, archive_names::archive_name(&name, now.wall), limit)
        .map_err(|error| format!("{}: cannot make the copy: {error}", place.display()))?;
    let copied = copy.complete(|| still_there(&home, &name, &log));
    let done = match copied {
        Ok(()) => copy.finish(),
        Err(reason) => {
            copy.remove();
            Err(format!("{}: {}; the log is as it was", path.display(), reason.for_people(place, limit)))
        }
    }?;
    let removed = keep.map_or(0, |keep| archive_names::remove_old(&store, &name, keep));
    Ok(done.said(place, removed))
}

/// Opens the log for reading and for truncating, if it is what it should be. A hard link could be another user's way to have
/// any file of the system copied to where he can read it, and emptied.
fn open_log(home: &OwnedFd, name: &OsStr) -> Result<File, String> {
    let seen = look(home, name).map_err(|error| error.to_string())?;
    let check = |stat: &Stat| match file_type(stat) {
        FileType::RegularFile if stat.st_nlink == 1 => Ok(()),
        FileType::RegularFile => Err("has more than one name (hard links), so it is not touched".to_owned()),
        FileType::Symlink => Err("is a symbolic link; name the real file".to_owned()),
        _ => Err("is no regular file".to_owned()),
    };
    check(&seen)?;
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let log = rustix::fs::openat(home, name, flags, Mode::empty()).map_err(|error| format!("cannot be opened: {error}"))?;
    let opened = rustix::fs::fstat(&log).map_err(|error| error.to_string())?;
    check(&opened)?;
    if same_file(&seen, &opened) { Ok(File::from(log)) } else { Err("was replaced while it was opened".to_owned()) }
}

fn still_there(home: &OwnedFd, name: &OsStr, log: &File) -> bool {
    let (Ok(there), Ok(open)) = (look(home, name), rustix::fs::fstat(log)) else { return false };
    same_file(&there, &open) && open.st_nlink == 1
}

/// Why a copy was given up.
#[derive(Debug)]
enum GivenUp {
    NoRoom,
    Over,
    Replaced,
    Shrunk,
    Other(String),
}

impl GivenUp {
    fn for_people(&self, place: &Path, limit: &Limit) -> String {
        match self {
            Self::NoRoom => format!("no room for the compressed copy in {}", place.display()),
            Self::Over => format!("not archived, {}", ended_early(limit)),
            Self::Replaced => "was replaced while it was copied".to_owned(),
            Self::Shrunk => "somebody else truncated it while it was copied".to_owned(),
            Self::Other(error) => error.clone(),
        }
    }
}

impl From<std::io::Error> for GivenUp {
    fn from(error: std::io::Error) -> Self {
        match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::NOSPC | Errno::DQUOT) => Self::NoRoom,
            _ => Self::Other(error.to_string()),
        }
    }
}

/// A compressed copy in the making.
struct Copy<'a> {
    log: &'a File,
    store: &'a OwnedFd,
    limit: &'a Limit,
    file: File,
    /// Its name now: a partial one until everything so far is on disk.
    current: OsString,
    name: OsString,
    copied: u64,
}

/// A log that was archived and truncated.
struct Done {
    name: OsString,
    copied: u64,
    compressed: u64,
}

impl<'a> Copy<'a> {
    fn begin(log: &'a File, store: &'a OwnedFd, name: OsString, limit: &'a Limit) -> Result<Self, Errno> {
        let current = archive_names::partial(&name);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(store, &current, flags, Mode::RUSR | Mode::WUSR)?);
        if let Err(error) = like_the_log(&file, log) {
            let _ = rustix::fs::unlinkat(store, &current, AtFlags::empty());
            return Err(error);
        }
        Ok(Self { log, store, limit, file, current, name, copied: 0 })
    }

    /// Copies everything, and truncates the log when nothing is new.
    fn complete(&mut self, still_there: impl Fn() -> bool) -> Result<(), GivenUp> {
        loop {
            self.member()?;
            self.file.sync_all()?;
            if self.log.metadata()?.len().saturating_sub(self.copied) < NEARLY_DONE {
                break;
            }
        }
        self.give_final_name()?;
        // What still comes is little: it is on disk a moment after the truncation, and in the kernel before it.
        loop {
            while self.member()? > 0 {}
            if !still_there() {
                return Err(GivenUp::Replaced);
            }
            match self.log.metadata()?.len().cmp(&self.copied) {
                Ordering::Equal => break,
                Ordering::Less => return Err(GivenUp::Shrunk),
                Ordering::Greater => {}
            }
        }
        rustix::fs::ftruncate(self.log, 0).map_err(|error| GivenUp::Other(format!("cannot be truncated: {error}")))
    }

    /// Compresses what is new in the log as one more gzip member (RFC 1952, 2.2); gives its length.
    fn member(&mut self) -> Result<u64, GivenUp> {
        let begin = self.copied;
        let mut block = vec![0; BLOCK];
        // A log compresses well at any level, and an action has a deadline.
        let mut member = None;
        loop {
            if self.limit.is_over() {
                return Err(GivenUp::Over);
            }
            let read = self.log.read_at(&mut block, self.copied)?;
            if read == 0 {
                break;
            }
            let member = member.get_or_insert_with(|| GzEncoder::new(&self.file, Compression::fast()));
            std::io::Write::write_all(member, &block[..read])?;
            self.copied += read as u64;
            room_left(self.store)?;
        }
        if let Some(member) = member {
            member.finish()?;
        }
        Ok(self.copied - begin)
    }

    fn give_final_name(&mut self) -> Result<(), GivenUp> {
        archive_names::rename_new(self.store, &self.current, &self.name)
            .map_err(|error| GivenUp::Other(format!("cannot name the copy {:?}: {error}", self.name)))?;
        self.current.clone_from(&self.name);
        rustix::fs::fsync(self.store)
            .or_else(|error| if error == Errno::INVAL { Ok(()) } else { Err(error) })
            .map_err(|error| GivenUp::Other(error.to_string()))
    }

    fn remove(self) {
        let _ = rustix::fs::unlinkat(self.store, &self.current, AtFlags::empty());
    }

    /// The log is truncated: from here on the copy stays, whatever happens.
    fn finish(self) -> Result<Done, String> {
        let compressed = self.file.sync_all().and_then(|()| Ok(self.file.metadata()?.len()));
        let compressed =
            compressed.map_err(|error| format!("the log is archived as {:?}, but perhaps not safely on disk: {error}", self.name))?;
        Ok(Done { name: self.name, copied: self.copied, compressed })
    }
}

impl Done {
    fn said(&self, place: &Path, removed: usize) -> String {
        let old = if removed == 0 { String::new() } else { format!("\nremoved {removed} older archives") };
        let (copied, compressed) = (mebibytes(self.copied), mebibytes(self.compressed));
        format!("archived {copied} as {} ({compressed}) and truncated the log{old}", place.join(&self.name).display())
    }
}

/// Gives the copy the log's owner and group, and of the log's rights those of owner and group to read and of the owner to write.
/// Only root may give a file away; without that right the copy stays private.
fn like_the_log(file: &File, log: &File) -> Result<(), Errno> {
    let stat = rustix::fs::fstat(log)?;
    let (owner, group) = (rustix::fs::Uid::from_raw(stat.st_uid), rustix::fs::Gid::from_raw(stat.st_gid));
    match rustix::fs::fchown(file, Some(owner), Some(group)) {
        Ok(()) => rustix::fs::fchmod(file, Mode::from_raw_mode(stat.st_mode) & (Mode::RUSR | Mode::WUSR | Mode::RGRP)),
        Err(Errno::PERM) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Root could fill even the part of a disk that is reserved for root; a copy stops before that.
fn room_left(store: impl AsFd) -> Result<(), GivenUp> {
    match rustix::fs::fstatvfs(store) {
        Ok(room) if room.f_blocks > 0 && room.f_bavail == 0 => Err(GivenUp::NoRoom),
        _ => Ok(()),
    }
}

#[cfg(test)]
#[path = "archive_log_tests.rs"]
mod tests;
