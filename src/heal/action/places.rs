//! Opening files and directories without ever following a link: one component after the other, each by the descriptor of the
//! one before, so that nobody can swap a directory for a link in between.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

/// Flags for a directory that is only passed through: searching it needs no right to list it.
#[cfg(target_os = "linux")]
const PASS: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
#[cfg(not(target_os = "linux"))]
const PASS: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Flags for a directory that is listed.
pub(super) const LIST: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Opens a directory for listing. No component of its path may be a link.
///
/// # Errors
/// What is wrong with which path, for people.
pub(super) fn open_directory(path: &Path) -> Result<OwnedFd, String> {
    let names = names_of(path)?;
    let Some((last, parents)) = names.split_last() else {
        return Err(format!("{}: the root directory is too much for an action", path.display()));
    };
    let parent = walk(path, parents)?;
    rustix::fs::openat(&parent, *last, LIST, Mode::empty()).map_err(|error| explain(path, &parent, last, error))
}

/// Opens the directory above `path`, and gives the last component of it.
///
/// # Errors
/// What is wrong with which path, for people.
pub(super) fn open_parent(path: &Path) -> Result<(OwnedFd, OsString), String> {
    let names = names_of(path)?;
    let Some((last, parents)) = names.split_last() else {
        return Err(format!("{}: this is no file", path.display()));
    };
    Ok((walk(path, parents)?, (*last).to_owned()))
}

/// Looks at an entry of a directory itself, never at what a link points to.
pub(super) fn look(directory: impl AsFd, name: impl rustix::path::Arg) -> Result<Stat, Errno> {
    rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)
}

/// The type of what was looked at.
pub(super) fn file_type(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// Whether both are the same file.
pub(super) fn same_file(one: &Stat, other: &Stat) -> bool {
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
    let mut here = rustix::fs::open("/", PASS, Mode::empty()).map_err(|error| format!("/: {error}"))?;
    for name in names {
        here = rustix::fs::openat(&here, *name, PASS, Mode::empty()).map_err(|error| explain(path, &here, name, error))?;
    }
    Ok(here)
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
