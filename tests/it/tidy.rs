//! Rules of the house that a compiler does not check.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use regex::Regex;

/// Longer files are several things at once.
const MOST_LINES: usize = 400;

/// The pure core: functions of plain data and of the time that they are given.
const CORE: &[&str] = &[
    "src/clock.rs",
    "src/metric.rs",
    "src/sample.rs",
    "src/sample",
    "src/placeholder.rs",
    "src/config/playbook.rs",
    "src/config/problem.rs",
    "src/config/settings.rs",
    "src/detect/canonical.rs",
    "src/detect/condition.rs",
    "src/detect/detector.rs",
    "src/detect/latest.rs",
    "src/detect/opening.rs",
    "src/detect/progress.rs",
    "src/detect/routes.rs",
    "src/detect/rule.rs",
    "src/incident",
    "src/notification/throttle.rs",
    "src/heal/budget.rs",
    "src/heal/guard",
    "src/heal/healer",
    "src/heal/outcome.rs",
    "src/heal/silence.rs",
    "src/heal/track",
    "src/heal/track.rs",
    "src/record/escape.rs",
    "src/record/json.rs",
    "src/record/notice.rs",
    "src/record/report.rs",
    "src/record/retold.rs",
];

/// Beside each other, these are the only modules that the core may name.
const CORE_MAY_NAME: &[&str] = &[
    "clock",
    "metric",
    "sample",
    "placeholder",
    "config::playbook",
    "config::problem",
    "config::settings",
    "detect::condition",
    "detect::detector",
    "incident",
    "heal::guard",
    "heal::outcome",
    "heal::silence",
    "heal::track",
    "record::escape",
    "record::json",
    "record::report",
];

/// What would make the core see or change the world. The guard is left out: it looks at programs and paths on purpose.
const NOT_IN_CORE: &str = r"\b(std::fs|std::net|std::thread|std::process|crossbeam_channel)\b";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file of the repository below `place`, by its path from the root, without what is built and what the agent writes.
fn files_below(place: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![root().join(place)];
    while let Some(path) = waiting.pop() {
        let name = path.strip_prefix(root()).expect("everything looked at is below the root").to_owned();
        let skipped = [".git", "target", "incidents", "fuzz/target", "fuzz/found", "fuzz/artifacts"];
        if skipped.iter().any(|skip| name == Path::new(skip)) {
            continue;
        }
        if path.is_dir() {
            waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            found.push(name);
        }
    }
    found.sort();
    found
}

fn read(name: impl AsRef<Path>) -> String {
    String::from_utf8_lossy(&fs::read(root().join(name.as_ref())).unwrap()).into_owned()
}

fn has_ending(path: &Path, endings: &[&str]) -> bool {
    path.extension().is_some_and(|ending| endings.iter().any(|wanted| ending == *wanted))
}

#[test]
fn files_stay_short() {
    let sources: Vec<_> = files_below("").into_iter().filter(|path| has_ending(path, &["rs", "sh", "py"])).collect();
    assert!(sources.len() > 20, "the walk found only {sources:?}");
    let long: Vec<_> = sources.iter().map(|path| (path, read(path).lines().count())).filter(|(_, lines)| *lines > MOST_LINES).collect();
    assert!(long.is_empty(), "over {MOST_LINES} lines: {long:?}");
}

/// The modules that the code of a file names, without its tests' and comments'.
fn named_modules(text: &str) -> Vec<String> {
    let pattern = Regex::new(r"\bcrate::([a-z_0-9]+(?:::[a-z_0-9]+)*)").unwrap();
    let code = text.lines().take_while(|line| *line != "#[cfg(test)]").filter(|line| !line.trim_start().starts_with("//"));
    code.flat_map(|line| pattern.captures_iter(line).map(|found| found[1].to_owned()).collect::<Vec<_>>()).collect()
}

#[test]
fn the_core_names_only_the_core() {
    let forbidden = Regex::new(NOT_IN_CORE).unwrap();
    let mut wrong = Vec::new();
    for path in CORE.iter().flat_map(|place| files_below(place)).filter(|path| has_ending(path, &["rs"])) {
        let text = read(&path);
        let may = |module: &str| CORE_MAY_NAME.iter().any(|allowed| module == *allowed || module.starts_with(&format!("{allowed}::")));
        let looks = |module: &str| path.starts_with("src/heal/guard") && module == "heal::places";
        wrong.extend(named_modules(&text).into_iter().filter(|module| !may(module) && !looks(module)).map(|module| (path.clone(), module)));
        let code = text.lines().take_while(|line| *line != "#[cfg(test)]").collect::<Vec<_>>().join("\n");
        if !path.starts_with("src/heal/guard") {
            wrong.extend(forbidden.find_iter(&code).map(|found| (path.clone(), found.as_str().to_owned())));
        }
    }
    assert!(wrong.is_empty(), "the core names what is not of the core: {wrong:?}");
}

