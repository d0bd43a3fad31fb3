//! Who can write the configuration: as root, a file that somebody else could change is refused.
//!
//! Every directory from the root down is looked at, along the chain of the name and along the chain of each link. A directory
//! that all may write is accepted only if it is sticky and what comes next belongs to root or to the owner of the process.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use super::problem::Draft;

/// How much it matters who can write the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Not started as root: who may write the files may do what we do anyway, or it is for the tests.
    Anyone,
    /// `--insecure-config`: a warning.
    Warn,
    /// Started as root: an error.
    Refuse,
}

impl Trust {
    /// What the user who runs this program calls for.
    #[must_use]
    pub fn for_this_process(insecure_config: bool) -> Self {
        match (nix::unistd::geteuid().is_root(), insecure_config) {
            (false, _) => Self::Anyone,
            (true, true) => Self::Warn,
            (true, false) => Self::Refuse,
        }
    }
}

/// Links that lead on to links: more than this is a loop.
const MAX_HOPS: usize = 40;

/// Looks at the file that was opened by `path`, and at every directory and link on the way to it.
///
/// # Errors
/// Somebody else could write it, and that is not to be.
pub(crate) fn check(path: &Path, opened: &File, trust: Trust) -> Result<Vec<Draft>, Draft> {
    if trust == Trust::Anyone {
        return Ok(Vec::new());
    }
    let me = nix::unistd::geteuid().as_raw();
    match verdict(path, opened, me) {
        Ok(()) => Ok(Vec::new()),
        Err(distrust) if trust == Trust::Warn => Ok(vec![Draft::warning("not_trusted", distrust.message).suggest(distrust.remedy)]),
        Err(distrust) => Err(Draft::error("not_trusted", distrust.message).suggest(distrust.remedy)),
    }
}

/// Whether a file at `path` would pass, for choosing a directory. A file that cannot be opened does not.
pub(crate) fn passes(path: &Path) -> Result<(), String> {
    let opened = File::open(path).map_err(|error| error.to_string())?;
    verdict(path, &opened, nix::unistd::geteuid().as_raw()).map_err(|distrust| distrust.message)
}

/// Who besides root and the owner of this process can change what a name leads to: `None` nobody, else the first such user on
/// the way.
///
/// # Errors
/// It could be anybody, or that cannot be found out.
pub(crate) fn other_writer(path: &Path) -> Result<Option<u32>, String> {
    let opened = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    match verdict(path, &opened, nix::unistd::geteuid().as_raw()) {
        Ok(()) => Ok(None),
        Err(Distrust { owner: Some(owner), .. }) => Ok(Some(owner)),
        Err(distrust) => Err(distrust.message),
    }
}

struct Distrust {
    message: String,
    remedy: String,
    /// Whom it belongs to, if nobody but that user could write it.
    owner: Option<u32>,
}

fn verdict(path: &Path, opened: &File, me: u32) -> Result<(), Distrust> {
    let broken = |at: &Path, error: &dyn std::fmt::Display| Distrust {
        message: format!("who may write {} cannot be found out: {error}", at.display()),
        remedy: "look at the links and directories on the way to it".to_owned(),
        owner: None,
    };
    let path = std::path::absolute(path).map_err(|error| broken(path, &error))?;
    let mut ahead = names(&path);
    let mut at = PathBuf::from("/");
    let mut facts = at.symlink_metadata().map_err(|error| broken(&at, &error))?;
    let mut hops = 0;
    while let Some(name) = ahead.pop_front() {
        if name == ".." {
            at.pop();
            facts = at.symlink_metadata().map_err(|error| broken(&at, &error))?;
            continue;
        }
        let next = at.join(&name);
        let found = next.symlink_metadata().map_err(|error| broken(&next, &error))?;
        directory(&at, &facts, &next, &found, me)?;
        if found.is_symlink() {
            hops += 1;
            if hops > MAX_HOPS {
                return Err(broken(&next, &"too many links"));
            }
            let target = next.read_link().map_err(|error| broken(&next, &error))?;
            if target.is_absolute() {
                at = PathBuf::from("/");
                facts = at.symlink_metadata().map_err(|error| broken(&at, &error))?;
            }
            names(&target).into_iter().rev().for_each(|name| ahead.push_front(name));
        } else {
            (at, facts) = (next, found);
        }
    }
    // What was opened is what counts: the names may have been changed in between.
    let opened = opened.metadata().map_err(|error| broken(&at, &error))?;
    if (opened.dev(), opened.ino()) != (facts.dev(), facts.ino()) {
        return Err(broken(&at, &"it was replaced while it was read"));
    }
    if safe_owner(&opened, me) && opened.mode() & 0o022 == 0 { Ok(()) } else { Err(distrust(&at, &opened, me)) }
}

