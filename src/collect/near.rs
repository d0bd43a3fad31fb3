//! The directory that many files are looked at in, one after the other: held open for that long, so that the system need not find its
//! way there for each of them. That way is a fifth of a look.

use std::ffi::{CStr, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{CWD, Mode, OFlags, openat};

/// To open and close a directory is worth it from about so many files on.
const MANY: u32 = 8;

/// Where the last file was.
#[derive(Debug, Default)]
pub(crate) struct Near {
    parent: Vec<u8>,
    /// How many files in a row were there.
    files: u32,
    dir: Option<OwnedFd>,
}

impl Near {
    /// From where this path is looked at, and its name there.
    pub(crate) fn at<'a>(&mut self, path: &'a CStr) -> (BorrowedFd<'_>, &'a CStr) {
        let bytes = path.to_bytes();
        let name = bytes.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
        let parent = &bytes[..name];
        if self.parent != parent {
            self.let_go();
            self.parent.extend(parent);
        }
        self.files += 1;
        if self.files == MANY && name > 0 {
            // Where that cannot be, the whole path says why.
            self.dir = openat(CWD, OsStr::from_bytes(parent), OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok();
        }
        match &self.dir {
            Some(dir) if name < bytes.len() => (dir.as_fd(), &path[name..]),
            // A path that ends in a slash has no name.
            _ => (CWD, path),
        }
    }

    /// Lets go of the directory: a file system in which one is open cannot be unmounted, and one that was put in its place is another.
    pub(crate) fn let_go(&mut self) {
        self.parent.clear();
        self.files = 0;
        self.dir = None;
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;
    use std::fs;
    use std::path::Path;

    use rustix::fs::{AtFlags, statat};

    use super::*;

    fn name(path: &Path) -> CString {
        CString::new(path.as_os_str().as_bytes()).unwrap()
    }

    fn bytes(near: &mut Near, path: &CStr) -> Option<i64> {
        let (dir, name) = near.at(path);
        statat(dir, name, AtFlags::empty()).ok().map(|stat| stat.st_size)
    }

    #[test]
    fn each_file_is_found_wherever_the_one_before_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let mut near = Near::default();
        for sub in ["one", "other"] {
            fs::create_dir(dir.path().join(sub)).unwrap();
            for size in 0..20 {
                fs::write(dir.path().join(sub).join(size.to_string()), vec![0; size]).unwrap();
            }
        }
        for (sub, size) in (0..20).map(|size| ("one", size)).chain((0..20).flat_map(|size| [("other", size), ("one", size)])) {
            let path = name(&dir.path().join(sub).join(size.to_string()));
            assert_eq!(bytes(&mut near, &path), Some(size), "{path:?}");
        }
        assert_eq!(bytes(&mut near, &name(&dir.path().join("one/none"))), None);
    }

    #[test]
    fn a_directory_is_held_only_while_many_files_in_it_are_looked_at() {
        let dir = tempfile::tempdir().unwrap();
        let mut near = Near::default();
        let file = name(&dir.path().join("a"));
        for look in 1..=MANY {
            assert!(near.dir.is_none());
            let (from, called) = near.at(&file);
            assert_eq!(called.to_bytes() == b"a", look == MANY);
            assert!(from.try_clone_to_owned().is_ok() == (look == MANY));
        }
        near.at(c"/");
        assert!(near.dir.is_none(), "a file elsewhere");
        for _ in 0..MANY {
            near.at(&file);
        }
        near.let_go();
        assert!(near.dir.is_none());
        let gone = name(&dir.path().join("gone/a"));
        (0..MANY + 1).for_each(|_| assert_eq!(bytes(&mut near, &gone), None));
        for odd in [c"", c"name", c"/name", c"/", c"dir/"] {
            (0..MANY + 1).for_each(|_| assert_eq!(near.at(odd).1.to_bytes().is_empty(), odd.to_bytes().is_empty(), "{odd:?}"));
        }
    }
}
