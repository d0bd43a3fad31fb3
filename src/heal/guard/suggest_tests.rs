//! What is proposed for a command.

use proptest::prelude::*;

use super::*;
use crate::heal::guard::rule::Form;

fn policy() -> Policy {
    Policy { command_path: vec!["/usr/bin".into(), "/bin".into()], ..Policy::default() }
}

#[track_caller]
fn check(command: &str, labels: &[(&str, &str)], expected: Result<&str, &str>) {
    let values = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    match (policy().suggest(command, &values), expected) {
        (Ok(Suggestion::Rule { rule, .. }), Ok(expected)) => assert_eq!(rule, expected, "{command}"),
        (Err(refusal), Err(says)) => assert!(refusal.reason.contains(says), "{command}: {refusal}"),
        (found, _) => panic!("{command}: {found:?}"),
    }
}

#[test]
fn the_words_are_the_rule_and_a_placeholder_is_a_slot_of_its_type() {
    for (command, rule) in [
        ("docker restart web", "docker restart web"),
        ("tool  'a b'  \"c\" d\\;", "tool 'a b' c 'd;'"),
        ("tool '' \"it's\"", r"tool '' 'it'\''s'"),
        ("tool '{print $1}' {{x}}", "tool '{print $1}' '{x}'"),
        ("docker restart {process_name}", "docker restart {name}"),
        ("systemctl try-restart {process_name}", "systemctl try-restart {unit}"),
        ("brew services info {process_name}", "brew services info {formula}"),
        ("kill -HUP {pid}", "kill -HUP {int}"),
        ("tool name={process_name}.x", "tool name={name}.x"),
        ("tool {process_name}-{unit}", "tool {name}-{name}"),
        ("tool /srv/{process_name}/cache", "tool {path:/srv}"),
        ("ping -c 1 {host}", "ping -c 1 {domain}"),
        ("sync && id", "exact: sync && id"),
        ("ps aux | sort", "exact: ps aux | sort"),
    ] {
        check(command, &[], Ok(rule));
    }
}

#[test]
fn a_value_that_is_known_makes_the_rule_narrower() {
    check("docker restart {process_name}", &[("process_name", "web")], Ok("docker restart {one:web}"));
    check("truncate -s 0 {path}", &[("path", "/var/log/app.log")], Ok("truncate -s 0 {file:/var/log}"));
    check("tool {mount}", &[("mount", "/srv")], Ok("tool {path:/srv}"));
    check("tool {url}", &[("url", "http://localhost/x")], Ok("tool {url:http://localhost/x}"));
    check("truncate -s 0 {path}", &[], Err("--label path="));
    check("docker restart {process_name}", &[("process_name", "web; id")], Err("no rule can allow it"));
}

#[test]
fn what_no_rule_can_allow_gets_none() {
    check("find /tmp -delete", &[], Err("needs a test before it"));
    check("pkill -f {process_name}", &[], Err("only a literal"));
    check("{process_name} restart", &[], Err("literal program"));
    check("echo {process_name} | cat", &[], Err("no placeholder"));
    check("tool {a}{b}", &[], Err("two placeholders touch"));
    check("./tool", &[], Err("bare name or an absolute path"));
    check("tool \u{202e}x", &[], Err("has no place"));
    check("tool 'a", &[], Err("not closed"));
    check("delete_files /tmp", &[], Err("is a type of action"));
}

#[test]
fn an_allowed_command_needs_no_rule() {
    let (rules, _) = compile::compile(&crate::heal::guard::shipped());
    let policy = Policy { rules, ..policy() };
    assert!(matches!(policy.suggest("nginx -s reload", &Values::new()), Ok(Suggestion::Allowed(_))));
}

/// Whether what it allows is one text.
fn is_literal(rule: &str) -> bool {
    Form::parse(rule).is_ok_and(|form| form.patterns().iter().all(|pattern| pattern.literal().is_some()))
}

proptest! {
    /// Any words, however quoted, have a rule that allows them and nothing else.
    #[test]
    fn a_proposal_allows_the_command_and_is_literal(words in proptest::collection::vec("[ -~]{0,8}", 0..4)) {
        let quoted: String = words.iter().map(|word| format!(" '{}'", word.replace('\'', r"'\''"))).collect();
        let command = format!("no-such-tool{quoted}");
        prop_assume!(!command.contains('{'));
        match policy().suggest(&command, &Values::new()) {
            Ok(Suggestion::Rule { rule, .. }) => prop_assert!(is_literal(&rule), "{command} gives {rule}"),
            other => prop_assert!(false, "{command} gives {other:?}"),
        }
    }
}
