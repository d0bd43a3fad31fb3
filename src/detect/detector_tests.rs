use super::*;
use crate::config;
use crate::config::source::Text;
use crate::metric;
use crate::sample::Target;

#[path = "due_tests.rs"]
mod due;

const SETTINGS: &str = r#"{"notify": {"channels": [{"type": "log"}]}}"#;

/// A detector with playbooks, at a time; every sample has an interval of 10 s.
struct Rig {
    detector: Detector,
    now: Moment,
}

impl Rig {
    fn new(playbooks: &[(&str, &str)]) -> Self {
        let mut rig = Self { detector: Detector::default(), now: Moment::at_seconds(0.0) };
        rig.watch(playbooks);
        rig
    }

    fn watch(&mut self, playbooks: &[(&str, &str)]) -> Vec<String> {
        let all: serde_json::Map<String, serde_json::Value> = playbooks
            .iter()
            .map(|(id, condition)| ((*id).to_owned(), serde_json::json!({"condition": condition, "actions": []})))
            .collect();
        let text = serde_json::to_string(&all).unwrap();
        let playbooks = config::parse(&Text::new("p", &text), &Text::new("s", SETTINGS)).unwrap().playbooks;
        words(self.detector.watch(&playbooks, self.now))
    }

    fn pass(&mut self, seconds: f64) {
        self.now = self.now.after(Duration::from_secs_f64(seconds));
    }

    fn sleep(&mut self, seconds: u64) {
        self.now.boot += Duration::from_secs(seconds);
    }

    /// `disk_usage mount=/data`
    fn sample(&self, what: &str, value: Option<f64>) -> Sample {
        let (name, labels) = what.split_once(' ').unwrap_or((what, ""));
        let target = Target::new(labels.split(' ').filter_map(|label| label.split_once('=')).collect(), Labels::default());
        let interval = Duration::from_secs(10);
        Sample { interval, ..Sample::number(metric::find(name).unwrap(), &target, value.ok_or_else(|| "hangs".to_owned()), self.now) }
    }

    fn measure(&mut self, what: &str, value: impl Into<Option<f64>>) -> Vec<String> {
        let sample = self.sample(what, value.into());
        words(self.detector.samples([sample], self.now))
    }

    fn look(&mut self) -> Vec<String> {
        words(self.detector.look(self.now))
    }

    /// Looks when it is due, until something happens.
    fn next_edges(&mut self) -> Vec<String> {
        for _ in 0..10 {
            let Some(wait) = self.detector.next_look(self.now) else { break };
            self.now = self.now.after(wait);
            let edges = self.look();
            if !edges.is_empty() {
                return edges;
            }
        }
        Vec::new()
    }

    /// A batch of the collectors without samples.
    fn batch(&mut self, gone: &[(Kind, &str)], settled: &[Kind]) -> Vec<String> {
        let gone = gone.iter().map(|(kind, labels)| Gone { kind: *kind, identity: identity(labels) }).collect();
        words(self.detector.batch(&mut Batch { gone, samples: Vec::new(), settled: settled.to_vec() }, self.now))
    }

    fn rearm(&mut self, playbook: &str, labels: &str) {
        self.detector.rearm(&key(playbook, labels), self.now);
    }
}

fn identity(labels: &str) -> Labels {
    labels.split(' ').filter_map(|label| label.split_once('=')).collect()
}

fn key(playbook: &str, labels: &str) -> DedupKey {
    DedupKey { playbook: playbook.to_owned(), identity: identity(labels) }
}

fn words(edges: Vec<Edge>) -> Vec<String> {
    let word = |edge: Edge| match edge {
        Edge::Fired(opening) => format!("fired {}", opening.key()),
        Edge::Cleared(key) => format!("cleared {key}"),
        Edge::Unknown(key) => format!("unknown {key}"),
        Edge::Gone(key) => format!("gone {key}"),
    };
    edges.into_iter().map(word).collect()
}

const FULL: (&str, &str) = ("full", "disk_usage > 90");
const NONE: [&str; 0] = [];

#[test]
fn each_target_is_judged_when_its_own_time_is_over() {
    let mut rig = Rig::new(&[("full", "disk_usage > 90 for 25s"), ("lasting", "disk_usage > 90 for 27s")]);
    for (mount, pause) in [("/a", 5.0), ("/b", 1.0), ("/a", 0.0)] {
        assert_eq!(rig.measure(&format!("disk_usage mount={mount}"), 95.0), NONE);
        rig.pass(pause);
    }
    let start = Moment::at_seconds(0.0);
    for (at, edge) in
        [(25, "fired full (mount=/a)"), (27, "fired lasting (mount=/a)"), (30, "fired full (mount=/b)"), (32, "fired lasting (mount=/b)")]
    {
        assert_eq!(rig.next_edges(), [edge]);
        assert_eq!(rig.now.since(start), Duration::from_secs(at), "{edge}");
    }
}

