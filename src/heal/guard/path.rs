//! Paths in commands: below a root by component, and below it through no link.
//!
//! The walk goes from descriptor to descriptor ([`places`]), so that what it looked at is what it goes on from. A program looks
//! the path up again by its name: `swap` says whether others could change what it finds there.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::FileType;
use rustix::io::Errno;

use super::swap::Follower;
use crate::heal::places;

/// A directory below which the paths of a slot are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Root {
    /// As the rule says, without a slash at the end.
    pub(super) written: String,
    /// Where it is: links on the way, all of them root's, are resolved (`/tmp` on a Mac).
    pub(super) real: String,
}

impl Root {
    /// Reads a root of a rule.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let written = text.strip_suffix('/').unwrap_or(text);
        if !text.starts_with('/') {
            return Err(format!("the root {text:?} must be an absolute path"));
        }
        if !written.is_empty() && !has_clean_components(written) {
            return Err(format!("the root {text:?} must not hold . or .. or //"));
        }
        let real = resolve_root(Path::new(text))?;
        Ok(Self { written: written.to_owned(), real })
    }

    /// The rest of a path below this root (empty for the root itself), if it is below.
    fn rest<'p>(&self, path: &'p str) -> Option<&'p str> {
        [&self.written, &self.real]
            .into_iter()
            .find_map(|root| path.strip_prefix(root.as_str()).filter(|rest| rest.is_empty() || rest.starts_with('/')))
    }
}

/// Follows links on the way to a root as long as root owns them. What does not exist stays as it is written.
fn resolve_root(path: &Path) -> Result<String, String> {
    let mut todo: Vec<PathBuf> = vec![path.to_owned()];
    let mut at = PathBuf::from("/");
    let mut links = 0;
    while let Some(next) = todo.pop() {
        let mut components = next.components();
        let Some(component) = components.next() else { continue };
        todo.push(components.as_path().to_owned());
        match component {
            Component::RootDir => at = PathBuf::from("/"),
            Component::ParentDir => {
                at.pop();
            }
            Component::Normal(name) => {
                let here = at.join(name);
                match fs::symlink_metadata(&here) {
                    Ok(meta) if meta.is_symlink() => {
                        links += 1;
                        if meta.uid() != 0 || links > 40 {
                            return Err(format!(
                                "the root {} is reached through a link that root does not own: {}",
                                path.display(),
                                here.display()
                            ));
                        }
                        todo.push(fs::read_link(&here).map_err(|error| format!("cannot read the link {}: {error}", here.display()))?);
                    }
                    _ => at = here,
                }
            }
            Component::CurDir | Component::Prefix(_) => {}
        }
    }
    let text = at.to_str().ok_or_else(|| format!("the root {} is not UTF-8", path.display()))?;
    Ok(text.trim_end_matches('/').to_owned())
}

/// Whether the text of a path can be one of a slot's: absolute, plain characters, no empty or dotted component, below a root.
pub(super) fn is_below(roots: &[Root], path: &str, directory: bool) -> bool {
    let body = if directory && path.len() > 1 { path.strip_suffix('/').unwrap_or(path) } else { path };
    let root_itself = directory && body == "/";
    (root_itself || (body.starts_with('/') && has_clean_components(body)))
        && body.chars().all(|c| c.is_ascii_alphanumeric() || "._+@=,:/ -".contains(c))
        && roots.iter().any(|root| root.rest(if root_itself { "" } else { body }).is_some())
}

/// A blank at the edge of a component is two words that were meant to be taken for one path.
fn has_clean_components(path: &str) -> bool {
    path[1..].split('/').all(|part| !matches!(part, "" | "." | "..") && part.trim_matches(' ') == part)
}

/// Who goes there, and how much of the path must exist for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Visit {
    /// Nobody yet: parents may be missing.
    None,
    /// A native action, which opens it by descriptors: only the last component may be missing.
    Native,
    /// A program, which looks it up by its name: the same, and others must not be able to lead it elsewhere.
    Program(Follower),
}

/// The real path of one that [`is_below`] its roots, after a look at each component: no link below the root, parents that
/// are directories, and no directory where a file is meant.
pub(super) fn resolve(roots: &[Root], path: &str, directory: bool, visit: Visit) -> Result<String, String> {
    let (body, slash) = match path.strip_suffix('/') {
        Some(body) if directory => (body, "/"),
        _ => (path, ""),
    };
    let (root, rest) = roots
        .iter()
        .find_map(|root| root.rest(body).map(|rest| (root, rest)))
        .ok_or_else(|| format!("{path} is not below a root of the rule"))?;
    let real = format!("{}{rest}", root.real);
    let full = if real.is_empty() { "/" } else { real.as_str() };
    // The root has been resolved, so from the top there is no link that root did not put there before the load.
    let last = walk(Path::new(full), Path::new(&root.real), visit)?;
    if !directory && last == Some(FileType::Directory) {
        return Err(format!("{path} is a directory, and the rule asks for a file"));
    }
    Ok(if real.is_empty() { "/".to_owned() } else { real + slash })
}

