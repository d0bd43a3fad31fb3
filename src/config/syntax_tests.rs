//! Slips of a hand, and what is said of them.

use super::*;

/// What is marked in the text, and the message.
#[track_caller]
fn check(text: &str, marked: &str, column: usize, message: &str) {
    let (span, draft) = slip(text).unwrap_or_else(|| panic!("nothing found in {text:?}"));
    let problem = draft.at("f", "$", span.clone());
    assert_eq!((&text[span.clone()], span.start), (marked, column), "{text:?}: {}", problem.message);
    assert!(problem.message.contains(message), "{text:?}: {}", problem.message);
}

#[test]
fn slips_are_marked_where_they_are_mended() {
    check("{\"a\": 1\n \"b\": 2}", "1", 6, "no comma follows");
    check("{\"a\": 1,}", ",", 7, "no comma may follow");
    check("{\"a\": [1, 2,]}", ",", 11, "no comma may follow");
    check("{\"a\" 1}", "\"", 3, "no colon");
    check("{a: 1}", "a", 1, "double quotes");
    check("{'a': 1}", "'", 1, "double quotes");
    check("{“a”: 1}", "“", 1, "typographic");
    check("{\"a\": True}", "True", 6, "not a word");
    check("{\"a\": NaN}", "NaN", 6, "not a word");
    check("{\"a\": 30s}", "30s", 6, "not a number");
    check("{\"a\": 007}", "007", 6, "not a number");
    check("{\"a\": 1 // why\n}", "//", 8, "no comments");
    check("{\"a\": \"\\.\"}", "\\.", 7, "means nothing");
    check("{\"a\": \"b}", "\"", 6, "does not end");
    check("{\"a\": [1}", "[", 6, "never closed");
    check("{\"a\": {\"b\": 1}", "{", 0, "never closed");
    check("{\n  \"a\": {\n    \"b\": 1\n}\n", "{", 9, "never closed");
    check("{}}", "}", 2, "closes nothing");
    check("{} {}", "{", 3, "ends before");
    check("[1,, 2]", ",", 3, "one comma too many");
    check("{\"a\": 1; \"b\": 2}", ";", 7, "separated by commas");
    check("{\"a\" = 1}", "=", 5, "a colon");
    check("<<<<<<< HEAD\n{}", "<<<<<<<", 0, "merge conflict");
    check("{\"a\": \"b\tc\"}", "\t", 8, "a tab");
    check("{\"a\":\u{a0}1}", "\u{a0}", 5, "U+00A0");
    check("[\"a\": 1]", ":", 4, "no keys");
    check("{\"a\": \"b, \"c\": 1}", "\"b, \"", 6, "its last quote is missing");
    check("{\"a\": \"the \"b\" c\"}", "\"", 11, "a letter follows");
}

/// The next step of a text.
#[track_caller]
fn says(text: &str, next: &str) {
    let problem = slip(text).unwrap_or_else(|| panic!("nothing found in {text:?}")).1.at("f", "$", 0..0);
    assert_eq!(problem.suggestion.as_deref(), Some(next), "{text:?}: {}", problem.message);
}

#[test]
fn the_next_step_can_be_typed_as_it_stands() {
    says("{\"a\": {\n    \"b\": 1\n  \"c\": 2}", "write , after it");
    says("{\n  \"a\": {\n    \"b\": 1\n  \"c\": 2\n}", "a }, is missing before line 4");
    says("{\n  \"a\": {\n    \"b\": 1\n  ,\n  \"c\": 2\n}", "a } is missing before the comma in line 4");
    says("{\n  \"a\": {\n    \"b\": {\"c\": 1\n  },\n  \"d\": 2\n}", "a } is missing before line 4");
    says("{\n\"a\": {\n\"b\": 1\n\"c\": 2\n}}", "write , after it");
    says("{\n  \"a\": {\n    \"b\": 1\n  }\n", "write } at the end of the file");
    says("{\"a\": critical, \"b\": 1}", "write \"critical\"");
    says("{\"a\": disk_usage > 90}", "write \"disk_usage…\"");
    says("{\"a\": b\"}", "write \"b\"");
    says("{\"a\": \"b, \"c\": 1}", "write \"b\"");
    says("{\"a: \"b\"}", "write \"a\"");
    says("{ // mostly \"it\"\n}", r#"remove it, or make it an entry: "$comment": "mostly \"it\"""#);
    says("{ /* why */ }", r#"remove it, or make it an entry: "$comment": "why""#);
    says("{ #\n}", r#"remove it, or make it an entry: "$comment": "…""#);
}

#[test]
fn good_json_has_no_slip() {
    for text in ["{}", "[]", "1e999", " {\"a\": [1, -2.5e3, true, null, \"\\u00e9\\n\"], \"b\": {}}\r\n", "\"x\""] {
        assert!(slip(text).is_none(), "{text}");
    }
}
