//! How well autoheal does its work, in numbers (contract C5). Pure: rows of the history in, numbers out.
//!
//! - A *heal* is an incident that started an action, was no dry run, and ended `resolved`, `escalated` or `exhausted`.
//! - A heal *held* if it ended `resolved` and the trouble did not come back within the playbook's `relapse_seconds`.
//! - The *success rate* is held heals over heals; without heals there is none.
//! - The *time to detect* is from the first bad sample to the detection.
//! - The *time to recover* is from the detection to the end, of heals that resolved.
//! - The *p95* is the value that 95 of 100 do not exceed, by nearest rank: one of the values, never one between two.
//! - A trigger during a cooldown (`rate_limited`) is no trouble of its own: it is counted by status, and nowhere else.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::history::read::StatRow;
use super::json;

/// How many of the most frequent are named.
const MOST_FREQUENT: usize = 10;
/// As many of one key within [`RECURRING_DAYS`] is no accident.
const RECURRING: usize = 3;
/// See there.
const RECURRING_DAYS: u32 = 7;
/// A playbook that was tried so often and never helped is named.
const NEVER_HELPED: usize = 3;

/// The scorecard.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stats {
    /// Over incidents detected since then; `None` is all that are on record.
    #[serde(serialize_with = "json::optional_millis")]
    pub since: Option<Timestamp>,
    /// Incidents, without those that were `rate_limited`.
    pub incidents: usize,
    /// All of them, by the word for where they stand.
    pub by_status: BTreeMap<String, usize>,
    /// Incidents that started an action, were no dry run, and ended `resolved`, `escalated` or `exhausted`.
    pub heals: usize,
    /// Heals that resolved and did not relapse.
    pub held: usize,
    /// `held` / `heals`.
    pub success_rate: Option<f64>,
    /// From the first bad sample to the detection.
    pub time_to_detect_seconds: Spread,
    /// From the detection to the end, of heals that resolved.
    pub time_to_recover_seconds: Spread,
    /// What happens most, at most ten.
    pub most_frequent: Vec<Frequent>,
    /// What comes back: three or more of one playbook and target within any seven days.
    pub recurring: Vec<Recurring>,
    /// Playbooks with three or more heals of which none held.
    pub never_helped: Vec<NeverHelped>,
}

/// Many times, in two numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spread {
    /// Their mean, in seconds; none without any.
    pub mean: Option<f64>,
    /// The time that 95 of 100 do not exceed, in seconds.
    pub p95: Option<f64>,
}

/// How often something happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Frequent {
    /// By which playbook.
    pub playbook: String,
    /// To which target.
    pub target: String,
    /// How often.
    pub count: usize,
}

/// What comes back.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Recurring {
    /// By which playbook.
    pub playbook: String,
    /// To which target.
    pub target: String,
    /// How often within the worst seven days.
    pub count: usize,
    /// Seven.
    pub days: u32,
    /// What to do about it.
    pub text: &'static str,
}

/// A playbook that was tried and never helped.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NeverHelped {
    /// Which one.
    pub playbook: String,
    /// How often it was tried.
    pub heals: usize,
}

impl Stats {
    /// The scorecard of these rows. `since` is where they begin, in milliseconds of wall time.
    #[must_use]
    pub fn of(rows: &[StatRow], since: Option<i64>) -> Self {
        let mut by_status = BTreeMap::new();
        for row in rows {
            *by_status.entry(row.status.clone()).or_insert(0) += 1;
        }
        let counted: Vec<&StatRow> = rows.iter().filter(|row| row.status != "rate_limited").collect();
        let heals: Vec<&StatRow> = counted.iter().copied().filter(|row| is_heal(row)).collect();
        let held = heals.iter().filter(|row| held(row)).count();
        let recoveries = heals.iter().filter(|row| row.status == "resolved").filter_map(|row| row.time_to_recover);
        let keys = by_key(&counted);
        Self {
            since: since.and_then(|since| Timestamp::from_millisecond(since).ok()),
            incidents: counted.len(),
            by_status,
            heals: heals.len(),
            held,
            success_rate: ratio(held, heals.len()),
            time_to_detect_seconds: Spread::of(counted.iter().map(|row| row.time_to_detect)),
            time_to_recover_seconds: Spread::of(recoveries),
            most_frequent: most_frequent(&keys),
            recurring: recurring(&keys),
            never_helped: never_helped(&heals),
        }
    }
}

fn is_heal(row: &StatRow) -> bool {
    row.acted && !row.dry_run && matches!(row.status.as_str(), "resolved" | "escalated" | "exhausted")
}

fn held(row: &StatRow) -> bool {
    row.status == "resolved" && !row.relapsed
}

