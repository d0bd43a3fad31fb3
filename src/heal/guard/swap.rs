//! Whether others could swap a directory for a link while a program looks its path up again.
//!
//! The guard looks at a path by descriptors; a program goes by the name. Whoever may rename entries of a directory on the way
//! can put a link there in between, and the program, as root, works in a place that only root can change (logrotten,
//! CVE-2016-1247). So right before a run each entry that the program would follow must lie in a directory that nobody but root
//! and the rule's user can change: logrotate's own test. What a swap gives:
//!
//! | program | an entry on the way | the last entry |
//! | --- | --- | --- |
//! | `find PATH … -delete` | old files below any directory of that name are removed | opened with `O_NOFOLLOW`: nothing; with a slash at the end, `-L` or `-H` it is followed |
//! | `gzip FILE` | any file of that name is compressed, and the original removed | links and second names are refused by gzip itself: nothing; with options (`-f`, `-c`) it is followed |
//! | `mv FILE TO`, the first | any file of that name is moved to where others may read or remove it | `rename(2)` moves the link itself: nothing |
//! | `mv FILE TO`, the last | a file of somebody's choice lands in any directory: a root shell | a link to a directory is followed: the same |
//! | `rm FILE` | any file of that name is removed | `unlink(2)` removes the link itself: nothing |
//! | any other program | not known, so the worst | the same |
//! | native actions | nothing: they open the path by descriptors themselves | nothing |
//!
//! Landlock keeps such programs below their rule's roots where the kernel has it, but the log of another service below /var/log is
//! not the attacker's either; so it is refused with and without. Who may write the root of a rule as its group is trusted by
//! whoever chose that root: `/var/log` is `root:syslog 0775` on Ubuntu.

use std::path::Path;

use nix::unistd::{Gid, Group, Uid, User};
use rustix::fs::{Mode, Stat};

use super::program::is_administrators;
use super::special::base_name;

/// A program that looks a path up by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Follower {
    /// As whom it runs.
    uid: u32,
    /// Whether it goes through a link in the place of the last entry.
    last: bool,
}

impl Follower {
    /// The program of this argv, run as `uid`, with the path that stands at `index`.
    pub(super) fn new(uid: u32, argv: &[String], index: usize) -> Self {
        Self { uid, last: follows_last(argv, index) }
    }

    /// Refuses an entry of the directory `at` that the program would follow and that others could replace. `entry` is `None` if it
    /// is missing, `last` if the path ends with it, `chosen` if the directory is the rule's root or lies above it.
    pub(super) fn check(&self, at: &Path, directory: &Stat, entry: Option<&Stat>, last: bool, chosen: bool) -> Result<(), String> {
        let Some(who) = self.who_could_replace(directory, entry, chosen).filter(|_| self.last || !last) else { return Ok(()) };
        let at = at.display();
        Err(format!("{who} may write {at} and could put a link there meanwhile: use delete_files or archive_log, or a rule with run_as"))
    }

    fn who_could_replace(&self, directory: &Stat, entry: Option<&Stat>, chosen: bool) -> Option<String> {
        let trusted = |uid: u32| uid == 0 || uid == self.uid;
        if !trusted(directory.st_uid) {
            return Some(user_name(directory.st_uid));
        }
        let mode = Mode::from_raw_mode(directory.st_mode);
        let by_group = mode.contains(Mode::WGRP) && !chosen && !self.is_own_group(directory.st_gid);
        match entry {
            _ if !by_group && !mode.contains(Mode::WOTH) => None,
            // Here only the owner of an entry can rename it.
            Some(entry) if mode.contains(Mode::SVTX) => (!trusted(entry.st_uid)).then(|| user_name(entry.st_uid)),
            _ if by_group => Some(format!("the group {}", group_name(directory.st_gid))),
            _ => Some("everybody".to_owned()),
        }
    }

    /// Root's group, the group that a user has alone (it is called as the user), and a Mac's administrators.
    fn is_own_group(&self, gid: u32) -> bool {
        gid == 0 || is_administrators(gid) || group_name(gid) == user_name(self.uid)
    }
}

/// See the table above.
fn follows_last(argv: &[String], index: usize) -> bool {
    let words = argv.get(1..).unwrap_or_default();
    let has = |options: &[&str]| words.iter().any(|word| options.contains(&word.as_str()));
    let any_option = || words.iter().any(|word| word.starts_with('-'));
    let slash = argv.get(index).is_none_or(|path| path.ends_with('/'));
    match argv.first().map_or("", |program| base_name(program)) {
        _ if slash => true,
        "find" | "gfind" => has(&["-L", "-H", "-follow"]),
        "gzip" | "gunzip" => any_option(),
        "mv" => any_option() || index + 1 == argv.len(),
        "rm" | "unlink" | "rmdir" => false,
        _ => true,
    }
}

fn user_name(uid: u32) -> String {
    User::from_uid(Uid::from_raw(uid)).ok().flatten().map_or_else(|| format!("user {uid}"), |user| user.name)
}

