//! Silences: times in which a playbook's incidents are recorded and no action runs. Pure.
//!
//! A recurring silence is read off the clock on the wall: it covers a moment when the clock shows a time within it. An hour
//! that the clock shows twice is covered twice, and one that it skips is not there to be covered.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone};
use serde::{Deserialize, Serialize};

use crate::clock::Moment;
use crate::detect::condition::Selector;
use crate::sample::{Labels, Target};

/// A maintenance window: one element of the settings' `silences`.
#[derive(Clone, Debug, PartialEq)]
pub struct RecurringSilence {
    /// The ids that it is about; `None`: every playbook.
    pub playbooks: Option<Vec<String>>,
    /// The targets that it is about.
    pub selector: Selector,
    /// The days on which it begins; `None`: every day.
    pub days: Option<Vec<Weekday>>,
    /// From this time of day to that one, which differs from it: on the same day, or, where it is the earlier one, on the next.
    /// `None`: the whole day.
    pub hours: Option<(Time, Time)>,
    /// Whose clock is meant.
    pub time_zone: TimeZone,
    /// For people.
    pub reason: Option<String>,
}

impl RecurringSilence {
    /// Whether it covers the playbook and target at that moment, and if so, when that ends. Of whole days in a row each has an
    /// end of its own.
    #[must_use]
    pub fn covers(&self, playbook: &str, target: &Target, wall: Timestamp) -> Option<Timestamp> {
        let meant = self.playbooks.as_ref().is_none_or(|ids| ids.iter().any(|id| id == playbook));
        if !meant || !self.selector.selects(|label| target.label(label)) {
            return None;
        }
        let clock = self.time_zone.to_datetime(wall);
        let today = clock.date();
        // What began yesterday may go on after midnight.
        let days = [Some(today), today.yesterday().ok()];
        let end = days.into_iter().flatten().filter_map(|day| self.window(day)).find(|(from, to)| *from <= clock && clock < *to)?.1;
        self.first_after(wall, end)
    }

    /// What the clock shows at the beginning and at the end of the window that begins on that day.
    fn window(&self, day: Date) -> Option<(DateTime, DateTime)> {
        if self.days.as_ref().is_some_and(|days| !days.contains(&day.weekday())) {
            return None;
        }
        let (from, to) = self.hours.unwrap_or((Time::midnight(), Time::midnight()));
        let last = if from < to { day } else { day.tomorrow().ok()? };
        Some((day.to_datetime(from), last.to_datetime(to)))
    }

    /// When the clock first shows that time after a moment before it, or jumps over it.
    fn first_after(&self, wall: Timestamp, time: DateTime) -> Option<Timestamp> {
        let shown = self.time_zone.to_ambiguous_timestamp(time);
        match shown.offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(time).ok(),
            AmbiguousOffset::Gap { before, .. } => {
                let beyond = before.to_timestamp(time).ok()?;
                // The clock jumped at or before the moment at which it would have shown this.
                let jumped = self.time_zone.following(wall).next()?.timestamp();
                Some(jumped.min(beyond))
            }
            AmbiguousOffset::Fold { before, after } => {
                let (first, second) = (before.to_timestamp(time).ok()?, after.to_timestamp(time).ok()?);
                Some(if wall < first { first } else { second })
            }
        }
    }
}

/// A silence that somebody asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Silence {
    /// Names it among others.
    pub id: String,
    /// The playbook that it is about; `None`: every one.
    pub playbook: Option<String>,
    /// Labels that a target must have, identity or facts, by exact text.
    pub labels: Labels,
    /// Its end, on the clock that goes on while the machine sleeps.
    pub until: Moment,
    /// For people.
    pub reason: Option<String>,
    /// Who asked for it.
    pub by: String,
}

