//! `docs/configuration.md`: the reference of both files, written from their schemas and the table of metrics.
//!
//! `AUTOHEAL_REFRESH=1 cargo test --lib reference` writes it again.

use std::fmt::Write;
use std::path::Path;
use std::{env, fs};

use serde_json::Value;

use super::codes::Place;
use super::{Level, Text, parse, schema};

#[path = "reference_examples.rs"]
mod examples;
#[path = "reference_tables.rs"]
mod tables;

const FILE: &str = "docs/configuration.md";

const HEAD: &str = "# Configuration

Every key of both files. This page is written from the code that reads them: `autoheal schema playbooks` and `autoheal schema
settings` print the same as JSON Schemas, which are shipped beside the files, so that editors complete and check as you type.
Both files are strict JSON. In every object the keys `$schema`, `$comment`, and those that begin with `_` or `x-`, are ignored.
Keys may be left out, but for those that say `required` where others have a default.

Whatever is saved takes effect at once, without a restart: an incident that is open goes on as it began, everything else follows the
new files. A file with a mistake changes nothing. Each example here is read by a test as the agent reads it.
";

const CONDITION: &str = "
## Conditions

A condition is a comparison, a combination, or an expression, which is text. All metrics of one condition must belong to the same
target: their labels are equal, or those of one contain those of the other. `verify` takes a condition too.
";

const EXPRESSION: &str = "
An expression has comparisons, `&&`, `||`, `!`, parentheses, `for` with a time, labels in braces (`=`, `!=`, and `=~` for a glob),
and may name units (`%`, `ms`, `s`, `m`, `h`, `d`, `MB`, `GB`): [expressions](expressions.md) has the grammar, examples, and the
commonest mistakes.";

/// What the examples of actions and conditions suppose of the settings.
const WATCH: &str = r#"{
  "watch": {"processes": [{"name": "web", "restartable": true}]},
  "services": {"web": {"restart": "true", "start": "true"}}
}"#;

struct Page {
    text: String,
    /// How many of the examples are on the page.
    shown: usize,
}

impl Page {
    fn line(&mut self, line: impl AsRef<str>) {
        writeln!(self.text, "{}", line.as_ref()).unwrap();
    }

    /// The next example, which must be that of the heading.
    fn example(&mut self, heading: &str) {
        let (name, _, text) = examples::EXAMPLES.get(self.shown).unwrap_or_else(|| panic!("{heading} has no example"));
        assert_eq!(*name, heading, "the examples stand in the order of the page, one for each object");
        self.shown += 1;
        self.line(format!("\n```json\n{text}\n```"));
    }

    /// An object with its example, then the objects below it; `depth` is that of the heading.
    fn object(&mut self, name: &str, depth: usize, object: &Value, without: &[&str]) {
        self.table(name, depth, object, without);
        self.example(name);
        let above = if depth == 2 { String::new() } else { format!("{name}: ") };
        let keys = object["properties"].as_object().unwrap();
        for (key, value) in keys.iter().filter(|(key, _)| !without.contains(&key.as_str())) {
            let (below, name) = (objects(value), format!("{above}`{key}`"));
            match below.as_slice() {
                [one] => self.object(&name, 3, one, &[]),
                [] => {}
                types if types.iter().all(|object| type_of(object).is_some()) => {
                    self.types(&name, 3, "Every one has a `type`, and may have these keys.", types);
                }
                several => {
                    for (index, one) in several.iter().enumerate() {
                        self.object(&format!("{name} with `{}`", own_key(several, index)), 3, one, &[]);
                    }
                }
            }
        }
    }

    /// An object's keys as a table.
    fn table(&mut self, name: &str, depth: usize, object: &Value, without: &[&str]) {
        let keys = object["properties"].as_object().unwrap();
        self.line(format!("\n{} {name}\n\n{}", "#".repeat(depth), object["description"].as_str().unwrap_or_default()));
        let shown = || keys.iter().filter(|(key, _)| !without.contains(&key.as_str()));
        if shown().next().is_some() {
            self.line("\n| key | value | default | meaning |\n| --- | --- | --- | --- |");
        }
        for (key, value) in shown() {
            let required = object["required"].as_array().is_some_and(|all| all.iter().any(|one| one == key));
            let default = value.get("default").map_or_else(|| if required { "`required`".to_owned() } else { String::new() }, code);
            let meaning = value["description"].as_str().unwrap_or_default().replace('|', "\\|");
            self.line(format!("| `{key}` | {} | {default} | {meaning}{} |", kind(value), words(value)));
        }
    }

