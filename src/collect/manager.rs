//! What systemd says of the unit of a watched process: whether it is at it already, and whether a person wants it to be down.
//!
//! It is asked about a process that was found not running, at each look; and about one that runs when its process id changed,
//! and twice a minute, for `unit_status`. The local thread waits for an answer for as long as a PID 1 takes that is well; for one
//! that takes longer it comes back.

use std::time::Duration;

use crossbeam_channel::{Receiver, TryRecvError};

use super::{Exclusions, host};
use crate::clock::{Moment, in_words};
use crate::heal::last_job;
use crate::host::systemd;
use crate::host::systemd::unit::{self, Asked, State, Verdict};
use crate::sample::STOPPED_BY_PERSON;

/// How long others may take with a unit, or systemd with its answer; then the process counts for what it is.
const MOST: Duration = Duration::from_secs(90);

/// A unit that is active without its process: systemd hears of an end as we do, but may come to it a little later.
const UNNOTICED: Duration = Duration::from_millis(50);

/// What is in motion is looked at again after this, after twice this, and so on.
const AGAIN: Duration = Duration::from_millis(50);

/// A PID 1 that is well answers within a fraction of this.
const INLINE: Duration = Duration::from_millis(30);

/// For so long an answer stands: where PID 1 is slow, whoever measures again before a heal must not be told that nothing is known.
const STANDS: Duration = Duration::from_secs(1);

/// How old the state of a unit may be whose process runs on.
pub(super) const STEADY: Duration = Duration::from_secs(30);

/// The journal may be behind by this: before, that it knows of no stop says nothing.
const BEHIND: Duration = Duration::from_millis(200);

/// Whether a unit is still down because of a stop is looked up again after this, though nothing about it has changed.
const LOOK_UP: Duration = Duration::from_secs(300);

/// What is made of a process that was found not running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Down {
    /// It is stopped; with a remark.
    Stopped(Option<String>),
    /// It cannot be told yet.
    Unknown(String),
}

/// What is known of the unit of one watch entry.
#[derive(Debug)]
pub(super) struct Manager {
    respects_people: bool,
    exclusions: Exclusions,
    asked: Option<(String, Asked)>,
    answer: Option<Answer>,
    /// Which running process its unit was last asked for, and when: where nobody answers, not each look asks.
    tried: Option<(u32, Moment)>,
    /// Since when it has not been clear what to make of it.
    since: Option<Moment>,
    looks: u32,
    journal: Journal,
    again: Option<Duration>,
}

/// The last answer of systemd's.
#[derive(Debug)]
struct Answer {
    unit: String,
    state: State,
    at: Moment,
    /// The process that ran then.
    pid: Option<u32>,
    /// It ran since.
    over: bool,
}

/// Who stopped a unit, as the journal has it.
#[derive(Debug, Default)]
struct Journal {
    /// The state that this is about, and since when that is known.
    about: Option<(State, Moment)>,
    /// When it was asked, and where the answer comes.
    asked: Option<(Moment, Receiver<bool>)>,
    /// Whether it was a stop, and when that was asked.
    said: Option<(bool, Moment)>,
}

impl Manager {
    pub(super) fn new(respects_people: bool, exclusions: Exclusions) -> Self {
        let journal = Journal::default();
        Self { respects_people, exclusions, asked: None, answer: None, tried: None, since: None, looks: 0, journal, again: None }
    }

    /// The process runs. Its unit, if it has one, is asked about where the last answer is too old.
    pub(super) fn up(&mut self, unit: Option<&str>, pid: u32, now: Moment) {
        (self.since, self.looks, self.again, self.journal) = (None, 0, None, Journal::default());
        self.answer.iter_mut().for_each(|answer| answer.over = true);
        let Some(unit) = unit else { return };
        let old = |answer: &Answer| {
            let same = answer.unit == unit && answer.pid == Some(pid) && answer.state.active == "active";
            !same || now.since(answer.at) >= STEADY
        };
        let answered = self.answer.as_ref().is_some_and(|answer| answer.unit == unit && answer.pid == Some(pid));
        let rests = !answered && self.asked.is_none() && self.tried.is_some_and(|(of, at)| of == pid && now.since(at) < STEADY);
        if self.answer.as_ref().is_none_or(old) && !rests {
            self.tried = Some((pid, now));
            // What does not come now is looked for at the next tick.
            let _ = self.ask(unit, Some(pid), now);
        }
    }

    /// The process does not run.
    pub(super) fn down(&mut self, unit: &str, now: Moment) -> Down {
        self.again = None;
        let state = match self.ask(unit, None, now) {
            Ok(Some(state)) => state,
            Err(error) if unit::is_deaf(&error) => return self.fallen(),
            _ if let Some(state) = self.stands(unit, now) => state,
            _ => return self.wait(format!("unit {unit}: systemd does not answer"), MOST, now),
        };
        self.judge(unit, state, now)
    }

