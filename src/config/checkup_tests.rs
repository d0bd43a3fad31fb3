use std::time::Duration;

use super::super::parse;
use super::super::source::Text;
use super::*;
use crate::clock::Moment;
use crate::metric;
use crate::sample::Target;

/// `SEVERITY PATH CODE: message (next step)` of what is found with these settings.
#[track_caller]
fn check(playbooks: &str, settings: &str, findings: Findings, expected: &[&str]) {
    let texts = Texts { playbooks: Text::new("p", playbooks), settings: Text::new("s", settings) };
    let config = parse(&texts.playbooks, &texts.settings).unwrap();
    let found: Vec<String> = remarks(&config, &texts, &findings)
        .into_iter()
        .map(|problem| {
            let next = problem.suggestion.map_or_else(String::new, |next| format!(" ({next})"));
            format!("{} {} {}: {}{next}", problem.severity.name(), problem.path, problem.code, problem.message)
        })
        .collect();
    assert_eq!(found, expected);
}

fn census(entries: Vec<Result<Programs, String>>) -> Findings {
    let names = ["nginx", "postgres"].map(str::to_owned).into();
    let census = Census { entries, names, missing: ["/no/such/program".into()].into() };
    Findings { survey: Some(Survey::default()), census: Some(census) }
}

fn programs(counts: &[(&str, usize)]) -> Result<Programs, String> {
    Ok(counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect())
}

const PROCESSES: &str = r#"{"watch": {"processes": [
    {"name": "ngnix"},
    {"name": "worker", "match": {"pattern": "node .*it's"}},
    {"name": "unit", "match": {"unit": "php-fpm.service"}},
    {"name": "exe", "match": {"exe": "/no/such/program"}}
]}}"#;

#[test]
fn entries_that_mean_no_process_are_noted_with_what_may_be_meant() {
    let none = || programs(&[]);
    check(
        "{}",
        PROCESSES,
        census(vec![none(), none(), none(), none()]),
        &[
            "note $.watch.processes[0] no_process: ngnix is not running: no process is called \"ngnix\" (did you mean \"nginx\", which runs?)",
            "note $.watch.processes[1].match.pattern no_process: worker is not running: no command line matches /node .*it's/ (`autoheal match --pattern 'node .*it'\\''s'` tries another one)",
            "note $.watch.processes[2] no_process: unit is not running: no process belongs to php-fpm.service",
            "note $.watch.processes[3] no_process: exe is not running: there is no file /no/such/program",
        ],
    );
}

#[test]
fn a_pattern_that_means_several_programs_is_a_warning_and_a_unit_may() {
    let two = || programs(&[("/bin/dash", 1), ("/usr/bin/node", 4)]);
    check(
        "{}",
        PROCESSES,
        census(vec![programs(&[("/usr/sbin/nginx", 5)]), two(), two()]),
        &[
            "warning $.watch.processes[1].match.pattern several_programs: worker means several programs at once: /bin/dash, /usr/bin/node (4 processes) (begin the pattern with ^, or match by exe or unit; `autoheal match worker` lists the processes)",
        ],
    );
}

#[test]
fn what_an_ordinary_user_cannot_see_is_said() {
    let hidden = Err("the processes of other users are hidden".to_owned());
    let one = || programs(&[("a", 1)]);
    check(
        "{}",
        PROCESSES,
        census(vec![one(), one(), hidden]),
        &["note $.watch.processes[2] not_seen: which processes unit means cannot be seen: the processes of other users are hidden"],
    );
}

fn sample(metric: &'static str, labels: &[(&str, &str)], value: Result<f64, &str>) -> Sample {
    let target = Target::new(labels.iter().copied().collect(), Labels::default());
    let number = Sample::number(metric::named(metric), &target, value.map_err(str::to_owned), Moment::at_seconds(1.0));
    Sample { interval: Duration::from_secs(30), ..number }
}

fn measured(samples: Vec<Sample>) -> Findings {
    Findings { survey: Some(Survey { samples, ..Survey::default() }), census: Some(Census::default()) }
}

#[test]
fn a_verification_that_holds_already_is_found_on_the_target_that_has_it() {
    let book = |verify: &str| format!(r#"{{"full": {{"condition": "disk_usage > 90", "actions": [], "verify": "{verify}"}}}}"#);
    let samples = || {
        let of = |mount, usage, inodes| {
            [sample("disk_usage", &[("mount", mount)], Ok(usage)), sample("inode_usage", &[("mount", mount)], Ok(inodes))]
        };
        [of("/", 20.0, 5.0), of("/data", 96.0, 5.0)].concat()
    };
    check(
        &book("inode_usage < 50"),
        "{}",
        measured(samples()),
        &[
            "warning $.full.verify already_proven: the condition holds now for mount=/data, and so does the verification already (inode_usage 5) (verify what the condition measures, below its limit)",
        ],
    );
    check(&book("inode_usage < 2"), "{}", measured(samples()), &[]);
    check(&book("disk_usage < 85"), "{}", measured(samples()), &[]);
}

#[test]
fn what_was_not_measured_is_one_note_for_a_kind_and_a_reason() {
    let logs = (1..=9).map(|index| sample("log_file_size_mb", &[("path", &format!("/l/{index}"))], Err("permission denied")));
    let mut samples: Vec<Sample> = logs.collect();
    // These are no news: one value is known, or time has to pass.
    samples.push(sample("log_file_size_mb", &[("path", "/l/known")], Ok(1.0)));
    samples.push(sample("log_growth_mb_per_hour", &[("path", "/l/known")], Err(crate::collect::reason::TOO_SHORT)));
    samples.push(sample("memory_usage", &[], Ok(1.0)));
    samples.push(sample("memory_pressure", &[], Err("this kernel has no PSI")));
    samples.push(sample("process_memory_mb", &[("process_name", "web")], Err("no process runs")));
    let gaps = vec![(Kind::Disk, "no answer in time: the mounted file systems".to_owned())];
    let findings = Findings { survey: Some(Survey { samples, gaps, ..Survey::default() }), census: Some(Census::default()) };
    check(
        "{}",
        "{}",
        findings,
        &[
            "note $.watch.logs not_seen: not measured: path=/l/1, path=/l/2, path=/l/3 and 6 more: permission denied",
            "note $.watch.disks not_seen: not measured: no answer in time: the mounted file systems",
        ],
    );
}

#[test]
fn what_did_not_come_back_at_all_is_said() {
    check(
        "{}",
        "{}",
        Findings { survey: None, census: None },
        &[
            "note $.watch.processes not_seen: the processes could not be looked at in time",
            "note $.watch not_seen: nothing was measured: something that is watched does not answer at all",
        ],
    );
}
