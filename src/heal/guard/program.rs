//! Step 4, second half: which file a program word means, and whether anybody else could change it.

use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use nix::unistd::{Uid, User};

use super::answer::{Refusal, RefusalKind};
use super::quoted;

/// The user that a rule names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RunAs {
    /// As written.
    pub(super) name: String,
    /// `None`: there is no such user here.
    pub(super) uid: Option<u32>,
}

impl RunAs {
    /// Looks the user up.
    pub(super) fn of(name: &str) -> Self {
        Self { name: name.to_owned(), uid: User::from_name(name).ok().flatten().map(|user| user.uid.as_raw()) }
    }
}

/// A program that may be executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Program {
    /// The absolute file, as `command_path` finds it: links in it are not resolved, because programs look at their name.
    pub(super) path: PathBuf,
    /// Which file that is now.
    pub(super) identity: Identity,
    /// The rule's user, or the owner of the Homebrew prefix.
    pub(super) run_as: Option<String>,
}

/// Which file a program was when it was looked at, links followed: another one in its place, or another content of the same one,
/// has another identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    /// The last change of content, owner or rights, in seconds and nanoseconds: nobody can set it back.
    changed: (i64, i64),
}

impl Identity {
    fn of(meta: &Metadata) -> Self {
        Self { device: meta.dev(), inode: meta.ino(), changed: (meta.ctime(), meta.ctime_nsec()) }
    }
}

/// The file that a bare program word means, if there is one.
pub(super) fn find(command_path: &[PathBuf], name: &str) -> Option<PathBuf> {
    if name.is_empty() || name.contains('/') {
        return None;
    }
    command_path.iter().map(|directory| directory.join(name)).find(|file| fs::metadata(file).is_ok_and(|meta| is_executable(&meta)))
}

fn is_executable(meta: &Metadata) -> bool {
    meta.is_file() && meta.permissions().mode() & 0o111 != 0
}

/// Whether two absolute programs are the same file.
pub(super) fn same_file(one: &Path, other: &Path) -> bool {
    match (fs::metadata(one), fs::metadata(other)) {
        (Ok(one), Ok(other)) => one.dev() == other.dev() && one.ino() == other.ino(),
        _ => false,
    }
}

/// Finds the program and looks at everything that decides what it is. `Ok(None)`: it is not installed.
pub(super) fn resolve(command_path: &[PathBuf], word: &str, run_as: Option<&RunAs>) -> Result<Option<Program>, Refusal> {
    let path = if word.starts_with('/') {
        check_plain(word)?;
        Some(PathBuf::from(word))
    } else if word.contains('/') {
        let reason = format!("the program {} must be a bare name or an absolute path", quoted(word));
        return Err(Refusal::new(RefusalKind::UnsafeProgram, reason));
    } else {
        find(command_path, word)
    };
    // Its identity comes before the look at who could change it: a change after that makes another one.
    let found = path.and_then(|path| fs::metadata(&path).ok().filter(is_executable).map(|meta| (path, Identity::of(&meta))));
    let Some((path, identity)) = found else { return Ok(None) };
    let user = user_for(&path, run_as)?;
    let uid = user.as_ref().and_then(|user| user.uid).unwrap_or_else(|| Uid::effective().as_raw());
    check_trust(&path, uid).map_err(|distrust| Refusal::new(RefusalKind::UnsafeProgram, distrust.into_reason()))?;
    if uid == 0 && path.file_name().is_some_and(|name| name == "brew") {
        let reason = "brew refuses to run as root: give the rule a run_as, the user that owns Homebrew";
        return Err(Refusal::new(RefusalKind::UnsafeProgram, reason));
    }
    Ok(Some(Program { path, identity, run_as: user.map(|user| user.name) }))
}

/// One file has one plain name: `..` and the links of `/proc` mean something else in another process.
fn check_plain(word: &str) -> Result<(), Refusal> {
    let plain = word[1..].split('/').all(|part| !matches!(part, "" | "." | "..")) && !word.starts_with("/proc/");
    let reason = || format!("the program {} must be named by its plain path, without . or .. or //, and not below /proc", quoted(word));
    if plain { Ok(()) } else { Err(Refusal::new(RefusalKind::UnsafeProgram, reason())) }
}

fn user_for(path: &Path, run_as: Option<&RunAs>) -> Result<Option<RunAs>, Refusal> {
    match run_as {
        Some(user) if user.uid.is_none() => {
            let reason = format!("the user {}, as whom the rule runs it, does not exist here", quoted(&user.name));
            Err(Refusal::new(RefusalKind::UnsafeProgram, reason))
        }
        Some(user) => Ok(Some(user.clone())),
        None => Ok(homebrew_owner(path)),
    }
}

