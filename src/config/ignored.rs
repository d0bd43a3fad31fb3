//! Files of a configuration directory that look as if they were meant, and are not read.

use std::fs;
use std::path::{Path, PathBuf};

use super::problem::{Draft, Problem, nearest};
use super::source::{PLAYBOOKS, SETTINGS};

/// More entries than this are no configuration directory.
const MOST: usize = 1000;

/// Endings of files that hold configuration; of these only JSON is ours.
const ENDINGS: &[&str] = &["json", "jsonc", "json5", "yaml", "yml", "toml", "conf", "ini"];

/// What editors and package managers leave beside a file.
const LEFT: &[&str] = &["bak", "old", "orig", "save", "swp", "tmp", "rej", "disabled", "example", "sample"];

/// A remark about each file or directory of `dir` that a person may think is in force. `read`: files that are, whatever their
/// names. `mentions`: whether the settings name a file. `own`: the directory is autoheal's; in another one only names that are
/// nearly right are told.
#[must_use]
pub fn ignored(dir: &Path, read: &[PathBuf], mentions: impl Fn(&str) -> bool, own: bool) -> Vec<Problem> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(_) if !own => return Vec::new(),
        Err(error) => {
            let message = format!("what else is here cannot be seen: {}", crate::collect::reason::plain(&error));
            return vec![Draft::note("not_seen", message).at(&dir.display().to_string(), "$", 0..0)];
        }
    };
    let mut paths: Vec<PathBuf> = entries.take(MOST).filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths.retain(|path| !read.contains(path));
    paths.iter().filter_map(|path| Some(remark(path, &mentions, own)?.at(&path.display().to_string(), "$", 0..0))).collect()
}

fn remark(path: &Path, mentions: &impl Fn(&str) -> bool, own: bool) -> Option<Draft> {
    let name = path.file_name()?.to_str()?;
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    let left_over = name.starts_with(['.', '#'])
        || name.ends_with('~')
        || LEFT.contains(&ending)
        || ending.starts_with("dpkg-")
        || ending.starts_with("rpm");
    if left_over || [PLAYBOOKS, SETTINGS].contains(&name) || name.ends_with(".schema.json") || mentions(name) {
        return None;
    }
    let meant = meant(name).filter(|_| own || name.to_lowercase().contains("autoheal"));
    if path.is_dir() {
        let parts = meant.is_some() && (ending == "d" || name.contains("playbooks"));
        let message = "this directory is not read: all playbooks stand in one file";
        return parts.then(|| Draft::warning("file_ignored", message).suggest(format!("put them into {PLAYBOOKS}")));
    }
    if !ENDINGS.contains(&ending) {
        return None;
    }
    let message = format!("this file is not read: autoheal reads {PLAYBOOKS} and {SETTINGS}");
    match (meant, ending) {
        // With the right file beside it, it is a draft or a copy.
        (Some(meant), "json") if path.with_file_name(meant).exists() => own.then(|| Draft::note("file_ignored", message)),
        (Some(meant), "json") => Some(Draft::warning("file_ignored", message).suggest(format!("did you mean {meant:?}?"))),
        (Some(meant), _) => Some(Draft::warning("file_ignored", message).suggest(format!("write it as JSON, in {meant}"))),
        (None, _) => own.then(|| Draft::note("file_ignored", message)),
    }
}

/// Which of the two files a name stands for.
fn meant(name: &str) -> Option<&'static str> {
    let lower = name.to_lowercase();
    if lower.contains("playbook") {
        return Some(PLAYBOOKS);
    }
    nearest(&lower, &[PLAYBOOKS, SETTINGS])
        .or_else(|| ["autoheal", "settings"].iter().any(|part| lower.starts_with(part)).then_some(SETTINGS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(names: &[&str], own: bool, expected: &[&str]) {
        let dir = tempfile::tempdir().unwrap();
        for name in names {
            match name.strip_suffix('/') {
                Some(name) => fs::create_dir(dir.path().join(name)).unwrap(),
                None => fs::write(dir.path().join(name), "{}").unwrap(),
            }
        }
        let read = [dir.path().join("named.json")];
        let found: Vec<String> = ignored(dir.path(), &read, |name| name == "ca.json", own)
            .into_iter()
            .map(|problem| {
                let name = Path::new(&problem.file).file_name().unwrap().to_str().unwrap().to_owned();
                format!("{} {name} ({})", problem.severity.name(), problem.suggestion.unwrap_or_default())
            })
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn misspelt_names_and_other_formats_are_told() {
        check(
            &["autoheal_playbooks.json", "Autoheal.json", "playbooks.yaml", "playbooks.d/"],
            true,
            &[
                "warning Autoheal.json (did you mean \"autoheal.json\"?)",
                "warning autoheal_playbooks.json (did you mean \"autoheal-playbooks.json\"?)",
                "warning playbooks.d (put them into autoheal-playbooks.json)",
                "warning playbooks.yaml (write it as JSON, in autoheal-playbooks.json)",
            ],
        );
        check(&["settings.json"], true, &["warning settings.json (did you mean \"autoheal.json\"?)"]);
    }

    #[test]
    fn a_draft_beside_the_file_is_only_noted() {
        check(
            &[PLAYBOOKS, "autoheal-playbooks-new.json", "other.json"],
            true,
            &["note autoheal-playbooks-new.json ()", "note other.json ()"],
        );
    }

    #[test]
    fn what_is_in_use_or_left_over_is_not_told() {
        let quiet = [
            PLAYBOOKS,
            SETTINGS,
            "autoheal.schema.json",
            "autoheal.json~",
            "autoheal.json.bak",
            ".autoheal.json.swp",
            "#autoheal.json#",
            "autoheal.json.dpkg-dist",
            "autoheal.json.rpmnew",
            "named.json",
            "ca.json",
            "README.md",
            "slack",
            "pages.d/",
        ];
        check(&quiet, true, &[]);
    }

    #[test]
    fn in_the_directory_of_another_program_only_names_that_are_ours_are_told() {
        check(
            &["database.yml", "package.json", "autoheal-playbook.json", PLAYBOOKS, "autoheal.yaml"],
            false,
            &["warning autoheal.yaml (write it as JSON, in autoheal.json)"],
        );
    }

    #[test]
    fn a_directory_that_cannot_be_read_is_said_to_be_unseen() {
        let found = ignored(Path::new("/no/such/directory"), &[], |_| false, true);
        assert_eq!((found.len(), found[0].code), (1, "not_seen"));
        assert!(ignored(Path::new("/no/such/directory"), &[], |_| false, false).is_empty());
    }
}
