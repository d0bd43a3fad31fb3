//! A map by labels that is asked in the same order again and again.

use std::cell::Cell;
use std::hash::BuildHasherDefault;

use indexmap::IndexMap;

use super::{Labels, OwnHash};

/// A map by labels for passes over all of them: the values lie in the order in which they came, and the one that is asked for next is
/// mostly the one behind the last. With thousands of targets that spares the way through a table, and memory is read in order.
#[derive(Debug, Default)]
pub struct InOrder<V> {
    all: IndexMap<Labels, V, BuildHasherDefault<OwnHash>>,
    /// The place of what was asked for last.
    last: Cell<usize>,
}

impl<V> InOrder<V> {
    fn place(&self, labels: &Labels) -> Option<usize> {
        let last = self.last.get();
        let next = if last + 1 < self.all.len() { last + 1 } else { 0 };
        let is_at = |place: &usize| self.all.get_index(*place).is_some_and(|(known, _)| known == labels);
        let place = [last, next].into_iter().find(is_at).or_else(|| self.all.get_index_of(labels))?;
        self.last.set(place);
        Some(place)
    }

    /// The value of these labels.
    #[must_use]
    pub fn get(&self, labels: &Labels) -> Option<&V> {
        Some(&self.all[self.place(labels)?])
    }

    /// The value of these labels, to change it.
    pub fn get_mut(&mut self, labels: &Labels) -> Option<&mut V> {
        let place = self.place(labels)?;
        Some(&mut self.all[place])
    }

    /// The value of these labels; if they are new, it is a default one.
    pub fn get_or_default(&mut self, labels: &Labels) -> &mut V
    where
        V: Default,
    {
        let place = self.place(labels).unwrap_or_else(|| self.all.insert_full(labels.clone(), V::default()).0);
        &mut self.all[place]
    }

    /// Removes the value of these labels. Another one may take its place in the order.
    pub fn remove(&mut self, labels: &Labels) -> Option<V> {
        self.all.swap_remove(labels)
    }

    /// Keeps what `keep` says.
    pub fn retain(&mut self, keep: impl FnMut(&Labels, &mut V) -> bool) {
        self.all.retain(keep);
    }

    /// All values.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.all.values()
    }

    /// All values, to change them.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.all.values_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever it was asked before, it answers as any map.
    #[test]
    fn in_any_order_each_has_its_own() {
        let labels: Vec<Labels> = (0..50).map(|number| Labels::from([("path", &*number.to_string())])).collect();
        let mut map: InOrder<usize> = InOrder::default();
        for (number, labels) in labels.iter().enumerate() {
            assert_eq!(map.get(labels), None);
            *map.get_or_default(labels) += number;
        }
        let there = |map: &mut InOrder<usize>, number: usize| {
            let of_its_own = map.get_mut(&labels[number]).map(|value| *value);
            assert_eq!(of_its_own, map.get(&labels[number]).copied());
            assert!(of_its_own.is_none_or(|value| value == number));
            of_its_own.is_some()
        };
        assert!((0..50).chain((0..50).rev()).chain((0..50).map(|step| step * 7 % 50)).all(|number| there(&mut map, number)));
        assert_eq!(map.remove(&labels[10]), Some(10));
        map.retain(|_, value| *value % 3 != 0);
        let left: Vec<usize> = (0..50).filter(|number| there(&mut map, *number)).collect();
        assert_eq!(left, (0..50).filter(|number| number % 3 != 0 && *number != 10).collect::<Vec<_>>());
        assert_eq!(map.values().count(), left.len());
        map.retain(|_, _| false);
        assert!(!there(&mut map, 1));
        *map.get_or_default(&labels[1]) = 1;
        assert!(there(&mut map, 1));
    }
}
