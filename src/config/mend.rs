//! What to write instead of a value of the wrong type, where what was meant is plain.

use jsonc_parser::ast::{Array, Value};

/// The next step, if the value that was meant can be told from the one that stands there.
pub(crate) fn mend(wanted: &str, node: &Value<'_>, path: &str) -> Option<String> {
    match (wanted, node) {
        ("a number" | "a whole number", Value::StringLit(text)) => {
            number(&text.value, path).map(|number| format!("write {number}, without quotes"))
        }
        ("true or false", Value::StringLit(text)) => switch(&text.value).map(|word| format!("write {word}, without quotes")),
        ("true or false", Value::NumberLit(number)) => switch(number.value).map(|word| format!("write {word}")),
        ("text", Value::NumberLit(number)) => Some(format!("write \"{}\"", number.value)),
        ("text", Value::Array(words)) => one_line(words).map(|line| format!("write {line}")),
        ("an object", Value::StringLit(text)) => object(path, &text.value).map(|object| format!("write {object}")),
        (_, Value::Array(_)) if wanted.starts_with("a condition") => {
            Some("write {\"all\": […]} if all must hold, {\"any\": […]} if one is enough".to_owned())
        }
        ("a list", Value::StringLit(text)) => {
            // Whoever writes PATH in one text writes it as a shell has it.
            let parts: Vec<&str> = if path.ends_with(".command_path") { text.value.split(':').collect() } else { vec![&text.value] };
            Some(format!("write {}", serde_json::json!(parts)))
        }
        ("a list", Value::Object(object)) if !object.properties.is_empty() => Some("write [ ] around it".to_owned()),
        _ => None,
    }
}

/// The object whose most important key is the text.
fn object(path: &str, text: &str) -> Option<String> {
    let text = serde_json::json!(text);
    let list = path.rsplit_once('[').map_or("", |(list, _)| list).rsplit('.').next()?;
    Some(match list {
        "actions" => format!("{{\"type\": \"shell\", \"command\": {text}}}"),
        "disks" => format!("{{\"mount\": {text}}}"),
        "processes" => format!("{{\"name\": {text}}}"),
        "logs" => format!("{{\"path\": {text}}}"),
        _ => return None,
    })
}

/// A number in quotes, with or without a unit that the key names already.
fn number(text: &str, path: &str) -> Option<f64> {
    let end = text.find(|letter: char| !(letter.is_ascii_digit() || letter == '.')).unwrap_or(text.len());
    let number: f64 = text[..end].parse().ok()?;
    let unit = text[end..].trim();
    let factor = match (path.rsplit('_').next()?, unit) {
        (_, "") | ("seconds", "s") | ("days", "d") | ("mb", "MB" | "M") => 1.0,
        ("seconds", "m" | "min") => 60.0,
        ("seconds", "h") => 3600.0,
        ("seconds", "d") => 86_400.0,
        ("mb", "GB" | "G") => 1024.0,
        _ if unit == "%" => 1.0,
        _ => return None,
    };
    Some(number * factor)
}

fn switch(text: &str) -> Option<bool> {
    match text.to_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Some(true),
        "false" | "no" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// A command that was written as a list of plain words.
fn one_line(words: &Array<'_>) -> Option<serde_json::Value> {
    let plain =
        |word: &str| !word.is_empty() && word.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_./:=+,@%{}".contains(letter));
    let words: Option<Vec<&str>> =
        words.elements.iter().map(|word| word.as_string_lit().map(|text| &*text.value).filter(|text| plain(text))).collect();
    words.filter(|words| !words.is_empty()).map(|words| words.join(" ").into())
}

#[cfg(test)]
mod tests {
    use super::super::{Parsed, source::Text};

    /// The next step for the one problem of a playbook with this entry.
    #[track_caller]
    fn check(entry: &str, next: Option<&str>) {
        let text = format!(r#"{{"it": {{"condition": "disk_usage > 1", "actions": [], {entry}}}}}"#);
        let problems = Parsed::playbooks(&Text::new("p", &text)).into_problems();
        let [problem] = problems.as_slice() else { panic!("{problems:#?}") };
        assert_eq!((problem.code, problem.suggestion.as_deref()), ("wrong_type", next), "{entry}");
    }

    #[test]
    fn what_was_meant_is_proposed_only_where_it_is_plain() {
        check(r#""cooldown_seconds": "300""#, Some("write 300, without quotes"));
        check(r#""cooldown_seconds": "1.5h""#, Some("write 5400, without quotes"));
        check(r#""cooldown_seconds": "soon""#, None);
        check(r#""max_attempts": "3""#, Some("write 3, without quotes"));
        check(r#""max_attempts": "3h""#, None);
        check(r#""enabled": "Yes""#, Some("write true, without quotes"));
        check(r#""enabled": 0"#, Some("write false"));
        check(r#""enabled": 2"#, None);
        check(r#""description": 5"#, Some("write \"5\""));
        check(r#""description": ["a", "b"]"#, Some("write \"a b\""));
        check(r#""description": ["a b"]"#, None);
        check(r#""description": {}"#, None);
        check(r#""runbook_url": 1"#, Some("write \"1\""));
    }
}