#[test]
fn what_was_well_and_is_unknown_for_three_intervals_is_told_once() {
    let mut rig = Rig::new(&[FULL]);
    assert_eq!(rig.measure("disk_usage mount=/", 95.0), ["fired full (mount=/)"]);
    assert_eq!(rig.measure("disk_usage mount=/", 50.0), ["cleared full (mount=/)"]);
    for _ in 0..4 {
        rig.pass(10.0);
        assert_eq!(rig.measure("disk_usage mount=/", None), NONE);
    }
    // Exactly three intervals are not more than three; the look comes right after them.
    let end = rig.now.after(Duration::from_millis(2));
    assert_eq!(rig.next_edges(), ["unknown full (mount=/)"]);
    assert!(rig.now.is_due(end));
    rig.pass(10.0);
    assert_eq!(rig.measure("disk_usage mount=/", None), NONE, "once");
    assert_eq!(rig.measure("disk_usage mount=/", 50.0), ["cleared full (mount=/)"], "it is owed again");
    assert_eq!(rig.measure("disk_usage mount=/", 51.0), NONE);
}

#[test]
fn what_is_not_measured_any_more_becomes_unknown_too() {
    let mut rig = Rig::new(&[FULL]);
    rig.measure("disk_usage mount=/", 95.0);
    rig.measure("disk_usage mount=/", 50.0);
    assert_eq!(rig.next_edges(), ["unknown full (mount=/)"]);
    let stale_and_unknown = Duration::from_millis(60_002);
    assert_eq!(rig.now.since(Moment::at_seconds(0.0)), stale_and_unknown);
}

#[test]
fn only_what_was_told_to_be_well_is_told_to_be_unknown() {
    let mut rig = Rig::new(&[FULL]);
    assert_eq!(rig.measure("disk_usage mount=/a", 50.0), NONE);
    assert_eq!(rig.measure("disk_usage mount=/b", 95.0), ["fired full (mount=/b)"]);
    for _ in 0..8 {
        rig.pass(10.0);
        assert_eq!(rig.measure("disk_usage mount=/a", None), NONE, "nobody rests on it");
        assert_eq!(rig.measure("disk_usage mount=/b", None), NONE, "it fires still, as far as anybody knows");
    }
    assert_eq!(rig.measure("disk_usage mount=/b", 50.0), ["cleared full (mount=/b)"]);
}

#[test]
fn a_key_never_seen_can_be_rearmed_and_owes_its_clearing() {
    let mut rig = Rig::new(&[FULL]);
    rig.rearm("full", "mount=/");
    rig.rearm("unheard-of", "mount=/");
    assert_eq!(rig.measure("disk_usage mount=/", 50.0), NONE, "not measured after the end");
    rig.pass(10.0);
    assert_eq!(rig.measure("disk_usage mount=/", 50.0), ["cleared full (mount=/)"]);
    // It is kept though nothing is heard of it for hours.
    rig.rearm("full", "mount=/late");
    rig.pass(5.0 * 3600.0);
    assert_eq!(rig.look(), NONE);
    assert_eq!(rig.measure("disk_usage mount=/late", 50.0), ["cleared full (mount=/late)"]);
    // But not for ever: the names of files come and go.
    rig.rearm("full", "mount=/never");
    rig.pass(8.0 * 86_400.0);
    rig.look();
    assert_eq!(rig.measure("disk_usage mount=/never", 50.0), NONE);
}

#[test]
fn what_is_true_but_not_yet_for_long_enough_is_not_cleared() {
    let mut rig = Rig::new(&[("full", "disk_usage > 90 for 25s")]);
    rig.measure("disk_usage mount=/", 95.0);
    rig.rearm("full", "mount=/");
    for at in [10.0, 20.0, 30.0] {
        rig.pass(10.0);
        assert_eq!(rig.measure("disk_usage mount=/", 95.0), NONE, "{at}");
    }
    rig.pass(10.0);
    assert_eq!(rig.measure("disk_usage mount=/", 95.0), ["fired full (mount=/)"]);
    rig.rearm("full", "mount=/");
    rig.pass(10.0);
    assert_eq!(rig.measure("disk_usage mount=/", 95.0), NONE);
    assert_eq!(rig.measure("disk_usage mount=/", 50.0), ["cleared full (mount=/)"]);
}