    fn judge(&mut self, unit: &str, state: State, now: Moment) -> Down {
        match state.verdict() {
            Verdict::Unknown | Verdict::Fallen => self.fallen(),
            Verdict::Busy(how) => self.wait(format!("unit {unit} {how}"), MOST, now),
            Verdict::Active => {
                let main = u32::try_from(state.main_pid).ok().filter(|pid| *pid != 0);
                let unnoticed = main.is_some_and(|pid| host::stat(pid).is_ok_and(|stat| stat.is_none_or(|stat| stat.dead)));
                let reason = format!("unit {unit} is active, though its process is gone");
                self.wait(reason, if unnoticed { MOST } else { UNNOTICED }, now)
            }
            Verdict::Stopped(_) | Verdict::Unclear if !self.respects_people => self.fallen(),
            Verdict::Stopped(how) => self.stopped(unit, how),
            Verdict::Unclear => self.look_up(unit, state, now),
        }
    }

    /// How soon to look again at what is in motion.
    pub(super) fn again(&self) -> Option<Duration> {
        self.again
    }

    /// The unit's name, its state, and when that was said, if systemd knows the unit.
    pub(super) fn status(&self) -> Option<(&str, &str, Moment)> {
        let answer = self.answer.as_ref().filter(|answer| answer.state.verdict() != Verdict::Unknown && !answer.state.active.is_empty())?;
        Some((&answer.unit, &answer.state.active, answer.at))
    }

    /// The last answer about the process that does not run, if it is of use still. What was in motion has moved on.
    fn stands(&self, unit: &str, now: Moment) -> Option<State> {
        let answer = self.answer.as_ref().filter(|answer| answer.unit == unit && answer.pid.is_none() && !answer.over)?;
        let moves = matches!(answer.state.verdict(), Verdict::Busy(_) | Verdict::Active);
        (!moves && now.since(answer.at) < STANDS).then(|| answer.state.clone())
    }

    /// The unit's state; `None`: it is not there yet.
    fn ask(&mut self, unit: &str, pid: Option<u32>, now: Moment) -> Result<Option<State>, std::io::Error> {
        if !systemd::is_here() {
            return Err(std::io::ErrorKind::NotFound.into());
        }
        let pending = self.asked.take_if(|(about, _)| about == unit);
        // Whoever did not answer at once keeps nobody a second time.
        let wait = if pending.is_some() { Duration::ZERO } else { INLINE };
        let mut asked = if let Some((_, asked)) = pending { asked } else { Asked::about(unit)? };
        let state = asked.state(wait)?;
        match &state {
            Some(state) => self.answer = Some(Answer { unit: unit.to_owned(), state: state.clone(), at: now, pid, over: false }),
            None => self.asked = Some((unit.to_owned(), asked)),
        }
        Ok(state)
    }

    /// Unknown for this long, counted from the first look at which it was not clear; then it is what it is.
    fn wait(&mut self, reason: String, most: Duration, now: Moment) -> Down {
        let waited = now.since(*self.since.get_or_insert(now));
        if waited >= most {
            return Down::Stopped(Some(format!("{reason} (for {})", in_words(waited))));
        }
        self.again = Some(AGAIN * 2_u32.saturating_pow(self.looks.min(10)));
        self.looks += 1;
        Down::Unknown(reason)
    }

    fn fallen(&mut self) -> Down {
        (self.since, self.looks) = (None, 0);
        Down::Stopped(None)
    }

    fn stopped(&mut self, unit: &str, how: &str) -> Down {
        (self.since, self.looks) = (None, 0);
        Down::Stopped(Some(format!("{STOPPED_BY_PERSON}: {unit} {how}")))
    }

    fn look_up(&mut self, unit: &str, state: State, now: Moment) -> Down {
        if self.journal.about.as_ref().is_none_or(|(about, _)| *about != state) {
            self.journal = Journal { about: Some((state, now)), ..Journal::default() };
            (self.since, self.looks) = (Some(now), 0);
        }
        match self.journal.says(now, || last_job::was_a_stop(unit, &self.exclusions)) {
            Some(true) => Down::Stopped(Some(format!("{STOPPED_BY_PERSON}: the last job of {unit} was a stop"))),
            Some(false) => Down::Stopped(None),
            None => self.wait(format!("unit {unit}: it is looked up who stopped it"), MOST, now),
        }
    }
}

impl Journal {
    /// Whether the unit was stopped, if that is known. What is known counts on while it is looked up again.
    fn says(&mut self, now: Moment, ask: impl FnOnce() -> Receiver<bool>) -> Option<bool> {
        if let Some((at, answer)) = self.asked.take() {
            match answer.try_recv() {
                Err(TryRecvError::Empty) => self.asked = Some((at, answer)),
                // Where nobody knows, it is as if nobody had stopped it.
                said => self.said = Some((said.unwrap_or(false), at)),
            }
        }
        let began = self.about.as_ref().map_or(now, |(_, since)| *since);
        let early = |(stop, at): &mut (bool, Moment)| !*stop && at.since(began) < BEHIND;
        let _ = self.said.take_if(early);
        if self.asked.is_none() && self.said.is_none_or(|(_, at)| now.since(at) >= LOOK_UP) {
            self.asked = Some((now, ask()));
        }
        self.said.map(|(stop, _)| stop)
    }
}

#[cfg(test)]
#[path = "manager_tests.rs"]
mod tests;
