//! Names of incidents: eight characters without look-alikes.

use std::fmt;

/// 30 letters and digits that nobody confuses (contract D8): eight of them are 39 bits.
const ALPHABET: &[u8; 30] = b"23456789abcdefghjkmnpqrstvwxyz";

/// Makes ids from a seed, one after the other. They are no secret, only rare.
#[derive(Clone)]
pub struct Ids(u64);

impl fmt::Debug for Ids {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Ids")
    }
}

impl Ids {
    /// The same seed gives the same ids: a simulation is repeatable.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next id.
    pub fn next_id(&mut self) -> String {
        // SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        let base = ALPHABET.len() as u64;
        (0..8)
            .map(|_| {
                let letter = ALPHABET[usize::try_from(bits % base).unwrap_or(0)];
                bits /= base;
                char::from(letter)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_repeatable_and_differ() {
        let mut ids = Ids::new(7);
        let many: std::collections::HashSet<String> = (0..10_000).map(|_| ids.next_id()).collect();
        assert_eq!(many.len(), 10_000);
        assert!(many.iter().all(|id| id.len() == 8 && id.bytes().all(|byte| ALPHABET.contains(&byte))));
        assert_eq!(Ids::new(7).next_id(), Ids::new(7).next_id());
    }
}
