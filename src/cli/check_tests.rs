use std::fs;
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::clock::Moment;

use crate::collect::census::Census;
use crate::collect::test_rig::{self, Child};
use crate::config::source::SETTINGS;
use crate::metric;
use crate::sample::{Target, Value};

fn context(places: &Places) -> Context<'_> {
    Context { places, json: false, color: false, width: None, look: None }
}

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new(playbooks: &str, settings: Option<&str>) -> Self {
        let place = Self { dir: tempfile::tempdir().unwrap() };
        fs::write(place.path(PLAYBOOKS), playbooks).unwrap();
        if let Some(settings) = settings {
            fs::write(place.path(SETTINGS), settings).unwrap();
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn places(&self) -> Places {
        Places { trust: Trust::Anyone, ..Places::from_environment(Some(self.dir.path().to_owned()), None, false) }
    }

    fn check(&self, args: &Check, json: bool) -> (u8, String) {
        let places = self.places();
        let mut out = Vec::new();
        let code = run(args, Context { json, ..context(&places) }, &mut out).unwrap();
        (code, String::from_utf8(out).unwrap().replace(&format!("{}/", self.dir.path().display()), ""))
    }

    fn json(&self, args: &Check) -> (u8, serde_json::Value) {
        let (code, out) = self.check(args, true);
        (code, serde_json::from_str(&out).unwrap())
    }
}

const TELLS: &str = r#"{"full": {"description": "d", "condition": "disk_usage > 90 for 1m", "actions": []}}"#;
const TOLD: &str = r#"{"watch": {"disks": [{"mount": "/data"}]}, "notify": {"channels": [{"type": "log"}]}}"#;

#[test]
fn problems_come_first_each_in_one_line_with_its_source() {
    let place = Place::new("{\n  \"full\": {\"condition\": \"disk_usge > 90\", \"actions\": []}\n}\n", Some("{}"));
    let (code, out) = place.check(&Check::default(), false);
    assert_eq!(code, 1);
    let expected = "autoheal-playbooks.json:2:26: error: $.full.condition: no metric is called \"disk_usge\"\n  |\n2 |   \"full\": {\"condition\": \"disk_usge > 90\", \"actions\": []}\n  |                          ^^^^^^^^^\n";
    assert!(out.starts_with(expected), "{out}");
    assert!(out.ends_with("\n1 error, 1 warning: a running agent would keep its old configuration\n"), "{out}");
}

#[test]
fn a_playbook_is_told_in_words() {
    let place = Place::new(TELLS, Some(TOLD));
    let (code, out) = place.check(&Check::default(), false);
    assert_eq!(code, 0);
    let expected = "
full (warning): d
  fires when  disk usage is over 90 %, for 1 min
  condition   disk_usage > 90 for 1m
  on          mount=/data
  proven by   nothing is repaired: it tells, once, and again at recovery

no errors, 1 warning, 1 playbook
";
    assert!(out.ends_with(expected), "{out}");
}

#[test]
fn the_json_has_the_shape_of_the_contract() {
    let book = r#"{"slow": {"condition": "memory_usage > 1", "actions": [{"type": "top_processes"}], "verify": "memory_usage < 1"}}"#;
    let place = Place::new(book, Some("{}"));
    let (code, answer) = place.json(&Check::default());
    assert_eq!((code, &answer["ok"], &answer["errors"], &answer["warnings"]), (0, &true.into(), &0.into(), &1.into()));
    let problem = answer["problems"][0].as_object().unwrap();
    let keys: Vec<&str> = problem.keys().map(String::as_str).collect();
    assert_eq!(keys, ["allowed", "code", "column", "file", "found", "line", "message", "path", "severity", "suggestion"]);
    let playbook = answer["playbooks"][0].as_object().unwrap();
    let keys: Vec<&str> = playbook.keys().map(String::as_str).collect();
    assert_eq!(keys, ["actions", "condition", "enabled", "fires_when", "id", "proven_by", "targets"]);
    assert_eq!(playbook["targets"], serde_json::json!([{}]));
    assert_eq!(
        playbook["actions"][0],
        serde_json::json!({"argv": ["top_processes"], "rule": "", "text": "record the 5 largest processes by memory"})
    );
}

/// What is printed can be put back into the file: then it says the same.
#[test]
fn the_condition_that_is_printed_says_what_the_file_says() {
    let object = r#"{"any": [
        {"not": {"metric": "disk_usage", "operator": "<=", "threshold": 1e300, "where": {"mount": ["/a b\"|\\c", "/*\u202e\n"]}}},
        {"metric": "disk_free_mb", "operator": "<", "threshold": 0.5, "for_seconds": 0.5}], "for_seconds": 5400}"#;
    let place = Place::new(&format!(r#"{{"full": {{"condition": {object}, "actions": []}}}}"#), Some(TOLD));
    let (_, answer) = place.json(&Check::default());
    let condition = answer["playbooks"][0]["condition"].as_str().unwrap();
    let expected = r#"!(disk_usage{mount=~"/a b\"\|\\c|/*\u{202e}\n"} <= 1e300) || (disk_free_mb < 0.5 for 0.5s) for 90m"#;
    assert_eq!(condition, expected);
    let (_, out) = place.check(&Check::default(), false);
    assert!(out.contains(&format!("\n  condition   {condition}\n")), "{out}");
    let again = Place::new(&serde_json::json!({"full": {"condition": condition, "actions": []}}).to_string(), Some(TOLD));
    let (code, second) = again.json(&Check::default());
    assert_eq!((code, &second["playbooks"]), (0, &answer["playbooks"]));
}

#[test]
fn warnings_fail_only_a_strict_check() {
    let place = Place::new(TELLS, Some(TOLD));
    assert_eq!(place.check(&Check::default(), false).0, 0);
    let strict =
        |accept: &[&str]| Check { strict: true, accept: accept.iter().map(|code| (*code).to_owned()).collect(), ..Check::default() };
    assert_eq!(place.check(&strict(&[]), false).0, 1);
    let (code, out) = place.check(&strict(&["nobody_told"]), false);
    assert!(code == 0 && out.contains("no channel reaches a person"), "what is accepted is shown all the same: {out}");
    assert_eq!(place.check(&strict(&["weak_verify"]), false).0, 1);
    let unknown = run(&strict(&["nobody-tld"]), context(&place.places()), &mut Vec::new()).unwrap_err();
    assert!(unknown.exit == 2 && unknown.to_string().contains("did you mean \"nobody_told\"?"), "{unknown}");
}

#[test]
fn a_named_file_takes_the_place_of_its_own() {
    let place = Place::new("{", None);
    fs::write(place.path("draft"), TELLS).unwrap();
    let draft = |path: &Path| Check { playbooks: Some(path.to_owned()), ..Check::default() };
    let (code, out) = place.check(&draft(&place.path("draft")), false);
    assert!(code == 0 && out.contains("the built-in ones hold: dry run"), "{out}");
    let (code, answer) = place.json(&draft(&place.path("none")));
    assert_eq!((code, &answer["problems"][0]["code"]), (1, &"file_missing".into()));
    assert!(answer["problems"][0]["file"].as_str().unwrap().ends_with("none"));
    fs::remove_file(place.path(PLAYBOOKS)).unwrap();
    fs::write(place.path("settings"), TOLD).unwrap();
    let (code, out) = place.check(&Check { settings: Some(place.path("settings")), ..Check::default() }, false);
    assert!(code == 0 && out.contains("disk_space_low"), "{out}");
}

/// A sample of a disk.
fn disk(name: &'static str, mount: &str, value: f64) -> Sample {
    let target = Target::new(Labels::from([("mount", mount)]), Labels::from([("device", "/dev/sda1")]));
    let value = Some(Value::Number(value));
    Sample { metric: metric::named(name), target, value, reason: None, at: Moment::now(), interval: Duration::from_secs(30) }
}

fn measured(samples: Vec<Sample>) -> impl Fn(&Arc<Settings>) -> Findings {
    move |_| Findings { survey: Some(Survey { samples: samples.clone(), ..Survey::default() }), census: Some(Census::default()) }
}

#[test]
fn targets_that_were_measured_are_named_with_their_values() {
    let place = Place::new(TELLS, Some(TOLD));
    let look = measured(vec![disk("disk_usage", "/\u{1b}x", 1.0), disk("disk_usage", "/data", 95.5)]);
    let places = place.places();
    let mut out = Vec::new();
    run(&Check::default(), Context { look: Some(&look), ..context(&places) }, &mut out).unwrap();
    let out = String::from_utf8(out).unwrap();
    let expected = "\n  on          mount=/data     95.5 %: the condition holds now\n              mount=/\\u{1b}x  1 %\n";
    assert!(out.contains(expected), "{out}");
}

#[test]
fn many_targets_are_cut_in_the_text_and_all_in_the_json() {
    let place = Place::new(TELLS, Some(TOLD));
    let look = measured((0..100).map(|index| disk("disk_usage", &format!("/d{index}"), 1.0)).collect());
    let places = place.places();
    let shown = |json| {
        let mut out = Vec::new();
        run(&Check::default(), Context { json, look: Some(&look), ..context(&places) }, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    let out = shown(false);
    assert!(out.contains("              and 88 more\n") && out.matches("mount=/d").count() == 12, "{out}");
    let answer: serde_json::Value = serde_json::from_str(&shown(true)).unwrap();
    assert_eq!(answer["playbooks"][0]["targets"].as_array().unwrap().len(), 100);
    assert_eq!(answer["playbooks"][0]["targets"][0], serde_json::json!({"mount": "/d0"}));
}

#[test]
fn a_glob_that_nothing_matches_now_is_told() {
    let book = r#"{"log": {"condition": "log_file_size_mb > 1", "actions": []}}"#;
    let place = Place::new(book, Some(r#"{"watch": {"logs": [{"path": "/no/such/*.log"}]}}"#));
    let places = place.places();
    let mut out = Vec::new();
    run(&Check::default(), Context { look: Some(&look), ..context(&places) }, &mut out).unwrap();
    let out = String::from_utf8(out).unwrap();
    assert!(out.contains("  on          nothing that is there now: every file that matches /no/such/*.log\n"), "{out}");
}

#[test]
fn a_host_that_does_not_answer_is_a_note_and_the_rest_is_told() {
    let place = Place::new(TELLS, Some(TOLD));
    let places = place.places();
    let mut out = Vec::new();
    let code =
        run(&Check::default(), Context { look: Some(&|_| Findings { survey: None, census: None }), ..context(&places) }, &mut out).unwrap();
    let out = String::from_utf8(out).unwrap();
    assert!(code == 0 && out.contains("note: $.watch: nothing was measured: something that is watched does not answer at all"), "{out}");
    assert!(out.contains("\n  on          mount=/data\n"), "{out}");
}

/// A server that accepts and says nothing, an entry that matches too much, another that is misspelt: within seconds.
#[test]
fn this_host_is_looked_at_within_seconds() {
    let sleeping = Child::sleeping();
    let hung = test_rig::silent();
    let settings = serde_json::json!({
        "watch": {
            "disks": [{"mount": "/"}, {"mount": "/no/such/mount"}],
            "endpoints": [{"name": "hung", "url": format!("http://{hung}/"), "timeout_seconds": 60}],
            "processes": [{"name": "mine", "match": {"pattern": sleeping.argument()}}, {"name": "gone", "match": {"exe": "/no/such/program"}}],
        },
        "notify": {"channels": [{"type": "desktop"}]},
    });
    let book = r#"{"slow": {"condition": "api_latency_ms > 1", "actions": []}}"#;
    let place = Place::new(book, Some(&settings.to_string()));
    fs::write(place.path("playbooks.yaml"), "a: b").unwrap();
    let places = place.places();
    let mut out = Vec::new();
    let began = Moment::now();
    let code = run(&Check::default(), Context { look: Some(&look), ..context(&places) }, &mut out).unwrap();
    let (out, took) = (String::from_utf8(out).unwrap(), Moment::now().since(began));
    assert!(code == 0 && took < Duration::from_secs(20), "{took:?}: {out}");
    let name = format!("endpoint=hung, host={}", hung.ip());
    for part in [
        format!("\n  on          {name}  not known: no answer within 5 s\n"),
        format!("note: $.watch.endpoints: not measured: {name}: no answer within 5 s [not_seen]"),
        "note: $.watch.disks: not measured: mount=/no/such/mount: nothing is mounted here".to_owned(),
        "gone is not running: there is no file /no/such/program [no_process]".to_owned(),
        "playbooks.yaml:1:1: warning: $: this file is not read".to_owned(),
    ] {
        assert!(out.contains(&part), "{part}: {out}");
    }
    assert!(!out.contains("processes[0]"), "{out}");
}

#[test]
fn a_misspelt_file_is_told_also_when_the_right_one_is_missing() {
    let place = Place::new("{}", None);
    fs::rename(place.path(PLAYBOOKS), place.path("autoheal-playbook.json")).unwrap();
    let (code, out) = place.check(&Check::default(), false);
    assert!(code == 1 && out.contains("did you mean \"autoheal-playbooks.json\"?"), "{out}");
    let nowhere =
        Places { config_dir: None, config_variable: None, here: "/no".into(), system: vec![place.dir.path().into()], ..place.places() };
    let mut out = Vec::new();
    run(&Check::default(), context(&nowhere), &mut out).unwrap();
    let out = String::from_utf8(out).unwrap();
    assert!(out.contains("autoheal-playbook.json:1:1: warning: $: this file is not read"), "{out}");
}

#[test]
fn lines_fit_the_terminal_and_colour_changes_nothing_else() {
    let place = Place::new("{}", None);
    let nowhere = Places { config_dir: None, config_variable: None, here: place.path("nowhere"), system: Vec::new(), ..place.places() };
    let shown = |width, color| {
        let mut out = Vec::new();
        run(&Check::default(), Context { width, color, ..context(&nowhere) }, &mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        out[out.find("says more").unwrap()..].to_owned()
    };
    let plain = shown(Some(80), false);
    let long: Vec<&str> = plain.lines().filter(|line| textwrap::core::display_width(line) > 80).collect();
    assert!(long.is_empty() && plain.contains("\n  does        step by step"), "{long:#?}");
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(&plain), words(&shown(None, false)), "nothing is lost between two lines");
    let coloured = shown(Some(80), true);
    assert!(coloured.contains("\u{1b}[1m"), "{coloured}");
    assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), plain);
}

#[test]
fn every_shipped_playbook_is_told() {
    let place = Place::new("{}", None);
    let nowhere = Places { config_dir: None, config_variable: None, here: place.path("nowhere"), system: Vec::new(), ..place.places() };
    let mut out = Vec::new();
    let code = run(&Check::default(), context(&nowhere), &mut out).unwrap();
    let out = String::from_utf8(out).unwrap();
    assert_eq!(code, 0, "{out}");
    for part in [
        "disk_space_low (critical)",
        "on          every mounted file system",
        "step by step",
        "asks first",
        "dry run: nothing would be executed",
    ] {
        assert!(out.contains(part), "{part}: {out}");
    }
}
