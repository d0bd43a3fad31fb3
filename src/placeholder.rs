//! `{name}` in a text of an action: found once in the template, filled once, never looked at again.

use std::collections::BTreeMap;
use std::ops::Range;

/// What placeholders stand for: labels of the incident and facts such as `incident_id`.
pub type Values = BTreeMap<String, String>;

/// Facts of an incident that are no labels of its target, and what each stands for.
pub const FACTS: &[(&str, &str)] = &[
    ("incident_id", "the id of the incident"),
    ("playbook", "the id of the playbook"),
    ("metric", "the name of the metric that fired"),
    ("value", "its value when it fired"),
    ("threshold", "what that was compared with"),
    ("severity", "the severity of the playbook"),
    ("hostname", "the name of the host"),
];

/// The names of [`FACTS`].
pub fn facts() -> impl Iterator<Item = &'static str> {
    FACTS.iter().map(|(name, _)| *name)
}

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part<'a> {
    /// Text as it is. Of `{{name}}` it is `{name}`.
    Text(&'a str),
    /// A placeholder: its place, braces included, and its name.
    Name(Range<usize>, &'a str),
}

/// Cuts a template into its parts. Braces around anything that is not an identifier are text
/// (`awk '{print $1}'`, `--format '{{.Names}}'`).
fn parts(template: &str) -> Vec<Part<'_>> {
    let mut found = Vec::new();
    let (mut text, mut at) = (0, 0);
    while let Some(open) = template[at..].find('{').map(|offset| at + offset) {
        let doubled = template[open..].starts_with("{{");
        let start = open + if doubled { 2 } else { 1 };
        let end = start + identifier(&template[start..]);
        let closing = if doubled { "}}" } else { "}" };
        if end > start && template[end..].starts_with(closing) {
            // Of a doubled pair the inner braces are part of the text.
            found.push(Part::Text(&template[text..open]));
            found.push(if doubled { Part::Text(&template[open + 1..=end]) } else { Part::Name(open..end + 1, &template[start..end]) });
            at = end + closing.len();
            text = at;
        } else {
            at = start;
        }
    }
    found.push(Part::Text(&template[text..]));
    found.retain(|part| *part != Part::Text(""));
    found
}

/// The placeholders of a template with their places, braces included.
#[must_use]
pub fn find(template: &str) -> Vec<(Range<usize>, &str)> {
    parts(template).into_iter().filter_map(|part| if let Part::Name(place, name) = part { Some((place, name)) } else { None }).collect()
}

/// Fills a text that is no command (a description, a message, a body). A name without a value stays as it is.
#[must_use]
pub fn fill(template: &str, values: &Values) -> String {
    let mut filled = String::with_capacity(template.len());
    for part in parts(template) {
        match part {
            Part::Text(text) => filled.push_str(text),
            Part::Name(_, name) => match values.get(name) {
                Some(value) => filled.push_str(value),
                None => filled.extend(["{", name, "}"]),
            },
        }
    }
    filled
}

/// Fills the body of a request, so that a value stays the value that it was meant to be. In a body that is JSON the placeholders
/// stand in its texts, and each text is written anew with its value in it; names of fields are not filled. In any other body
/// (a form, a number without quotes) a value may not hold what could end it there.
///
/// # Errors
/// A value that could change the meaning of a body that is no JSON; the message names the placeholder.
pub fn fill_body(template: &str, values: &Values) -> Result<String, String> {
    let found = find(template);
    if let Ok(mut json) = serde_json::from_str(template) {
        if !found.is_empty() {
            fill_json(&mut json, values);
            return Ok(json.to_string());
        }
    } else {
        let harmless = |letter: char| letter.is_alphanumeric() || " ._:/@,-".contains(letter);
        let harmful = |name: &str| values.get(name).is_some_and(|value| !value.chars().all(harmless));
        if let Some((_, name)) = found.iter().find(|(_, name)| harmful(name)) {
            return Err(format!("the value of {{{name}}} could change the meaning of a body that is no JSON"));
        }
    }
    Ok(fill(template, values))
}

fn fill_json(json: &mut serde_json::Value, values: &Values) {
    match json {
        serde_json::Value::String(text) => *text = fill(text, values),
        serde_json::Value::Array(list) => list.iter_mut().for_each(|one| fill_json(one, values)),
        serde_json::Value::Object(fields) => fields.values_mut().for_each(|one| fill_json(one, values)),
        _ => {}
    }
}

/// How many bytes at the beginning are an identifier.
fn identifier(text: &str) -> usize {
    let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    if first { text.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count() } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(template: &str, filled: &str) {
        let values: Values = [("mount", "/data"), ("pid", "{mount}")].map(|(n, v)| (n.to_owned(), v.to_owned())).into();
        assert_eq!(fill(template, &values), filled);
    }

    #[track_caller]
    fn check_places(text: &str, expected: &[&str]) {
        let found = find(text);
        assert_eq!(found.iter().map(|(_, name)| *name).collect::<Vec<_>>(), expected);
        for (range, name) in found {
            assert_eq!(text[range], format!("{{{name}}}"));
        }
    }

    #[test]
    fn only_single_braces_around_an_identifier_are_placeholders() {
        check_places("gzip {path}", &["path"]);
        check_places("{a}{b_2}é{c}", &["a", "b_2", "c"]);
        check_places("{{path}} {path}", &["path"]);
        check_places("awk '{print $1}' --format '{{.Names}}' {} {1} {a b} {open", &[]);
        check_places("{a{b}", &["b"]);
    }

    #[test]
    fn values_are_filled_once_and_never_looked_at_again() {
        check("df {mount}", "df /data");
        check("{mount}{mount}", "/data/data");
        check("kill {pid}", "kill {mount}");
        check("{{mount}}", "{mount}");
        check("{{{mount}}}", "{{/data}}");
        check("awk '{print $1}'", "awk '{print $1}'");
        check("--format '{{.Names}}'", "--format '{{.Names}}'");
        check("{unknown} {", "{unknown} {");
        check("{ä}", "{ä}");
        check("", "");
    }

    #[test]
    fn a_value_cannot_break_out_of_the_body_of_a_request() {
        let evil = r#"x", "all": true, "y": "\ {pid} {{pid}}"#;
        let values: Values = [("name", evil), ("pid", "7"), ("lines", "a\nb\u{202e}"), ("field", "a&admin=1"), ("path", "/a b.log")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        let body =
            fill_body(r#"{"process": "{name}", "list": ["{pid}", {"deep": "on {lines}"}], "{pid}": 1.5, "not": "{unknown}"}"#, &values);
        let expected = serde_json::json!({
            "process": evil, "list": ["7", {"deep": "on a\nb\u{202e}"}], "{pid}": 1.5, "not": "{unknown}",
        });
        assert_eq!(serde_json::from_str::<serde_json::Value>(&body.unwrap()).unwrap(), expected);
        for (template, filled) in [
            (r#"{"b": 1,  "a": 2}"#, Some(r#"{"b": 1,  "a": 2}"#)),
            (r#"{"{{pid}}": 1}"#, Some(r#"{"{pid}": 1}"#)),
            ("pid={pid}&path={path}", Some("pid=7&path=/a b.log")),
            (r#"{"pid": {pid}}"#, Some(r#"{"pid": 7}"#)),
            ("name={name}", None),
            ("<a>{lines}</a>", None),
            ("x={field}", None),
            ("{unknown}", Some("{unknown}")),
            ("", Some("")),
        ] {
            assert_eq!(fill_body(template, &values).ok().as_deref(), filled, "{template}");
        }
    }
}
