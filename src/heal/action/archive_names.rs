//! The names of archived logs, `NAME-20261122T143205Z.gz`, and the archives that go by them.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use jiff::Timestamp;
use rustix::fs::{AtFlags, Dir, FileType};
use rustix::io::Errno;

use crate::heal::places::{file_type, look};

/// What follows the name of a copy that is not complete.
const PARTIAL: &str = ".partial";

/// The name of an archive that is made now.
pub(super) fn archive_name(log: &OsStr, at: Timestamp) -> OsString {
    let mut name = log.to_owned();
    name.push(at.strftime("-%Y%m%dT%H%M%SZ.gz").to_string());
    name
}

/// The name that it has until it is complete.
pub(super) fn partial(archive: &OsStr) -> OsString {
    let mut name = archive.to_owned();
    name.push(PARTIAL);
    name
}

/// Renames, but never over another file.
pub(super) fn rename_new(store: &OwnedFd, from: &OsStr, to: &OsStr) -> Result<(), Errno> {
    use rustix::fs::{RenameFlags, renameat, renameat_with};
    match renameat_with(store, from, store, to, RenameFlags::NOREPLACE) {
        // Not every file system can; the name holds the second, so a look before is enough there.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => match look(store, to) {
            Err(Errno::NOENT) => renameat(store, from, store, to),
            Ok(_) => Err(Errno::EXIST),
            Err(error) => Err(error),
        },
        renamed => renamed,
    }
}

/// Removes what a killed agent left of copies of this log. Actions run one at a time, so nobody is writing to one.
pub(super) fn remove_partial(store: &OwnedFd, log: &OsStr) {
    for name in list(store, |name| name.strip_suffix(PARTIAL.as_bytes()).is_some_and(|name| is_archive(log, name))) {
        let _ = rustix::fs::unlinkat(store, &name, AtFlags::empty());
    }
}

/// Removes all archives of this log but the newest `keep`, of which the one just made always stays. Gives how many.
pub(super) fn remove_old(store: &OwnedFd, log: &OsStr, keep: u32) -> usize {
    let mut names = list(store, |name| is_archive(log, name));
    names.sort_unstable_by(|one, other| other.cmp(one));
    let old = names.into_iter().skip(usize::try_from(keep.max(1)).unwrap_or(usize::MAX));
    old.filter(|name| rustix::fs::unlinkat(store, name, AtFlags::empty()).is_ok()).count()
}

/// The regular files whose names are wanted. A directory that cannot be read has none.
fn list(store: impl AsFd, wanted: impl Fn(&[u8]) -> bool) -> Vec<OsString> {
    let Ok(mut dir) = Dir::read_from(&store) else { return Vec::new() };
    let mut found = Vec::new();
    while let Some(Ok(entry)) = dir.read() {
        let name = entry.file_name();
        if wanted(name.to_bytes()) && look(&store, name).is_ok_and(|stat| file_type(&stat) == FileType::RegularFile) {
            found.push(OsString::from_vec(name.to_bytes().to_vec()));
        }
    }
    found
}

/// Whether it is exactly the name of the log, a dash, sixteen characters of time, and the ending.
fn is_archive(log: &OsStr, name: &[u8]) -> bool {
    let time = name.strip_prefix(log.as_bytes()).and_then(|rest| rest.strip_prefix(b"-")).and_then(|rest| rest.strip_suffix(b".gz"));
    time.is_some_and(|time| {
        let pattern = b"00000000T000000Z";
        time.len() == pattern.len()
            && time.iter().zip(pattern).all(|(byte, sample)| if *sample == b'0' { byte.is_ascii_digit() } else { byte == sample })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_by_time_and_others_are_no_archives() {
        let log = OsStr::new("app.log");
        let at = |seconds| archive_name(log, Timestamp::from_second(seconds).unwrap());
        assert_eq!(at(1_795_000_000), OsString::from("app.log-20261118T110640Z.gz"));
        assert!(at(1_795_000_000) < at(1_795_000_001) && at(1_795_086_400) > at(1_795_000_001));
        for (name, archive) in [
            ("app.log-20261118T092640Z.gz", true),
            ("app.log-20261118T092640Z.gz.partial", false),
            ("app.log-20261118.gz", false),
            ("app.log-2026111xT092640Z.gz", false),
            ("app.log.1.gz", false),
            ("app.log-old-20261118T092640Z.gz", false),
            ("xapp.log-20261118T092640Z.gz", false),
        ] {
            assert_eq!(is_archive(log, name.as_bytes()), archive, "{name}");
        }
    }
}