    /// What all types have in common once, and what is special to each.
    fn types(&mut self, name: &str, depth: usize, about: &str, types: &[&Value]) {
        let in_all = |key: &str| key != "type" && types.iter().all(|one| one["properties"].get(key).is_some());
        let (common, mut own): (Vec<&str>, Vec<&str>) =
            types[0]["properties"].as_object().unwrap().keys().map(String::as_str).partition(|key| in_all(key));
        let mut all = types[0].clone();
        all["description"] = about.into();
        own.push("type");
        self.table(name, depth, &all, &own);
        let hidden: Vec<&str> = common.into_iter().chain(["type"]).collect();
        for one in types {
            self.object(&format!("`{}`", type_of(one).unwrap()), depth + 1, one, &hidden);
        }
    }
}

/// The word by which the object is told from its alternatives.
fn type_of(object: &Value) -> Option<&str> {
    object["properties"]["type"]["const"].as_str()
}

/// The key that one of several alternatives requires and no other has.
fn own_key<'v>(several: &[&'v Value], index: usize) -> &'v str {
    let others = || several.iter().enumerate().filter(|(other, _)| *other != index);
    let is_own = |key: &&str| others().all(|(_, other)| other["properties"].get(*key).is_none());
    several[index]["required"].as_array().unwrap().iter().filter_map(Value::as_str).find(is_own).unwrap()
}

fn code_text(text: &str) -> String {
    format!("`{text}`")
}

fn code(value: &Value) -> String {
    format!("`{value}`")
}

/// The objects that a value may be or hold, without those that stand on their own.
fn objects(value: &Value) -> Vec<&Value> {
    if value["properties"].is_object() {
        return vec![value];
    }
    let below = ["items", "additionalProperties"].into_iter().filter_map(|key| value.get(key));
    let either = ["oneOf", "anyOf"].into_iter().filter_map(|key| value.get(key)?.as_array()).flatten();
    below.chain(either).flat_map(objects).collect()
}

/// What a value is, and within which limits.
fn kind(value: &Value) -> String {
    if let Some(name) = value["$ref"].as_str().or_else(|| value["allOf"][0]["$ref"].as_str()) {
        return name.rsplit('/').next().unwrap_or_default().to_owned();
    }
    if let Some(word) = value.get("const") {
        return code(word);
    }
    if let Some(words) = value["enum"].as_array() {
        return words.iter().map(code).collect::<Vec<_>>().join(", ");
    }
    if let Some(either) = value["oneOf"].as_array().or_else(|| value["anyOf"].as_array()).filter(|_| value.get("properties").is_none()) {
        let mut kinds: Vec<String> = either.iter().map(kind).collect();
        kinds.dedup();
        return kinds.join(" or ");
    }
    let limit = |key: &str| value[key].as_f64();
    match value["type"].as_str() {
        Some("array") => format!("list of {}", kind(&value["items"])),
        Some("boolean") => "`true`, `false`".to_owned(),
        Some("string") => value["examples"][0].as_str().map_or("text".to_owned(), |example| format!("text, such as `{example}`")),
        Some("null") => "`null`".to_owned(),
        Some(number @ ("number" | "integer")) => {
            let name = if number == "integer" { "whole number" } else { "number" };
            let least = limit("minimum").map(|least| format!(", {least} or more"));
            let least = least.or(limit("exclusiveMinimum").map(|least| format!(", over {least}"))).unwrap_or_default();
            let most = limit("maximum").filter(|most| *most < f64::from(u32::MAX)).map(|most| format!(", at most {most}"));
            format!("{name}{least}{}", most.unwrap_or_default())
        }
        Some("object") => "object".to_owned(),
        _ => "any".to_owned(),
    }
}

