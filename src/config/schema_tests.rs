//! The schemas accept every file that loads, and reject every file that does not, as far as a schema can see.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use jsonschema::Validator;
use serde_json::Value;

use super::super::node::is_ignored;
use super::super::{Parsed, Text};
use super::*;

/// Problems that a schema cannot see, and why.
const UNSEEN: &[(&str, &str)] = &[
    ("bad_expression", "the inside of an expression is text to a schema"),
    ("bad_join", "it would have to compare the labels of two metrics"),
    ("bad_time_zone", "the names are the host's"),
    ("byte_order_mark", "it is no part of the JSON"),
    ("duplicate_key", "parsers keep one of them"),
    ("duplicate_name", "it would have to compare two entries"),
    ("empty_window", "it would have to compare two times"),
    ("file_empty", "there is nothing to look at"),
    ("not_on_loopback", "it would have to know addresses"),
    ("plain_smtp", "it would have to know addresses"),
    ("syntax", "a parser gives up before"),
    ("too_deep", "a schema does not count depth"),
    ("unknown_placeholder", "the labels depend on the condition of the playbook"),
];

/// Bad files whose problem a schema sees in other files, and why not in this one.
const UNSEEN_FILES: &[(&str, &str)] = &[
    ("bad-glob", "a glob is text to a schema"),
    ("endpoint-header", "header names are text to a schema"),
    ("expression-unit", "the unit stands in an expression"),
    ("expression-unknown-label", "the label stands in an expression"),
    ("expression-word", "the word stands in an expression"),
    ("header-of-ours", "header names are compared without regard to case"),
    ("later-metric", "the metric stands in an expression"),
    ("match-pattern", "a pattern is text to a schema"),
    ("process-name-with-newline", "a name is text to a schema"),
    ("rule-slot", "the inside of a rule is text to a schema"),
    ("when-on-another-label", "the labels depend on the condition of the playbook"),
];

/// Bad files whose problem a schema does not see in other files, and why it does in this one.
const SEEN_FILES: &[(&str, &str)] = &[("expression-empty", "no text is shorter")];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn validator(schema: &str) -> Validator {
    let schema = serde_json::from_str(schema).unwrap();
    assert!(jsonschema::draft7::meta::is_valid(&schema));
    jsonschema::draft7::new(&schema).unwrap()
}

fn json_files(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(folder)).into_iter().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "json") && !path.to_string_lossy().contains(".schema."));
    files.sort();
    files
}

/// The codes of every file in `expected.txt`.
fn expected(folder: &str) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut name = String::new();
    for line in fs::read_to_string(root().join(folder).join("expected.txt")).unwrap_or_default().lines() {
        if line.starts_with(' ') {
            let without_advice = line.split(" (").next().unwrap();
            found.entry(name.clone()).or_default().push(without_advice.rsplit(' ').next().unwrap().to_owned());
        } else {
            line.clone_into(&mut name);
        }
    }
    found
}

