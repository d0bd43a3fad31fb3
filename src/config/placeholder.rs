//! `{name}` in the text fields of an action.

use std::ops::Range;

/// Placeholders that every incident fills; the others are labels.
pub const ALWAYS: &[&str] = &["incident_id", "playbook", "metric", "value", "threshold", "severity", "hostname"];

/// The placeholders of a text, with their places (braces included). `{{name}}` is the literal `{name}`, and braces around
/// anything that is not an identifier are left alone.
#[must_use]
pub fn find(text: &str) -> Vec<(Range<usize>, &str)> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] != b'{' {
            at += 1;
        } else if bytes.get(at + 1) == Some(&b'{') {
            at = text[at..].find("}}").map_or(at + 2, |end| at + end + 2);
        } else {
            let name_end = bytes[at + 1..].iter().position(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_').map(|len| at + 1 + len);
            match name_end {
                Some(end) if bytes[end] == b'}' && end > at + 1 && !bytes[at + 1].is_ascii_digit() => {
                    found.push((at..end + 1, &text[at + 1..end]));
                    at = end + 1;
                }
                _ => at += 1,
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let found = find(text);
        assert_eq!(found.iter().map(|(_, name)| *name).collect::<Vec<_>>(), expected);
        for (range, name) in found {
            assert_eq!(text[range], format!("{{{name}}}"));
        }
    }

    #[test]
    fn only_single_braces_around_an_identifier_are_placeholders() {
        check("gzip {path}", &["path"]);
        check("{a}{b_2}é{c}", &["a", "b_2", "c"]);
        check("{{path}} {path}", &["path"]);
        check("awk '{print $1}' --format '{{.Names}}' {} {1} {a b} {open", &[]);
        check("{a{b}", &["b"]);
    }
}
