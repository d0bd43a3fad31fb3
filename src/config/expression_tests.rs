use proptest::prelude::*;

use super::*;
use crate::config::{Level, Parsed, Text};
use crate::metric::{METRICS, Values};

#[track_caller]
fn reads(text: &str, canonical: &str) {
    match parse(text) {
        Ok(condition) => assert_eq!(condition.to_string(), canonical),
        Err(faults) => panic!("{text}: {faults:?}"),
    }
}

#[track_caller]
fn fails(text: &str, at: usize, message: &str) {
    let faults = parse(text).unwrap_err();
    let (span, draft) = faults.last().unwrap();
    let problem = draft.clone().at("f", "$", span.clone());
    assert_eq!((span.start, problem.message.as_str()), (at, message), "{text}");
}

#[test]
fn expressions_are_read() {
    reads("disk_usage > 90", "disk_usage > 90");
    reads("disk_usage>90%", "disk_usage > 90");
    reads("process_status == stopped", "process_status == stopped");
    reads("process_status == \"stopped\"", "process_status == stopped");
    reads("process_memory > 2 GB for 2m", "process_memory_mb > 2048 for 2m");
    reads("api_latency_ms > 2s for 1h30m", "api_latency_ms > 2000 for 90m");
    reads("ssl_expires_in_days < 12h", "ssl_expires_in_days < 0.5");
    reads("log_growth_mb_per_hour > 1GB", "log_growth_mb_per_hour > 1024");
    reads("swap_usage > 1 || swap_usage > 2 && swap_usage > 3", "swap_usage > 1 || (swap_usage > 2 && swap_usage > 3)");
    reads("!(swap_usage > 1) && !swap_usage > 2", "!(swap_usage > 1) && !(swap_usage > 2)");
    reads("(swap_usage > 1 for 1s) && swap_usage < -1.5e1", "(swap_usage > 1 for 1s) && swap_usage < -15");
    reads("((swap_usage > 1 for 1s)) for 2s", "(swap_usage > 1 for 1s) for 2s");
    reads(
        r#"disk_usage{mount="/a*", device!="b", fstype=~"x*|y", mount!~"a\|b|c\"d"} > 1"#,
        r#"disk_usage{mount="/a*", device!="b", fstype=~"x*|y", mount!~"a\|b|c\"d"} > 1"#,
    );
}