#[track_caller]
fn accepts(validator: &Validator, name: &str, text: &str) {
    let value: Value = serde_json::from_str(text).unwrap();
    let problems: Vec<String> =
        validator.iter_errors(&value).map(|error| format!("{name}: {}: {error:.300}", error.instance_path())).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn the_shipped_schemas_are_those_of_the_code() {
    for (name, schema) in [("playbooks", playbooks()), ("settings", settings())] {
        let file = if name == "playbooks" { "config/autoheal-playbooks.schema.json" } else { "config/autoheal.schema.json" };
        let shipped = fs::read_to_string(root().join(file)).unwrap_or_default();
        assert!(shipped == schema, "{file} is out of date; refresh it: cargo run -- schema {name} >{file}");
    }
}

#[test]
fn good_files_are_accepted() {
    let (playbooks, settings) = (validator(&playbooks()), validator(&settings()));
    let read = |path: &str| fs::read_to_string(root().join(path)).unwrap();
    accepts(&playbooks, "shipped", &read("config/autoheal-playbooks.json"));
    accepts(&settings, "shipped", &read("config/autoheal.json"));
    let good = json_files("tests/data/playbooks/good");
    assert!(good.len() >= 2);
    good.iter().for_each(|path| accepts(&playbooks, &path.to_string_lossy(), &fs::read_to_string(path).unwrap()));
    for path in json_files("tests/data/settings/good") {
        accepts(&settings, &path.to_string_lossy(), &fs::read_to_string(&path).unwrap());
    }
}

#[test]
fn bad_files_are_rejected_as_far_as_a_schema_can_see() {
    let mut wrong = Vec::new();
    for (folder, schema) in [("tests/data/playbooks/bad", playbooks()), ("tests/data/settings/bad", settings())] {
        let validator = validator(&schema);
        let expected = expected(folder);
        for path in json_files(folder) {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            let codes = expected.get(&name).cloned().unwrap_or_default();
            let is_listed = |list: &[(&str, &str)]| list.iter().any(|(listed, _)| *listed == name);
            let unseen = codes.iter().all(|code| UNSEEN.iter().any(|(unseen, _)| unseen == code));
            let seen = is_listed(SEEN_FILES) || !unseen && !is_listed(UNSEEN_FILES);
            let value = serde_json::from_str::<Value>(&fs::read_to_string(&path).unwrap());
            let rejected = value.is_ok_and(|value| !validator.is_valid(&value));
            if rejected != seen {
                wrong.push(format!("{name}: rejected {rejected}, expected {seen}: {codes:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Each line: settings, and whether they load. The schema and the reader agree on all of them.
#[test]
fn settings_are_judged_as_the_reader_does() {
    let validator = validator(&settings());
    for (good, text) in [
        (true, r#"{}"#),
        (true, r#"{"$schema": "./autoheal.schema.json", "x-mine": [], "watch": {"_note": 1}}"#),
        (true, r#"{"allowed_commands": ["@shipped", "nginx -s reload", {"rule": "certbot renew", "sandbox": "off"}]}"#),
        (false, r#"{"allowed_commands": ["@mine"]}"#),
        (false, r#"{"allowed_commands": [{"note": "no rule"}]}"#),
        (true, r#"{"watch": {"disks": [{"mount": "/data", "interval_seconds": 0.1}], "memory": {"interval_seconds": 5}}}"#),
        (false, r#"{"watch": {"disks": "all"}}"#),
        (false, r#"{"watch": {"memory": null}}"#),
        (false, r#"{"interval_seconds": 0.01}"#),
        (false, r#"{"interval_seconds": null}"#),
        (true, r#"{"watch": {"processes": [{"name": "web", "match": {"unit": "nginx.service"}}]}}"#),
        (false, r#"{"watch": {"processes": [{"name": "web", "match": {"unit": "a", "exe": "/b"}}]}}"#),
        (false, r#"{"watch": {"processes": [{"name": "web", "match": {}}]}}"#),
        (
            true,
            r#"{"watch": {"endpoints": [{"name": "a", "url": "https://a/", "headers": {"x-key": "1"}, "expected_status": [200, "300-399"]}]}}"#,
        ),
        (false, r#"{"watch": {"endpoints": [{"name": "a", "url": "ftp://a/"}]}}"#),
        (false, r#"{"watch": {"endpoints": [{"name": "a", "url": "http://a/", "headers": {"x-key": 1}}]}}"#),
        (true, r#"{"watch": {"certificates": [{"name": "a", "host": "a"}, {"name": "b", "path": "/b/*.pem"}]}}"#),
        (false, r#"{"watch": {"certificates": [{"name": "a", "host": "a", "path": "/b"}]}}"#),
        (false, r#"{"watch": {"certificates": [{"name": "a", "host": "a", "port": 0}]}}"#),
        (true, r#"{"services": {"web": {"restart": "webctl restart"}}, "history": {"keep_reports": 30}}"#),
        (false, r#"{"services": {"web": {}}}"#),
        (false, r#"{"history": {"keep_reports": "some"}}"#),
        (true, r#"{"http": null, "silences": [{"days": ["sun"], "from": "01:30", "to": "03:00", "where": {"mount": "/*"}}]}"#),
        (false, r#"{"silences": [{"from": "01:30"}]}"#),
        (false, r#"{"silences": [{"days": []}]}"#),
        (false, r#"{"silences": [{"from": "24:00", "to": "01:00"}]}"#),
        (true, r#"{"notify": {"channels": [{"type": "slack", "url_file": "slack", "min_severity": "error"}, {"type": "log"}]}}"#),
        (false, r#"{"notify": {"channels": [{"type": "slack"}]}}"#),
        (false, r#"{"notify": {"channels": [{"type": "slack", "url_file": "a", "url": "https://a/"}]}}"#),
        (false, r#"{"notify": {"channels": [{"type": "smoke"}]}}"#),
    ] {
        let problems = Parsed::settings(&Text::new("f", text)).into_problems();
        let loads = problems.iter().all(|problem| problem.severity != super::super::Level::Error);
        assert_eq!(loads, good, "{text}: {problems:?}");
        assert_eq!(validator.is_valid(&serde_json::from_str(text).unwrap()), good, "{text}");
    }
}

#[test]
fn ignored_keys_are_those_of_the_reader() {
    let pattern = regex::Regex::new(IGNORED).unwrap();
    for key in ["$schema", "$comment", "_a", "_", "x-a", "x-", "x", "$schema2", "$ref", "a_", ""] {
        assert_eq!(pattern.is_match(key), is_ignored(key), "{key}");
    }
}

/// A schema says everything that an editor shows: each key of each object has a description.
#[test]
fn every_key_is_described() {
    fn walk(path: &str, value: &Value) {
        if let Some(keys) = value.get("properties").and_then(Value::as_object) {
            for (key, schema) in keys {
                assert!(schema.get("description").is_some(), "{path}.{key} has no description");
            }
        }
        let children: Vec<(String, &Value)> = match value {
            Value::Object(object) => object.iter().map(|(key, value)| (format!("{path}.{key}"), value)).collect(),
            Value::Array(array) => array.iter().map(|value| (path.to_owned(), value)).collect(),
            _ => Vec::new(),
        };
        children.iter().for_each(|(path, value)| walk(path, value));
    }
    walk("$", &serde_json::from_str(&playbooks()).unwrap());
    walk("$", &serde_json::from_str(&settings()).unwrap());
}

/// The words that an editor offers for a key of these objects, each with what it shows of it.
fn offered(objects: &Value, key: &str) -> BTreeMap<String, String> {
    let keys = objects.as_array().unwrap().iter().filter_map(|object| object.pointer(&format!("/properties/{key}")));
    let words = keys.flat_map(|key| key["oneOf"].as_array().cloned().unwrap_or_else(|| vec![key.clone()]));
    words
        .filter_map(|word| Some((word["const"].as_str()?.to_owned(), word["description"].as_str().unwrap_or_default().to_owned())))
        .collect()
}

#[test]
fn an_editor_completes_metrics_types_and_operators_and_says_what_they_are() {
    let (playbooks, settings): (Value, Value) = (serde_json::from_str(&playbooks()).unwrap(), serde_json::from_str(&settings()).unwrap());
    for place in ["condition", "verify"] {
        let objects = &playbooks["definitions"][place]["oneOf"];
        let metrics = offered(objects, "metric");
        for metric in crate::metric::METRICS {
            assert!(metrics[metric.name].starts_with(metric.doc), "{place}: {}", metric.name);
        }
        assert_eq!(metrics.len(), crate::metric::METRICS.len() + 1, "{place}: all of them, and process_memory");
        let comparisons = objects.as_array().unwrap().iter().filter(|object| object["properties"].get("metric").is_some());
        comparisons.for_each(|object| assert!(object["properties"]["operator"]["enum"].is_array(), "{place}"));
    }
    let actions = offered(&playbooks["definitions"]["action"]["oneOf"], "type");
    assert!(actions.len() == 11 && actions["archive_log"].starts_with("Compresses"), "{actions:?}");
    let channels = offered(&settings["properties"]["notify"]["properties"]["channels"]["items"]["oneOf"], "type");
    assert!(channels.len() == 11 && channels["email"].starts_with("Mail"), "{channels:?}");
    assert!(actions.values().chain(channels.values()).all(|about| about.ends_with('.')));
}
