//! A file that only takes up room, to be given up when the disk is full: the next record then still finds some (contract A24).

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// So much room is kept.
const BYTES: usize = 1024 * 1024;
/// It must not be what fills a small disk: so many times its size have to be free.
const TIMES_FREE: u64 = 4;

/// The ballast of a data directory.
#[derive(Debug)]
pub(super) struct Ballast {
    path: PathBuf,
}

impl Ballast {
    /// The ballast in `dir`, which may not be there yet.
    pub(super) fn new(dir: &Path) -> Self {
        Self { path: dir.join("ballast") }
    }

    /// Makes it if it is not there and there is room. Answers whether it is there now.
    pub(super) fn make(&self) -> bool {
        if self.is_whole() {
            return true;
        }
        if !self.has_room() {
            return false;
        }
        let made = self.fill();
        if let Err(error) = &made {
            log::debug!("no ballast was made: {error}");
            let _ = fs::remove_file(&self.path);
        }
        made.is_ok()
    }

    /// Gives the room back. Answers whether there was any.
    pub(super) fn give_up(&self) -> bool {
        let there = self.is_whole();
        fs::remove_file(&self.path).is_ok() && there
    }

    fn is_whole(&self) -> bool {
        let takes_room = |facts: fs::Metadata| facts.is_file() && facts.len() == BYTES as u64 && facts.blocks() * 512 >= facts.len() / 2;
        fs::symlink_metadata(&self.path).is_ok_and(takes_room)
    }

    fn has_room(&self) -> bool {
        let free = self.path.parent().and_then(|dir| rustix::fs::statvfs(dir).ok());
        free.is_some_and(|free| free.f_bavail.saturating_mul(free.f_frsize) > TIMES_FREE * BYTES as u64)
    }

    fn fill(&self) -> io::Result<()> {
        // A leftover of a crash, or a link that somebody laid there: never written through.
        let _ = fs::remove_file(&self.path);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.path)?;
        file.write_all(&noise())?;
        file.sync_all()
    }
}

/// Bytes that no file system stores in less room than they are.
fn noise() -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let word = || {
        // Xorshift (Marsaglia, 2003).
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_ne_bytes()
    };
    std::iter::repeat_with(word).take(BYTES / 8).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_room_until_it_is_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let ballast = Ballast::new(dir.path());
        assert!(!ballast.give_up(), "there is nothing to give up yet");
        assert!(ballast.make() && ballast.make());
        let facts = fs::metadata(&ballast.path).unwrap();
        assert!(facts.blocks() * 512 >= BYTES as u64, "only {} blocks are taken", facts.blocks());
        assert!(ballast.give_up());
        assert!(!ballast.path.exists());
        assert!(ballast.make(), "it is made again when there is room");
    }

    #[test]
    fn an_empty_or_linked_one_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let ballast = Ballast::new(dir.path());
        let sparse = fs::File::create(&ballast.path).unwrap();
        sparse.set_len(BYTES as u64).unwrap();
        assert!(!ballast.give_up(), "a hole gives no room back");
        let victim = dir.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, &ballast.path).unwrap();
        assert!(ballast.make());
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
        assert!(ballast.is_whole());
    }
}
