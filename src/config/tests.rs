//! What the loader makes of playbooks and settings.

use std::fs;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

use super::playbook::{ActionKind, Strategy};
use super::source::{PLAYBOOKS, SETTINGS, shipped_playbooks, shipped_settings};
use super::*;
use crate::sample::{Labels, Target};

fn data(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/playbooks").join(folder)
}

fn good(name: &str) -> Text {
    Text::new(name, &fs::read_to_string(data("good").join(name)).unwrap())
}

/// `LINE:COLUMN PATH CODE (next step)`
fn line(problem: &Problem) -> String {
    let Problem { line, column, path, code, suggestion, .. } = problem;
    let next = suggestion.as_ref().map_or_else(String::new, |next| format!(" ({next})"));
    format!("{line}:{column} {path} {code}{next}")
}

#[test]
fn the_original_format_loads_unchanged() {
    let config = parse(&good("original-format.json"), &shipped_settings()).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let playbooks = &config.playbooks;
    let ids: Vec<&str> = playbooks.iter().map(|playbook| playbook.id.as_str()).collect();
    assert_eq!(ids, ["disk_space_low", "process_down", "memory_leak", "api_slow", "ssl_expiring"]);
    assert_eq!(playbooks[0].actions[2].timeout, Duration::from_secs(120));
    assert!(playbooks[3].requires_approval && !playbooks[0].requires_approval);
    assert_eq!(playbooks[4].retries(), (1, Duration::ZERO));
}

#[test]
fn every_field_is_read() {
    let config = parse(&good("every-field.json"), &shipped_settings()).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let [all, tells] = config.playbooks.as_slice() else { panic!("{:?}", config.playbooks) };
    assert_eq!(
        all.condition.to_string(),
        "memory_usage >= 95 && (process_memory_mb{process_name=~\"web*|db\", pid=\"1\"} > 2048 || !(process_status == running) for 0.5s) for 1m"
    );
    assert_eq!((all.strategy, all.max_attempts, all.cooldown, all.retries().0), (Strategy::Ladder, 1, Duration::ZERO, 0));
    assert_eq!(all.actions.len(), 10);
    assert!(matches!(&all.actions[7].kind, ActionKind::SignalProcess { signal, .. } if signal == "HUP"));
    assert!(
        matches!(&all.actions[4].kind, ActionKind::Http { method, expect_status, .. } if method == "POST" && expect_status.contains(250))
    );
    assert_eq!(all.actions[1].timeout, Duration::from_secs(120));
    assert_eq!(all.actions[5].description, "delete files named *.tmp older than 12 h in /tmp");
    assert_eq!(tells.condition.to_string(), "disk_usage{mount=\"/\"} > 90 for 2m");
    assert_eq!(tells.retries(), (3, Duration::from_secs(10)));
}

/// `settings` with the problems that it has, of any level; the warning that nobody is told is left out.
#[track_caller]
fn check_settings(settings: &str, expected: &[&str]) {
    let text = Text::new("s", settings);
    let problems = Parsed::settings(&text).into_problems();
    let found: Vec<String> = problems.iter().filter(|problem| problem.code != "nobody_told").map(line).collect();
    assert_eq!(found, expected);
}