/// Programs below a Homebrew prefix run as its owner, who could change them anyway, unless the agent is that user.
fn homebrew_owner(path: &Path) -> Option<RunAs> {
    const PREFIXES: &[&str] = &["/opt/homebrew", "/home/linuxbrew/.linuxbrew", "/usr/local/Homebrew", "/usr/local/Cellar"];
    if !PREFIXES.iter().any(|prefix| Path::new(prefix).is_dir()) {
        return None;
    }
    let real = fs::canonicalize(path).ok()?;
    let prefix = PREFIXES.iter().find(|prefix| real.starts_with(prefix) || path.starts_with(prefix))?;
    let owner = fs::metadata(prefix).ok()?.uid();
    if owner == Uid::effective().as_raw() {
        return None;
    }
    let user = User::from_uid(Uid::from_raw(owner)).ok().flatten()?;
    Some(RunAs { name: user.name, uid: Some(owner) })
}

/// Whether somebody other than root and the user could change this file or directory, or put another one in its place. What
/// does not exist and could not be made by others is fine.
pub(crate) fn others_could_change(path: &Path, uid: u32) -> bool {
    matches!(check_trust(path, uid), Err(Distrust::Others(_)))
}

/// Why a program is not to be trusted.
#[derive(Debug, PartialEq, Eq)]
enum Distrust {
    /// Others could change it.
    Others(String),
    /// That could not be found out.
    Unknown(String),
}

impl Distrust {
    fn into_reason(self) -> String {
        match self {
            Self::Others(reason) | Self::Unknown(reason) => reason,
        }
    }
}

/// Walks from the top to the file, through every link, and refuses what somebody other than root and the user could change:
/// a directory that others may write could hold another file of that name a moment later, sticky or not.
fn check_trust(path: &Path, uid: u32) -> Result<(), Distrust> {
    let mut todo: Vec<OsString> = Vec::new();
    let push = |todo: &mut Vec<OsString>, path: &Path| {
        todo.extend(
            path.components()
                .rev()
                .filter(|part| !matches!(part, Component::RootDir | Component::CurDir))
                .map(|part| part.as_os_str().to_owned()),
        );
    };
    push(&mut todo, path);
    let mut at = PathBuf::from("/");
    check_one(path, &at, &look(&at)?, uid).map_err(Distrust::Others)?;
    let mut links = 0;
    while let Some(part) = todo.pop() {
        if part == ".." {
            at.pop();
            continue;
        }
        let here = at.join(&part);
        let meta = look(&here)?;
        if meta.is_symlink() {
            links += 1;
            if links > 40 {
                return Err(Distrust::Unknown(format!("{} goes through too many links", path.display())));
            }
            let broken = |error| Distrust::Unknown(format!("cannot read the link {}: {error}", here.display()));
            let target = fs::read_link(&here).map_err(broken)?;
            if target.is_absolute() {
                at = PathBuf::from("/");
            }
            push(&mut todo, &target);
        } else {
            check_one(path, &here, &meta, uid).map_err(Distrust::Others)?;
            at = here;
        }
    }
    Ok(())
}

fn look(path: &Path) -> Result<Metadata, Distrust> {
    fs::symlink_metadata(path).map_err(|error| Distrust::Unknown(format!("cannot look at {}: {error}", path.display())))
}

fn check_one(program: &Path, at: &Path, meta: &Metadata, uid: u32) -> Result<(), String> {
    let mode = meta.permissions().mode();
    if meta.uid() != 0 && meta.uid() != uid {
        let owner = User::from_uid(Uid::from_raw(meta.uid())).ok().flatten().map_or_else(|| meta.uid().to_string(), |user| user.name);
        return Err(format!("others could change {}: {} belongs to {owner}, not to root", program.display(), at.display()));
    }
    if mode & 0o002 != 0 {
        return Err(format!("others could change {}: everybody may write {} (chmod o-w)", program.display(), at.display()));
    }
    if mode & 0o020 != 0 && !is_administrators(meta.gid()) {
        return Err(format!("others could change {}: the group {} may write {} (chmod g-w)", program.display(), meta.gid(), at.display()));
    }
    Ok(())
}