#[test]
fn errors_say_where_and_what() {
    fails("", 0, "expected a metric, ! or (, found the end");
    fails("disk_usage >> 90", 12, "expected a number, found >");
    fails("(disk_usage > 90", 16, "expected &&, ||, for, or ), found the end");
    fails("disk_usage > 90 ) x", 16, "expected &&, ||, for, or the end, found )");
    fails("disk_usage > 90 and swap_usage > 1", 16, "expected &&, ||, for, or the end, found and");
    fails("disk_usage > 90 for 2", 21, "expected a unit: one of ms s m h d, found the end");
    fails("disk_usage > 90 for 31d", 20, "a time is between 0 and 30 days");
    fails("swap_usage > 1 for 2m && swap_usage > 2", 22, "expected the end after \"for\"");
    fails("disk_usage = 90", 11, "expected one of > >= < <= == !=, found =");
    fails("disk_usage & 90", 11, "\"&\" does not belong here");
    fails("disk_usage{mount=~\"[\"} > 1", 18, "not a glob: unclosed character class; missing ']'");
    fails("disk_usage{mount=\"a} > 1", 17, "the text has no closing quote");
    fails(r#"disk_usage{mount="a\d"} > 1"#, 19, r#"in text a backslash stands before " \ | n r t or u{…} only"#);
    fails(r#"disk_usage{mount="a\u{d800}"} > 1"#, 19, r#"in text a backslash stands before " \ | n r t or u{…} only"#);
    fails("disk_usage{pid=\"1\"} > 1", 11, "disk_usage has no label \"pid\"");
    fails("disk_usage > full", 13, "disk_usage is a number and cannot be compared with \"full\"");
    fails("disk_usage > 90 MB", 16, "disk_usage is measured in %, which \"MB\" is not a multiple of");
    fails("process_status > stopped", 15, "process_status is a word: only == and != compare words");
    fails("process_status == stoped", 18, "process_status is never \"stoped\"; it is one of running, stopped");
    fails("1 < disk_usage", 0, "expected a metric, ! or (, found 1");
    fails(&format!("{}swap_usage > 1", "!".repeat(70)), 48, "parentheses and ! are nested more than 48 deep");
    fails(&format!("{}swap_usage > 1", "(".repeat(70)), 48, "parentheses and ! are nested more than 48 deep");
}

#[test]
fn everything_unknown_is_reported_together() {
    let faults = parse("disk_usge > 90 && swap_usage{a=\"b\"} > 1 || process_status == dead").unwrap_err();
    let starts: Vec<usize> = faults.iter().map(|(span, _)| span.start).collect();
    assert_eq!(starts, [0, 29, 61]);
}

#[test]
fn slips_come_with_what_was_meant() {
    for (text, meant) in [
        ("swap_usage => 90", "did you mean \">=\"?"),
        ("swap_usage =< 90", "did you mean \"<=\"?"),
        ("swap_usage ≥ 90", "did you mean \">=\"?"),
        ("not swap_usage > 90", "did you mean \"!\"?"),
        ("90 < swap_usage", "the metric stands on the left, such as disk_usage > 90"),
        ("disk_usage{mount==\"/\"} > 90", "did you mean \"=\"?"),
        ("disk_usage[mount=\"/\"] > 90", "labels stand in braces, such as {mount=\"/data\"}"),
        ("disk_usage{mount='/'} > 90", "text stands in double quotes, which JSON wants as \\\""),
        ("disk_free_mb < 2 gb", "did you mean \"GB\"?"),
        ("swap_usage > 90 for 5 minutes", "did you mean \"m\"?"),
        ("swap_usage > 90 for 300", "write 300s if seconds are meant"),
    ] {
        let faults = parse(text).unwrap_err();
        let (span, draft) = faults.last().unwrap();
        assert_eq!(draft.clone().at("f", "$", span.clone()).suggestion.as_deref(), Some(meant), "{text}");
    }
}

#[test]
fn a_number_that_its_unit_makes_infinite_is_refused() {
    fails("process_memory_mb > 1e308 GB", 26, "this is not a finite number in that unit");
}

#[test]
fn a_time_is_not_the_difference_of_two() {
    fails("swap_usage > 1 for 1h -30m", 22, "a time is not negative");
}

#[test]
fn a_unit_does_not_round_the_number() {
    reads("process_uptime_seconds < 9ms", "process_uptime_seconds < 0.009");
}

#[test]
fn a_for_in_parentheses_is_not_blamed_for_what_follows_them() {
    fails("(swap_usage > 1 for 1s) swap_usage > 2", 24, "expected &&, ||, for, or the end, found swap_usage");
    fails("(swap_usage > 1 for 1s && swap_usage > 2)", 23, "expected ) after \"for\"");
}

#[test]
fn for_is_not_taken_for_a_metric() {
    let faults = parse("swap_usage > 1 && for 2m").unwrap_err();
    assert_eq!(faults.len(), 1, "{faults:?}");
    fails("swap_usage > 1 && for 2m", 18, "expected a metric, ! or (, found for");
}

#[test]
fn line_breaks_of_every_kind_are_blanks() {
    reads("swap_usage > 1\r\n\t&& swap_usage < 2", "swap_usage > 1 && swap_usage < 2");
}

#[test]
fn an_expression_is_as_long_as_it_needs_to_be() {
    let parts = vec!["swap_usage > 1e300"; 5000].join(" && ");
    reads(&parts, &parts);
}

#[test]
fn a_glob_too_large_to_be_compiled_is_no_panic() {
    fails(&format!("disk_usage{{mount=~\"*{}\"}} > 1", "a".repeat(900_000)), 18, "not a glob: it has more than 65536 bytes");
}

#[test]
fn braces_in_braces_do_not_exhaust_the_stack() {
    let nested = |depth: usize| format!("disk_usage{{mount=~\"{}x{}\"}} > 1", "{a,".repeat(depth), "}".repeat(depth));
    let worker = crate::threads::spawn("glob", move || {
        reads(&nested(16), &nested(16));
        fails(&nested(15_000), 18, "not a glob: braces are nested more than 16 deep");
    });
    assert_eq!(worker.ended().recv(), Ok(true));
}

#[test]
fn what_cannot_be_seen_is_written_as_an_escape() {
    reads("disk_usage{mount=\"\u{1b}\n\t\u{202e}\"} > 1", r#"disk_usage{mount="\u{1b}\n\t\u{202e}"} > 1"#);
    reads(r#"disk_usage{mount="\u{41}\u{1F600}\r"} > 1"#, r#"disk_usage{mount="A😀\r"} > 1"#);
}

/// Each `@` is where the problem begins, in the file as it is written.
#[test]
fn places_are_right_behind_every_escape_of_json() {
    for file in [
        r#"{"p": {"condition": "disk_usage{mount=\"/a\"} > 90 @and swap_usage > 1", "actions": []}}"#,
        r#"{"p": {"condition": "disk_usage{mount=\u0022\u00e9\u0022} > 90 @and swap_usage > 1", "actions": []}}"#,
        r#"{"p": {"condition": "disk_usage{mount=\"\ud83d\ude00é\/\"} > 90 @and swap_usage > 1", "actions": []}}"#,
        r#"{"p": {"condition": "disk_usage{mount=\"\\\\\\\"\"}\t\n > @\u0066ull", "actions": []}}"#,
        r#"{"p": {"condition": "disk_usage{mount=\"a@\\d\"} > 90", "actions": []}}"#,
        r#"{"p": {"condition": {"any": ["disk_usage > 1", "disk_usage > 90 for 1\u006d @\u0026\u0026 x"]}, "actions": []}}"#,
        r#"{"p": {"condition": "disk_usage > 90 &&@", "actions": []}}"#,
    ] {
        let at = file.find('@').unwrap();
        let text = Text::new("p", &file.replace('@', ""));
        let problems = Parsed::playbooks(&text).into_problems();
        let starts: Vec<usize> =
            problems.iter().filter(|problem| problem.severity == Level::Error).map(|problem| problem.span.start).collect();
        assert_eq!(starts, [at], "{file}: {problems:#?}");
    }
}

fn comparisons() -> impl Strategy<Value = Condition> {
    let rounded = (-1e6..1e6_f64).prop_map(|number| (number * 100.0).round() / 100.0);
    let numbers = prop_oneof![rounded, prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO];
    let operands = (0..METRICS.len(), 0..6_usize, numbers, any::<prop::sample::Index>(), selectors());
    operands.prop_map(|(index, operator, number, word, tests)| {
        let metric = &METRICS[index];
        let (operator, operand) = match metric.values {
            Values::Number(_) => (Operator::ALL[operator], Operand::Number(number)),
            Values::Words(words) => (Operator::ALL[4 + operator % 2], Operand::Text(word.get(words).to_string())),
        };
        let labels: Vec<&str> = metric.identity.iter().chain(metric.facts).copied().collect();
        let name = |test: LabelTest| (!labels.is_empty()).then(|| LabelTest { label: word.get(&labels).to_string(), ..test });
        let selector = Selector(tests.into_iter().filter_map(name).collect());
        Condition::now(Test::Compare(Comparison { metric, operator, operand, selector }))
    })
}

fn selectors() -> impl Strategy<Value = Vec<LabelTest>> {
    // Quotes, backslashes, bars, blanks, braces, what an escape is made of, what has no width, and anything else.
    let text = || prop_oneof![r#"[a-z*?|"\\{},\[\]é \n\t\r\x1b\u{202e}\u{200b}]{0,6}"#, r"\\[nrtu]?\{?[0-9a-f]{0,4}\}?", any::<String>()];
    let globs = prop::collection::vec(text(), 1..4)
        .prop_map(|texts| texts.iter().map(|text| Pattern::new(text).unwrap_or_else(|_| Pattern::new("*").unwrap())).collect());
    let patterns = prop_oneof![globs, text().prop_map(|text| vec![Pattern::exact(&text)])];
    let test = (any::<bool>(), patterns).prop_map(|(negated, patterns)| LabelTest { label: String::new(), negated, patterns });
    prop::collection::vec(test, 0..3)
}

fn conditions() -> impl Strategy<Value = Condition> {
    let hold = || {
        let nanoseconds = (0..2_000_000_u64, 0..1_000_000_000_u32).prop_map(|(seconds, rest)| Duration::new(seconds, rest));
        let round = prop_oneof![Just(1_u64), Just(60), Just(3600), Just(86_400)];
        let round = (round, 0..30_u64).prop_map(|(unit, count)| Duration::from_secs(unit * count));
        prop_oneof![Just(Duration::ZERO), round, nanoseconds]
    };
    let leaf = (comparisons(), hold()).prop_map(|(condition, hold_for)| Condition { hold_for, ..condition });
    leaf.prop_recursive(4, 24, 3, move |inner| {
        let many = || prop::collection::vec(inner.clone(), 2..4);
        let one = inner.clone().prop_map(|part| Test::Not(Box::new(part)));
        let test = prop_oneof![many().prop_map(Test::All), many().prop_map(Test::Any), one, inner.prop_map(|part| Test::All(vec![part]))];
        (test, hold()).prop_map(|(test, hold_for)| simplified(Condition { test, hold_for }))
    })
}

proptest! {
    #[test]
    fn what_is_printed_is_read_back(condition in conditions()) {
        let text = condition.to_string();
        prop_assert_eq!(&crate::record::escape::terminal(&text), &text, "it is printed as it is");
        match parse(&text) {
            Ok(read) => {
                prop_assert_eq!(read.to_string(), text.as_str(), "printing it again changes nothing");
                prop_assert_eq!(read, condition, "{}", text);
            }
            Err(faults) => prop_assert!(false, "{}: {:?}", text, faults),
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "[a-z_><=!&|(){}\",.%0-9 é\\\\-]{0,60}") {
        for (span, _) in parse(&text).err().unwrap_or_default() {
            prop_assert!(span.start <= span.end && span.end <= text.len() && text.is_char_boundary(span.start));
        }
    }
}
