//! Rates need two looks. This keeps the one to compare with.

use std::time::Duration;

use crate::clock::Moment;

/// Looks that are nearer together than this say nothing: the kernel counts processor time in steps of 10 ms.
pub(crate) const APART: Duration = Duration::from_millis(250);

/// The last looks at something that only grows.
#[derive(Debug)]
pub(crate) struct Looks<T> {
    older: Option<(Moment, T)>,
    newer: Option<(Moment, T)>,
}

impl<T> Default for Looks<T> {
    fn default() -> Self {
        Self { older: None, newer: None }
    }
}

impl<T> Looks<T> {
    /// The latest look that is at least [`APART`] before `now`, and how long ago it was.
    pub(crate) fn base(&self, now: Moment) -> Option<(Duration, &T)> {
        [&self.newer, &self.older].into_iter().flatten().map(|(at, value)| (now.since(*at), value)).find(|(span, _)| *span >= APART)
    }

    /// Remembers a look, unless one so near is remembered that this one would push a useful one out.
    pub(crate) fn keep(&mut self, now: Moment, value: T) {
        if self.newer.as_ref().is_none_or(|(at, _)| now.since(*at) >= APART) {
            self.older = self.newer.replace((now, value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_is_never_too_near() {
        let mut looks = Looks::default();
        let at = |millis: u32| Moment::at_seconds(f64::from(millis) / 1000.0);
        assert!(looks.base(at(0)).is_none());
        looks.keep(at(0), 0);
        assert!(looks.base(at(100)).is_none(), "100 ms is too near");
        for millis in (100..5_000).step_by(100) {
            if millis >= 250 {
                let (span, value) = looks.base(at(millis)).unwrap();
                assert!(span >= APART && span <= Duration::from_millis(600), "{millis}: {span:?}");
                assert_eq!(at(millis).since(at(*value)), span);
            }
            looks.keep(at(millis), millis);
        }
    }
}
