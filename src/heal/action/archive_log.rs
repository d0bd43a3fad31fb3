//! `archive_log`: compresses a copy of a log and truncates the original in place, so that the writer, which has it open, goes on.
//!
//! The order is what makes it safe: the copy is on disk under its final name before anything is truncated; then what the writer
//! added meanwhile is copied as further gzip members until there is nothing new, and only that moment the log is truncated. A line
//! that is written between that last look and the truncation (some microseconds) is lost, as with every tool that truncates.
//!
//! A writer that never pauses is not chased for ever: after [`PATIENCE`] looks the copy ends at a block of the file system, and
//! the log loses exactly what was copied (`FALLOC_FL_COLLAPSE_RANGE`, fallocate(2)), so that not even a moment is lost. Where the
//! file system cannot do that, the log stays as it was and the failure says why.

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
/// How often what is new is copied before the writer counts as one that never pauses. With one that is half as fast as the
/// copy, ten rounds make 1 MiB of 1 GiB.
const ROUNDS: u32 = 16;
/// The same, once the writer is nearly caught up with: each look takes well under a millisecond.
const PATIENCE: u32 = 256;

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
        Ok(emptied) => copy.finish(emptied),
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
    TooFast,
    Other(String),
}

impl GivenUp {
    fn for_people(&self, place: &Path, limit: &Limit) -> String {
        match self {
            Self::NoRoom => format!("no room for the compressed copy in {}", place.display()),
            Self::Over => format!("not archived, {}", ended_early(limit)),
            Self::Replaced => "was replaced while it was copied".to_owned(),
            Self::Shrunk => "somebody else truncated it while it was copied".to_owned(),
            Self::TooFast => "is written faster than it can be copied, and its file system cannot cut off its beginning".to_owned(),
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

/// How the log lost what was copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Emptied {
    Truncated,
    CutOff,
}

/// A log that was archived and emptied.
struct Done {
    name: OsString,
    copied: u64,
    compressed: u64,
    emptied: Emptied,
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

    /// Copies everything, and truncates the log when nothing is new; or cuts off what was copied.
    fn complete(&mut self, still_there: impl Fn() -> bool) -> Result<Emptied, GivenUp> {
        for _ in 0..ROUNDS {
            self.member(self.log.metadata()?.len())?;
            self.file.sync_all()?;
            if self.log.metadata()?.len().saturating_sub(self.copied) < NEARLY_DONE {
                break;
            }
        }
        self.give_final_name()?;
        // What still comes is little: it is on disk a moment after the truncation, and in the kernel before it.
        for look in 0.. {
            self.member(self.log.metadata()?.len())?;
            if !still_there() {
                return Err(GivenUp::Replaced);
            }
            let length = self.log.metadata()?.len();
            match length.cmp(&self.copied) {
                Ordering::Equal => break,
                Ordering::Less => return Err(GivenUp::Shrunk),
                Ordering::Greater if look >= PATIENCE => {
                    if self.cut_off(length, &still_there)? {
                        return Ok(Emptied::CutOff);
                    }
                }
                Ordering::Greater => {}
            }
        }
        rustix::fs::ftruncate(self.log, 0).map_err(|error| GivenUp::Other(format!("cannot be truncated: {error}")))?;
        Ok(Emptied::Truncated)
    }

    /// Copies up to the next block, makes sure that all is on disk, and takes that much off the beginning of the log, which the
    /// writer sees no more of than of a truncation. False: the log, `length` bytes now, does not reach beyond that block yet.
    #[cfg(target_os = "linux")]
    fn cut_off(&mut self, length: u64, still_there: impl Fn() -> bool) -> Result<bool, GivenUp> {
        use rustix::fs::{FallocateFlags, fallocate};
        let block = rustix::fs::fstatvfs(self.log).map_err(std::io::Error::from)?.f_bsize.max(1);
        let end = self.copied.next_multiple_of(block);
        if length <= end {
            return Ok(false);
        }
        self.member(end)?;
        self.file.sync_all()?;
        if !still_there() {
            return Err(GivenUp::Replaced);
        }
        if self.copied != end {
            return Err(GivenUp::Shrunk);
        }
        match fallocate(self.log, FallocateFlags::COLLAPSE_RANGE, 0, end) {
            Ok(()) => Ok(true),
            // Only ext4, XFS and a few others can, and only by their own unit.
            Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => Err(GivenUp::TooFast),
            Err(error) => Err(GivenUp::Other(format!("cannot be cut off: {error}"))),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn cut_off(&mut self, _length: u64, _still_there: impl Fn() -> bool) -> Result<bool, GivenUp> {
        Err(GivenUp::TooFast)
    }

    /// Compresses what is new in the log up to `end` as one more gzip member (RFC 1952, 2.2).
    fn member(&mut self, end: u64) -> Result<(), GivenUp> {
        let mut block = vec![0; BLOCK];
        // A log compresses well at any level, and an action has a deadline.
        let mut member = None;
        while self.copied < end {
            if self.limit.is_over() {
                return Err(GivenUp::Over);
            }
            let most = usize::try_from(end - self.copied).map_or(BLOCK, |left| left.min(BLOCK));
            let read = self.log.read_at(&mut block[..most], self.copied)?;
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
        if self.limit.is_over() { Err(GivenUp::Over) } else { Ok(()) }
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
    fn finish(self, emptied: Emptied) -> Result<Done, String> {
        let compressed = self.file.sync_all().and_then(|()| Ok(self.file.metadata()?.len()));
        let compressed =
            compressed.map_err(|error| format!("the log is archived as {:?}, but perhaps not safely on disk: {error}", self.name))?;
        Ok(Done { name: self.name, copied: self.copied, compressed, emptied })
    }
}

impl Done {
    fn said(&self, place: &Path, removed: usize) -> String {
        let old = if removed == 0 { String::new() } else { format!("\nremoved {removed} older archives") };
        let (copied, compressed) = (mebibytes(self.copied), mebibytes(self.compressed));
        let emptied = match self.emptied {
            Emptied::Truncated => "truncated the log",
            Emptied::CutOff => "cut that much off the log, whose writer never paused",
        };
        format!("archived {copied} as {} ({compressed}) and {emptied}{old}", place.join(&self.name).display())
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