/// Looks at each component in the directory that was opened before it; gives what the last one is, if it is there.
fn walk(path: &Path, root: &Path, visit: Visit) -> Result<Option<FileType>, String> {
    let cannot = |at: &Path, error: Errno| format!("cannot look at {}: {error}", at.display());
    let mut at = PathBuf::from("/");
    let mut here = places::top().map_err(|error| cannot(&at, error))?;
    let mut last = Some(FileType::Directory);
    let mut components = path.components().skip(1).peekable();
    while let Some(component) = components.next() {
        let is_last = components.peek().is_none();
        let name = component.as_os_str();
        let entry = match places::look(&here, name) {
            Ok(entry) => Some(entry),
            Err(Errno::NOENT) => None,
            Err(error) => return Err(cannot(&at.join(name), error)),
        };
        last = entry.as_ref().map(places::file_type);
        if last == Some(FileType::Symlink) {
            return Err(format!("{} is a link", at.join(name).display()));
        }
        if let Visit::Program(follower) = visit {
            let directory = rustix::fs::fstat(&here).map_err(|error| cannot(&at, error))?;
            follower.check(&at, &directory, entry.as_ref(), is_last, root.starts_with(&at))?;
        }
        at.push(component);
        match entry {
            _ if is_last => {}
            None if visit == Visit::None => return Ok(None),
            None => return Err(format!("the directory {} does not exist", at.display())),
            Some(_) if last != Some(FileType::Directory) => return Err(format!("{} is not a directory", at.display())),
            Some(_) => here = places::pass(&here, name).map_err(|error| cannot(&at, error))?,
        }
    }
    Ok(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn roots(texts: &[&str]) -> Vec<Root> {
        texts.iter().map(|text| Root::parse(text).unwrap()).collect()
    }

    #[track_caller]
    fn check(path: &str, directory: bool, below: bool) {
        assert_eq!(is_below(&roots(&["/tmp", "/var/log/"]), path, directory), below, "{path}");
    }

    #[test]
    fn below_is_by_component() {
        for path in ["/tmp", "/tmp/", "/tmp/a", "/tmp/a b/", "/var/log/x.1", "/tmp/...", "/tmp/.x", "/tmp/-rf"] {
            check(path, true, true);
        }
        for path in [
            "/tmp2",
            "/tmp/..",
            "/tmp/../etc",
            "/tmp/./a",
            "/tmp//a",
            "//tmp",
            "/tmp//",
            "tmp/a",
            "/",
            "",
            "/var",
            "/var/logs",
            "/tmp/$(id)",
            "/tmp/a*",
            "/tmp/é",
            "/tmp/a;b",
            "/tmp/~",
            "/tmp/a /etc/b",
            "/tmp/ a",
            "/tmp/a ",
            "/etc/tmp",
        ] {
            check(path, true, false);
        }
        check("/var/log/a", false, true);
        check("/var/log/a/", false, false);
        assert!(is_below(&roots(&["/"]), "/etc/x", false));
        assert!(is_below(&roots(&["/"]), "/", true));
    }

    #[test]
    fn no_link_below_the_root_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().canonicalize().unwrap();
        fs::create_dir_all(base.join("real/sub")).unwrap();
        fs::write(base.join("real/file"), "").unwrap();
        symlink("/etc", base.join("real/link")).unwrap();
        symlink("/etc/passwd", base.join("real/sub/leaf")).unwrap();
        let root = base.join("real").to_str().unwrap().to_owned();
        let roots = roots(&[&root]);
        let run = |rest: &str, directory| resolve(&roots, &format!("{root}{rest}"), directory, Visit::Native);
        assert_eq!(run("/sub/", true).unwrap(), format!("{root}/sub/"));
        assert_eq!(run("/new", false).unwrap(), format!("{root}/new"));
        assert_eq!(run("", true).unwrap(), root);
        for (rest, directory, reason) in [
            ("/link/passwd", false, "is a link"),
            ("/link", true, "is a link"),
            ("/link/", true, "is a link"),
            ("/sub/leaf", false, "is a link"),
            ("/sub", false, "is a directory"),
            ("/file/x", false, "is not a directory"),
            ("/missing/x", false, "does not exist"),
        ] {
            assert!(run(rest, directory).unwrap_err().contains(reason), "{rest}");
        }
        let load = resolve(&roots, &format!("{root}/missing/x"), false, Visit::None);
        assert_eq!(load.unwrap(), format!("{root}/missing/x"));
        assert!(resolve(&roots, &format!("{root}/link/x/y"), false, Visit::None).is_err());
    }

    #[test]
    fn a_root_may_be_reached_through_roots_own_links_only() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().canonicalize().unwrap();
        fs::create_dir_all(base.join("real/deep")).unwrap();
        symlink("real", base.join("link")).unwrap();
        let link = base.join("link/deep").to_str().unwrap().to_owned();
        if rustix::process::geteuid().is_root() {
            let root = Root::parse(&link).unwrap();
            assert_eq!(root.real, base.join("real/deep").to_str().unwrap());
            let path = resolve(&[root], &format!("{link}/x"), false, Visit::Native).unwrap();
            assert_eq!(path, base.join("real/deep/x").to_str().unwrap());
            std::os::unix::fs::lchown(base.join("link"), Some(12345), None).unwrap();
        }
        assert!(Root::parse(&link).unwrap_err().contains("root does not own"));
        assert!(Root::parse("relative").is_err());
        assert!(Root::parse("/a/../b").is_err());
    }
}
