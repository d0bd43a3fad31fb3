//! The same functions in `cargo test`: every seed, and a few hundred of what chance makes of them.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestRunner;

use super::*;

/// The seeds of a target, in the order of their names.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files: Vec<_> = fs::read_dir(&corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

/// A seed with some bytes replaced, doubled, or taken from another seed.
fn mutated(seeds: &[Vec<u8>], which: Index, changes: &[(u8, Index, Index, u8)]) -> Vec<u8> {
    let mut data = which.get(seeds).clone();
    for &(kind, from, place, byte) in changes {
        let other = from.get(seeds);
        let at = place.index(data.len() + 1);
        let end = (at + usize::from(byte) % 16).min(data.len());
        match kind % 5 {
            0 => data.insert(at, byte),
            1 => drop(data.drain(at..end)),
            2 => data.splice(at..at, data[at..end].to_vec()).for_each(drop),
            3 => data.truncate(at),
            _ => data.splice(at..end, other[place.index(other.len() + 1)..].iter().copied().take(64)).for_each(drop),
        }
    }
    data
}

/// What a target is handed; shown as a Rust literal.
#[derive(Clone)]
struct Input(Vec<u8>);

impl std::fmt::Debug for Input {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "b\"{}\"", self.0.escape_ascii())
    }
}

/// Hands the target its seeds and what becomes of them.
fn run(name: &str, target: fn(&[u8])) {
    let seeds = seeds(name);
    assert!((5..100).contains(&seeds.len()), "{name} has {} seeds", seeds.len());
    assert!(seeds.iter().map(Vec::len).sum::<usize>() < 200 * 1024, "the seeds of {name} are too large");
    seeds.iter().for_each(|seed| target(seed));
    let change = (any::<u8>(), any::<Index>(), any::<Index>(), any::<u8>());
    let changes = (any::<Index>(), prop::collection::vec(change, 1..6));
    let inputs = changes.prop_map(|(which, changes)| Input(mutated(&seeds, which, &changes)));
    let config = ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() };
    let result = TestRunner::new(config).run(&inputs, |input| {
        target(&input.0);
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{name}: {error}"));
}

#[test]
fn guard_survives() {
    run("guard", guard);
}

#[test]
fn playbooks_survive() {
    run("playbooks", playbooks);
}

#[test]
fn certificate_survives() {
    run("certificate", certificate);
}

#[test]
fn control_survives() {
    run("control", control);
}

#[test]
fn http_response_survives() {
    run("http_response", http_response);
}

#[test]
fn report_survives() {
    run("report", report);
}
