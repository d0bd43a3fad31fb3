//! From a path, a glob or a directory in the settings to the regular files that it means now.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs;
use std::io::ErrorKind;
use std::os::fd::BorrowedFd;
use std::path::{Component, Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};
use rustix::fs::{AtFlags, CWD, FileType, Stat, statat};
use rustix::path::Arg;

use super::mounts::Mounts;
use super::near::Near;
use super::reason;

/// More files than this in one entry are a mistake in the glob; the rest is not looked at.
const MAX_FILES: usize = 10_000;

/// How deep `**` and `recursive` go.
const MAX_DEPTH: usize = 32;

/// A path, glob or directory, ready to be looked up again and again.
#[derive(Clone, Debug)]
pub(crate) struct FileGlob {
    text: String,
    recursive: bool,
    /// The part before the first wildcard.
    base: PathBuf,
    /// Missing for a path or directory without wildcards. Boxed: there can be thousands, and most have none.
    glob: Option<Box<GlobMatcher>>,
    /// Of an exact path, as the system wants it.
    exact: Option<CString>,
    /// How many levels below `base` can match.
    depth: usize,
}

/// What an exact path turned out to be.
#[derive(Debug)]
pub(crate) enum Exact {
    /// A regular file.
    File(Look),
    /// Nothing is there.
    Absent,
    /// Something that has no size to speak of, or that we may not look at: why.
    Unusable(String),
}

/// What a look at a path found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    kind: FileType,
    /// Its size.
    pub(crate) bytes: u64,
    /// When it was last written to: seconds since the epoch, and nanoseconds.
    pub(crate) modified: (i64, i64),
}

impl From<Stat> for Look {
    #[allow(clippy::unnecessary_fallible_conversions, clippy::useless_conversion, reason = "the types are other ones on other systems")]
    fn from(stat: Stat) -> Self {
        Self {
            kind: FileType::from_raw_mode(stat.st_mode),
            bytes: u64::try_from(stat.st_size).unwrap_or(0),
            modified: (stat.st_mtime, i64::try_from(stat.st_mtime_nsec).unwrap_or(0)),
        }
    }
}

/// What a path, glob or directory means now.
#[derive(Debug)]
pub(crate) struct Found<T> {
    /// The regular files, by path, with what was wanted of each.
    pub(crate) files: BTreeMap<PathBuf, T>,
    /// It was possible to look everywhere: other files are not there.
    pub(crate) complete: bool,
}

impl FileGlob {
    /// Reads `text` as a glob if it has one of `* ? [ {`. A glob that cannot be understood matches only itself; the settings'
    /// loader has refused such.
    pub(crate) fn new(text: &str, recursive: bool) -> Self {
        let wild = |part: &str| part.contains(['*', '?', '[', '{']);
        let matcher = |text: &str| Some(Box::new(GlobBuilder::new(text).literal_separator(true).build().ok()?.compile_matcher()));
        let glob = if wild(text) { matcher(text) } else { None };
        let parts: Vec<Component<'_>> = Path::new(text).components().collect();
        let fixed = match &glob {
            Some(_) => {
                parts.iter().take_while(|part| !wild(&part.as_os_str().to_string_lossy())).count().min(parts.len().saturating_sub(1))
            }
            None => parts.len(),
        };
        // Alternatives that hold slashes (`{a,b/c}`) do not bound the depth.
        let alternatives = text.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}'));
        let unbounded = recursive || text.contains("**") || alternatives.is_some_and(|(inside, _)| inside.contains('/'));
        let depth = if unbounded { MAX_DEPTH } else { parts.len() - fixed };
        let exact = if glob.is_none() && !recursive { CString::new(text).ok() } else { None };
        Self { text: text.to_owned(), recursive, base: parts[..fixed].iter().collect(), glob, exact, depth }
    }

    /// Whether it means one file and no other.
    pub(crate) fn is_exact(&self) -> bool {
        self.glob.is_none() && !self.recursive
    }

    /// The path of an exact one.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The part before the first wildcard.
    pub(crate) fn base(&self) -> &Path {
        &self.base
    }

    /// Whether the path is one that this may mean.
    pub(crate) fn may_mean(&self, path: &Path) -> bool {
        let matches = |path: &Path| self.glob.as_ref().map_or(Path::new(&self.text) == path, |glob| glob.is_match(path));
        if self.recursive { path.ancestors().any(matches) } else { matches(path) }
    }

    /// Looks at an exact path. Never opens anything, and never follows a link to where a look may hang.
    pub(crate) fn exact(&self, mounts: &Mounts, on_pool: bool, near: Option<&mut Near>) -> Exact {
        let path = Path::new(&self.text);
        let found = match &self.exact {
            Some(exact) => {
                let (dir, name) = near.map_or((CWD, exact.as_c_str()), |near| near.at(exact));
                look(dir, name, path, mounts, on_pool)
            }
            None => look(CWD, path, path, mounts, on_pool),
        };
        match found {
            Ok(found) if found.kind == FileType::RegularFile => Exact::File(found),
            Ok(_) => Exact::Unusable("not a regular file".to_owned()),
            Err(error) if is_absent(&error) => Exact::Absent,
            Err(error) => Exact::Unusable(reason::plain(&error)),
        }
    }

    /// The regular files that it means now, by path, with what `of` takes from each: there may be thousands. `on_pool`: a look may
    /// take its time, so links to network file systems are followed.
    pub(crate) fn files<T>(&self, mounts: &Mounts, on_pool: bool, of: impl Fn(Look) -> T) -> Found<T> {
        let mut found = Found { files: BTreeMap::new(), complete: true };
        let mut dirs = Vec::new();
        let visit = |path: PathBuf, depth, found: &mut Found<T>, dirs: &mut Vec<(PathBuf, usize)>| {
            let look = match look(CWD, &path, &path, mounts, on_pool) {
                Ok(look) => look,
                Err(error) => return found.complete &= is_absent(&error),
            };
            if look.kind == FileType::RegularFile && self.may_mean(&path) {
                if found.files.len() < MAX_FILES {
                    found.files.insert(path, of(look));
                } else {
                    found.complete = false;
                }
            } else if look.kind == FileType::Directory && depth < self.depth && !(depth > 0 && self.depth == MAX_DEPTH && path.is_symlink())
            {
                // An unbounded walk follows no links to directories: they may lead in circles.
                dirs.push((path, depth));
            }
        };
        visit(self.base.clone(), 0, &mut found, &mut dirs);
        while let Some((dir, depth)) = dirs.pop() {
            match fs::read_dir(&dir) {
                Ok(entries) => entries.for_each(|entry| match entry {
                    Ok(entry) => visit(entry.path(), depth + 1, &mut found, &mut dirs),
                    Err(error) => found.complete &= is_absent(&error),
                }),
                Err(error) => found.complete &= is_absent(&error),
            }
        }
        found
    }
}

