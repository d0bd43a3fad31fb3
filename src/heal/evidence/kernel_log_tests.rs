use std::fs;

use super::*;
use crate::collect::Exclusions;
use crate::collect::test_rig::{process_entry, settings};
use crate::config::settings::Settings;
use crate::heal::action::tests::limit;
use crate::heal::guard::Policy;
use crate::metric::Kind;
use crate::sample::{Labels, Target};

const GLOBAL: &str = "3,1023,3600000000,-;Out of memory: Killed process 4711 (java) total-vm:6160488kB, anon-rss:3940124kB, \
                      file-rss:0kB, shmem-rss:0kB, UID:1000 pgtables:7900kB oom_score_adj:0\n SUBSYSTEM=none";
const GROUP: &str = "3,99,3600000000,-;Memory cgroup out of memory: Killed process 12 (we) (b) total-vm:1kB, anon-rss:1kB";
const OLD: &str = "3,98,3600000000,-;Out of memory: Killed process 8, UID 0, (web) total-vm:1kB, anon-rss:1kB";

/// This many seconds after the machine started.
fn up(seconds: u64) -> Moment {
    let now = Moment::now();
    Moment { running: now.running.saturating_sub(now.monotonic()) + Duration::from_secs(seconds), ..now }
}

#[track_caller]
fn check(record: &str, seconds: u64, expected: Option<(u32, &str, u64)>) {
    let kill = kill_in(record, up(seconds));
    let expected = expected.map(|(pid, name, ago)| Kill { pid, name: name.to_owned(), ago: Duration::from_secs(ago) });
    assert_eq!(kill, expected, "{record}");
}

#[test]
fn the_kernels_lines_are_understood() {
    check(GLOBAL, 3720, Some((4711, "java", 120)));
    check(GLOBAL, 7200, Some((4711, "java", 3600)));
    check(GLOBAL, 7201, None);
    check(GROUP, 3600, Some((12, "we) (b", 0)));
    check("6,1,3600000000,-;java invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0", 3600, None);
    check("6,1,3600000000,-;x: Killed process 1 (java) total-vm:1kB", 3600, None);
    for broken in ["", ";", "3,1,x,-;Out of memory: Killed process 1 (a)", "3,1,1", "3,1,1,-;Out of memory: Killed process (a)"] {
        check(broken, 0, None);
    }
    check("3,1,1000000,-;Out of memory: Killed process x (a) total-vm:1kB", 1, None);
    check(OLD, 3600, Some((8, "web", 0)));
}

fn gathered_names(settings: &Settings, label: &str) -> Vec<String> {
    let target = Target { identity: Labels::from([("process_name", label)]), ..Target::default() };
    let (policy, exclusions) = (Policy::default(), Exclusions::default());
    names_of(&Subject {
        kind: Kind::Process,
        target: &target,
        samples: &[],
        settings,
        policy: &policy,
        unit: None,
        helper: Path::new("/"),
        exclusions: &exclusions,
    })
}

#[test]
fn the_kernel_cuts_names() {
    let mut settings = settings();
    settings.watch.processes = vec![
        process_entry("shop", ProcessMatch::Exe("/opt/shop/bin/shop-frontend-server".into())),
        process_entry("db", ProcessMatch::Command("postgres".to_owned())),
    ];
    assert_eq!(gathered_names(&settings, "shop"), ["shop", "shop-frontend-s"]);
    assert_eq!(gathered_names(&settings, "db"), ["db", "postgres"]);
    assert_eq!(gathered_names(&settings, "unknown-long-name"), ["unknown-long-na"]);
}

#[test]
fn a_kill_is_a_conclusion() {
    let kill = |pid| Kill { pid, name: "ja\nva".to_owned(), ago: Duration::from_secs(120) };
    let found = evidence_of(&[kill(1), kill(2)]);
    assert_eq!(found.hints, ["the kernel killed it for lack of memory"]);
    assert_eq!(found.sections[0].lines, ["pid 2, 2 min ago: ja\u{fffd}va", "pid 1, 2 min ago: ja\u{fffd}va"]);
    assert_eq!(evidence_of(&[]), Evidence::default());
}

#[test]
fn the_log_is_read_without_waiting() {
    let mut records = 0;
    each_record(Path::new("/dev/kmsg"), &limit(60), |_| records += 1).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    fs::write(&log, GLOBAL).unwrap();
    let mut seen = Vec::new();
    each_record(&log, &limit(60), |record| seen.push(record.to_owned())).unwrap();
    assert_eq!(seen, [GLOBAL]);
    assert!(each_record(&log, &limit(0), |_| panic!("the time was over")).is_err());
    each_record(&dir.path().join("none"), &limit(60), |_| panic!("there is nothing")).unwrap();
    // Nobody writes to it: an open that waits would never come back.
    let pipe = dir.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).unwrap();
    each_record(&pipe, &limit(60), |_| panic!("there is nothing")).unwrap();
}
