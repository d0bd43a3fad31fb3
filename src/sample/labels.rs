//! Names and values that tell one target from another.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState};
use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Serialize};

use crate::metric;

/// Names and values, sorted by name. Cheap to clone, to hash and to compare: a host can have many thousands, and each is looked up
/// again and again.
#[derive(Clone, Serialize, Deserialize)]
#[serde(from = "BTreeMap<String, String>", into = "BTreeMap<String, String>")]
pub struct Labels {
    pairs: Arc<[(Box<str>, Box<str>)]>,
    /// Made once, with keys that only this process knows: the values come from outside, and nobody can choose them so that they
    /// collide.
    hash: u64,
}

/// A map by labels. It takes their hash as it is.
pub type ByLabels<V> = HashMap<Labels, V, BuildHasherDefault<OwnHash>>;

/// The hash that a key brings along: [`Labels`], and numbers that were given out one after the other.
#[derive(Clone, Debug, Default)]
pub struct OwnHash(u64);

impl Hasher for OwnHash {
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("the keys write a number and nothing else");
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Default for Labels {
    /// No label: one value for all of them.
    fn default() -> Self {
        static NONE: LazyLock<Labels> = LazyLock::new(|| Labels::new(Arc::from([])));
        NONE.clone()
    }
}

impl From<BTreeMap<String, String>> for Labels {
    fn from(map: BTreeMap<String, String>) -> Self {
        if map.is_empty() { Self::default() } else { Self::new(map.into_iter().map(|(name, value)| (name.into(), value.into())).collect()) }
    }
}

impl From<Labels> for BTreeMap<String, String> {
    fn from(labels: Labels) -> Self {
        labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }
}

impl Labels {
    fn new(pairs: Arc<[(Box<str>, Box<str>)]>) -> Self {
        static KEYS: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        Self { hash: KEYS.hash_one(&pairs), pairs }
    }

    /// The value of the label `name`, if there is one.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(own, _)| *own == name).map(|(_, value)| value)
    }

    /// Names and values in order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Whether there is no label: the host itself is the target.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// How many labels there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether every label of `other` is here with the same value.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        other.iter().all(|(name, value)| self.get(name) == Some(value))
    }

    /// The labels of both; where both have one, `other`'s value.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        if other.is_empty() { self.clone() } else { self.iter().chain(other.iter()).collect() }
    }

    /// The labels that name a target, without the facts about it (process id, device, …).
    #[must_use]
    pub fn identity(&self) -> Self {
        self.iter().filter(|(name, _)| !metric::is_fact(name)).collect()
    }
}

impl PartialEq for Labels {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && (Arc::ptr_eq(&self.pairs, &other.pairs) || self.pairs == other.pairs)
    }
}

impl Eq for Labels {}

impl Hash for Labels {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Ord for Labels {
    fn cmp(&self, other: &Self) -> Ordering {
        if Arc::ptr_eq(&self.pairs, &other.pairs) { Ordering::Equal } else { self.pairs.cmp(&other.pairs) }
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Labels {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        Self::from(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect::<BTreeMap<String, String>>())
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Labels {
    fn from(pairs: [(&str, &str); N]) -> Self {
        pairs.into_iter().collect()
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_map().entries(self.iter()).finish()
    }
}

impl fmt::Display for Labels {
    /// `k=v, k=v`, in order of the names.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, value)) in self.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(out, "{comma}{name}={value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_no_part_of_the_identity() {
        let labels = Labels::from([("process_name", "web"), ("pid", "42")]);
        assert_eq!(labels.identity(), Labels::from([("process_name", "web")]));
        assert_eq!(labels.to_string(), "pid=42, process_name=web");
    }

    #[test]
    fn labels_that_were_made_apart_are_the_same_key() {
        let path = |path| Labels::from([("path", path)]);
        let mut map: ByLabels<u32> = ByLabels::default();
        for (number, name) in (0..).zip(["/a", "/b", "/a"]) {
            map.insert(path(name), number);
        }
        map.insert(Labels::default(), 3);
        assert_eq!([map.get(&path("/a")), map.get(&path("/b")), map.get(&path("/c"))], [Some(&2), Some(&1), None]);
        assert_eq!(map.get(&BTreeMap::new().into()), Some(&3));
        assert!(path("/a") < path("/b") && path("/a").cmp(&path("/a")).is_eq());
    }
}