fn is_absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// Looks at `name` in `dir`, which is the path.
fn look(dir: BorrowedFd<'_>, name: impl Arg + Copy, path: &Path, mounts: &Mounts, on_pool: bool) -> std::io::Result<Look> {
    let found = Look::from(statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?);
    if found.kind != FileType::Symlink {
        return Ok(found);
    }
    if !on_pool && mounts.may_hang(path) {
        return Err(std::io::Error::other("the link leads to a network file system; watch the path that it leads to"));
    }
    Ok(statat(dir, name, AtFlags::empty())?.into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn globs_mean_regular_files_only() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        for path in ["a.log", "b.log", "c.txt", "sub/d.log", "sub/deeper/e.log", "odd[1].log"] {
            fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            fs::write(root.join(path), "x").unwrap();
        }
        fs::create_dir(root.join("dir.log")).unwrap();
        nix::unistd::mkfifo(&root.join("pipe.log"), nix::sys::stat::Mode::S_IRUSR).unwrap();
        symlink(root.join("c.txt"), root.join("link.log")).unwrap();
        symlink(root, root.join("sub/circle")).unwrap();
        symlink("nowhere", root.join("broken.log")).unwrap();
        let mounts = Mounts::read();
        let names = |glob: &str, recursive| -> Vec<String> {
            let glob = FileGlob::new(&format!("{}/{glob}", root.display()), recursive);
            glob.files(&mounts, false, drop).files.keys().map(|path| path.strip_prefix(root).unwrap().display().to_string()).collect()
        };
        assert_eq!(names("*.log", false), ["a.log", "b.log", "link.log", "odd[1].log"]);
        assert_eq!(names("?.log", false), ["a.log", "b.log"]);
        assert_eq!(names("*/*.log", false), ["sub/d.log"]);
        assert_eq!(names("**/[de].log", false), ["sub/d.log", "sub/deeper/e.log"]);
        assert_eq!(names("{a,sub/d}.log", false), ["a.log", "sub/d.log"]);
        assert_eq!(names("sub", true), ["sub/d.log", "sub/deeper/e.log"]);
        assert_eq!(names("s*", true), ["sub/d.log", "sub/deeper/e.log"]);
        assert_eq!(names("sub", false), [""; 0]);
        assert_eq!(names("a.log", false), ["a.log"]);
        assert_eq!(names("none/*.log", false), [""; 0]);
    }

    #[test]
    fn what_cannot_be_looked_at_is_not_taken_for_absent() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("one")).unwrap();
        fs::write(dir.path().join("one/a.log"), "x").unwrap();
        let found = |glob: &str| FileGlob::new(&format!("{}/{glob}", dir.path().display()), false).files(&Mounts::read(), false, drop);
        assert!(found("*/a.log").complete && found("none/*.log").complete && found("one/a.log/*").complete);
        // A link that leads in a circle is something, but nobody can say what. (Root may read every directory.)
        symlink(dir.path().join("circle"), dir.path().join("circle")).unwrap();
        let here = found("*/a.log");
        assert!(!here.complete && here.files.len() == 1);
        // Nor does it matter where nothing is looked for.
        symlink(dir.path().join("one/circle"), dir.path().join("one/circle")).unwrap();
        fs::remove_file(dir.path().join("circle")).unwrap();
        assert!(found("{one,a.log}").complete && !found("{one,one/b}").complete);
    }

    #[test]
    fn exact_paths_tell_what_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.log");
        fs::write(&file, "xyz").unwrap();
        let look = |path: &Path| FileGlob::new(path.to_str().unwrap(), false).exact(&Mounts::default(), false, None);
        assert!(matches!(look(&file), Exact::File(look) if look.bytes == 3));
        assert!(matches!(look(&dir.path().join("none")), Exact::Absent));
        assert!(matches!(look(&file.join("below")), Exact::Absent));
        assert!(matches!(look(dir.path()), Exact::Unusable(reason) if reason == "not a regular file"));
    }

    #[test]
    fn what_a_glob_may_mean() {
        for (glob, recursive, path, meant) in [
            ("/var/log/*.log", false, "/var/log/a.log", true),
            ("/var/log/*.log", false, "/var/log/x/a.log", false),
            ("/var/log/app", true, "/var/log/app/x/a.log", true),
            ("/var/log/app", true, "/var/log/apple", false),
            ("/var/log/a.log", false, "/var/log/a.log", true),
        ] {
            assert_eq!(FileGlob::new(glob, recursive).may_mean(Path::new(path)), meant, "{glob} {path}");
        }
    }
}