#[test]
fn settings_are_read_strictly() {
    check_settings("{}", &[]);
    check_settings(r#"{"intervall_seconds": 1}"#, &[r#"1:2 $.intervall_seconds unknown_key (did you mean "interval_seconds"?)"#]);
    check_settings(r#"{"interval_seconds": 0.05}"#, &["1:22 $.interval_seconds out_of_range"]);
    check_settings(r#"{"command_path": "/bin:/usr/bin"}"#, &[r#"1:18 $.command_path wrong_type (write ["/bin","/usr/bin"])"#]);
    check_settings(r#"{"command_path": ["bin"]}"#, &["1:19 $.command_path[0] bad_path"]);
    check_settings(r#"{"watch": {"disks": "all"}}"#, &["1:21 $.watch.disks wrong_type"]);
    check_settings(
        r#"{"watch": {"memory": {"interval": 1}}}"#,
        &[r#"1:23 $.watch.memory.interval unknown_key (did you mean "interval_seconds"?)"#],
    );
    check_settings(r#"{"watch": {"processes": [{"name": "a"}, {"name": "a"}]}}"#, &["1:41 $.watch.processes duplicate_name"]);
    check_settings(
        r#"{"watch": {"processes": [{"name": "a", "match": {"exe": "/a", "unit": "a"}}]}}"#,
        &["1:49 $.watch.processes[0].match bad_match"],
    );
    check_settings(
        r#"{"watch": {"processes": [{"name": "a", "match": {"pattern": "("}}]}}"#,
        &["1:61 $.watch.processes[0].match.pattern bad_pattern"],
    );
    check_settings(r#"{"watch": {"endpoints": [{"name": "a", "url": "ftp://h"}]}}"#, &["1:47 $.watch.endpoints[0].url bad_url"]);
    check_settings(
        r#"{"watch": {"endpoints": [{"name": "a", "url": "http://h", "headers": {"x-api-key": "s"}}]}}"#,
        &[r#"1:84 $.watch.endpoints[0].headers["x-api-key"] secret_in_file"#],
    );
    check_settings(
        r#"{"watch": {"certificates": [{"name": "a", "path": "/a", "host": "h"}]}}"#,
        &["1:57 $.watch.certificates[0].host unknown_key"],
    );
    check_settings(r#"{"watch": {"certificates": [{"name": "a"}]}}"#, &["1:29 $.watch.certificates[0] missing_key"]);
    check_settings(r#"{"watch": {"logs": [{"path": "/a/[b"}]}}"#, &["1:30 $.watch.logs[0].path bad_pattern"]);
    check_settings(r#"{"services": {"web": {"restart": "svc {name}"}}}"#, &["1:39 $.services.web.restart unknown_placeholder"]);
    check_settings(r#"{"services": {"web": {}}}"#, &["1:22 $.services.web missing_key"]);
    check_settings(
        r#"{"allowed_commands": ["@all", 1]}"#,
        &["1:23 $.allowed_commands[0] unknown_word", "1:31 $.allowed_commands[1] wrong_type"],
    );
    check_settings(
        r#"{"allowed_commands": [{"rule": "a", "sandbox": "of"}]}"#,
        &[r#"1:48 $.allowed_commands[0].sandbox unknown_word (did you mean "on"?)"#],
    );
}

#[test]
fn parts_of_later_versions_are_read_strictly_and_called_without_effect() {
    check_settings(r#"{"http": null, "silences": [], "watch": {"checks": []}, "notify": {"channels": [{"type": "log"}]}}"#, &[]);
    check_settings(r#"{"http": {"listen": "127.0.0.1:0", "tls": null}}"#, &["1:10 $.http not_in_this_version"]);
    check_settings(r#"{"http": {"listen": "0.0.0.0:80"}}"#, &["1:10 $.http not_on_loopback"]);
    check_settings(r#"{"watch": {"checks": [{"name": "raid", "command": "check_raid"}]}}"#, &["1:22 $.watch.checks not_in_this_version"]);
    check_settings(
        r#"{"notify": {"channels": [{"type": "slack", "url": "https://hooks.example/x"}, {"type": "pagerduty"}, {"type": "smoke"}, {"tpye": "ntfy"}]}}"#,
        &[
            "1:51 $.notify.channels[0].url secret_in_file (put it into a file and name that in \"url_file\")",
            "1:79 $.notify.channels[1] missing_key",
            "1:111 $.notify.channels[2].type unknown_word",
            "1:122 $.notify.channels[3].tpye unknown_key (did you mean \"type\"?)",
        ],
    );
}

/// The remarks about one playbook with these settings.
#[track_caller]
fn check_remarks(settings: &str, playbook: &str, expected: &[&str]) {
    let playbooks = Text::new("p", &format!("{{\"it\": {playbook}}}"));
    let config = parse(&playbooks, &Text::new("s", settings)).unwrap();
    let found: Vec<String> = config.remarks.iter().filter(|problem| problem.file == "p").map(line).collect();
    assert_eq!(found, expected);
}

const WEAK: &str = "weak_verify (leave verify out, and the condition must no longer hold)";

#[test]
fn doubtful_things_are_remarked_and_stop_nothing() {
    let disk = r#""condition": "disk_usage > 90""#;
    check_remarks("{}", &format!("{{{disk}, \"actions\": []}}"), &[]);
    check_remarks(
        "{}",
        &format!("{{{disk}, \"actions\": [], \"verify\": \"disk_usage < 95\"}}"),
        &[&format!("1:66 $.it.verify {WEAK}"), "1:66 $.it.verify no_effect"],
    );
    check_remarks("{}", &format!("{{{disk}, \"actions\": [], \"verify\": \"disk_usage <= 90\"}}"), &["1:66 $.it.verify no_effect"]);
    check_remarks(
        r#"{"watch": {"processes": [{"name": "a"}]}}"#,
        r#"{"condition": "process_status == stopped", "actions": [], "verify": "process_status != running"}"#,
        &[&format!("1:76 $.it.verify {WEAK}"), "1:76 $.it.verify no_effect"],
    );
    check_remarks(
        "{}",
        &format!(
            "{{{disk}, \"actions\": [], \"cooldown_seconds\": 5, \"verify\": {{\"metric\": \"disk_usage\", \"operator\": \"<\", \"threshold\": 1, \"retry_interval_seconds\": 6}}}}"
        ),
        &["1:89 $.it.verify no_effect", "1:173 $.it.verify.retry_interval_seconds retry_longer_than_cooldown"],
    );
    check_remarks(r#"{"watch": {"disks": []}}"#, &format!("{{{disk}, \"actions\": []}}"), &["1:8 $.it no_target"]);
    check_remarks(
        r#"{"watch": {"processes": [{"name": "web"}]}}"#,
        r#"{"condition": "process_status{process_name=\"db\"} == stopped", "actions": [{"type": "signal_process", "process": "wbe", "signal": "HUP"}]}"#,
        &["1:8 $.it no_target", "1:122 $.it.actions[0].process unknown_process (did you mean \"web\"?)"],
    );
    check_remarks(
        "{}",
        &format!(
            "{{{disk}, \"actions\": [{{\"type\": \"http\", \"url\": \"http://localhost:8080/admin/reset-pool\", \"headers\": {{\"Authorization\": \"x\"}}, \"retry_count\": 1}}], \"repeat_seconds\": 9}}"
        ),
        &[
            "1:148 $.it.actions[0].headers.Authorization secret_in_file",
            "1:169 $.it.actions[0].retry_count no_effect (write \"strategy\": \"ladder\")",
            "1:192 $.it.repeat_seconds no_effect",
        ],
    );
}

#[test]
fn nobody_is_told_unless_a_channel_reaches_a_person() {
    let told = |settings: &str| {
        parse(&Text::new("p", "{}"), &Text::new("s", settings)).unwrap().remarks.iter().all(|problem| problem.code != "nobody_told")
    };
    assert!(!told("{}"));
    assert!(!told(r#"{"notify": {"channels": [{"type": "log"}]}}"#));
    assert!(told(r#"{"notify": {"channels": [{"type": "desktop"}]}}"#));
}

#[test]
fn the_shipped_files_have_only_remarks_that_are_true() {
    let config = parse(&shipped_playbooks(), &shipped_settings()).unwrap_or_else(|problems| panic!("{problems:#?}"));
    assert!(config.settings.dry_run);
    let ids: Vec<&str> = config.playbooks.iter().map(|playbook| playbook.id.as_str()).collect();
    assert_eq!(ids, ["disk_space_low", "process_down", "memory_leak", "memory_high", "api_slow", "ssl_expiring", "log_file_large"]);
    for problem in &config.remarks {
        let true_here = match problem.code {
            // Nothing of these kinds is watched until the operator says what.
            "no_target" => ["$.process_down", "$.memory_leak", "$.api_slow", "$.ssl_expiring"].contains(&problem.path.as_str()),
            "nobody_told" => problem.path == "$.notify",
            // Depends on the host.
            "program_missing" => true,
            _ => false,
        };
        assert!(true_here, "{problem}");
    }
}

#[test]
fn what_is_written_by_default_is_what_the_contract_says() {
    let config = parse(&Text::new("p", r#"{"a": {"condition": "disk_usage > 1", "actions": []}}"#), &Text::new("s", "{}")).unwrap();
    let playbook = &config.playbooks[0];
    assert_eq!(
        (playbook.cooldown, playbook.relapse, playbook.retry_after),
        (Duration::from_secs(300), Duration::from_secs(900), Duration::from_secs(3600))
    );
    assert_eq!((playbook.enabled, playbook.max_attempts, playbook.approval_timeout), (true, 3, Duration::from_secs(300)));
    let settings = &config.settings;
    assert_eq!((settings.dry_run, settings.interval, settings.max_actions_per_hour), (false, Duration::from_secs(30), 60));
    assert_eq!(settings.watch.disks, settings::Disks::Auto(Duration::from_secs(30)));
    assert_eq!(settings.watch.memory, Some(Duration::from_secs(30)));
    assert_eq!((settings.silences.len(), &settings.history), (0, &settings::History::default()));
    let days = |days: u64| Duration::from_secs(days * 86_400);
    assert_eq!((settings.history.incidents, settings.history.samples, settings.history.keep_reports), (days(90), days(7), None));
}

#[test]
fn silences_and_history_are_read_strictly() {
    check_settings(
        r#"{"silences": [{"days": ["sat", "son"], "from": "24:00", "time_zone": "Mars/Phobos"}]}"#,
        &[
            "1:15 $.silences[0] missing_key",
            r#"1:32 $.silences[0].days[1] unknown_word (did you mean "mon"?)"#,
            "1:48 $.silences[0].from bad_time",
            "1:70 $.silences[0].time_zone bad_time_zone",
        ],
    );
    check_settings(r#"{"silences": [{}, {"days": ["sat"], "from": "22:00", "to": "02:00", "time_zone": "UTC"}]}"#, &[]);
    check_settings(
        r#"{"silences": [{"from": "01:00", "to": "01:00", "playbooks": [], "days": []}, {"to": "1:00", "from": "+1:30"}]}"#,
        &[
            "1:61 $.silences[0].playbooks empty_list",
            "1:73 $.silences[0].days empty_list",
            "1:85 $.silences[1].to bad_time",
            "1:101 $.silences[1].from bad_time",
        ],
    );
    check_settings(
        r#"{"silences": [{"from": "01:00", "to": "01:00", "where": {"mont": "/"}}]}"#,
        &[
            "1:39 $.silences[0].to empty_window (leave both out for the whole day)",
            r#"1:58 $.silences[0].where.mont unknown_label (did you mean "mount"?)"#,
        ],
    );
    check_settings(
        r#"{"history": {"keep_reports": "some", "samples_days": 4000}}"#,
        &["1:30 $.history.keep_reports wrong_type", "1:54 $.history.samples_days out_of_range"],
    );
}

#[test]
fn silences_and_history_are_what_is_written() {
    let read = |text: &str| parse_settings(&Text::new("s", text)).unwrap();
    let settings = read(
        r#"{"history": {"incidents_days": 30, "samples_days": 0.5, "keep_reports": 365},
            "silences": [{"playbooks": ["disk"], "where": {"mount": "/data"}, "days": ["sat", "sun"], "from": "01:00", "to": "05:30",
            "time_zone": "Europe/Berlin", "reason": "backup"}, {}]}"#,
    );
    let hours = Duration::from_hours;
    let expected = settings::History { incidents: hours(30 * 24), samples: hours(12), keep_reports: Some(hours(365 * 24)) };
    assert_eq!(settings.history, expected);
    assert_eq!(read(r#"{"history": {"keep_reports": "all"}}"#).history, settings::History::default());
    let [silence, always] = settings.silences.as_slice() else { panic!("{:?}", settings.silences) };
    let target = |mount: &str| Target { identity: Labels::from([("mount", mount)]), facts: Labels::default() };
    // A Saturday, 01:30 in Berlin.
    let at: jiff::Timestamp = "2026-11-28T00:30:00Z".parse().unwrap();
    assert_eq!(silence.covers("disk", &target("/data"), at), Some("2026-11-28T04:30:00Z".parse().unwrap()));
    assert_eq!((silence.covers("disk", &target("/"), at), silence.covers("web", &target("/data"), at)), (None, None));
    assert_eq!(silence.reason.as_deref(), Some("backup"));
    assert!(always.covers("any", &target("/"), at).is_some());
    assert_eq!(always.time_zone, jiff::tz::TimeZone::system());
}

#[test]
fn a_directory_is_loaded_and_its_origin_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let location = Location::named(dir.path(), Trust::Anyone);
    let codes = |loaded: Loaded| {
        let problems = loaded.result.unwrap_err();
        let errors = problems.iter().filter(|problem| problem.severity == Level::Error);
        errors.map(|problem| problem.code).collect::<Vec<_>>()
    };
    assert_eq!(codes(load(&location)), ["file_missing"]);
    fs::write(dir.path().join(PLAYBOOKS), "{}").unwrap();
    let config = load(&location).result.unwrap();
    assert_eq!(config.origin, Origin { dir: Some(dir.path().to_owned()), built_in_settings: true });
    assert!(config.settings.dry_run);
    fs::write(dir.path().join(SETTINGS), "{\"dry_rum\": 1}").unwrap();
    fs::remove_file(dir.path().join(PLAYBOOKS)).unwrap();
    assert_eq!(codes(load(&location)), ["file_missing", "unknown_key"], "the other file is looked at all the same");
}

/// The guard refuses; the file is refused as a whole, at the command, with what to write instead.
#[test]
fn two_commands_in_one_are_refused_with_their_place() {
    let text =
        good("original-format.json").text.replace("\"pkill -f openclaw\"", "\"pkill -f 'node.*openclaw' && openclaw gateway start\"");
    let problems = parse(&Text::new("p", &text), &shipped_settings()).unwrap_err();
    let refused: Vec<&Problem> = problems.iter().filter(|problem| problem.severity == Level::Error).collect();
    let [problem] = refused.as_slice() else { panic!("{refused:#?}") };
    assert_eq!((problem.path.as_str(), problem.code), ("$.memory_leak.actions[1].command", "command_refused"));
    assert!(problem.suggestion.as_deref().is_some_and(|next| next.contains("two actions")), "{problem:?}");
}

/// The next step for a command that the shipped rules refuse.
#[track_caller]
fn check_refused(command: &str, next: Option<&str>) {
    let text = serde_json::json!({"it": {"condition": "disk_usage > 1", "actions": [{"type": "shell", "command": command}]}});
    let problems = parse(&Text::new("p", &text.to_string()), &shipped_settings()).unwrap_err();
    let problem = problems.iter().find(|problem| problem.code == "command_refused").unwrap();
    assert_eq!(problem.next_step().as_deref(), next, "{problem}");
}

#[test]
fn what_would_allow_a_command_is_said_where_no_action_does_the_same() {
    check_refused("backupctl prune --keep 3", Some("if it may run, add \"backupctl prune --keep 3\" to allowed_commands in autoheal.json"));
    check_refused("backupctl {fstype}", Some("if it may run, add \"backupctl {name}\" to allowed_commands in autoheal.json"));
    check_refused("npm cache clean", Some("the nearest rule is: npm cache clean --force"));
    check_refused("sudo reboot", None);
    check_refused("rm /tmp/x", None);
    check_refused("service nginx reload", None);
    check_refused("du {mount}", None);
    check_refused("du > /dev/sda", None);
}

#[test]
fn thousands_of_problems_are_all_reported() {
    let many: Vec<String> =
        (0..5000).map(|index| format!("\"p{index}\": {{\"condition\": \"disk_usage > {index}\", \"actions\": [], \"x\": 1}}")).collect();
    let text = format!("{{{}}}", many.join(","));
    let problems = parse(&Text::new("p", &text), &Text::new("s", "{}")).unwrap_err();
    assert_eq!(problems.iter().filter(|problem| problem.code == "unknown_key").count(), 5000);
    assert!(problems.iter().all(|problem| problem.line == 1));
}

/// A condition that is `depth` deep: as far as the file allows in JSON, the rest in an expression.
fn deep(depth: usize) -> Text {
    let (json, nots) = (22, depth - 22 - 1);
    let inner = format!("{}disk_usage{{mount=\"\\\"\"}} > 1{}", "!(".repeat(nots), " for 1s)".repeat(nots));
    let nested = format!("{}{}{}", r#"{"for_seconds": 1, "not": "#.repeat(json), serde_json::json!(inner), "}".repeat(json));
    Text::new("p", &format!(r#"{{"deep": {{"condition": {nested}, "actions": []}}}}"#))
}

#[test]
fn the_deepest_condition_fits_on_the_stack_of_a_thread_and_can_be_read_back() {
    let worker = crate::threads::spawn("deep", || {
        let config = parse(&deep(48), &shipped_settings()).unwrap();
        let condition = &config.playbooks[0].condition;
        let text = condition.to_string();
        let read = expression::parse(&text).unwrap();
        assert!(read == *condition && read.to_string() == text, "{text}");
        assert_eq!((condition.depth(), condition.clone().evaluate(&|_| None)), (48, None));
        assert!(words::condition(condition).starts_with("it is not so"));
    });
    assert_eq!(worker.ended().recv(), Ok(true));
}

#[test]
fn a_condition_is_not_deeper_than_what_can_be_read_back() {
    let problems = parse(&deep(49), &shipped_settings()).unwrap_err();
    let errors = problems.iter().filter(|problem| problem.severity == Level::Error);
    let errors: Vec<_> = errors.map(|problem| (problem.code, problem.path.as_str())).collect();
    assert_eq!(errors, [("too_deep", "$.deep.condition")]);
}

proptest! {
    #[test]
    fn no_edit_makes_the_loader_panic(edits in prop::collection::vec((any::<prop::sample::Index>(), "[ -~é\\n]{0,3}"), 1..6)) {
        let mut text = good("every-field.json").text.to_string();
        for (at, with) in edits {
            let mut at = at.index(text.len());
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            let end = text[at..].chars().next().map_or(at, |letter| at + letter.len_utf8());
            text.replace_range(at..end, &with);
        }
        let texts = Texts { playbooks: Text::new("p", &text), settings: Text::new("s", "{}") };
        let problems = parse(&texts.playbooks, &texts.settings).map_or_else(|problems| problems, |config| config.remarks);
        for problem in &problems {
            let file = texts.of(&problem.file).unwrap();
            prop_assert!(file.get(problem.span.clone()).is_some(), "{:?}", problem);
        }
        prop_assert_eq!(render(&problems, &texts, true).is_empty(), problems.is_empty());
    }
}
