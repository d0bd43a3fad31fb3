//! Random histories of the core: playbooks of random shape, targets that go bad and well, people, crashes, clocks that jump.
//! After every step the rules of the contract are checked (`simulation_rules.rs`). The same seed gives the same history:
//! `AUTOHEAL_SEED=123 cargo test simulation -- --nocapture` replays one and prints what happened.

#[path = "simulation_disk.rs"]
mod disk;
#[path = "simulation_events.rs"]
mod events;
#[path = "simulation_playbooks.rs"]
mod playbooks;
#[path = "simulation_rules.rs"]
mod rules;
#[path = "simulation_world.rs"]
mod world;

use std::time::Duration;

use autoheal::threads;
use crossbeam_channel::unbounded;

use world::History;

/// What an unoptimised build does in well under a minute; `AUTOHEAL_HISTORIES=10000` runs more, from `AUTOHEAL_SEEDS_FROM=10000` others.
const HISTORIES: u64 = 1000;
/// One thread for each core that the tests may count on.
const THREADS: u64 = 2;
/// So many failures say enough.
const ENOUGH: usize = 5;

/// Random numbers from a seed: SplitMix64, as [`autoheal::incident::id::Ids`] uses it.
pub(super) struct Random(u64);

impl Random {
    /// A number below `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) % end
    }

    /// True `percent` times of a hundred.
    fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.index(choices.len())].clone()
    }

    fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap()
    }
}

/// What a history came to.
struct Report {
    seed: u64,
    events: u64,
    started: u64,
    ended: u64,
    crashes: u64,
    broken: Vec<String>,
}

#[test]
fn simulation_breaks_no_rule() {
    let begin = autoheal::clock::Moment::now();
    let number = |name: &str| std::env::var(name).ok().map(|number| number.parse::<u64>().unwrap());
    let replayed = number("AUTOHEAL_SEED");
    let (from, most) = (number("AUTOHEAL_SEEDS_FROM").unwrap_or(0), number("AUTOHEAL_HISTORIES").unwrap_or(HISTORIES));
    let seeds = replayed.map_or(from..from + most, |seed| seed..seed + 1);
    let (reports_out, reports) = unbounded();
    for lane in 0..THREADS {
        let (reports, seeds) = (reports_out.clone(), seeds.clone());
        let _ = threads::spawn("simulation", move || {
            for seed in seeds.filter(|seed| seed % THREADS == lane) {
                if reports.send(History::new(seed, replayed.is_some()).run()).is_err() {
                    return;
                }
            }
        });
    }
    drop(reports_out);
    let (mut events, mut started, mut ended, mut crashes, mut histories, mut failed) = (0, 0, 0, 0, 0, Vec::new());
    while failed.len() < ENOUGH {
        let Ok(report) = reports.recv_timeout(Duration::from_secs(120)) else { break };
        histories += 1;
        (events, started) = (events + report.events, started + report.started);
        (ended, crashes) = (ended + report.ended, crashes + report.crashes);
        if !report.broken.is_empty() {
            failed.push(format!("AUTOHEAL_SEED={}: {}", report.seed, report.broken.join("\n    ")));
        }
    }
    let took = autoheal::clock::Moment::now().since(begin);
    println!("{histories} histories, {events} events, {started} actions, {ended} incidents, {crashes} crashes in {took:?}");
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert_eq!(histories, seeds.end - seeds.start, "a thread of the simulation ended early: see its panic above");
    assert!(replayed.is_some() || started > histories && crashes > histories / 2, "the histories have become dull");
}
