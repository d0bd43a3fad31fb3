//! How far a request came, and when: what tells a network that is slow from a program that is.

use std::fmt::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What the request of an agent has reached: written by its connection, read by who asked. An agent of which this is asked makes
/// one request at a time.
#[derive(Debug, Default)]
pub(crate) struct Marks(Mutex<Stages>);

impl Marks {
    /// A stage was reached.
    pub(crate) fn reach(&self, stage: impl FnOnce(&mut Stages)) {
        stage(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// What was reached since this was asked last.
    pub(crate) fn take(&self) -> Stages {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The stages that one request has reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stages {
    /// There is an address to connect to.
    pub(crate) found: bool,
    /// The connection is made; missing where one was kept.
    pub(crate) connected: Option<Instant>,
    /// TLS is agreed upon; missing where there is none.
    pub(crate) secured: Option<Instant>,
    /// The request was sent.
    pub(crate) sent: bool,
    /// The first byte of the answer came.
    pub(crate) first_byte: Option<Instant>,
}

impl Stages {
    /// `connect 0.2 ms, first byte 4980 ms, total 5000 ms`: each since the request began, as curl counts.
    pub(crate) fn in_words(&self, began: Instant, took: Duration) -> String {
        format!("{}total {}", self.reached(began), in_ms(took))
    }

    /// `connect 0.2 ms, no first byte`: of a request that was given up.
    pub(crate) fn in_words_until(&self, began: Instant) -> String {
        let missing = match self {
            Self { first_byte: Some(_), .. } => "no end",
            Self { sent: true, .. } => "no first byte",
            Self { connected: Some(_), .. } => "no TLS",
            Self { found: true, .. } => "no connection",
            _ => "no address",
        };
        self.reached(began) + missing
    }

    fn reached(&self, began: Instant) -> String {
        let mut text = String::new();
        for (name, at) in [("connect", self.connected), ("TLS", self.secured), ("first byte", self.first_byte)] {
            if let Some(at) = at {
                let _ = write!(text, "{name} {}, ", in_ms(at.saturating_duration_since(began)));
            }
        }
        text
    }
}

fn in_ms(span: Duration) -> String {
    let ms = span.as_secs_f64() * 1000.0;
    if ms < 9.95 { format!("{ms:.1} ms") } else { format!("{ms:.0} ms") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn each_stage_has_its_time_and_the_one_that_is_missing_its_name() {
        let began = clock::instant();
        let at = |ms| Some(began + Duration::from_micros(ms));
        let nothing = Stages::default();
        let found = Stages { found: true, ..nothing };
        let connected = Stages { connected: at(240), ..found };
        let secured = Stages { secured: at(14_400), ..connected };
        let sent = Stages { sent: true, ..secured };
        let kept = Stages { sent: true, ..nothing };
        let answered = Stages { first_byte: at(4_980_000), ..Stages { sent: true, ..connected } };
        for (stages, words) in [
            (nothing, "no address"),
            (found, "no connection"),
            (connected, "connect 0.2 ms, no TLS"),
            (sent, "connect 0.2 ms, TLS 14 ms, no first byte"),
            (kept, "no first byte"),
            (answered, "connect 0.2 ms, first byte 4980 ms, no end"),
        ] {
            assert_eq!(stages.in_words_until(began), words);
        }
        assert_eq!(answered.in_words(began, Duration::from_secs(5)), "connect 0.2 ms, first byte 4980 ms, total 5000 ms");
        assert_eq!(Stages { first_byte: at(9_940), ..kept }.in_words(began, Duration::from_millis(10)), "first byte 9.9 ms, total 10 ms");
    }
}
