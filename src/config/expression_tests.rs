use proptest::prelude::*;

use super::*;
use crate::metric::METRICS;

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
    reads("process_memory > 2 GB for 2m", "process_memory_mb > 2048 for 120s");
    reads("api_latency_ms > 2s for 1h30m", "api_latency_ms > 2000 for 5400s");
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
    fails("disk_usage & 90", 11, "'&' does not belong here");
    fails("disk_usage{mount=~\"[\"} > 1", 18, "not a glob: unclosed character class; missing ']'");
    fails("disk_usage{mount=\"a} > 1", 17, "the text has no closing quote");
    fails("disk_usage{mount=\"a\\n\"} > 1", 19, "in text a backslash stands before \" \\ or | only");
    fails("disk_usage{pid=\"1\"} > 1", 11, "disk_usage has no label \"pid\"");
    fails("disk_usage > full", 13, "disk_usage is a number and cannot be compared with \"full\"");
    fails("disk_usage > 90 MB", 16, "disk_usage is measured in %, which \"MB\" is not a multiple of");
    fails("process_status > stopped", 15, "process_status is a word: only == and != compare words");
    fails("process_status == stoped", 18, "process_status is never \"stoped\"; it is one of running, stopped");
    fails("1 < disk_usage", 0, "expected a metric, ! or (, found 1");
    fails(&format!("{}swap_usage > 1", "!".repeat(40)), 32, "parentheses and ! are nested more than 32 deep");
    fails(&"x".repeat(2000), 1024, "an expression has at most 1024 bytes");
}

#[test]
fn everything_unknown_is_reported_together() {
    let faults = parse("disk_usge > 90 && swap_usage{a=\"b\"} > 1 || process_status == dead").unwrap_err();
    let starts: Vec<usize> = faults.iter().map(|(span, _)| span.start).collect();
    assert_eq!(starts, [0, 29, 61]);
}

fn comparisons() -> impl Strategy<Value = Condition> {
    let operands = (0..METRICS.len(), 0..6_usize, -1e6..1e6_f64, any::<prop::sample::Index>(), selectors());
    operands.prop_map(|(index, operator, number, word, tests)| {
        let metric = &METRICS[index];
        let (operator, operand) = match metric.values {
            Values::Number(_) => (Operator::ALL[operator], Operand::Number((number * 100.0).round() / 100.0)),
            Values::Words(words) => (Operator::ALL[4 + operator % 2], Operand::Text(word.get(words).to_string())),
        };
        let labels: Vec<&str> = metric.identity.iter().chain(metric.facts).copied().collect();
        let name = |test: LabelTest| labels.first().map(|label| LabelTest { label: (*label).to_owned(), ..test });
        let selector = Selector(tests.into_iter().filter_map(name).collect());
        Condition::now(Test::Compare(Comparison { metric, operator, operand, selector }))
    })
}

fn selectors() -> impl Strategy<Value = Vec<LabelTest>> {
    let text = "[a-z*?|\"\\\\é ]{0,5}";
    let globs = prop::collection::vec(text, 1..3)
        .prop_filter_map("a trailing backslash is no glob", |texts| texts.iter().map(|text| Pattern::new(text).ok()).collect());
    let patterns = prop_oneof![globs, text.prop_map(|text| vec![Pattern::exact(&text)])];
    let test = (any::<bool>(), patterns).prop_map(|(negated, patterns)| LabelTest { label: String::new(), negated, patterns });
    prop::collection::vec(test, 0..3)
}

fn conditions() -> impl Strategy<Value = Condition> {
    let hold = || prop_oneof![Just(0_u64), 0..10_000_000_u64].prop_map(Duration::from_millis);
    let leaf = (comparisons(), hold()).prop_map(|(condition, hold_for)| Condition { hold_for, ..condition });
    leaf.prop_recursive(4, 24, 3, move |inner| {
        let many = || prop::collection::vec(inner.clone(), 2..4);
        let test =
            prop_oneof![many().prop_map(Test::All), many().prop_map(Test::Any), inner.clone().prop_map(|part| Test::Not(Box::new(part))),];
        (test, hold()).prop_map(|(test, hold_for)| Condition { test, hold_for })
    })
}

proptest! {
    #[test]
    fn what_is_printed_is_read_back(condition in conditions()) {
        let text = condition.to_string();
        prop_assume!(text.len() <= MAX_BYTES);
        match parse(&text) {
            Ok(read) => prop_assert_eq!(read, condition, "{}", text),
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
