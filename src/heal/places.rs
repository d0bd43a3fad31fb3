//! Opening files and directories without ever following a link: one component after the other, each by the descriptor of the
//! one before, so that nobody can swap a directory for a link in between. The guard looks at paths this way, and the native
//! actions open them this way.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use rustix::path::Arg;

/// Flags for a directory that is only passed through: searching it needs no right to list it.
#[cfg(target_os = "linux")]
const PASS: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
#[cfg(not(target_os = "linux"))]
const PASS: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Flags for a directory that is listed.
pub(crate) const LIST: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Opens a directory for listing. No component of its path may be a link.
///
/// # Errors
/// What is wrong with which path, for people.
pub(crate) fn open_directory(path: &Path) -> Result<OwnedFd, String> {
    let names = names_of(path)?;
    let Some((last, parents)) = names.split_last() else {
        return Err(format!("{}: the root directory is too much for an action", path.display()));
    };
    let parent = walk(path, parents)?;
    open_below(&parent, *last, LIST, Mounts::Cross).map_err(|error| explain(path, &parent, last, error))
}

/// Opens the directory above `path`, and gives the last component of it.
///
/// # Errors
/// What is wrong with which path, for people.
pub(crate) fn open_parent(path: &Path) -> Result<(OwnedFd, OsString), String> {
    let names = names_of(path)?;
    let Some((last, parents)) = names.split_last() else {
        return Err(format!("{}: this is no file", path.display()));
    };
    Ok((walk(path, parents)?, (*last).to_owned()))
}

/// Looks at an entry of a directory itself, never at what a link points to.
pub(crate) fn look(directory: impl AsFd, name: impl Arg) -> Result<Stat, Errno> {
    rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)
}

/// The type of what was looked at.
pub(crate) fn file_type(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// Whether both are the same file.
pub(crate) fn same_file(one: &Stat, other: &Stat) -> bool {
    one.st_dev == other.st_dev && one.st_ino == other.st_ino
}

/// The components of an absolute path without `.` and `..`.
fn names_of(path: &Path) -> Result<Vec<&OsStr>, String> {
    let mut components = path.components();
    // `Path::components` swallows "." inside a path, so the text is looked at as well.
    let dotted = path.as_os_str().as_encoded_bytes().split(|byte| *byte == b'/').any(|part| part == b"." || part == b"..");
    if components.next() != Some(Component::RootDir) || dotted {
        return Err(format!("{}: not an absolute path without . and ..", path.display()));
    }
    Ok(components.map(Component::as_os_str).collect())
}

fn walk(path: &Path, names: &[&OsStr]) -> Result<OwnedFd, String> {
    let mut here = top().map_err(|error| format!("/: {error}"))?;
    for name in names {
        here = pass(&here, *name).map_err(|error| explain(path, &here, name, error))?;
    }
    Ok(here)
}

/// The directory `/`, to begin a walk.
pub(crate) fn top() -> Result<OwnedFd, Errno> {
    rustix::fs::open("/", PASS, Mode::empty())
}

/// Opens a directory below an open one, to go on from there. It may be a mount, never a link.
pub(crate) fn pass(here: impl AsFd, name: impl Arg + Copy) -> Result<OwnedFd, Errno> {
    open_below(here, name, PASS, Mounts::Cross)
}

/// Whether a directory may be the top of another mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mounts {
    /// It may.
    Cross,
    /// It may not, as far as the system can tell: another mount of the same file system has the same device number.
    Stay,
}

/// Opens one entry of an open directory. With `openat2` (Linux 5.6) the kernel itself refuses links, those of `/proc` and other
/// mounts; elsewhere `flags` must hold `NOFOLLOW`, and one component at a time cannot lead further than to that entry.
pub(crate) fn open_below(here: impl AsFd, name: impl Arg + Copy, flags: OFlags, mounts: Mounts) -> Result<OwnedFd, Errno> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::ResolveFlags;
        let inside = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS | ResolveFlags::BENEATH;
        let resolve = if mounts == Mounts::Stay { inside | ResolveFlags::NO_XDEV } else { inside };
        match rustix::fs::openat2(&here, name, flags, Mode::empty(), resolve) {
            // Older than Linux 5.6, or a container's filter that does not know it.
            Err(Errno::NOSYS | Errno::PERM) => {}
            opened => return opened,
        }
    }
    let _ = mounts;
    rustix::fs::openat(here, name, flags, Mode::empty())
}

/// The system says "not a directory" for a link too, which helps nobody.
fn explain(path: &Path, parent: &OwnedFd, name: &OsStr, error: Errno) -> String {
    let link = look(parent, name).is_ok_and(|stat| file_type(&stat) == FileType::Symlink);
    let path = path.display();
    match error {
        _ if link => format!("{path}: {name:?} in it is a symbolic link; links are not followed, name the real path"),
        Errno::NOENT => format!("{path}: {name:?} does not exist"),
        Errno::NOTDIR => format!("{path}: {name:?} is no directory"),
        error => format!("{path}: cannot open {name:?}: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refuses(path: &Path, reason: &str) {
        let error = open_directory(path).unwrap_err();
        assert!(error.contains(reason), "{error}");
    }

    #[test]
    fn only_real_directories_open() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        std::fs::create_dir_all(dir.join("real/inner")).unwrap();
        std::fs::write(dir.join("file"), "").unwrap();
        std::os::unix::fs::symlink(dir.join("real"), dir.join("link")).unwrap();
        assert!(open_directory(&dir.join("real/inner")).is_ok());
        assert!(open_directory(&dir.join("real/inner/")).is_ok());
        refuses(&dir.join("link"), "symbolic link");
        refuses(&dir.join("link/inner"), "\"link\" in it is a symbolic link");
        refuses(&dir.join("file"), "is no directory");
        refuses(&dir.join("absent/inner"), "\"absent\" does not exist");
        refuses(&dir.join("real/../real"), "without . and ..");
        refuses(&dir.join("real/./inner"), "without . and ..");
        refuses(Path::new("relative"), "not an absolute path");
        refuses(Path::new("/"), "too much");
    }
}