/// On macOS the members of `admin` (80) may become root anyway, and Homebrew lets them write its directories.
pub(super) fn is_administrators(gid: u32) -> bool {
    cfg!(target_os = "macos") && gid == 80
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn system() -> Vec<PathBuf> {
        ["/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(PathBuf::from).to_vec()
    }

    fn script(path: &Path, mode: u32) {
        fs::write(path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn system_programs_are_found_and_trusted() {
        let found = resolve(&system(), "sh", None).unwrap().unwrap();
        assert!(found.path.is_absolute() && found.path.ends_with("sh"));
        assert_eq!(resolve(&system(), "/bin/sh", None).unwrap().unwrap().path, Path::new("/bin/sh"));
        assert_eq!(resolve(&system(), "no-such-program", None), Ok(None));
        assert_eq!(resolve(&system(), "/no/such/program", None), Ok(None));
        assert!(resolve(&system(), "bin/sh", None).is_err());
        assert!(resolve(&system(), "./sh", None).is_err());
        for word in ["/usr/bin/../bin/sh", "/usr/bin/./sh", "//bin/sh", "/bin/sh/", "/proc/self/root/bin/sh"] {
            assert!(resolve(&system(), word, None).unwrap_err().reason.contains("plain path"), "{word}");
        }
        assert_eq!(find(&system(), "."), None);
    }

    #[test]
    fn the_first_executable_file_counts() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (dir.path().join("1"), dir.path().join("2"));
        fs::create_dir_all(first.join("as-directory")).unwrap();
        fs::create_dir(&second).unwrap();
        script(&first.join("tool"), 0o644);
        script(&second.join("tool"), 0o755);
        script(&second.join("as-directory"), 0o755);
        let path = [first, second.clone()];
        assert_eq!(find(&path, "tool"), Some(second.join("tool")));
        assert_eq!(find(&path, "as-directory"), Some(second.join("as-directory")));
    }

    #[test]
    fn another_file_or_another_content_has_another_identity() {
        let dir = tempfile::tempdir().unwrap();
        let tool = dir.path().join("tool");
        let identity = || Identity::of(&fs::metadata(&tool).unwrap());
        script(&tool, 0o755);
        let first = identity();
        assert_eq!(identity(), first);
        // The file system's clock goes in ticks; a change within one may not show.
        crate::collect::test_rig::wait_until("the file's clock goes on", || {
            fs::write(&tool, "#!/bin/sh\nid\n").unwrap();
            identity() != first
        });
        let second = identity();
        script(&dir.path().join("new"), 0o755);
        fs::rename(dir.path().join("new"), &tool).unwrap();
        assert_ne!(identity(), second);
    }

    #[test]
    fn a_program_that_others_could_change_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let tool = dir.path().join("tool");
        script(&tool, 0o755);
        // The directory for temporary files is everybody's, sticky or not.
        let refusal = resolve(&[dir.path().to_owned()], "tool", None).unwrap_err();
        assert_eq!(refusal.kind, RefusalKind::UnsafeProgram);
        assert!(refusal.reason.contains("everybody may write"), "{}", refusal.reason);
        let own = Uid::effective().as_raw();
        assert!(others_could_change(dir.path(), own) && others_could_change(&dir.path().join("missing"), own));
        assert!(!others_could_change(Path::new("/usr/bin"), own) && !others_could_change(Path::new("/usr/missing"), own));
        symlink("/bin/sh", dir.path().join("link")).unwrap();
        assert!(resolve(&[dir.path().to_owned()], "link", None).is_err(), "the link itself can be replaced");
        let meta = |mode| {
            fs::set_permissions(&tool, fs::Permissions::from_mode(mode)).unwrap();
            fs::symlink_metadata(&tool).unwrap()
        };
        assert!(check_one(&tool, &tool, &meta(0o755), own).is_ok());
        assert!(check_one(&tool, &tool, &meta(0o775), own).unwrap_err().contains("group"));
        assert!(check_one(&tool, &tool, &meta(0o757), own).unwrap_err().contains("everybody"));
        assert_eq!(check_one(&tool, &tool, &meta(0o755), own + 1).is_err(), own != 0);
    }

    #[test]
    fn a_user_that_does_not_exist_runs_nothing() {
        let nobody = RunAs::of("no-such-user-here");
        assert_eq!(nobody.uid, None);
        assert!(resolve(&system(), "sh", Some(&nobody)).unwrap_err().reason.contains("does not exist here"));
        let root = RunAs::of("root");
        assert_eq!(resolve(&system(), "sh", Some(&root)).unwrap().unwrap().run_as.as_deref(), Some("root"));
    }
}
