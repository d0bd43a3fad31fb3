//! The table of mounts, read again only when it changed: the kernel says so to whoever holds the file open.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::mounts::Mounts;
use crate::clock::Moment;

/// After this it is read again all the same: a file system that turned read-only by itself after an error is no change of the table,
/// and neither is a link that leads elsewhere now.
const FULL: Duration = Duration::from_secs(30);

/// The mounts as they were at the last look.
#[derive(Debug, Default)]
pub(crate) struct MountTable {
    turn: u64,
    mounts: Arc<Mounts>,
    read_at: Option<Moment>,
    changes: Changes,
}

impl MountTable {
    /// The mounted file systems, looked at once a turn. None at all if they cannot be read.
    pub(crate) fn look(&mut self, turn: u64) -> Arc<Mounts> {
        if self.turn != turn {
            self.turn = turn;
            let now = Moment::now();
            // Asked first: what changes between the question and the reading is told the next time.
            if self.changes.any() || self.mounts.is_empty() || self.read_at.is_none_or(|read| now.since(read) >= FULL) {
                self.mounts = Arc::new(Mounts::read());
                self.read_at = Some(now);
            }
        }
        Arc::clone(&self.mounts)
    }
}

/// Whether looking at one path may never return. To follow its links is work: the answer holds until the table of mounts is read again:
/// a link that is turned to a dead server meanwhile can hold up the local thread.
#[derive(Debug, Default)]
pub(crate) struct Hangs {
    known: Option<(Arc<Mounts>, bool)>,
}

impl Hangs {
    /// Asks with the mounts of now, and always for the same path.
    pub(crate) fn ask(&mut self, mounts: &Arc<Mounts>, path: &Path) -> bool {
        if !mounts.can_hang() {
            return false;
        }
        match &self.known {
            Some((known, answer)) if Arc::ptr_eq(known, mounts) => *answer,
            _ => {
                let answer = mounts.may_hang(path);
                self.known = Some((Arc::clone(mounts), answer));
                answer
            }
        }
    }
}

#[cfg(target_os = "linux")]
use linux::Changes;

#[cfg(target_os = "linux")]
mod linux {
    use std::fs::File;

    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    /// The tables of this process and of the host, held open; see proc(5) on `mountinfo` and poll(2).
    #[derive(Debug)]
    pub(super) struct Changes(Vec<File>);

    impl Default for Changes {
        fn default() -> Self {
            Self(["/proc/self/mountinfo", "/proc/1/mountinfo"].iter().filter_map(|path| File::open(path).ok()).collect())
        }
    }

    impl Changes {
        /// Whether anything was mounted, unmounted or mounted otherwise since the last call. Where that cannot be known: yes.
        pub(super) fn any(&self) -> bool {
            let mut files: Vec<PollFd<'_>> = self.0.iter().map(|file| PollFd::new(file, PollFlags::PRI)).collect();
            let now = Timespec { tv_sec: 0, tv_nsec: 0 };
            files.is_empty() || poll(&mut files, Some(&now)).map_or(true, |changed| changed > 0)
        }
    }
}

#[cfg(not(target_os = "linux"))]
#[derive(Debug, Default)]
struct Changes;

#[cfg(not(target_os = "linux"))]
impl Changes {
    /// Nobody tells.
    fn any(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_changes_with_the_table() {
        let table = |fstype: &str| Arc::new(Mounts::parse(format!("33 27 0:40 / /srv/share rw - {fstype} server:/share rw\n").as_bytes()));
        let mut hangs = Hangs::default();
        for (fstype, answer) in [("nfs4", true), ("ext4", false), ("fuse.sshfs", true)] {
            assert_eq!(hangs.ask(&table(fstype), Path::new("/srv/share/x")), answer, "{fstype}");
        }
    }

    #[test]
    fn the_table_is_the_same_allocation_until_it_changes() {
        let mut table = MountTable::default();
        let first = table.look(1);
        assert!(!first.is_empty());
        assert_eq!(*first, Mounts::read());
        if cfg!(target_os = "linux") {
            assert!(Arc::ptr_eq(&first, &table.look(2)));
        }
    }
}