fn group_name(gid: u32) -> String {
    Group::from_gid(Gid::from_raw(gid)).ok().flatten().map_or_else(|| gid.to_string(), |group| group.name)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, chown};
    use std::path::PathBuf;

    use super::*;
    use crate::heal::guard::path::{Root, Visit, resolve};

    #[track_caller]
    fn follows(command: &str, index: usize, expected: bool) {
        let argv: Vec<String> = command.split(' ').map(str::to_owned).collect();
        assert_eq!(follows_last(&argv, index), expected, "{command}");
    }

    #[test]
    fn what_each_program_does_with_a_link_at_the_end() {
        follows("find /tmp/a -mtime +7 -delete", 1, false);
        follows("/usr/bin/find /tmp/a -mtime +7 -delete", 1, false);
        follows("find /tmp/a/ -mtime +7 -delete", 1, true);
        follows("find -L /tmp/a -mtime +7 -delete", 2, true);
        follows("find /tmp/a -follow -mtime +7 -delete", 1, true);
        follows("gzip /var/log/a", 1, false);
        follows("gzip -f /var/log/a", 2, true);
        follows("mv /var/log/a /var/log/archive", 1, false);
        follows("mv /var/log/a /var/log/archive", 2, true);
        follows("mv -t /var/log/archive /var/log/a", 3, true);
        follows("rm -f /var/log/a", 2, false);
        follows("truncate -s 0 /var/log/a", 3, true);
        follows("tool /var/log/a", 1, true);
    }

    /// Below a root that the user of the test owns: directories with a mode, and as root with an owner.
    struct Place {
        _dir: tempfile::TempDir,
        base: PathBuf,
    }

    impl Place {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let base = dir.path().canonicalize().unwrap();
            fs::set_permissions(&base, fs::Permissions::from_mode(0o755)).unwrap();
            Self { _dir: dir, base }
        }

        fn directory(&self, path: &str, mode: u32, owner: u32) {
            let path = self.base.join(path);
            fs::create_dir_all(&path).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            if nix::unistd::geteuid().is_root() {
                chown(&path, Some(owner), Some(owner)).unwrap();
            }
        }

        /// What a program that runs as `uid` gets when it is given the path.
        fn resolve(&self, command: &str, uid: u32) -> Result<String, String> {
            let root = self.base.to_str().unwrap();
            let put = |word: &str| if word.starts_with('/') { format!("{root}{word}") } else { word.to_owned() };
            let argv: Vec<String> = command.split(' ').map(put).collect();
            let index = argv.iter().rposition(|word| word.starts_with('/')).unwrap();
            let follower = Follower::new(uid, &argv, index);
            resolve(&[Root::parse(root).unwrap()], &argv[index], true, Visit::Program(follower))
        }

        #[track_caller]
        fn check(&self, command: &str, uid: u32, refused: Option<&str>) {
            match (self.resolve(command, uid), refused) {
                (Ok(_), None) => {}
                (Err(reason), Some(words)) => assert!(reason.contains(words), "{command}: {reason}"),
                (answer, _) => panic!("{command}: {answer:?}"),
            }
        }
    }

    #[test]
    fn directories_that_everybody_can_swap_are_refused() {
        let me = nix::unistd::geteuid().as_raw();
        let place = Place::new();
        place.directory("own/sub", 0o755, me);
        place.directory("open/sub", 0o755, me);
        place.directory("sticky/sub", 0o755, me);
        place.directory("open", 0o777, me);
        place.directory("sticky", 0o1777, me);
        for command in ["truncate /own/sub/x", "mv /own/sub/x", "truncate /own/sub", "find /open -delete", "truncate /sticky/sub/x"] {
            place.check(command, me, None);
        }
        for command in ["gzip /open/sub/x", "find /open/sub/ -delete", "truncate /open/x", "truncate /sticky/new"] {
            place.check(command, me, Some("everybody may write"));
        }
        place.check("find /open/sub -delete", me, None);
        place.check("gzip /open/x", me, None);
    }

    #[test]
    fn root_does_not_go_through_the_directory_of_a_service() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        const SERVICE: u32 = 12_345;
        let place = Place::new();
        place.directory("nginx", 0o755, SERVICE);
        place.directory("nginx/old", 0o755, 0);
        place.directory("group", 0o775, 0);
        chown(place.base.join("group"), None, Some(SERVICE)).unwrap();
        place.directory("group/old", 0o755, 0);
        place.directory("sticky", 0o1777, 0);
        place.directory("sticky/theirs", 0o755, SERVICE);
        // The log itself is safe with gzip and as what mv moves; a directory in the service's hands is not.
        place.check("gzip /nginx/access.log.1", 0, None);
        place.check("gzip /nginx/old/access.log.1", 0, Some("user 12345 may write"));
        place.check("mv x /nginx/access.log.1", 0, Some("user 12345 may write"));
        place.check("truncate /nginx/access.log", 0, Some("use delete_files or archive_log"));
        place.check("find /sticky/theirs -delete", 0, None);
        place.check("find /sticky/theirs/old -delete", 0, Some("user 12345"));
        place.check("gzip /group/old/x", 0, Some("the group 12345 may write"));
        // As that service's user there is nothing to gain.
        place.check("truncate /nginx/access.log", SERVICE, None);
        place.check("gzip /nginx/old/access.log.1", SERVICE, None);
        // The root of a rule is somebody's choice as far as its group goes, and no further.
        chown(&place.base, None, Some(SERVICE)).unwrap();
        fs::set_permissions(&place.base, fs::Permissions::from_mode(0o775)).unwrap();
        place.check("truncate /x", 0, None);
        chown(&place.base, Some(SERVICE), None).unwrap();
        place.check("truncate /x", 0, Some("user 12345"));
    }
}