#[test]
fn a_target_that_is_gone_is_told_for_every_playbook_and_forgotten() {
    let all = [FULL, ("free", "disk_free_mb < 5"), ("joined", "memory_usage > 1 && disk_usage > 1"), ("memory", "memory_usage > 200")];
    let mut rig = Rig::new(&all);
    rig.measure("memory_usage", 50.0);
    assert_eq!(rig.measure("disk_usage mount=/data", 95.0), ["fired full (mount=/data)", "fired joined (mount=/data)"]);
    rig.measure("disk_usage mount=/", 0.5);
    rig.measure("disk_free_mb mount=/data", 50.0);
    // Another kind of the same labels is another target.
    assert_eq!(rig.batch(&[(Kind::LogFile, "mount=/data")], &[]), NONE);
    let gone = ["gone free (mount=/data)", "gone full (mount=/data)", "gone joined (mount=/data)"];
    assert_eq!(rig.batch(&[(Kind::Disk, "mount=/data")], &[]), gone);
    assert_eq!(rig.batch(&[(Kind::Disk, "mount=/data")], &[]), NONE, "nothing is left of it");
    rig.pass(10.0);
    assert_eq!(rig.measure("memory_usage", 51.0), NONE, "the joined metric finds no target");
    assert_eq!(rig.measure("disk_usage mount=/data", 95.0), ["fired full (mount=/data)", "fired joined (mount=/data)"], "it is back");
    // The host's own target.
    assert_eq!(rig.batch(&[(Kind::Memory, "")], &[]), ["gone memory"]);
}

#[test]
fn a_restored_incident_whose_target_never_shows_up_is_gone() {
    let interval = Duration::from_secs(30);
    let mut rig = Rig::new(&[FULL, ("down", "api_status == down")]);
    let keys = ["mount=/data", "mount=/", "mount=/late"].map(|labels| key("full", labels)).to_vec();
    rig.detector.expect(keys, interval, rig.now);
    rig.detector.expect(vec![key("down", "endpoint=shop"), key("removed", "mount=/x")], interval, rig.now);
    rig.detector.rearm(&key("full", "mount=/data"), rig.now);
    rig.measure("disk_usage mount=/", None);
    rig.pass(89.0);
    assert_eq!(rig.batch(&[(Kind::Disk, "mount=/late")], &[]), ["gone full (mount=/late)"], "the collectors know it");
    assert_eq!(rig.batch(&[], &[Kind::Disk]), NONE);
    assert_eq!(rig.look(), NONE);
    let wait = rig.detector.next_look(rig.now).unwrap();
    assert_eq!(wait, Duration::from_millis(1001));
    rig.now = rig.now.after(wait);
    assert_eq!(rig.look(), ["gone full (mount=/data)"], "what has a sample, whatever it says, is there");
    rig.pass(600.0);
    assert_eq!(rig.look(), NONE, "an endpoint may hang still");
    assert_eq!(rig.batch(&[], &Kind::ALL), ["gone down (endpoint=shop)", "gone removed (mount=/x)"]);
    assert_eq!(rig.batch(&[], &Kind::ALL), NONE);
    assert_eq!(rig.measure("disk_usage mount=/data", 50.0), NONE, "nothing is owed to what is gone");
}

#[test]
fn nothing_is_decided_by_samples_from_before_a_sleep() {
    let mut rig = Rig::new(&[("full", "disk_usage > 90 for 20s"), ("any", "disk_usage > 90 || inode_usage > 90")]);
    rig.measure("disk_usage mount=/", 95.0);
    rig.measure("inode_usage mount=/", 10.0);
    rig.pass(15.0);
    rig.sleep(3600);
    // The time for which it must hold would be over, were it not for the sleep.
    rig.pass(6.0);
    assert_eq!(rig.look(), NONE);
    rig.pass(30.0);
    assert_eq!(rig.look(), NONE, "nor is it called unknown");
    assert_eq!(rig.measure("disk_usage mount=/", 95.0), NONE);
    rig.pass(10.0);
    assert_eq!(rig.measure("disk_usage mount=/", 95.0), NONE);
    rig.pass(10.0);
    assert_eq!(rig.look(), ["fired full (mount=/)"], "the time began with the fresh sample");
}

