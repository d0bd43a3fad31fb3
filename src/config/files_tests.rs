//! The files below `tests/data`: the good ones load, and each bad one has exactly the problems that are written down.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use super::problem::{Level, Problem};
use super::source::{Text, shipped_settings};
use super::{Config, Parsed, parse};

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

/// What the files of `playbooks/warn` suppose of the settings.
const WATCHED: &str = r#"{
    "watch": {
        "processes": [{"name": "web"}],
        "endpoints": [{"name": "here", "url": "http://localhost/"}],
        "certificates": [{"name": "file", "path": "/etc/ssl/mine.pem"}, {"name": "served", "host": "localhost"}]
    },
    "allowed_commands": ["@shipped", "no-such-program-here"],
    "notify": {"channels": [{"type": "desktop"}]}
}"#;

/// What the files of `settings/warn` suppose of the playbooks.
const LOCAL_ONLY: &str = r#"{"slow": {"condition": "api_latency_ms{host=\"localhost\"} > 2000", "actions": []}}"#;

/// The remarks about each file of a folder, against its `expected.txt`. That certbot is missing depends on the host.
#[track_caller]
fn check_remarks(folder: &str, least: usize, load: impl Fn(&Text) -> Result<Config, Vec<Problem>>) {
    let files = files(folder);
    assert!(files.len() >= least, "{folder} has {} files", files.len());
    let expected = fs::read_to_string(files[0].with_file_name("expected.txt")).unwrap();
    let mut found = String::new();
    for path in files {
        let config = load(&text(&path)).unwrap_or_else(|problems| panic!("{}: {problems:#?}", path.display()));
        writeln!(found, "{}", path.file_stem().unwrap().to_string_lossy()).unwrap();
        let own = config.remarks.iter().filter(|problem| problem.file == "f" && problem.found.as_deref() != Some("certbot"));
        own.for_each(|problem| writeln!(found, "    {} {}: {}", problem.severity.name(), line(problem), problem.message).unwrap());
    }
    assert!(found == expected, "found in {folder}:\n{found}");
}

#[test]
fn every_doubtful_file_has_exactly_the_remarks_that_are_expected() {
    check_remarks("playbooks/warn", 10, |playbooks| parse(playbooks, &Text::new("s", WATCHED)));
    check_remarks("settings/warn", 4, |settings| parse(&Text::new("p", LOCAL_ONLY), settings));
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

#[test]
fn ten_thousand_playbooks_load() {
    let mut books = String::from("{");
    for index in 0..10_000 {
        let comma = if index == 0 { "" } else { "," };
        write!(books, r#"{comma}"p{index}": {{"condition": "log_file_size_mb{{path=\"/l/{index}\"}} > 1", "actions": []}}"#).unwrap();
    }
    let config = parse(&Text::new("p", &(books + "}")), &shipped_settings()).unwrap();
    assert_eq!(config.playbooks.len(), 10_000);
}
