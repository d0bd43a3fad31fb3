//! The files below `tests/data`: the good ones load, and each bad one has exactly the problems that are written down.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use super::problem::{Level, Problem};
use super::source::{Text, shipped_settings};
use super::{Parsed, parse};

/// The JSON files of a folder, sorted.
fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(folder);
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    files
}

fn text(path: &Path) -> Text {
    Text::new("f", &fs::read_to_string(path).unwrap())
}

/// `LINE:COLUMN PATH CODE (next step)`
fn line(problem: &Problem) -> String {
    let Problem { line, column, path, code, suggestion, .. } = problem;
    let next = suggestion.as_ref().map_or_else(String::new, |next| format!(" ({next})"));
    format!("{line}:{column} {path} {code}{next}")
}

/// Expected problems stand in `expected.txt`: the name of each file, then its problems, indented.
#[track_caller]
fn check(folder: &str, least: usize, problems_of: impl Fn(&Text) -> Vec<Problem>) {
    let files = files(folder);
    assert!(files.len() >= least, "{folder} has {} files", files.len());
    let expected = fs::read_to_string(files[0].with_file_name("expected.txt")).unwrap();
    let mut found = String::new();
    for path in files {
        let problems: Vec<Problem> = problems_of(&text(&path)).into_iter().filter(|problem| problem.code != "nobody_told").collect();
        assert!(problems.iter().any(|problem| problem.severity == Level::Error), "{} is not bad", path.display());
        writeln!(found, "{}", path.file_stem().unwrap().to_string_lossy()).unwrap();
        problems.iter().for_each(|problem| writeln!(found, "    {}", line(problem)).unwrap());
    }
    assert!(found == expected, "found in {folder}:\n{found}");
}

#[test]
fn every_bad_playbook_file_has_exactly_the_problems_that_are_expected() {
    check("playbooks/bad", 100, |text| Parsed::playbooks(text).into_problems());
}

#[test]
fn every_bad_settings_file_has_exactly_the_problems_that_are_expected() {
    check("settings/bad", 25, |text| Parsed::settings(text).into_problems());
}

#[test]
fn every_good_file_loads() {
    let (playbooks, settings) = (files("playbooks/good"), files("settings/good"));
    assert!(playbooks.len() >= 20 && settings.len() >= 6);
    let playbooks = playbooks.iter().map(|path| (path, parse(&text(path), &shipped_settings())));
    let settings = settings.iter().map(|path| (path, parse(&Text::new("p", "{}"), &text(path))));
    let refused: Vec<_> = playbooks.chain(settings).filter_map(|(path, result)| result.err().map(|problems| (path, problems))).collect();
    assert!(refused.is_empty(), "{refused:#?}");
}
