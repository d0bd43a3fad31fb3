//! One agent for each data directory: a lock that ends with its holder, however that ends.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use std::time::Duration;

use crossbeam_channel::after;
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, test_kill_process};

use crate::clock;

/// A child of an agent that was killed has the lock until it runs another program: so long that is waited for at most.
const LEFT_BEHIND: Duration = Duration::from_secs(2);

/// How often it is tried meanwhile.
const RETRY: Duration = Duration::from_millis(10);

/// Held as long as it lives.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Why the lock was not taken.
#[derive(Debug)]
pub enum Taken {
    /// By the process with this number, if that can be read: on a full disk it could not be written.
    By(Option<String>),
    /// The file could not be opened or written.
    Failed(std::io::Error),
}

impl Lock {
    /// Takes the lock of a data directory. Waits a moment for what an agent that was killed has left behind.
    ///
    /// # Errors
    /// When another process holds it, or when it cannot be opened.
    pub fn take(data_dir: &Path) -> Result<Self, Taken> {
        let end = clock::instant() + LEFT_BEHIND;
        Self::take_from(data_dir, |holder| {
            let waits = !is_running(holder) && clock::instant() < end;
            if waits {
                let _ = after(RETRY).recv();
            }
            waits
        })
    }

    /// `waits`: whether it is tried again, given the number of the process that took it last.
    fn take_from(data_dir: &Path, mut waits: impl FnMut(&str) -> bool) -> Result<Self, Taken> {
        let path = data_dir.join("agent.lock");
        // In a directory that somebody else made, the name could lead to any file of the system, which would be emptied.
        let flags = nix::fcntl::OFlag::O_NOFOLLOW.bits();
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o640).custom_flags(flags).open(&path);
        let mut file = open.map_err(Taken::Failed)?;
        let facts = file.metadata().map_err(Taken::Failed)?;
        if !facts.is_file() || facts.nlink() != 1 {
            return Err(Taken::Failed(std::io::Error::other("agent.lock is no file of its own: remove it")));
        }
        while flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut pid = String::new();
            let _ = file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_string(&mut pid));
            let pid = pid.trim();
            if !waits(pid) {
                return Err(Taken::By(Some(pid.to_owned()).filter(|pid| !pid.is_empty())));
            }
        }
        // The number is for the message of the next one only: on a full disk the lock holds without it.
        let _ = file.set_len(0).and_then(|()| file.seek(SeekFrom::Start(0))).and_then(|_| writeln!(file, "{}", std::process::id()));
        Ok(Self { _file: file })
    }
}

/// Whether there is such a process, as far as can be known.
fn is_running(pid: &str) -> bool {
    pid.parse().ok().and_then(Pid::from_raw).is_none_or(|pid| test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_refused_and_learns_who_the_first_is() {
        let dir = tempfile::tempdir().unwrap();
        let first = Lock::take(dir.path()).unwrap();
        match Lock::take(dir.path()) {
            Err(Taken::By(pid)) => assert_eq!(pid, Some(std::process::id().to_string())),
            other => panic!("{other:?}"),
        }
        std::fs::write(dir.path().join("agent.lock"), "").unwrap();
        assert!(matches!(Lock::take(dir.path()), Err(Taken::By(None))), "a full disk kept the number out");
        drop(first);
        assert!(Lock::take(dir.path()).is_ok());
    }

    #[test]
    fn what_a_killed_agent_left_behind_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let mut left = Some(Lock::take(dir.path()).unwrap());
        // Numbers of processes are smaller.
        let nobody = i32::MAX.to_string();
        std::fs::write(dir.path().join("agent.lock"), &nobody).unwrap();
        assert!(!is_running(&nobody) && is_running("1") && is_running(""));
        let taken = Lock::take_from(dir.path(), |holder| {
            assert_eq!(holder, nobody);
            left.take().is_some()
        });
        assert!(taken.is_ok());
        assert_eq!(std::fs::read_to_string(dir.path().join("agent.lock")).unwrap(), format!("{}\n", std::process::id()));
    }

    #[test]
    fn a_link_in_its_place_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        std::fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, dir.path().join("agent.lock")).unwrap();
        assert!(matches!(Lock::take(dir.path()), Err(Taken::Failed(_))));
        std::fs::remove_file(dir.path().join("agent.lock")).unwrap();
        std::fs::hard_link(&victim, dir.path().join("agent.lock")).unwrap();
        assert!(matches!(Lock::take(dir.path()), Err(Taken::Failed(_))));
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
    }
}
