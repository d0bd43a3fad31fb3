//! What is remembered of a target between its incidents: the pause after a heal, the count of failures, the breaker, what
//! people were told, and that somebody said no. It survives a restart. Pure.

mod pause;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use pause::Breaker;
use pause::LastDryRun;

use crate::clock::Moment;
use crate::config::playbook::{CooldownScope, Playbook};
use crate::incident::{DedupKey, Incident, Opening, Source, Status};
use crate::sample::{Labels, SLEPT};

/// What is remembered of a playbook that is gone is forgotten after this (contract A26).
const FORGOTTEN: Duration = Duration::from_secs(30 * 86_400);
/// What is remembered of one target of one playbook. All times count on the clock that goes on while the machine sleeps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Track {
    /// The playbook leaves the target alone until then.
    pub cooldown: Option<Moment>,
    /// The end of the pause in which a trigger was recorded: once for each.
    recorded: Option<Moment>,
    /// A human said no: it is not asked again until the condition was false.
    pub denied: bool,
    /// A person stopped it, which is on record: nothing more is made of that until the condition was false.
    left: bool,
    /// Heals that failed or did not hold since the target was last stable.
    pub attempts: u32,
    /// A heal that was proven, and may still turn out not to hold.
    healed: Option<Box<Page>>,
    /// Open: no actions follow.
    pub breaker: Option<Box<Breaker>>,
    /// A dry run said what it would do. Not saved: a new start, like a reload, is a change.
    #[serde(skip)]
    last_dry_run: Option<LastDryRun>,
    /// People were told, and not yet that it is over.
    pub page: Option<Page>,
    /// Since when the condition has been false.
    well: Option<Moment>,
    /// The incident that ended last, and how. A crash between this record and that of the incident must not open it again.
    ended: Option<(String, Status)>,
    /// How long it must be false for the target to be stable: the playbook's `relapse_seconds`.
    relapse: Duration,
    /// When something last changed.
    touched: Option<Moment>,
}

/// An incident that has ended, and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Page {
    /// The incident's id.
    pub incident: String,
    /// When it ended.
    pub at: Moment,
}

/// What keeps a key from opening an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// Nothing.
    Free,
    /// The pause after a heal, for this long.
    Cooldown(Duration),
    /// Something else, for this long.
    For(Duration),
    /// Until its condition has been false, or somebody resets it.
    UntilCleared,
}

/// What is remembered of all targets.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tracks {
    /// Boxed: a host in trouble has thousands, and the nodes of a map are never full.
    all: BTreeMap<DedupKey, Box<Track>>,
    /// When each well target becomes stable.
    stable: BTreeSet<(Duration, DedupKey)>,
    changed: BTreeSet<DedupKey>,
}

impl Track {
    fn is_open(&self) -> bool {
        self.attempts > 0 || self.healed.is_some() || self.breaker.is_some() || self.page.is_some()
    }

    fn is_idle(&self, now: Moment) -> bool {
        let paused = [self.cooldown, self.recorded].into_iter().flatten().any(|until| !until.is_due_after_sleep(now));
        let old = self.touched.is_some_and(|touched| now.since_with_sleep(touched) > FORGOTTEN);
        !paused && (old || !self.is_open() && !self.denied && !self.left && self.last_dry_run.is_none())
    }

    /// Until when nothing opens because of a heal, or of dry runs for the same trouble.
    #[must_use]
    pub fn paused(&self) -> Option<Moment> {
        self.cooldown.into_iter().chain(self.last_dry_run.map(|last| last.until)).max_by_key(|until| until.boot)
    }

    fn stable_at(&self) -> Option<Duration> {
        self.well.filter(|_| self.is_open()).map(|well| well.boot + self.relapse)
    }
}

