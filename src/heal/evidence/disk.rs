//! A full disk: the largest files that were written to lately, by a bounded walk of its file system.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::{Evidence, within};
use crate::clock::{Moment, in_words};
use crate::collect::mounts::Mounts;
use crate::heal::action::mebibytes;
use crate::heal::action::top_processes::visible;
use crate::heal::outcome::Limit;
use crate::sample::Target;

/// What the walk looks for.
pub(super) const TITLE: &str = "Largest files written in the last 24 hours";

/// How long ago is lately.
const LATELY: Duration = Duration::from_hours(24);
/// How many files are shown.
const SHOWN: usize = 5;
/// How many entries are looked at.
const MOST_ENTRIES: usize = 200_000;
/// How long the walk takes.
const MOST_TIME: Duration = Duration::from_secs(1);

/// A mounted file system that can be looked at without waiting for another machine.
#[derive(Debug)]
pub(super) struct Place {
    /// Where it is mounted.
    pub(super) mount: PathBuf,
    /// Its device as the table of mounts shows it: `254:0`.
    pub(super) device: String,
    /// Its size.
    pub(super) bytes: u64,
}

impl Place {
    /// The mount that the target's labels name.
    ///
    /// # Errors
    /// Nothing is mounted there, or looking could hang.
    pub(super) fn of(target: &Target) -> Result<Self, String> {
        let mount = target.label("mount").map(Path::new).ok_or("the target has no mount")?;
        let mounts = Mounts::read();
        let found = mounts.at(mount).ok_or("nothing is mounted there")?;
        if found.may_hang() {
            return Err(format!("not searched, because a {} file system can hang whoever looks", found.fstype));
        }
        let size = rustix::fs::statvfs(mount).map_err(|error| error.to_string())?;
        let bytes = size.f_blocks.saturating_mul(size.f_frsize);
        Ok(Self { mount: mount.to_owned(), device: found.id.clone(), bytes })
    }
}

/// The largest files that were written to in the last day, by what they take up.
///
/// # Errors
/// The mount cannot be opened.
pub(super) fn gather(place: &Place, now: Moment, limit: &Limit) -> Result<Evidence, String> {
    let walk = Walk::run(&place.mount, now, MOST_ENTRIES, &within(limit, MOST_TIME))?;
    let line = |file: &File| {
        let age = in_words(Duration::from_secs(u64::try_from(file.age).unwrap_or(0)));
        format!("{}, written {age} ago: {}", mebibytes(file.bytes), visible(&place.mount.join(&file.path).to_string_lossy()))
    };
    let lines = walk.largest.iter().map(line).collect();
    Ok(Evidence::of(TITLE, lines, walk.note()))
}

/// A file among the largest.
#[derive(Debug, PartialEq, Eq)]
struct File {
    inode: u64,
    bytes: u64,
    /// Seconds since it was written to.
    age: i64,
    /// Below the mount.
    path: PathBuf,
}

/// A walk from the top downwards: what lies near the top is seen even if the time does not suffice for all.
struct Walk {
    top: OwnedFd,
    device: i128,
    now: i64,
    largest: Vec<File>,
    seen: usize,
    closed: usize,
    cut: Option<&'static str>,
}

impl Walk {
    fn run(mount: &Path, now: Moment, most_entries: usize, limit: &Limit) -> Result<Self, String> {
        let broken = |error: Errno| format!("{}: {error}", mount.display());
        let top = rustix::fs::open(mount, LIST, Mode::empty()).map_err(broken)?;
        let device = device(&rustix::fs::fstat(&top).map_err(broken)?);
        let mut walk = Self { top, device, now: now.wall.as_second(), largest: Vec::new(), seen: 0, closed: 0, cut: None };
        let mut waiting = VecDeque::from([PathBuf::new()]);
        while let Some(path) = waiting.pop_front() {
            let mut dir = match walk.open(&path) {
                Ok(Some(dir)) => dir,
                // Gone, turned into something else since it was listed, or another file system.
                Ok(None) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => continue,
                Err(_) => {
                    walk.closed += 1;
                    continue;
                }
            };
            while let Some(Ok(entry)) = dir.read() {
                if matches!(entry.file_name().to_bytes(), b"." | b"..") {
                    continue;
                }
                if walk.must_end(most_entries, limit) {
                    return Ok(walk);
                }
                let Ok(here) = dir.fd() else { break };
                waiting.extend(walk.entry(here, &path, OsStr::from_bytes(entry.file_name().to_bytes()), entry.file_type()));
            }
        }
        Ok(walk)
    }