#[test]
fn the_imports_of_a_file_are_found() {
    let text = "use crate::a::b::C;\n// crate::x\n#[serde(with = \"crate::d\")]\nlet x = crate::e::f();\n#[cfg(test)]\nuse crate::g;";
    assert_eq!(named_modules(text), ["a::b", "d", "e::f"]);
}

#[test]
fn every_dependency_says_why_it_is_there() {
    let manifest = read("Cargo.toml");
    let mut in_dependencies = false;
    let mut seen = 0;
    let mut silent = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            in_dependencies = line.trim_end_matches(']').ends_with("dependencies");
        } else if in_dependencies && line.contains(" = ") {
            seen += 1;
            if line.split_once("# ").is_none_or(|(_, reason)| reason.trim().len() < 8) {
                silent.push(line);
            }
        }
    }
    assert!(seen > 20, "only {seen} dependencies were found");
    assert!(silent.is_empty(), "no reason stands beside: {silent:#?}");
}

/// The strings of the list `key` in a table of `deny.toml`: of `{ crate = "x", … }` the first.
fn denied_or_allowed(table: &str, key: &str) -> Vec<String> {
    let text = read("deny.toml");
    let (_, rest) = text.split_once(&format!("[{table}]")).unwrap();
    let (_, rest) = rest.split_once(&format!("\n{key} = [\n")).unwrap();
    let (list, _) = rest.split_once("\n]").unwrap();
    list.lines().map(|line| line.split('"').nth(1).unwrap_or_else(|| panic!("no string in {line:?}")).to_owned()).collect()
}

#[test]
fn no_banned_crate_is_in_the_tree() {
    let banned = denied_or_allowed("bans", "deny");
    assert!(banned.iter().any(|name| name == "tokio"));
    let lock = read("Cargo.lock");
    let all: Vec<&str> = lock.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"')).collect();
    assert!(all.contains(&"rustls"));
    let found: Vec<_> = all.iter().filter(|name| banned.iter().any(|banned| banned == *name)).collect();
    assert!(found.is_empty(), "banned in deny.toml: {found:?}");
}

/// Whether an SPDX expression can be met with the allowed licences; `/` is an old way to write `OR`.
fn is_allowed(expression: &str, allowed: &[String]) -> bool {
    let expression = expression.replace('/', " OR ");
    let split = |word: &str| {
        let mut parts = vec![String::new()];
        let mut depth = 0;
        for token in expression.replace('(', "( ").replace(')', " )").split_whitespace() {
            depth += i32::from(token == "(") - i32::from(token == ")");
            if depth == 0 && token == word {
                parts.push(String::new());
            } else {
                let part = parts.last_mut().expect("there is always one");
                part.push_str(&format!(" {token}"));
            }
        }
        parts.into_iter().map(|part| part.trim().to_owned()).collect::<Vec<_>>()
    };
    let (choices, needs) = (split("OR"), split("AND"));
    match expression.trim().strip_prefix('(').and_then(|inner| inner.strip_suffix(')')) {
        _ if choices.len() > 1 => choices.iter().any(|part| is_allowed(part, allowed)),
        _ if needs.len() > 1 => needs.iter().all(|part| is_allowed(part, allowed)),
        Some(inner) => is_allowed(inner, allowed),
        None => allowed.iter().any(|license| license == expression.trim()),
    }
}