impl Tracks {
    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&DedupKey, &Track)> {
        self.all.iter().map(|(key, track)| (key, &**track))
    }

    pub(crate) fn get(&self, key: &DedupKey) -> Option<&Track> {
        self.all.get(key).map(|track| &**track)
    }

    /// Puts back what was remembered before a restart.
    pub(crate) fn restore(&mut self, key: DedupKey, track: Track) {
        self.stable.extend(track.stable_at().map(|at| (at, key.clone())));
        self.all.insert(key, Box::new(track));
    }

    /// What changed since the last call; `None` is forgotten.
    pub(crate) fn take_changed(&mut self) -> Vec<(DedupKey, Option<Box<Track>>)> {
        std::mem::take(&mut self.changed).into_iter().map(|key| (key.clone(), self.all.get(&key).cloned())).collect()
    }

    fn change<T>(&mut self, key: &DedupKey, now: Moment, change: impl FnOnce(&mut Track) -> T) -> T {
        let track = self.all.entry(key.clone()).or_default();
        if let Some(at) = track.stable_at() {
            self.stable.remove(&(at, key.clone()));
        }
        let result = change(track);
        track.touched = Some(now);
        self.stable.extend(track.stable_at().map(|at| (at, key.clone())));
        self.changed.insert(key.clone());
        result
    }

    /// Its trouble is back. The heal that was proven before did not hold, if that was not long ago: that heal's
    /// incident. A dry run judges nothing.
    pub(crate) fn fired(&mut self, key: &DedupKey, dry_run: bool, now: Moment) -> Option<String> {
        self.get(key)?;
        self.change(key, now, |track| {
            (track.well, track.left) = (None, false);
            let healed = track.healed.take_if(|_| !dry_run)?;
            (now.since_with_sleep(healed.at) < track.relapse).then(|| {
                track.attempts += 1;
                healed.incident
            })
        })
    }

    /// Its condition is false. What is well for long enough is stable.
    pub(crate) fn cleared(&mut self, key: &DedupKey, now: Moment) {
        if self.get(key).is_some() {
            self.change(key, now, |track| {
                (track.denied, track.left, track.last_dry_run) = (false, false, None);
                track.well.get_or_insert(now);
            });
        }
    }

    /// A person stopped it; false when that was noted before.
    pub(crate) fn leave(&mut self, key: &DedupKey, now: Moment) -> bool {
        let news = self.get(key).is_none_or(|track| !track.left);
        if news {
            self.change(key, now, |track| (track.left, track.well) = (true, None));
        }
        news
    }

    /// Nobody can tell whether it is still well.
    pub(crate) fn unknown(&mut self, key: &DedupKey, now: Moment) {
        if self.get(key).is_some() {
            self.change(key, now, |track| track.well = None);
        }
    }

    /// The target is not there any more: what people were told is over, and nothing is held against its successor.
    pub(crate) fn gone(&mut self, key: &DedupKey, now: Moment) -> Option<Page> {
        self.get(key)?;
        self.change(key, now, |track| {
            let page = track.page.take();
            *track = Track { cooldown: track.cooldown, recorded: track.recorded, ..Track::default() };
            page
        })
    }

    /// An incident has ended. Returns what people are to be told is over.
    pub(crate) fn ended(&mut self, incident: &Incident, now: Moment) -> Option<Page> {
        let (playbook, key) = (&incident.playbook, incident.key());
        let tells = incident.status == Status::Escalated && incident.actions.is_empty();
        // An escalation before any action could start, and a proof with every action skipped, would come again with the next
        // sample: they pause too.
        let earned = incident.acted || matches!(incident.status, Status::Denied | Status::DryRun | Status::Escalated | Status::Resolved);
        let earned = earned && incident.status != Status::RateLimited;
        if earned && !tells && !playbook.cooldown.is_zero() {
            let until = now.after(playbook.cooldown);
            self.change(&scope(playbook, &key.identity), now, |track| track.cooldown = Some(until));
        }
        let last = Some((incident.id.clone(), incident.status));
        let page = || Some(Page { incident: incident.id.clone(), at: now });
        match incident.status {
            Status::Resolved => self.change(&key, now, |track| {
                track.ended = last;
                track.relapse = playbook.relapse;
                let judged = incident.acted && !incident.interrupted && !playbook.relapse.is_zero();
                track.healed = if judged { page().map(Box::new) } else { None };
                if playbook.relapse.is_zero() {
                    (track.attempts, track.breaker) = (0, None);
                }
                if let Some(breaker) = &mut track.breaker {
                    breaker.wait_longer(playbook, now);
                }
                // With an open breaker only a while of health counts.
                if track.breaker.is_none() { track.page.take() } else { None }
            }),
            Status::Escalated | Status::Exhausted => self.change(&key, now, |track| {
                track.ended = last;
                track.relapse = playbook.relapse;
                track.page = page();
                if !tells && !incident.interrupted {
                    // A relapse that filled the count was counted when it came.
                    track.attempts = track.attempts.max(incident.attempt);
                }
                match &mut track.breaker {
                    Some(breaker) => breaker.wait_longer(playbook, now),
                    None if incident.opens_breaker() => track.breaker = Some(Box::new(Breaker::open(incident, now))),
                    None => {}
                }
                None
            }),
            Status::Denied => self.change(&key, now, |track| {
                track.ended = last;
                (track.denied, track.relapse) = (true, playbook.relapse);
                if incident.was_ignored() {
                    track.page = page();
                }
                None
            }),
            Status::Suppressed if incident.wanted => self.change(&key, now, |track| {
                (track.left, track.well) = (true, None);
                None
            }),
            Status::DryRun if incident.source == Source::Detector => self.change(&key, now, |track| {
                track.last_dry_run = Some(LastDryRun::after(track.last_dry_run, playbook.cooldown, now));
                None
            }),
            _ => None,
        }
    }

    /// The files, or whether anything runs at all, may have changed: what dry runs said is worth saying again.
    pub(crate) fn forget_dry_runs(&mut self) {
        self.all.values_mut().for_each(|track| track.last_dry_run = None);
    }

    /// How this incident ended, if it is known to have ended last of its key, and whether that was for people to know.
    pub(crate) fn end_of(&self, incident: &Incident) -> Option<(Status, bool)> {
        let track = self.get(&incident.key())?;
        let (_, status) = track.ended.as_ref().filter(|(id, _)| *id == incident.id)?;
        Some((*status, track.page.as_ref().is_some_and(|page| page.incident == incident.id)))
    }

    /// How long the playbook must still leave the target alone.
    pub(crate) fn left(&self, playbook: &Playbook, identity: &Labels, now: Moment) -> Option<Duration> {
        let left = self.pause(playbook, identity)?.boot.saturating_sub(now.boot);
        Some(left).filter(|left| !left.is_zero())
    }

    /// The end of the target's pause, or of that of the whole playbook: one that began before an edit of the scope goes on.
    fn pause(&self, playbook: &Playbook, identity: &Labels) -> Option<Moment> {
        let keys = [identity.clone(), Labels::default()].map(|identity| DedupKey { playbook: playbook.id.clone(), identity });
        keys.iter().filter_map(|key| self.get(key)?.cooldown).max_by_key(|until| until.boot)
    }

    /// What keeps this trigger from opening an incident. The breaker comes first: what it holds back is no news.
    pub(crate) fn held(&self, opening: &Opening, now: Moment) -> Held {
        let playbook = &opening.playbook;
        let own = self.get(&opening.key());
        let wait = |until: Option<Duration>| match until.map(|until| until.saturating_sub(now.boot)) {
            None => Held::UntilCleared,
            Some(Duration::ZERO) => Held::Free,
            Some(left) => Held::For(left),
        };
        let breaker = own.and_then(|track| track.breaker.as_ref());
        match breaker.map_or(Held::Free, |breaker| wait(breaker.retry.map(|retry| retry.boot))) {
            // The attempt that it allows is one like any other: a cooldown and a no hold it back too.
            Held::Free => {}
            held => return held,
        }
        // What a longer pause than the cooldown holds back is no news either.
        let dry_run = own.and_then(|track| track.last_dry_run).filter(|last| last.pause > playbook.cooldown);
        if let held @ Held::For(_) = dry_run.map_or(Held::Free, |last| wait(Some(last.until.boot))) {
            return held;
        }
        if let Some(left) = self.left(playbook, &opening.target.identity, now) {
            return Held::Cooldown(left);
        }
        let Some(own) = own else { return Held::Free };
        if own.denied {
            return Held::UntilCleared;
        }
        match &own.page {
            Some(page) if playbook.actions.is_empty() => wait(Some(page.at.boot + playbook.repeat).filter(|_| !playbook.repeat.is_zero())),
            _ => Held::Free,
        }
    }

    /// Notes that the key has its record in this pause; false when it had one.
    pub(crate) fn record_once(&mut self, playbook: &Playbook, key: &DedupKey, now: Moment) -> bool {
        let window = self.pause(playbook, &key.identity);
        if self.get(key).is_some_and(|track| track.recorded == window) {
            return false;
        }
        self.change(key, now, |track| track.recorded = window);
        true
    }

    /// Targets that have been well for long enough: their count begins anew, their breaker closes, and people are told.
    pub(crate) fn settle(&mut self, now: Moment) -> Vec<(DedupKey, Option<Page>)> {
        let mut settled = Vec::new();
        while let Some((_, key)) = self.stable.first().filter(|(at, _)| *at <= now.boot).cloned() {
            let page = self.change(&key, now, |track| {
                // Nobody looked while the machine slept: the time begins again.
                if track.well.is_some_and(|well| now.slept_since(well) >= SLEPT) {
                    track.well = Some(now);
                    return None;
                }
                (track.attempts, track.healed, track.breaker) = (0, None, None);
                track.page.take()
            });
            settled.push((key, page));
        }
        settled
    }

    /// How long until [`settle`](Self::settle) has something to do.
    pub(crate) fn next(&self, now: Moment) -> Option<Duration> {
        self.stable.first().map(|(at, _)| at.saturating_sub(now.boot))
    }

    /// A human's word: the breaker is closed, the pause over, and what was denied may be asked again.
    pub(crate) fn reset(&mut self, key: &DedupKey, now: Moment) {
        self.change(key, now, |track| {
            (track.attempts, track.healed, track.breaker, track.cooldown, track.denied) = (0, None, None, None, false);
            track.last_dry_run = None;
        });
    }

    /// Forgets what says nothing any more.
    pub(crate) fn sweep(&mut self, now: Moment) {
        let idle: Vec<DedupKey> = self.all.iter().filter(|(_, track)| track.is_idle(now)).map(|(key, _)| key.clone()).collect();
        for key in idle {
            self.all.remove(&key);
            self.changed.insert(key);
        }
    }
}

/// The key that the pause after a heal is kept under.
fn scope(playbook: &Playbook, identity: &Labels) -> DedupKey {
    let identity = match playbook.cooldown_scope {
        CooldownScope::Target => identity.clone(),
        CooldownScope::Playbook => Labels::default(),
    };
    DedupKey { playbook: playbook.id.clone(), identity }
}
