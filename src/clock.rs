//! The clocks. Everything that decides takes a [`Moment`] as an argument; only the loops of the threads read it.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What both monotonic clocks read at the machine's start. They begin far from zero, so that a moment of an earlier life of the
/// machine (the start of a cooldown, say) has a place before it.
const AT_BOOT: Duration = Duration::from_secs(100 * 365 * 86_400);

/// One reading of all clocks, taken once for each turn of a loop.
///
/// The *running* clock stands still while the machine sleeps: deadlines of actions and of measurements are on it, so that a
/// resume does not kill what is running. The *boot* clock goes on in a sleep: cooldowns and approvals count on it. *Wall*
/// time may jump; it is only for people and for records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Moment {
    /// Time since some fixed point, without the time that the machine slept.
    pub running: Duration,
    /// Time since some fixed point, with the time that the machine slept.
    pub boot: Duration,
    /// The time of day.
    pub wall: Timestamp,
}

impl Moment {
    /// Reads the clocks.
    #[must_use]
    pub fn now() -> Self {
        use rustix::time::{ClockId, clock_gettime};
        #[cfg(target_os = "linux")]
        const BOOT: ClockId = ClockId::Boottime;
        // On macOS CLOCK_MONOTONIC counts sleep too; there the two clocks are one.
        #[cfg(not(target_os = "linux"))]
        const BOOT: ClockId = ClockId::Monotonic;
        let read = |id| {
            let time = clock_gettime(id);
            AT_BOOT + Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
        };
        let time = clock_gettime(ClockId::Realtime);
        // A clock that is set beyond the year 9999 tells no time of day.
        let wall = i32::try_from(time.tv_nsec).ok().and_then(|nanos| Timestamp::new(time.tv_sec, nanos).ok()).unwrap_or_default();
        Self { running: read(ClockId::Monotonic), boot: read(BOOT), wall }
    }

    /// For how long the machine has been up, with the time that it slept.
    #[must_use]
    pub fn uptime(self) -> Duration {
        self.boot.saturating_sub(AT_BOOT)
    }

    /// The running clock as the system counts it (`CLOCK_MONOTONIC`).
    #[must_use]
    pub fn monotonic(self) -> Duration {
        self.running.saturating_sub(AT_BOOT)
    }

    /// How long the machine slept between an earlier moment and this one.
    #[must_use]
    pub fn slept_since(self, earlier: Self) -> Duration {
        self.boot.saturating_sub(earlier.boot).saturating_sub(self.running.saturating_sub(earlier.running))
    }

    /// A made-up moment, `seconds` after a fixed point on every clock: for timelines and simulations.
    #[must_use]
    pub fn at_seconds(seconds: f64) -> Self {
        let since = Duration::from_secs_f64(seconds);
        Self {
            running: AT_BOOT + Duration::from_secs(1_000_000) + since,
            boot: AT_BOOT + Duration::from_secs(1_000_000) + since,
            wall: Timestamp::UNIX_EPOCH + Duration::from_secs(1_790_000_000) + since,
        }
    }

    /// Running time since an earlier moment; zero if it is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        self.running.saturating_sub(earlier.running)
    }

    /// Time since an earlier moment on the clock that goes on while the machine sleeps; zero if it is later.
    #[must_use]
    pub fn since_with_sleep(self, earlier: Self) -> Duration {
        self.boot.saturating_sub(earlier.boot)
    }

    /// Whether this deadline on the running clock has come.
    #[must_use]
    pub fn is_due(self, now: Self) -> bool {
        self.running <= now.running
    }

    /// Whether this deadline has come on the clock that goes on while the machine sleeps.
    #[must_use]
    pub fn is_due_after_sleep(self, now: Self) -> bool {
        self.boot <= now.boot
    }

    /// The earlier of two, on the running clock.
    #[must_use]
    pub fn earlier(self, other: Self) -> Self {
        if other.running < self.running { other } else { self }
    }

    /// The moment `span` ago, if the machine did not sleep.
    #[must_use]
    pub fn before(self, span: Duration) -> Self {
        let wall = self.wall.saturating_sub(span).unwrap_or(Timestamp::MIN);
        Self { running: self.running.saturating_sub(span), boot: self.boot.saturating_sub(span), wall }
    }

    /// The moment `wait` from now if the machine does not sleep and nobody sets its clock.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Self { running: self.running + wait, boot: self.boot + wait, wall: self.wall.saturating_add(wait).unwrap_or(Timestamp::MAX) }
    }
}

/// One reading of the running clock alone, for what takes a moment: the steps of a request and their deadline. It costs a third of a
/// [`Moment`].
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub fn instant() -> Instant {
    Instant::now()
}

/// Seconds as people read them: `0.3 s`, `41 s`, `12 min`, `3 h`, `2 d`. Two units where the second is not zero.
#[must_use]
pub fn in_words(span: Duration) -> String {
    let seconds = span.as_secs();
    let two = |big: u64, unit: &str, rest: u64, small: &str| {
        if rest == 0 { format!("{big} {unit}") } else { format!("{big} {unit} {rest} {small}") }
    };
    match seconds {
        0..10 if span.subsec_millis() >= 50 => {
            let tenths = (span.as_millis() + 50) / 100;
            if tenths.is_multiple_of(10) { format!("{} s", tenths / 10) } else { format!("{}.{} s", tenths / 10, tenths % 10) }
        }
        0..60 => format!("{seconds} s"),
        60..3600 => two(seconds / 60, "min", seconds % 60, "s"),
        3600..86_400 => two(seconds / 3600, "h", seconds % 3600 / 60, "min"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3600, "h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_say_them() {
        for (seconds, words) in [
            (0.0, "0 s"),
            (0.04, "0 s"),
            (0.3, "0.3 s"),
            (1.0, "1 s"),
            (1.25, "1.3 s"),
            (9.97, "10 s"),
            (41.4, "41 s"),
            (60.0, "1 min"),
            (150.0, "2 min 30 s"),
            (3600.0, "1 h"),
            (5400.0, "1 h 30 min"),
            (604_800.0, "7 d"),
            (90_000.0, "1 d 1 h"),
        ] {
            assert_eq!(in_words(Duration::from_secs_f64(seconds)), words, "{seconds}");
        }
    }

    #[test]
    fn the_clocks_move_forward_together() {
        let first = Moment::now();
        let second = Moment::now();
        assert!(second.running >= first.running && second.boot >= first.boot);
        assert_eq!(first.after(Duration::from_secs(5)).since(first), Duration::from_secs(5));
    }
}
