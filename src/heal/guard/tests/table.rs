//! The large table: `tests/data/guard/*.jsonl`, a request a line. Every attack is refused, every legitimate command allowed.

use std::fs;
use std::path::Path;

use super::*;

/// One line of the table.
#[derive(Deserialize)]
struct Row {
    kind: String,
    /// A `shell` action's text; a row with an `action` instead is asked about in `tests/it/guard_table.rs`.
    command: Option<String>,
    #[serde(default)]
    labels: Values,
    /// The rules under which it is asked about, besides those that ship.
    #[serde(default)]
    rules: Vec<String>,
    class: String,
    why: String,
}

fn rows() -> Vec<Row> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/guard");
    let mut files: Vec<PathBuf> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |file: &PathBuf| fs::read_to_string(file).unwrap();
    files.iter().flat_map(|file| read(file).lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Row>>()).collect()
}

/// What the guard says at load, to a test, and before a run.
fn allowed(policy: &Policy, row: &Row, command: &str) -> [bool; 3] {
    let request = Request::Command(command);
    // A template that is fine as such can be filled with a value that is not, or with none.
    let template = row.class != "placeholders" && row.labels.is_empty() && policy.check(&request).is_ok();
    [template, policy.test(&request, &row.labels).is_ok(), policy.review(&request, &row.labels).is_ok()]
}

/// Fails with the first of what is wrong.
fn tell(what: &str, wrong: &[String], of: usize) {
    println!("{what}: {} of {of}", wrong.len());
    let shown: Vec<&str> = wrong.iter().take(200).map(String::as_str).collect();
    assert!(wrong.is_empty(), "{what}: {} of {of}, first of them\n{}", wrong.len(), shown.join("\n"));
}

#[test]
fn no_attack_of_the_table_is_allowed() {
    let rows = rows();
    let every_rule: Vec<AllowedCommand> = rows.iter().flat_map(|row| row.rules.iter().map(|text| rule(text))).collect();
    let all = settings(shipped().into_iter().chain(hints().iter().map(|hint| rule(hint))).chain(every_rule).collect());
    let (shipped, everything) = (shipped_policy(), Policy::compile(&all).0.with_manager(Manager::Systemd));
    let attacks: Vec<(&Row, &str)> =
        rows.iter().filter(|row| row.kind == "attack").filter_map(|row| Some((row, row.command.as_deref()?))).collect();
    let mut wrong = Vec::new();
    for &(row, command) in &attacks {
        let own: Vec<&str> = row.rules.iter().map(String::as_str).collect();
        let own = policy(&own);
        for (name, policy) in [("the shipped rules", &shipped), ("every rule of the table", &everything), ("its own rules", &own)] {
            if allowed(policy, row, command) != [false; 3] {
                wrong.push(format!("{command:?} {:?} under {name} ({}: {})", row.labels, row.class, row.why));
            }
        }
    }
    assert!(attacks.len() >= 800, "only {} attacks", attacks.len());
    tell("attacks allowed", &wrong, attacks.len());
}

#[test]
fn no_legitimate_command_of_the_table_is_refused() {
    let rows = rows();
    let legitimate: Vec<(&Row, &str)> =
        rows.iter().filter(|row| row.kind == "legit").filter_map(|row| Some((row, row.command.as_deref()?))).collect();
    let shipped = shipped_policy();
    let mut wrong = Vec::new();
    for &(row, command) in &legitimate {
        let own: Vec<&str> = row.rules.iter().map(String::as_str).collect();
        let own = policy(&own);
        let policy = if row.rules.is_empty() { &shipped } else { &own };
        let request = Request::Command(command);
        for answer in [policy.check(&request), policy.test(&request, &row.labels)] {
            match answer {
                Err(refusal) => wrong.push(format!("{command:?}: {refusal} ({})", row.class)),
                Ok(reviewed) if !reviewed.shell && row.labels.is_empty() => {
                    if reviewed.argv != shell_words::split(command).unwrap() {
                        wrong.push(format!("{command:?} is split into {:?}", reviewed.argv));
                    }
                }
                Ok(_) => {}
            }
        }
    }
    assert!(legitimate.len() >= 250, "only {} legitimate commands", legitimate.len());
    tell("legitimate commands refused", &wrong, legitimate.len());
}
