//! `docs/configuration.md`: the reference of both files, written from their schemas and the table of metrics.
//!
//! `AUTOHEAL_REFRESH=1 cargo test --lib reference` writes it again.

use std::fmt::Write;
use std::path::Path;
use std::{env, fs};

use serde_json::Value;

use super::{Level, Parsed, Text, schema};
use crate::metric::{METRICS, Values};

const FILE: &str = "docs/configuration.md";

const HEAD: &str = "# Configuration

Every key of both files. This page is written from the code that reads them: `autoheal schema playbooks` and `autoheal schema
settings` print the same as JSON Schemas, which are shipped beside the files, so that editors complete and check as you type.
Both files are strict JSON. In every object the keys `$schema`, `$comment`, and those that begin with `_` or `x-`, are ignored.
Keys may be left out, but for those that say `required` where others have a default.
";

const PLAYBOOK: &str = r#"{
  "memory_high": {
    "description": "Memory has been full for five minutes",
    "severity": "warning",
    "condition": {"metric": "memory_usage", "operator": ">", "threshold": 95, "for_seconds": 300},
    "actions": [{"type": "top_processes", "by": "memory", "count": 5}],
    "verify": {"metric": "memory_usage", "operator": "<", "threshold": 85, "retry_count": 3}
  }
}"#;

const SETTINGS: &str = r#"{
  "interval_seconds": 30,
  "watch": {
    "disks": [{"mount": "/data"}],
    "processes": [{"name": "web", "match": {"unit": "nginx.service"}, "restartable": true}],
    "endpoints": [{"name": "shop", "url": "http://127.0.0.1:8080/health"}],
    "certificates": [{"name": "shop", "host": "shop.example"}, {"name": "files", "path": "/etc/ssl/mine/*.pem"}],
    "logs": [{"path": "/var/log/*.log"}]
  },
  "allowed_commands": ["@shipped", {"rule": "nginx -s reload", "timeout_seconds": 30}],
  "services": {"worker": {"restart": "workerctl restart"}},
  "silences": [{"days": ["sun"], "from": "01:30", "to": "03:00", "time_zone": "UTC", "reason": "backup"}]
}"#;

const CONDITION: &str = "
## Conditions

A condition has three spellings: a comparison, a combination, or an expression, which is text:

```json
{\"metric\": \"disk_usage\", \"operator\": \">\", \"threshold\": 90, \"where\": {\"mount\": \"/data*\"}, \"for_seconds\": 60}
{\"all\": [{\"metric\": \"memory_usage\", \"operator\": \">\", \"threshold\": 95}, \"process_memory_mb > 2048\"]}
\"memory_usage > 95% && process_memory_mb{process_name=\\\"node\\\"} > 2 GB for 2m\"
```

An expression has comparisons, `&&`, `||`, `!`, parentheses, `for` with a time, labels in braces (`=`, `!=`, and `=~` for a glob),
and may name units (`%`, `ms`, `s`, `m`, `h`, `d`, `MB`, `GB`): [expressions](expressions.md) has the grammar, examples, and the
commonest mistakes. All metrics of one condition must belong to the same target: their
labels are equal, or those of one contain those of the other. `verify` takes a condition too.
";

struct Page {
    text: String,
}

impl Page {
    fn line(&mut self, line: impl AsRef<str>) {
        writeln!(self.text, "{}", line.as_ref()).unwrap();
    }

    /// An object's keys as a table, then the objects below it; `depth` is that of the heading.
    fn object(&mut self, name: &str, depth: usize, object: &Value, without: &[&str]) {
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
        let above = if depth == 2 { String::new() } else { format!("{name}: ") };
        for (key, value) in shown() {
            let (below, name) = (objects(value), format!("{above}`{key}`"));
            if below.len() > 1 && below.iter().all(|object| type_of(object).is_some()) {
                self.types(&name, 3, "Every one has a `type`, and may have these keys.", &below);
            } else {
                below.iter().for_each(|object| self.object(&name, 3, object, &[]));
            }
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
        self.object(name, depth, &all, &own);
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
    let mut page = Page { text: HEAD.to_owned() };
    page.object("Playbooks: `autoheal-playbooks.json`", 2, &playbooks["additionalProperties"], &[]);
    page.line(format!("\n```json\n{PLAYBOOK}\n```"));
    page.line(CONDITION.trim_end());
    let mut comparison = playbooks["definitions"]["verify"]["oneOf"][1].clone();
    comparison["description"] = "Beside those of a condition, or by default beside a condition that is text.".into();
    page.object("Keys of `verify`", 3, &comparison, &["all", "any", "not", "metric", "operator", "threshold", "value", "where"]);
    let actions: Vec<&Value> = playbooks["definitions"]["action"]["oneOf"].as_array().unwrap().iter().collect();
    let about = "Every action has a `type`, and may have these keys. `service_*` may take 120 seconds unless they say otherwise.";
    page.types("Actions", 2, about, &actions);
    metrics(&mut page);
    page.object("Settings: `autoheal.json`", 2, &settings, &[]);
    page.line(format!("\n```json\n{SETTINGS}\n```"));
    page.text
}

fn metrics(page: &mut Page) {
    page.line("\n## Metrics\n\n| metric | value | labels | where it is watched |\n| --- | --- | --- | --- |");
    for metric in METRICS {
        let words = match metric.values {
            Values::Number(_) => metric.doc.to_owned(),
            Values::Words(words) => {
                format!("{}; {}", words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "), metric.doc)
            }
        };
        let labels: Vec<&str> = metric.identity.iter().chain(metric.facts).copied().collect();
        page.line(format!("| `{}` | {words} | {} | `{}` |", metric.name, labels.join(", "), metric.kind.settings_key()));
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

#[test]
fn the_examples_of_the_reference_load() {
    let (playbooks, settings) = (Text::new("playbooks", PLAYBOOK), Text::new("settings", SETTINGS));
    for problems in [Parsed::playbooks(&playbooks).into_problems(), Parsed::settings(&settings).into_problems()] {
        assert!(problems.iter().all(|problem| problem.severity != Level::Error), "{problems:?}");
    }
}