    fn must_end(&mut self, most_entries: usize, limit: &Limit) -> bool {
        self.cut = match () {
            () if self.seen >= most_entries => Some("there are more"),
            () if limit.is_over() => Some("the time was over"),
            () => None,
        };
        self.seen += 1;
        self.cut.is_some()
    }

    /// Opens a directory below the mount; none if it lies on another file system.
    fn open(&self, path: &Path) -> Result<Option<Dir>, Errno> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let dir = Dir::new(open_below(&self.top, path)?)?;
        Ok((device(&dir.stat()?) == self.device).then_some(dir))
    }

    /// Deals with one entry; gives the directory to go on with if it is one.
    fn entry(&mut self, here: impl AsFd, path: &Path, name: &OsStr, kind: FileType) -> Option<PathBuf> {
        match kind {
            FileType::Directory => return Some(path.join(name)),
            FileType::RegularFile | FileType::Unknown => {}
            _ => return None,
        }
        let found = rustix::fs::statat(here, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        match FileType::from_raw_mode(found.st_mode) {
            FileType::Directory => return Some(path.join(name)),
            FileType::RegularFile => self.file(path, name, &found),
            _ => {}
        }
        None
    }

    fn file(&mut self, path: &Path, name: &OsStr, found: &Stat) {
        let (bytes, age) = (u64::try_from(found.st_blocks).unwrap_or(0).saturating_mul(512), self.now - found.st_mtime);
        let smallest = if self.largest.len() < SHOWN { 0 } else { self.largest.last().map_or(0, |file| file.bytes) };
        // A time in the future is a clock that was set, and no reason to hide the file.
        let lately = age <= i64::try_from(LATELY.as_secs()).unwrap_or(i64::MAX);
        // The same file can have several names, or be seen through a bind mount.
        let known = self.largest.iter().any(|file| file.inode == found.st_ino);
        if !lately || bytes <= smallest || known || device(found) != self.device {
            return;
        }
        self.largest.push(File { inode: found.st_ino, bytes, age, path: path.join(name) });
        self.largest.sort_by(|one, other| other.bytes.cmp(&one.bytes).then_with(|| one.path.cmp(&other.path)));
        self.largest.truncate(SHOWN);
    }

    fn note(&self) -> Option<String> {
        let cut = self.cut.map(|why| format!("only {} entries were looked at, because {why}", self.seen.saturating_sub(1)));
        let closed = (self.closed > 0).then(|| format!("{} directories could not be opened", self.closed));
        let notes: Vec<String> = cut.into_iter().chain(closed).collect();
        (!notes.is_empty()).then(|| notes.join("; "))
    }
}

/// The file system that something lies on. The number has another width and sign on each platform.
fn device(found: &Stat) -> i128 {
    i128::from(found.st_dev)
}

/// Flags for a directory that is listed.
const LIST: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Opens a directory below an open one. Where the kernel can, it follows no link and crosses into no other mount on the way, not
/// even if a directory is swapped for a link meanwhile.
fn open_below(top: impl AsFd, path: &Path) -> Result<OwnedFd, Errno> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::ResolveFlags;
        let resolve = ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS | ResolveFlags::BENEATH;
        match rustix::fs::openat2(&top, path, LIST, Mode::empty(), resolve) {
            // Older than Linux 5.6, or a container's filter that does not know it.
            Err(Errno::NOSYS | Errno::PERM) => {}
            opened => return opened,
        }
    }
    rustix::fs::openat(top, path, LIST, Mode::empty())
}

#[cfg(test)]
#[path = "disk_tests.rs"]
mod tests;
