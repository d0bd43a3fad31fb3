//! What a program prints, in bounded memory: the first and the last 32 KiB.

use std::collections::VecDeque;

/// Bytes that are kept from the beginning, and from the end.
const KEPT: usize = 32 * 1024;

/// A growing output of which the middle is dropped.
#[derive(Debug, Default)]
pub(crate) struct Output {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    dropped: u64,
}

impl Output {
    /// Adds what was read.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let room = KEPT.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..room]);
        let rest = &bytes[room..];
        let excess = (self.tail.len() + rest.len()).saturating_sub(KEPT);
        self.dropped += excess as u64;
        let from_tail = excess.min(self.tail.len());
        self.tail.drain(..from_tail);
        self.tail.extend(&rest[excess - from_tail..]);
    }

    /// Whether it begins with this text.
    pub(crate) fn starts_with(&self, text: &str) -> bool {
        self.head.starts_with(text.as_bytes())
    }

    /// The text, with a note where bytes are missing; what is no UTF-8 becomes U+FFFD.
    pub(crate) fn into_text(self) -> (String, bool) {
        let mut bytes = self.head;
        if self.dropped > 0 {
            bytes.extend_from_slice(format!("\n[… {} bytes dropped …]\n", self.dropped).as_bytes());
        }
        bytes.extend(self.tail);
        (String::from_utf8_lossy(&bytes).trim_end().to_owned(), self.dropped > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pieces: &[(&str, usize)], length: usize, dropped: bool) {
        let mut output = Output::default();
        for (piece, times) in pieces {
            output.push(piece.repeat(*times).as_bytes());
        }
        let (text, truncated) = output.into_text();
        assert_eq!((text.len(), truncated), (length, dropped));
    }

    #[test]
    fn the_middle_is_dropped_and_said_so() {
        check(&[("ab", 10)], 20, false);
        check(&[("a", 2 * KEPT)], 2 * KEPT, false);
        check(&[("a", 2 * KEPT), ("b", 1)], 2 * KEPT + "\n[… 1 bytes dropped …]\n".len(), true);
        check(&[("a", KEPT), ("b", 10 * KEPT), ("c", 5)], 2 * KEPT + "\n[… 294917 bytes dropped …]\n".len(), true);
    }

    #[test]
    fn the_last_bytes_are_the_last_ones() {
        let mut output = Output::default();
        for number in 0..100_000 {
            output.push(format!("{number}\n").as_bytes());
        }
        let (text, _) = output.into_text();
        assert!(text.starts_with("0\n1\n") && text.ends_with("99998\n99999"));
    }
}
