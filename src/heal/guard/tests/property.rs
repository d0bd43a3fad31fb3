//! Properties, under mutation.

use super::*;
use proptest::prelude::*;

fn mutation() -> impl Strategy<Value = (usize, usize, String, u8)> {
    let word = prop_oneof![
        "[ -~]{0,6}",
        "[;|&$`<>*?{}()'\"\\\\~#!-]{1,3}",
        Just("-exec".to_owned()),
        Just("..".to_owned()),
        Just("\u{202e}".to_owned())
    ];
    (0..60usize, 0..200usize, word, 0..4u8)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// Whatever somebody makes of a command: what is allowed is a word-by-word match of a rule, split as a shell would split it.
    #[test]
    fn no_permit_for_an_argv_outside_the_rules((which, at, text, how) in mutation()) {
        let cases = sample();
        let mut command = cases[which % cases.len()].command.clone();
        let mut at = at % (command.len() + 1);
        while !command.is_char_boundary(at) { at -= 1; }
        match how {
            0 => command.insert_str(at, &text),
            1 => command.insert_str(at, &format!(" {text} ")),
            2 => command.truncate(at),
            _ => command.replace_range(at.., &text),
        }
        thread_local!(static POLICY: Policy = everything());
        let answer = POLICY.with(|policy| policy.test(&Request::Command(&command), &Values::new()));
        if let Ok(reviewed) = answer {
            if reviewed.shell {
                prop_assert!(hints().iter().chain([&reviewed.rule]).any(|hint| hint.strip_prefix("exact: ") == Some(command.trim())));
            } else {
                if !command.contains("{{") {
                    prop_assert_eq!(&reviewed.argv, &shell_words::split(&command).unwrap());
                }
                prop_assert!(oracle(&reviewed.rule, &reviewed.argv), "{:?} under {}", reviewed.argv, reviewed.rule);
            }
        }
    }

    /// A value changes no other word, whatever it is.
    #[test]
    fn a_value_stays_in_its_word(value in "\\PC{0,12}") {
        thread_local!(static POLICY: Policy = policy(&["tool -a {re:(?s).*} -b"]));
        if let Ok(reviewed) = POLICY.with(|policy| policy.test(&Request::Command("tool -a {x} -b"), &values(&[("x", &value)]))) {
            prop_assert_eq!(reviewed.argv, ["tool", "-a", value.as_str(), "-b"]);
            prop_assert!(!value.starts_with('-'));
        }
    }
}

/// An independent and slower reading of a rule: a regular expression over the words, joined by line breaks.
fn oracle(rule: &str, argv: &[String]) -> bool {
    let mut expression = String::from(r"\A");
    for token in rule.strip_prefix("exact: ").unwrap_or(rule).split(' ') {
        let open = token.starts_with('[');
        let close = token.ends_with(']') && !token.ends_with("}]}");
        let body = token.trim_start_matches('[').trim_end_matches(']');
        let mut word = String::new();
        let mut rest = body;
        while let Some((literal, slot_and_rest)) = rest.split_once('{') {
            let (slot, after) = slot_and_rest.split_once('}').unwrap();
            word.push_str(&regex::escape(literal));
            word.push_str(match slot.split(':').next().unwrap() {
                "int" => "[0-9]{1,9}",
                "age" => r"\+[0-9]{1,9}",
                "size" => "[+-]?[0-9]+[kMGT]?",
                "one" => "[^\n]+",
                "path" | "file" => "(/tmp|/var/log)(/[^\n]*)?",
                "url" => "http://localhost:8080/admin/reset-pool(\\?[^\n]*)?",
                _ => "[A-Za-z0-9_.*?~$\\[][^\n/ ]*",
            });
            rest = after;
        }
        word.push_str(&regex::escape(rest));
        // Groups in any order: each is optional here, and the order is not checked again.
        expression.push_str(if open { "(?:" } else { "" });
        expression.push_str(&word);
        expression.push('\n');
        expression.push_str(if close { ")?" } else { "" });
    }
    let joined: String = argv.iter().map(|word| format!("{word}\n")).collect();
    let in_order = regex::Regex::new(&format!("{expression}\\z")).unwrap().is_match(&joined);
    // A rule with several groups may have them in another order: then every word must at least stand in the rule by itself.
    in_order || rule.matches('[').count() > 1 && argv.iter().all(|word| !word.starts_with('-') || rule.contains(word.as_str()))
}