#[test]
fn license_expressions_are_understood() {
    let allowed = ["MIT", "ISC", "Unicode-3.0"].map(str::to_owned);
    for (expression, fine) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("MIT/Apache-2.0", true),
        ("GPL-3.0 OR MIT", true),
        ("GPL-3.0 AND MIT", false),
        ("Apache-2.0 AND ISC", false),
        ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
        ("(GPL-3.0 OR Apache-2.0) AND Unicode-3.0", false),
        ("Apache-2.0 WITH LLVM-exception OR MIT", true),
        ("", false),
    ] {
        assert_eq!(is_allowed(expression, &allowed), fine, "{expression}");
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "cargo knows the licences of the tree")]
fn only_allowed_licenses_are_in_the_tree() {
    let allowed = denied_or_allowed("licenses", "allow");
    let tree = ["tree", "--offline", "--locked", "--prefix", "none", "--edges", "normal,build,dev", "--format", "{p}|{l}"];
    let output = Command::new(env!("CARGO")).args(tree).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().map(|line| line.trim_end_matches(" (*)")).collect();
    assert!(lines.len() > 50, "cargo tree named only {} crates", lines.len());
    let wrong: Vec<_> =
        lines.iter().filter(|line| line.split_once('|').is_none_or(|(_, license)| !is_allowed(license, &allowed))).collect();
    assert!(wrong.is_empty(), "licences that deny.toml does not allow: {wrong:#?}");
}

#[test]
fn no_file_names_the_place_where_it_lies() {
    let here = root().to_str().unwrap();
    // As the beginning of a path: a checkout in /src must not stumble over every other path that ends so.
    let pattern = Regex::new(&format!(r#"(?m)(?:^|[\s"'`=:(\[]){}\b"#, regex::escape(here))).unwrap();
    assert!(pattern.is_match(&format!("cd {here}/src")) && !pattern.is_match(&format!("$root{here}")));
    let wrong: Vec<_> = files_below("").into_iter().filter(|path| pattern.is_match(&read(path))).collect();
    assert!(wrong.is_empty(), "these name {here}: {wrong:?}");
}

#[test]
fn scripts_stop_at_their_first_error_and_can_be_run() {
    use std::os::unix::fs::PermissionsExt;
    let scripts: Vec<_> = [".ci", "fuzz", "packaging/layout", "tests/real"].into_iter().flat_map(files_below).collect();
    let scripts: Vec<_> = scripts.into_iter().filter(|path| read(path).starts_with("#!/usr/bin/env bash")).collect();
    assert!(scripts.len() > 5, "found only {scripts:?}");
    for path in scripts {
        assert!(read(&path).contains("\nset -euo pipefail\n"), "{}: no set -euo pipefail", path.display());
        let mode = fs::metadata(root().join(&path)).unwrap().permissions().mode();
        assert!(mode & 0o111 == 0o111, "{} is not executable", path.display());
    }
}

#[test]
fn what_security_md_names_as_its_proof_is_there() {
    let page = read("SECURITY.md");
    let code: String = files_below("src").iter().chain(&files_below("tests")).filter(|path| has_ending(path, &["rs"])).map(read).collect();
    let quoted = Regex::new("`([^`]+)`").unwrap();
    let table =
        page.lines().filter(|line| line.matches(" | ").count() == 4).filter_map(|line| line.trim_end_matches(" |").rsplit_once(" | "));
    let proofs: Vec<&str> = table.flat_map(|(_, proof)| quoted.captures_iter(proof).map(|found| found.get(1).unwrap().as_str())).collect();
    assert!(proofs.len() > 30, "the table of SECURITY.md was not found: {proofs:?}");
    let is_there = |name: &str| match name.strip_prefix("fuzz: ") {
        Some(target) => read("fuzz/Cargo.toml").contains(&format!("name = \"{target}\"")),
        None if name.contains(['/', '.']) => root().join(name).exists() || root().join("src").join(name).exists(),
        None => code.contains(&format!("fn {name}(")),
    };
    let missing: Vec<_> = proofs.into_iter().filter(|name| !is_there(name)).collect();
    assert!(missing.is_empty(), "SECURITY.md names what is not there: {missing:?}");
}

/// serde names every status that there is when it is given none of them.
fn statuses() -> Vec<String> {
    let error = serde_json::from_str::<autoheal::incident::Status>("\"?\"").unwrap_err().to_string();
    let expected = error.split_once("expected one of").expect("serde lists them").1;
    Regex::new("`([a-z_]+)`").unwrap().captures_iter(expected).map(|found| found[1].to_owned()).collect()
}

#[test]
fn the_table_of_statuses_has_each_in_order() {
    let row = Regex::new(r"(?m)^\| `([a-z_]+)` \| [^|]{10,} \| [^|]{5,} \|$").unwrap();
    let rows: Vec<String> = row.captures_iter(&read("docs/incidents.md")).map(|found| found[1].to_owned()).collect();
    assert_eq!(rows, statuses());
}
