//! How many messages of a kind people get: at most 5 a minute and 30 an hour (contract: Telling). The rest become one summary.
//! Pages for critical incidents are never held back. Pure.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::clock::Moment;
use crate::incident::event::Notice;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const A_MINUTE: usize = 5;
const AN_HOUR: usize = 30;
/// So many ids stand in a summary; the list of incidents has all.
const NAMED: usize = 20;

/// What was said of late, and what was held back.
#[derive(Debug, Default)]
pub struct Throttle(BTreeMap<Notice, Kind>);

#[derive(Debug, Default)]
struct Kind {
    /// When messages went out, within the last hour.
    said: VecDeque<Moment>,
    held: usize,
    ids: Vec<String>,
}

impl Throttle {
    /// Whether this message goes out now; if not, it becomes part of the next summary.
    pub fn admits(&mut self, notice: Notice, critical: bool, incident: &str, now: Moment) -> bool {
        let kind = self.0.entry(notice).or_default();
        // A summary comes before what came after it.
        if critical || kind.held == 0 && kind.wait(now).is_zero() {
            kind.said(now);
            return true;
        }
        kind.held += 1;
        if kind.ids.len() < NAMED {
            kind.ids.push(incident.to_owned());
        }
        false
    }

    /// The summaries that are due.
    pub fn summaries(&mut self, now: Moment) -> Vec<(Notice, String)> {
        let mut due = Vec::new();
        for (notice, kind) in &mut self.0 {
            if kind.held > 0 && kind.wait(now).is_zero() {
                kind.said(now);
                let (count, ids) = (std::mem::take(&mut kind.held), std::mem::take(&mut kind.ids));
                let more = if count > ids.len() { format!(" and {} more", count - ids.len()) } else { String::new() };
                let what = notice.name();
                due.push((
                    *notice,
                    format!("{count} more messages of this kind ({what}) were held back: incidents {}{more}", ids.join(", ")),
                ));
            }
        }
        due
    }

    /// How long until a summary is due.
    #[must_use]
    pub fn next(&self, now: Moment) -> Option<Duration> {
        self.0.values().filter(|kind| kind.held > 0).map(|kind| kind.wait(now)).min()
    }
}

impl Kind {
    fn said(&mut self, now: Moment) {
        self.said.retain(|at| now.since_with_sleep(*at) < HOUR);
        self.said.push_back(now);
    }

    /// How long until one more may go out.
    fn wait(&self, now: Moment) -> Duration {
        let until_room = |most: usize, window: Duration| {
            let blocking = self.said.iter().rev().filter(|at| now.since_with_sleep(**at) < window).nth(most - 1);
            blocking.map_or(Duration::ZERO, |at| window.saturating_sub(now.since_with_sleep(*at)))
        };
        until_room(A_MINUTE, MINUTE).max(until_room(AN_HOUR, HOUR))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(throttle: &mut Throttle, count: usize, critical: bool, at: f64) -> usize {
        let now = Moment::at_seconds(at);
        (0..count).filter(|number| throttle.admits(Notice::Escalated, critical, &format!("i{number}"), now)).count()
    }

    #[test]
    fn five_a_minute_go_out_and_the_rest_become_one_summary() {
        let mut throttle = Throttle::default();
        assert_eq!(said(&mut throttle, 10_000, false, 0.0), 5);
        assert!(throttle.admits(Notice::Approval, false, "x", Moment::at_seconds(1.0)), "another kind has a count of its own");
        assert_eq!(throttle.summaries(Moment::at_seconds(30.0)), []);
        assert_eq!(throttle.next(Moment::at_seconds(30.0)), Some(Duration::from_secs(30)));
        let [(Notice::Escalated, text)] = &throttle.summaries(Moment::at_seconds(60.0))[..] else { panic!("no summary") };
        assert!(text.starts_with("9995 more") && text.contains("i5, i6") && text.ends_with("and 9975 more"), "{text}");
        assert_eq!(throttle.next(Moment::at_seconds(61.0)), None);
    }

    #[test]
    fn thirty_an_hour_go_out() {
        let mut throttle = Throttle::default();
        let out: usize = (0..20).map(|minute| said(&mut throttle, 5, false, f64::from(minute) * 61.0)).sum();
        assert_eq!(out, 30);
        assert_eq!(throttle.summaries(Moment::at_seconds(3599.0)), []);
        assert_eq!(throttle.summaries(Moment::at_seconds(3700.0)).len(), 1);
    }

    #[test]
    fn critical_pages_are_never_merged() {
        assert_eq!(said(&mut Throttle::default(), 100, true, 0.0), 100);
    }
}