impl Silence {
    /// Whether it covers the playbook and target now.
    #[must_use]
    pub fn covers(&self, playbook: &str, target: &Target, now: Moment) -> bool {
        let meant = self.playbook.as_deref().is_none_or(|id| id == playbook);
        meant && !self.until.is_due_after_sleep(now) && self.labels.iter().all(|(name, value)| target.label(name) == Some(value))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::detect::condition::{LabelTest, Pattern};

    /// A window as `days from-to` in a zone: `sat,sun 22:00-02:00`, `* 01:00-02:30`, `mon *`.
    fn silence(window: &str, zone: &str) -> RecurringSilence {
        let (days, hours) = window.split_once(' ').unwrap();
        RecurringSilence {
            playbooks: None,
            selector: Selector::default(),
            days: (days != "*").then(|| days.split(',').map(weekday).collect()),
            hours: hours.split_once('-').map(|(from, to)| (from.parse().unwrap(), to.parse().unwrap())),
            time_zone: TimeZone::get(zone).unwrap(),
            reason: None,
        }
    }

    fn weekday(name: &str) -> Weekday {
        let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
        let place = days.iter().position(|day| *day == name).unwrap();
        Weekday::from_monday_zero_offset(i8::try_from(place).unwrap()).unwrap()
    }

    /// `end`: empty where the moment is not covered.
    #[track_caller]
    fn check(window: &str, zone: &str, at: &str, end: &str) {
        let found = silence(window, zone).covers("disk", &Target::default(), at.parse().unwrap());
        assert_eq!(found, if end.is_empty() { None } else { Some(end.parse().unwrap()) });
    }

    #[test]
    fn windows_within_a_day_and_over_midnight() {
        // 2026-11-28 is a Saturday.
        check("* 01:00-05:00", "UTC", "2026-11-25T00:59:59Z", "");
        check("* 01:00-05:00", "UTC", "2026-11-25T01:00:00Z", "2026-11-25T05:00:00Z");
        check("* 01:00-05:00", "UTC", "2026-11-25T04:59:59.999Z", "2026-11-25T05:00:00Z");
        check("* 01:00-05:00", "UTC", "2026-11-25T05:00:00Z", "");
        check("* 01:00-05:00", "America/New_York", "2026-11-25T06:30:00Z", "2026-11-25T10:00:00Z");
        check("sat 22:00-02:00", "UTC", "2026-11-28T01:00:00Z", "");
        check("sat 22:00-02:00", "UTC", "2026-11-28T22:00:00Z", "2026-11-29T02:00:00Z");
        check("sat 22:00-02:00", "UTC", "2026-11-29T01:59:00Z", "2026-11-29T02:00:00Z");
        check("sat 22:00-02:00", "UTC", "2026-11-29T02:00:00Z", "");
        check("sat 22:00-02:00", "UTC", "2026-11-29T22:30:00Z", "");
        check("sat 20:00-00:00", "UTC", "2026-11-28T23:59:00Z", "2026-11-29T00:00:00Z");
        check("sun 20:00-19:00", "UTC", "2026-11-30T18:00:00Z", "2026-11-30T19:00:00Z");
    }

    #[test]
    fn whole_days_belong_to_their_zone() {
        check("sat,sun *", "UTC", "2026-11-28T12:00:00Z", "2026-11-29T00:00:00Z");
        check("sat,sun *", "UTC", "2026-11-30T00:00:00Z", "");
        check("sat *", "Pacific/Auckland", "2026-11-27T11:00:00Z", "2026-11-28T11:00:00Z");
        check("* *", "UTC", "2026-11-25T00:00:00Z", "2026-11-26T00:00:00Z");
        // Days of 23 and 25 hours.
        check("sun *", "Europe/Berlin", "2026-03-29T10:00:00Z", "2026-03-29T22:00:00Z");
        check("sun *", "Europe/Berlin", "2026-10-25T10:00:00Z", "2026-10-25T23:00:00Z");
        // The clock jumps from Saturday's midnight to 01:00.
        check("sat *", "America/Sao_Paulo", "2018-11-03T12:00:00Z", "2018-11-04T03:00:00Z");
        check("sun *", "America/Sao_Paulo", "2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z");
        // And back from Saturday's midnight to 23:00.
        check("sat *", "America/Sao_Paulo", "2018-02-18T01:30:00Z", "2018-02-18T03:00:00Z");
        check("sat *", "America/Sao_Paulo", "2018-02-18T02:30:00Z", "2018-02-18T03:00:00Z");
    }

    #[test]
    fn an_hour_that_is_skipped_is_not_there() {
        // 2026-03-29 in Berlin: 01:59:59 is followed by 03:00 (01:00Z).
        check("* 02:00-03:00", "Europe/Berlin", "2026-03-29T00:59:59Z", "");
        check("* 02:00-03:00", "Europe/Berlin", "2026-03-29T01:00:00Z", "");
        check("* 01:00-02:30", "Europe/Berlin", "2026-03-29T00:59:59Z", "2026-03-29T01:00:00Z");
        check("* 01:00-02:30", "Europe/Berlin", "2026-03-29T01:00:00Z", "");
        check("* 02:30-04:00", "Europe/Berlin", "2026-03-29T00:45:00Z", "");
        check("* 02:30-04:00", "Europe/Berlin", "2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z");
        check("sat 23:00-02:30", "Europe/Berlin", "2026-03-28T22:30:00Z", "2026-03-29T01:00:00Z");
    }

    #[test]
    fn an_hour_that_comes_twice_is_covered_twice() {
        // 2026-10-25 in Berlin: 02:59:59 (00:59:59Z) is followed by 02:00 (01:00Z).
        for (at, end) in [
            ("2026-10-25T00:15:00Z", "2026-10-25T00:30:00Z"),
            ("2026-10-25T00:45:00Z", ""),
            ("2026-10-25T01:15:00Z", "2026-10-25T01:30:00Z"),
            ("2026-10-25T01:30:00Z", ""),
        ] {
            check("* 01:00-02:30", "Europe/Berlin", at, end);
        }
        check("* 02:00-03:00", "Europe/Berlin", "2026-10-25T00:00:00Z", "2026-10-25T02:00:00Z");
        check("* 02:00-03:00", "Europe/Berlin", "2026-10-25T01:59:00Z", "2026-10-25T02:00:00Z");
        check("sat 23:00-02:30", "Europe/Berlin", "2026-10-24T21:30:00Z", "2026-10-25T00:30:00Z");
    }

    #[test]
    fn only_what_is_meant_is_covered() {
        let target = Target { identity: Labels::from([("mount", "/data")]), facts: Labels::from([("fstype", "xfs")]) };
        let at = "2026-11-25T12:00:00Z".parse().unwrap();
        let on = |label: &str, text: &str| {
            let test = LabelTest { label: label.to_owned(), negated: false, patterns: vec![Pattern::new(text).unwrap()] };
            let only = RecurringSilence { selector: Selector(vec![test]), ..silence("* *", "UTC") };
            only.covers("disk", &target, at).is_some()
        };
        assert!(on("mount", "/data") && on("mount", "/d*") && on("fstype", "xfs"));
        assert!(!on("mount", "/d") && !on("process_name", "web"));
        let named = RecurringSilence { playbooks: Some(vec!["disk".to_owned()]), ..silence("* *", "UTC") };
        assert!(named.covers("disk", &target, at).is_some() && named.covers("disk2", &target, at).is_none());
    }

    #[test]
    fn a_silence_by_hand_ends_on_the_clock_that_goes_on_in_a_sleep() {
        let now = Moment::at_seconds(0.0);
        let target = Target { identity: Labels::from([("mount", "/data")]), facts: Labels::from([("fstype", "xfs")]) };
        let silence = |playbook: Option<&str>, labels: Labels| Silence {
            id: "s1".to_owned(),
            playbook: playbook.map(str::to_owned),
            labels,
            until: now.after(Duration::from_secs(60)),
            reason: None,
            by: "somebody".to_owned(),
        };
        for (playbook, labels, covered) in [
            (None, Labels::default(), true),
            (Some("disk"), Labels::from([("mount", "/data"), ("fstype", "xfs")]), true),
            (Some("disk2"), Labels::default(), false),
            (None, Labels::from([("mount", "/d*")]), false),
            (None, Labels::from([("mount", "/data"), ("host", "x")]), false),
        ] {
            assert_eq!(silence(playbook, labels.clone()).covers("disk", &target, now), covered, "{playbook:?} {labels}");
        }
        let all = silence(None, Labels::default());
        assert!(all.covers("disk", &target, now.after(Duration::from_secs(59))));
        assert!(!all.covers("disk", &target, now.after(Duration::from_secs(60))));
        assert!(!all.covers("disk", &target, Moment { boot: now.boot + Duration::from_secs(60), ..now }));
        // A wall clock that was set changes nothing.
        assert!(all.covers("disk", &target, Moment { wall: now.after(Duration::from_secs(9999)).wall, ..now }));
    }
}