/// What each of some words means.
fn words(value: &Value) -> String {
    let described = |one: &Value| Some(format!("{}: {}", code(one.get("const")?), one["description"].as_str()?));
    let all: Vec<String> = value["oneOf"].as_array().into_iter().flatten().filter_map(described).collect();
    if all.is_empty() { String::new() } else { format!("<br>{}", all.join("<br>")) }
}

fn page() -> String {
    let playbooks: Value = serde_json::from_str(&schema::playbooks()).unwrap();
    let settings: Value = serde_json::from_str(&schema::settings()).unwrap();
    let mut page = Page { text: String::new(), shown: 0 };
    page.object("Playbooks: `autoheal-playbooks.json`", 2, &playbooks["additionalProperties"], &[]);
    page.line(CONDITION.trim_end());
    for (about, text) in examples::CONDITIONS {
        page.line(format!("\n{about}:\n\n```json\n{text}\n```"));
    }
    page.line(EXPRESSION);
    let mut comparison = playbooks["definitions"]["verify"]["oneOf"][1].clone();
    comparison["description"] = "Beside those of a condition, or by default beside a condition that is text.".into();
    page.object("Keys of `verify`", 3, &comparison, &["all", "any", "not", "metric", "operator", "threshold", "value", "where"]);
    let actions: Vec<&Value> = playbooks["definitions"]["action"]["oneOf"].as_array().unwrap().iter().collect();
    let about = "Every action has a `type`, and may have these keys. `service_*` may take 120 seconds unless they say otherwise.";
    page.types("Actions", 2, about, &actions);
    tables::placeholders(&mut page);
    tables::metrics(&mut page);
    page.object("Settings: `autoheal.json`", 2, &settings, &[]);
    tables::rules(&mut page);
    assert_eq!(page.shown, examples::EXAMPLES.len(), "an example has no heading");
    format!("{HEAD}{}{}", tables::contents(&page.text), page.text)
}

/// The file in which an example stands.
fn in_file(place: Place, example: &str) -> String {
    let condition = if example.contains("{endpoint}") {
        "api_latency_ms > 2000"
    } else if example.contains("{path}") {
        "log_file_size_mb > 1000"
    } else if example.contains("process_name") {
        "process_status == stopped"
    } else {
        "disk_usage > 90"
    };
    match place {
        Place::Playbooks | Place::Settings => example.to_owned(),
        Place::Playbook => format!(r#"{{"it": {example}}}"#),
        Place::Condition => format!(r#"{{"it": {{"condition": {example}, "actions": []}}}}"#),
        Place::Action => format!(r#"{{"it": {{"condition": "{condition}", "actions": [{example}]}}}}"#),
    }
}

#[test]
fn the_reference_is_that_of_the_code() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    let page = page();
    if env::var_os("AUTOHEAL_REFRESH").is_some() {
        fs::write(&file, &page).unwrap();
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    assert!(found == page, "{FILE} is out of date; refresh it: AUTOHEAL_REFRESH=1 cargo test --lib reference");
}

/// As the agent reads it, and as an editor with the schema does.
#[test]
fn every_example_of_the_reference_loads() {
    let validator = |schema: String| jsonschema::draft7::new(&serde_json::from_str(&schema).unwrap()).unwrap();
    let (playbooks, settings) = (validator(schema::playbooks()), validator(schema::settings()));
    let conditions = examples::CONDITIONS.iter().map(|(about, text)| (*about, Place::Condition, *text));
    for (name, place, example) in examples::EXAMPLES.iter().copied().chain(conditions) {
        let text = in_file(place, example);
        let value: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let (loaded, is_valid) = match place {
            Place::Settings => (parse(&Text::new("p", "{}"), &Text::new("s", &text)), settings.is_valid(&value)),
            _ => (parse(&Text::new("p", &text), &Text::new("s", WATCH)), playbooks.is_valid(&value)),
        };
        let problems = loaded.map_or_else(|problems| problems, |config| config.remarks);
        assert!(problems.iter().all(|problem| problem.severity != Level::Error), "{name}: {problems:#?}");
        assert!(is_valid, "{name}");
    }
}