fn ratio(part: usize, whole: usize) -> Option<f64> {
    let number = |count: usize| u32::try_from(count).map(f64::from).unwrap_or(f64::MAX);
    (whole > 0).then(|| thousandths(number(part) / number(whole)))
}

fn thousandths(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

impl Spread {
    fn of(times: impl Iterator<Item = f64>) -> Self {
        let mut times: Vec<f64> = times.filter(|time| time.is_finite()).collect();
        times.sort_by(f64::total_cmp);
        let count = times.len();
        // The nearest rank: the smallest value that at least 95 of 100 do not exceed.
        let rank = (count * 95).div_ceil(100);
        let mean = u32::try_from(count).ok().filter(|count| *count > 0).map(|count| times.iter().sum::<f64>() / f64::from(count));
        Self { mean: mean.map(thousandths), p95: rank.checked_sub(1).and_then(|index| times.get(index)).copied().map(thousandths) }
    }
}

/// When each playbook and target had its incidents, in order.
type Keys<'r> = BTreeMap<(&'r str, &'r str), Vec<i64>>;

fn by_key<'r>(rows: &[&'r StatRow]) -> Keys<'r> {
    let mut keys = Keys::new();
    for row in rows {
        keys.entry((row.playbook.as_str(), row.target.as_str())).or_default().push(row.detected_at);
    }
    keys.values_mut().for_each(|times| times.sort_unstable());
    keys
}

fn most_frequent(keys: &Keys<'_>) -> Vec<Frequent> {
    let mut all: Vec<Frequent> = keys
        .iter()
        .map(|((playbook, target), times)| Frequent { playbook: (*playbook).to_owned(), target: (*target).to_owned(), count: times.len() })
        .collect();
    // Stable: equally frequent ones stay in the order of their names.
    all.sort_by_key(|one| std::cmp::Reverse(one.count));
    all.truncate(MOST_FREQUENT);
    all
}

fn recurring(keys: &Keys<'_>) -> Vec<Recurring> {
    let worst = keys.iter().map(|((playbook, target), times)| Recurring {
        playbook: (*playbook).to_owned(),
        target: (*target).to_owned(),
        count: most_within_days(times),
        days: RECURRING_DAYS,
        text: "find the root cause",
    });
    let mut all: Vec<Recurring> = worst.filter(|one| one.count >= RECURRING).collect();
    all.sort_by_key(|one| std::cmp::Reverse(one.count));
    all
}

/// The most of these sorted times, in milliseconds, that lie within seven days.
fn most_within_days(times: &[i64]) -> usize {
    let span = i64::from(RECURRING_DAYS) * 86_400_000;
    let mut first = 0;
    let mut most = 0;
    for (last, time) in times.iter().enumerate() {
        while time - times[first] > span {
            first += 1;
        }
        most = most.max(last + 1 - first);
    }
    most
}