fn names(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

fn safe_owner(facts: &Metadata, me: u32) -> bool {
    facts.uid() == 0 || facts.uid() == me
}

/// Whether nobody else can replace `next`, an entry of the directory `at`.
fn directory(at: &Path, facts: &Metadata, next: &Path, entry: &Metadata, me: u32) -> Result<(), Distrust> {
    if !safe_owner(facts, me) {
        return Err(distrust(at, facts, me));
    }
    match (facts.mode() & 0o022 == 0, facts.mode() & 0o1000 != 0) {
        (true, _) => Ok(()),
        (false, true) if safe_owner(entry, me) => Ok(()),
        (false, true) => Err(distrust(next, entry, me)),
        (false, false) => Err(distrust(at, facts, me)),
    }
}

fn distrust(at: &Path, facts: &Metadata, me: u32) -> Distrust {
    let user = |id: u32| {
        let named = nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(id)).ok().flatten();
        named.map_or_else(|| id.to_string(), |user| user.name)
    };
    let (owner, mode) = (user(facts.uid()), facts.permissions().mode() & 0o7777);
    let shown = at.display();
    let remedy = match (safe_owner(facts, me), mode & 0o022 == 0) {
        (true, _) => format!("chmod go-w {shown}"),
        (false, true) => format!("chown {} {shown}", user(me)),
        (false, false) => format!("chown {} {shown} && chmod go-w {shown}", user(me)),
    };
    let message = format!("somebody other than root could change {shown}: owner {owner}, mode {mode:04o}");
    // The mode of a link says nothing.
    let alone = !safe_owner(facts, me) && (facts.is_symlink() || mode & 0o022 == 0);
    Distrust { message, remedy: format!("type: {remedy}"), owner: alone.then(|| facts.uid()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{Permissions, create_dir, set_permissions, write};
    use std::os::unix::fs::symlink;

    struct Place {
        dir: tempfile::TempDir,
    }

    impl Place {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            for name in ["good", "open", "sticky"] {
                create_dir(dir.path().join(name)).unwrap();
                write(dir.path().join(name).join("f.json"), "{}").unwrap();
                Self::mode(&dir.path().join(name).join("f.json"), 0o644);
            }
            Self::mode(&dir.path().join("good"), 0o755);
            Self::mode(&dir.path().join("open"), 0o777);
            Self::mode(&dir.path().join("sticky"), 0o1777);
            Self { dir }
        }

        fn mode(path: &Path, mode: u32) {
            set_permissions(path, Permissions::from_mode(mode)).unwrap();
        }

        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }

        #[track_caller]
        fn check(&self, name: &str, expected: Option<&str>) {
            let found = passes(&self.path(name)).err();
            match (expected, &found) {
                (None, None) => {}
                (Some(part), Some(message)) => assert!(message.contains(part), "{message}"),
                _ => panic!("{name}: expected {expected:?}, found {found:?}"),
            }
        }
    }

    #[test]
    fn files_that_others_could_write_are_refused() {
        let place = Place::new();
        place.check("good/f.json", None);
        place.check("sticky/f.json", None);
        place.check("open/f.json", Some("/open: owner"));
        Place::mode(&place.path("good/f.json"), 0o664);
        place.check("good/f.json", Some("mode 0664"));
    }

    #[test]
    fn both_chains_of_a_link_count() {
        let place = Place::new();
        symlink("../good/f.json", place.path("open/link.json")).unwrap();
        symlink("../open/f.json", place.path("good/link.json")).unwrap();
        symlink(place.path("good"), place.path("dir")).unwrap();
        symlink("loop", place.path("loop")).unwrap();
        place.check("open/link.json", Some("/open: owner"));
        place.check("good/link.json", Some("/open: owner"));
        place.check("dir/f.json", None);
    }

    #[test]
    fn the_other_user_who_could_write_is_named() {
        let place = Place::new();
        assert_eq!(other_writer(&place.path("good/f.json")), Ok(None));
        assert!(other_writer(&place.path("open/f.json")).is_err(), "anybody");
        assert!(other_writer(&place.path("good/none")).is_err());
        if nix::unistd::geteuid().is_root() {
            std::os::unix::fs::chown(place.path("good/f.json"), Some(12_345), None).unwrap();
            assert_eq!(other_writer(&place.path("good/f.json")), Ok(Some(12_345)));
            symlink("../sticky/f.json", place.path("good/link")).unwrap();
            std::os::unix::fs::lchown(place.path("good"), Some(23_456), None).unwrap();
            assert_eq!(other_writer(&place.path("good/link")), Ok(Some(23_456)), "the first on the way");
        }
    }

    #[test]
    fn the_remedy_can_be_typed() {
        let place = Place::new();
        let path = place.path("open/f.json");
        let opened = File::open(&path).unwrap();
        let me = nix::unistd::geteuid().as_raw();
        let remedy = verdict(&path, &opened, me).err().unwrap().remedy;
        assert_eq!(remedy, format!("type: chmod go-w {}", place.path("open").display()));
    }
}
