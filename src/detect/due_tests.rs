//! A look at what is due is as good as a look at everything: random samples, rearms and sleeps give the same edges.

use super::*;

/// Looks at everything whenever it looks: what `look` must be equal to.
fn look_at_all(rig: &mut Rig) -> Vec<String> {
    rig.detector.look_again(rig.now);
    words(rig.detector.judge_all(rig.now))
}

const PLAYBOOKS: [(&str, &str); 6] = [
    ("plain", "disk_usage > 90"),
    ("lasting", "disk_usage > 90 for 25s"),
    ("both", "disk_usage > 90 && inode_usage > 50"),
    ("either", "(disk_usage > 90 for 12s) || (inode_usage > 50 for 33s)"),
    ("not", "!(disk_usage > 20) for 15s"),
    ("joined", "memory_usage > 95 && disk_usage > 50 for 7s"),
];
const TARGETS: [&str; 5] = ["disk_usage mount=/a", "disk_usage mount=/b", "inode_usage mount=/a", "inode_usage mount=/b", "memory_usage"];
const VALUES: [Option<f64>; 5] = [Some(99.0), Some(99.0), Some(60.0), Some(10.0), None];

/// Two detectors that see the same: one looks at what is due, the other one at everything.
struct Pair {
    due: Rig,
    all: Rig,
    seed: u64,
    edges: usize,
}

impl Pair {
    fn random(&mut self, below: usize) -> usize {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        usize::try_from(self.seed % u64::try_from(below).unwrap()).unwrap()
    }

    /// Goes on to this moment, with every look on the way.
    fn go_on(&mut self, at: Moment) {
        while let Some(wait) = self.due.detector.next_look(self.due.now).filter(|wait| self.due.now.running + *wait <= at.running) {
            self.due.now = self.due.now.after(wait);
            self.all.now = self.due.now;
            let edges = self.due.look();
            assert_eq!(edges, look_at_all(&mut self.all), "at {:?}", self.due.now.running);
            self.edges += edges.len();
            let next = self.due.detector.next_look(self.due.now);
            assert!(!wait.is_zero() || next.is_none_or(|next| !next.is_zero()), "it spins");
        }
        self.due.now = self.due.now.after(at.running.saturating_sub(self.due.now.running));
    }

    fn step(&mut self, sleeps: bool) {
        let at = self.due.now.after(Duration::from_millis(1300) * u32::try_from(self.random(6)).unwrap());
        self.go_on(at);
        if sleeps && self.random(20) == 0 {
            let seconds = u64::try_from(self.random(25)).unwrap();
            self.due.sleep(seconds);
        }
        self.all.now = self.due.now;
        if self.random(12) == 0 {
            let id = PLAYBOOKS[self.random(6)].0;
            self.due.rearm(id, "mount=/a");
            self.all.rearm(id, "mount=/a");
            return;
        }
        let (what, value) = (TARGETS[self.random(5)], VALUES[self.random(5)]);
        let edges = self.due.measure(what, value);
        assert_eq!(edges, self.all.measure(what, value), "{what} {value:?} at {:?}", self.due.now.running);
        self.edges += edges.len();
    }
}

#[test]
fn to_look_at_what_is_due_is_as_good_as_to_look_at_everything() {
    let (mut seed, mut edges) = (0x9e37_79b9_7f4a_7c15, 0);
    for round in 0..40 {
        let mut pair = Pair { due: Rig::new(&PLAYBOOKS), all: Rig::new(&PLAYBOOKS), seed, edges };
        (0..200).for_each(|_| pair.step(round % 3 == 0));
        (seed, edges) = (pair.seed, pair.edges);
    }
    assert!(edges > 500, "{edges}");
}