fn never_helped(heals: &[&StatRow]) -> Vec<NeverHelped> {
    let mut tried: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for row in heals {
        let (all, good) = tried.entry(&row.playbook).or_default();
        *all += 1;
        *good += usize::from(held(row));
    }
    let useless = tried.into_iter().filter(|(_, (all, good))| *all >= NEVER_HELPED && *good == 0);
    useless.map(|(playbook, (heals, _))| NeverHelped { playbook: playbook.to_owned(), heals }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;

    fn row(playbook: &str, status: &str, day: i64) -> StatRow {
        StatRow {
            id: "7f3kq9zd".to_owned(),
            playbook: playbook.to_owned(),
            target: "mount=/data".to_owned(),
            status: status.to_owned(),
            detected_at: day * DAY,
            ended_at: Some(day * DAY + 41_000),
            acted: true,
            dry_run: false,
            relapsed: false,
            interrupted: false,
            time_to_detect: 1.0,
            time_to_recover: (status == "resolved").then_some(41.0),
        }
    }

    #[test]
    fn only_what_acted_and_ended_in_earnest_is_a_heal_and_only_what_stayed_well_held() {
        let resolved = row("a", "resolved", 0);
        for (row, heals, held_heals) in [
            (resolved.clone(), 1, 1),
            (StatRow { relapsed: true, ..resolved.clone() }, 1, 0),
            (StatRow { interrupted: true, ..resolved.clone() }, 1, 1),
            (StatRow { acted: false, ..resolved.clone() }, 0, 0),
            (StatRow { dry_run: true, ..resolved }, 0, 0),
            (row("a", "escalated", 0), 1, 0),
            (row("a", "exhausted", 0), 1, 0),
            (row("a", "interrupted", 0), 0, 0),
            (row("a", "cleared", 0), 0, 0),
            (row("a", "denied", 0), 0, 0),
            (row("a", "dry_run", 0), 0, 0),
            (row("a", "acting", 0), 0, 0),
            (row("a", "rate_limited", 0), 0, 0),
        ] {
            let stats = Stats::of(std::slice::from_ref(&row), None);
            assert_eq!((stats.heals, stats.held), (heals, held_heals), "{row:?}");
            assert_eq!(stats.success_rate, (heals > 0).then_some(if held_heals > 0 { 1.0 } else { 0.0 }), "{row:?}");
        }
    }

    #[test]
    fn without_incidents_there_are_no_numbers() {
        let stats = Stats::of(&[], Some(0));
        assert_eq!((stats.incidents, stats.success_rate, stats.time_to_detect_seconds), (0, None, Spread::default()));
        let json = serde_json::json!(stats);
        assert_eq!(json["since"], "1970-01-01T00:00:00.000Z");
        assert_eq!(json["time_to_recover_seconds"], serde_json::json!({"mean": null, "p95": null}));
        assert!(json["success_rate"].is_null() && json["by_status"].as_object().unwrap().is_empty());
    }

    #[test]
    fn a_trigger_in_a_cooldown_is_counted_by_status_only() {
        let rows = [row("a", "resolved", 0), StatRow { time_to_detect: 99.0, ..row("a", "rate_limited", 0) }];
        let stats = Stats::of(&rows, None);
        assert_eq!((stats.incidents, stats.by_status["rate_limited"], stats.by_status["resolved"]), (1, 1, 1));
        assert_eq!((stats.time_to_detect_seconds.mean, stats.most_frequent[0].count), (Some(1.0), 1));
    }

    #[test]
    fn the_p95_is_one_of_the_values() {
        let spread = |last: u32| Spread::of((1..=last).map(f64::from));
        for (last, mean, p95) in [(1, 1.0, 1.0), (2, 1.5, 2.0), (19, 10.0, 19.0), (20, 10.5, 19.0), (100, 50.5, 95.0), (101, 51.0, 96.0)] {
            assert_eq!(spread(last), Spread { mean: Some(mean), p95: Some(p95) }, "1 to {last}");
        }
    }

    #[test]
    fn recovery_is_that_of_heals_that_resolved() {
        let own = StatRow { acted: false, time_to_recover: Some(1000.0), ..row("a", "resolved", 0) };
        let stats = Stats::of(&[row("a", "resolved", 0), own, row("a", "escalated", 0)], None);
        assert_eq!(stats.time_to_recover_seconds, Spread { mean: Some(41.0), p95: Some(41.0) });
        assert_eq!(stats.success_rate, Some(0.5));
        assert_eq!(
            Stats::of(&[row("a", "resolved", 0), row("a", "resolved", 1), row("b", "escalated", 2)], None).success_rate,
            Some(0.667)
        );
    }

    #[test]
    fn three_within_any_seven_days_recur() {
        for (days, count) in
            [(&[0, 3, 7][..], Some(3)), (&[0, 3, 8], None), (&[0, 20, 21, 22, 23], Some(4)), (&[22, 0, 20, 21], Some(3)), (&[0, 0], None)]
        {
            let rows: Vec<StatRow> = days.iter().map(|day| row("a", "escalated", *day)).collect();
            let found = Stats::of(&rows, None).recurring;
            assert_eq!(found.first().map(|one| one.count), count, "{days:?}");
            assert!(found.iter().all(|one| one.days == 7 && one.text == "find the root cause"));
        }
        let other = StatRow { target: "mount=/".to_owned(), ..row("a", "escalated", 1) };
        assert!(Stats::of(&[row("a", "escalated", 0), other, row("b", "escalated", 1)], None).recurring.is_empty(), "three different ones");
    }

    #[test]
    fn the_ten_most_frequent_are_named_in_order() {
        let mut rows: Vec<StatRow> = (0..12).map(|index| row(&format!("p{index:02}"), "cleared", 0)).collect();
        rows.push(row("p11", "cleared", 1));
        let names: Vec<String> = Stats::of(&rows, None).most_frequent.into_iter().map(|one| one.playbook).collect();
        assert_eq!((names.len(), names[0].as_str(), names[1].as_str(), names[9].as_str()), (10, "p11", "p00", "p08"));
    }

    #[test]
    fn a_playbook_that_never_helped_is_named() {
        let mut rows = vec![row("a", "escalated", 0), row("a", "exhausted", 1)];
        assert!(Stats::of(&rows, None).never_helped.is_empty(), "twice says nothing yet");
        rows.push(StatRow { relapsed: true, ..row("a", "resolved", 2) });
        assert_eq!(Stats::of(&rows, None).never_helped, [NeverHelped { playbook: "a".to_owned(), heals: 3 }]);
        rows.push(row("a", "resolved", 3));
        assert!(Stats::of(&rows, None).never_helped.is_empty());
    }
}