#[test]
fn after_a_sleep_a_fresh_sample_alone_starts_the_time_again() {
    // No look comes between the sleep and the sample.
    for (slept, fired) in [(10, true), (11, false)] {
        let mut rig = Rig::new(&[("full", "disk_usage > 90 for 20s")]);
        rig.measure("disk_usage mount=/", 95.0);
        rig.pass(20.0);
        rig.sleep(slept);
        assert_eq!(!rig.measure("disk_usage mount=/", 95.0).is_empty(), fired, "{slept} s");
    }
}

#[test]
fn a_sleep_neither_clears_nor_makes_unknown() {
    let mut rig = Rig::new(&[FULL, ("both", "disk_usage > 90 && inode_usage > 50")]);
    rig.measure("disk_usage mount=/", 95.0);
    assert_eq!(rig.measure("inode_usage mount=/", 60.0), ["fired both (mount=/)"]);
    rig.sleep(3600);
    rig.pass(1.0);
    assert_eq!(rig.measure("disk_usage mount=/", 50.0), ["cleared full (mount=/)"], "the other one waits for its second metric");
    assert_eq!(rig.measure("inode_usage mount=/", 60.0), ["cleared both (mount=/)"]);
    // Unknown for most of three intervals before the sleep: that time counts no more.
    for _ in 0..3 {
        rig.pass(9.0);
        rig.measure("disk_usage mount=/", None);
    }
    rig.sleep(3600);
    rig.pass(25.0);
    assert_eq!(rig.look(), NONE);
    rig.measure("disk_usage mount=/", None);
    rig.pass(29.0);
    assert_eq!(rig.measure("disk_usage mount=/", None), NONE);
    rig.pass(2.0);
    assert_eq!(rig.measure("disk_usage mount=/", None), ["unknown full (mount=/)"]);
}

#[test]
fn an_edited_condition_still_owes_the_end_of_its_trouble() {
    let mut rig = Rig::new(&[("expiring", "ssl_expires_in_days < 7")]);
    let certificate = "ssl_expires_in_days certificate=shop host=h port=443";
    assert_eq!(rig.measure(certificate, 3.0), ["fired expiring (certificate=shop, host=h, port=443)"]);
    assert_eq!(rig.watch(&[("expiring", "ssl_expires_in_days < 2")]), ["cleared expiring (certificate=shop, host=h, port=443)"]);
}

#[test]
fn a_rule_that_names_its_target_is_found_by_the_name() {
    let mut rig = Rig::new(&[
        ("data", "disk_usage{mount=\"/data\"} > 90"),
        ("other", "disk_usage{mount!=\"/data\"} > 90"),
        ("glob", "disk_usage{mount=~\"/d*\"} > 90"),
        ("either", "disk_usage{mount=\"/a\"} > 90 || disk_usage{mount=\"/data\"} > 95"),
        ("joined", "process_memory_mb{process_name=\"web\"} > 10 && memory_usage > 90"),
        ("all", "disk_usage > 90"),
    ]);
    assert_eq!(
        rig.measure("disk_usage mount=/data", 99.0),
        ["fired all (mount=/data)", "fired data (mount=/data)", "fired either (mount=/data)", "fired glob (mount=/data)"]
    );
    assert_eq!(rig.measure("disk_usage mount=/a", 99.0), ["fired all (mount=/a)", "fired either (mount=/a)", "fired other (mount=/a)"]);
    assert_eq!(rig.measure("process_memory_mb process_name=web", 99.0), NONE);
    assert_eq!(rig.measure("process_memory_mb process_name=db", 99.0), NONE);
    assert_eq!(rig.measure("memory_usage", 99.0), ["fired joined (process_name=web)"]);
}

#[test]
fn what_its_facts_take_out_of_a_rule_is_well_for_it() {
    let mut rig = Rig::new(&[("disk", "disk_usage{device=\"/dev/sdb1\"} > 90")]);
    let mut measure = |device: &str| {
        let sample = rig.sample("disk_usage mount=/data", Some(95.0));
        let target = Target::new(sample.target.identity.clone(), Labels::from([("device", device)]));
        words(rig.detector.samples([Sample { target, ..sample }], rig.now))
    };
    assert_eq!(measure("/dev/sdb1"), ["fired disk (mount=/data)"]);
    assert_eq!(measure("/dev/sdc1"), ["cleared disk (mount=/data)"]);
    assert_eq!(measure("/dev/sdc1"), NONE);
    assert_eq!(measure("/dev/sdb1"), ["fired disk (mount=/data)"]);
}
