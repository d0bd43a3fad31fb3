use super::super::document::Document;
use super::super::problem::place;
use super::*;

record! {
    /// Something with parts.
    #[expect(dead_code, reason = "only its problems are looked at")]
    Thing { name: String, size: Option<u32>, parts: Option<Vec<Thing>>, }
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let text = Text::new("f", text);
    let document = Document::open(&text).unwrap();
    let mut cx = Cx::new(&text);
    let thing = Thing::from_node(&document.root, &mut cx);
    place(&text.text, &mut cx.problems);
    let found: Vec<String> = cx.problems.iter().map(ToString::to_string).collect();
    assert_eq!(found, expected);
    assert_eq!(thing.is_none(), cx.problems.iter().any(|problem| !problem.code.ends_with("_key") || problem.code == "missing_key"));
}

#[test]
fn every_problem_is_reported_at_its_place() {
    check(r#"{"name": "a", "parts": [{"name": "b"}], "$comment": 1, "_x": 2, "x-y": 3}"#, &[]);
    check("[]", &["f:1:1: error: $: expected an object, found a list code=wrong_type"]);
    check(
        r#"{"parts": [{"name": 1, "size": 1.5}, {"size": -1}]}"#,
        &[
            "f:1:1: error: $: the key \"name\" is missing code=missing_key",
            "f:1:21: error: $.parts[0].name: expected text, found a number (write \"1\") code=wrong_type",
            "f:1:32: error: $.parts[0].size: expected a whole number, found 1.5 code=wrong_type",
            "f:1:38: error: $.parts[1]: the key \"name\" is missing code=missing_key",
            "f:1:47: error: $.parts[1].size: must not be under 0, found -1 code=out_of_range",
        ],
    );
}

#[test]
fn a_near_miss_is_not_missing_as_well() {
    let text = Text::new("f", "{\"nmae\": \"a\", \"odd key\": 1, \"size\": 1, \"size\": 2}");
    let document = Document::open(&text).unwrap();
    let mut cx = Cx::new(&text);
    assert!(Thing::from_node(&document.root, &mut cx).is_none());
    place(&text.text, &mut cx.problems);
    let found: Vec<String> = cx.problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "f:1:2: error: $.nmae: unknown key \"nmae\" (did you mean \"name\"?) code=unknown_key",
            "f:1:15: error: $[\"odd key\"]: unknown key \"odd key\" (allowed: name, size, parts) code=unknown_key",
            "f:1:40: error: $.size: the key \"size\" stands twice, first in this line (rename or remove one of them) code=duplicate_key"
        ]
    );
}
