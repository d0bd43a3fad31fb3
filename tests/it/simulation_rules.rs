//! The rules of the contract, each with a model of its own: it knows what was told to the healer and what the healer did, and
//! nothing of how the healer decides.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use autoheal::clock::Moment;
use autoheal::config::playbook::CooldownScope;
use autoheal::detect::Edge;
use autoheal::heal::healer::{Fact, Healer, Saved};
use autoheal::heal::silence::Silence;
use autoheal::incident::event::Notice;
use autoheal::incident::{ActionStatus, DedupKey, Incident, Source, Status};
use autoheal::sample::Labels;

use super::disk::{Disk, track};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// What the model remembers of a key.
#[derive(Default)]
struct Key {
    /// Incidents whose heal failed or did not hold, since it was last stable.
    failed: BTreeSet<String>,
    /// Open: when an attempt is allowed (boot clock; `None`: never), and the pause before it.
    breaker: Option<(Option<Duration>, Duration)>,
    denied: bool,
    /// People were told, and not that it is over.
    paged: bool,
    well: Option<Duration>,
    relapse: Duration,
    /// No second action before this, on the boot clock.
    cooldown: Option<Duration>,
}

/// How an incident ended.
#[derive(Clone)]
struct End {
    key: DedupKey,
    status: Status,
    /// Somebody had to be told.
    due: bool,
}

#[derive(Default)]
pub(super) struct Rules {
    loud: bool,
    pub(super) broken: Vec<String>,
    keys: BTreeMap<DedupKey, Key>,
    /// Every action that started: incident, index.
    ran: BTreeSet<(String, usize)>,
    starts: Vec<Duration>,
    silences: Vec<Silence>,
    over: BTreeMap<String, End>,
    /// Ended before a crash, as the disk says of their target, and open again by their row: each ends once more, and nothing else.
    again: BTreeMap<String, End>,
    /// How long the timeline of each incident was.
    seen: BTreeMap<String, usize>,
}

impl Rules {
    pub(super) fn new(loud: bool) -> Self {
        Self { loud, ..Self::default() }
    }

    pub(super) fn started(&self) -> u64 {
        self.ran.len() as u64
    }

    pub(super) fn ended(&self) -> u64 {
        self.over.len() as u64
    }

    pub(super) fn must(&mut self, holds: bool, text: impl FnOnce() -> String) {
        if !holds {
            self.broken.push(text());
        }
    }

    /// For whoever replays a history.
    pub(super) fn say(&self, text: impl FnOnce() -> String) {
        if self.loud {
            println!("{}", text());
        }
    }

    fn key(&mut self, key: &DedupKey) -> &mut Key {
        self.keys.entry(key.clone()).or_default()
    }

    pub(super) fn edge(&mut self, edge: &Edge, now: Moment) {
        match edge {
            Edge::Fired(opening) => {
                self.say(|| format!("{} {} FIRED", seconds(now), opening.key()));
                self.stable(&opening.key(), now);
                self.key(&opening.key()).well = None;
            }
            Edge::Cleared(key) => {
                self.say(|| format!("{} {key} CLEARED", seconds(now)));
                let key = self.key(key);
                key.denied = false;
                key.well.get_or_insert(now.boot);
            }
            Edge::Unknown(key) => {
                self.stable(key, now);
                self.key(key).well = None;
            }
            Edge::Gone(key) => {
                self.say(|| format!("{} {key} GONE", seconds(now)));
                let key = self.key(key);
                *key = Key { cooldown: key.cooldown, paged: key.paged, ..Key::default() };
            }
        }
    }

    /// What has been well for long enough is stable: what it failed before does not count any more.
    fn stable(&mut self, key: &DedupKey, now: Moment) {
        let key = self.key(key);
        if key.well.is_some_and(|well| now.boot - well >= key.relapse) {
            (key.failed, key.breaker) = (BTreeSet::new(), None);
        }
    }

    pub(super) fn fact(&mut self, fact: &Fact) {
        if let Fact::Relapsed(id) = fact
            && let Some(end) = self.over.get(id).cloned()
        {
            self.key(&end.key).failed.insert(id.clone());
        }
    }

    pub(super) fn recovered(&mut self, key: &DedupKey, now: Moment) {
        self.say(|| format!("{} {key} TELL Recovered", seconds(now)));
        self.key(key).paged = false;
    }

    pub(super) fn silenced(&mut self, silence: Silence) {
        self.say(|| format!("silence {silence:?}"));
        self.silences.push(silence);
    }

    pub(super) fn unsilenced(&mut self, id: &str) {
        self.silences.retain(|silence| silence.id != id);
    }

    pub(super) fn reset(&mut self, playbook: &str) {
        self.say(|| format!("reset {playbook}"));
        for (_, key) in self.keys.iter_mut().filter(|(key, _)| key.playbook == playbook) {
            *key = Key { paged: key.paged, well: key.well, relapse: key.relapse, ..Key::default() };
        }
    }

    /// A human who asks has seen what was denied, and what opened the breaker.
    pub(super) fn by_hand(&mut self, key: &DedupKey) {
        self.say(|| format!("heal {key}"));
        self.key(key).denied = false;
    }

    /// Facts that were lost on their way to the disk are not held against the next life of the agent.
    pub(super) fn crashed(&mut self, lost: &[String]) {
        self.say(|| format!("CRASH, lost: {lost:?}"));
        for (key, state) in &mut self.keys {
            if lost.contains(&track(key)) {
                *state = Key { cooldown: state.cooldown, ..Key::default() };
            }
        }
        self.silences.retain(|silence| !lost.contains(&format!("silence {}", silence.id)));
    }

    /// Whom people were told of is a fact that may have been lost with a part of its turn. An end that was lost is another end,
    /// later; one of which only the row was lost is the same again.
    pub(super) fn restored(&mut self, saved: &Saved, disk: &Disk) {
        for incident in &saved.incidents {
            let end = self.over.remove(&incident.id).filter(|_| disk.knows_end(incident));
            self.again.extend(end.map(|end| (incident.id.clone(), end)));
        }
        for (key, state) in &mut self.keys {
            state.paged = saved.tracks.get(key).is_some_and(|track| track.page.is_some());
        }
    }

    /// The incidents that are open after a turn.
    pub(super) fn live(&mut self, healer: &Healer, now: Moment) {
        let mut keys = BTreeSet::new();
        let twice = healer.live().find(|incident| !keys.insert(incident.key())).map(Incident::key);
        self.must(twice.is_none(), || format!("one open incident for a key: two of {} at {}", twice.unwrap(), seconds(now)));
        let acting = healer.live().filter(|incident| incident.acting().is_some()).count();
        self.must(acting <= 1, || format!("one action at a time: {acting} incidents act at {}", seconds(now)));
    }

    /// An action's intent is about to be written down. An incident that has acted goes on through a silence, and on the
    /// playbook that it started with; the settings' dry run stops every one.
    pub(super) fn permitted(&mut self, incident: &Incident, playbook_dry: bool, (settings_dry, most): (bool, u32), now: Moment) {
        let (id, key) = (&incident.id, incident.key());
        let first = !incident.acted;
        let silence = self.silences.iter().find(|silence| silence.covers(&key.playbook, &incident.target, now)).map(|s| s.id.clone());
        self.must(!first || silence.is_none(), || format!("silence: {id} of {key} acts under {silence:?} at {}", seconds(now)));
        let dry = settings_dry || incident.dry_run || first && playbook_dry;
        let recent = self.starts.iter().filter(|start| now.boot.saturating_sub(**start) < HOUR).count();
        self.must(recent < most as usize, || format!("budget: {recent} started in this hour, and {most} may, at {}", seconds(now)));
        self.must(!dry, || format!("dry run: {id} of {key} acts at {}", seconds(now)));
    }

    /// An action goes.
    pub(super) fn starts(&mut self, incident: &Incident, index: usize, now: Moment) {
        let (id, key) = (&incident.id, incident.key());
        let first = !self.ran.iter().any(|(of, _)| of == id);
        let once = self.ran.insert((id.clone(), index));
        self.must(once, || format!("never twice: action {index} of {id} ran before"));
        // It counts from the moment at which its intent was written down.
        let at = incident.actions[index].started.unwrap_or(now).boot;
        self.starts.push(at);
        // One that ended, and whose row was lost after its facts, goes on in the next life.
        if first && incident.source == Source::Detector {
            self.first_action(incident, &key, now);
        }
    }

    fn first_action(&mut self, incident: &Incident, key: &DedupKey, now: Moment) {
        let wide = DedupKey { playbook: key.playbook.clone(), identity: Labels::default() };
        for scope in [key, &wide] {
            let until = self.key(scope).cooldown;
            self.must(until.is_none_or(|until| until <= now.boot), || {
                format!("cooldown: {} of {key} acts at {}, {until:?} is its end", incident.id, seconds(now))
            });
        }
        self.stable(key, now);
        let (denied, breaker) = (self.key(key).denied, self.key(key).breaker);
        self.must(!denied, || format!("denied: {} of {key} acts at {}", incident.id, seconds(now)));
        let allowed = breaker.is_none_or(|(until, _)| until.is_some_and(|until| until <= now.boot));
        self.must(allowed, || format!("breaker: {} of {key} acts at {}, and {breaker:?} is open", incident.id, seconds(now)));
    }

    /// An incident was written down.
    pub(super) fn changed(&mut self, incident: &Incident, told: &[(Notice, String)], now: Moment) {
        let from = self.seen.insert(incident.id.clone(), incident.timeline.len()).unwrap_or(0);
        for entry in incident.timeline.iter().skip(from) {
            self.say(|| format!("{} {} {} {}: {}", seconds(now), incident.id, incident.key(), entry.event, entry.text));
            if entry.event == "approval_asked" && self.key(&incident.key()).denied {
                self.broken.push(format!("denied: {} of {} asks again at {}", incident.id, incident.key(), seconds(now)));
            }
        }
        if incident.ended == Some(now) {
            let running = incident.actions.iter().any(|action| action.status == ActionStatus::Running);
            self.must(!running, || format!("an end is an end: {} of {} is over while an action runs", incident.id, incident.key()));
            match self.again.remove(&incident.id) {
                Some(end) => self.ended_again(incident, end, told),
                None => self.ended_now(incident, told, now),
            }
        }
    }

    /// It had ended before a crash, and counts once. Perhaps nobody was told then: twice is better than never.
    fn ended_again(&mut self, incident: &Incident, end: End, told: &[(Notice, String)]) {
        let id = &incident.id;
        self.must(incident.status == end.status, || format!("an end is an end: {id} was {:?}, and is {:?}", end.status, incident.status));
        self.must(says(incident, told) || !end.due, || format!("told: nobody was told of {id}, {:?}, after a crash", incident.status));
        self.over.insert(id.clone(), end);
    }

    /// In a series of failures people are told at the first one and when the breaker opens.
    /// Returns whether that is now.
    fn told(&mut self, incident: &Incident, told: &[(Notice, String)], now: Moment) -> bool {
        let says = says(incident, told);
        let failed = matches!(incident.status, Status::Escalated | Status::Exhausted);
        let paged = self.key(&incident.key()).paged;
        let opens = incident.opens_breaker() && !incident.retry && self.key(&incident.key()).breaker.is_none();
        let due = failed && (!paged || opens) || incident.was_ignored();
        self.must(says || !due, || {
            format!(
                "told: nobody was told of {} of {} at {}, {:?}, paged {paged}",
                incident.id,
                incident.key(),
                seconds(now),
                incident.status
            )
        });
        let quiet = failed && paged && !opens && !incident.actions.is_empty() && !incident.interrupted;
        self.must(!says || !quiet && (failed || incident.was_ignored()), || {
            format!("told: people were told again of {} of {} at {}", incident.id, incident.key(), seconds(now))
        });
        due
    }

    fn ended_now(&mut self, incident: &Incident, told: &[(Notice, String)], now: Moment) {
        let (key, playbook) = (incident.key(), &incident.playbook);
        let due = self.told(incident, told, now);
        let before = self.over.insert(incident.id.clone(), End { key: key.clone(), status: incident.status, due });
        self.must(before.is_none(), || format!("an end is an end: {} of {key} is over twice", incident.id));
        if incident.acted {
            let scope = match playbook.cooldown_scope {
                CooldownScope::Target => key.clone(),
                CooldownScope::Playbook => DedupKey { identity: Labels::default(), ..key.clone() },
            };
            let state = self.key(&scope);
            state.cooldown = state.cooldown.max(Some(now.boot + playbook.cooldown));
        }
        let state = self.key(&key);
        let failed = matches!(incident.status, Status::Escalated | Status::Exhausted);
        state.paged |= failed || incident.was_ignored();
        state.denied |= incident.status == Status::Denied;
        if failed || incident.status == Status::Resolved || incident.status == Status::Denied {
            state.relapse = playbook.relapse;
        }
        if failed && !incident.actions.is_empty() && !incident.interrupted {
            state.failed.insert(incident.id.clone());
        }
        if incident.status == Status::Resolved && playbook.relapse.is_zero() {
            (state.failed, state.breaker) = (BTreeSet::new(), None);
        }
        let full = failed && state.failed.len() >= playbook.max_attempts as usize && !incident.interrupted && !incident.actions.is_empty();
        let pause = playbook.retry_after;
        state.breaker = match state.breaker {
            Some((_, before)) if failed || incident.status == Status::Resolved => {
                let pause = (before * 2).min(DAY).max(pause);
                Some(((!playbook.retry_after.is_zero()).then_some(now.boot + pause), pause))
            }
            None if full || failed && incident.opens_breaker() => Some(((!pause.is_zero()).then_some(now.boot + pause), pause)),
            same => same,
        };
    }
}

/// Whether people were told that it failed.
fn says(incident: &Incident, told: &[(Notice, String)]) -> bool {
    told.iter().any(|(notice, id)| *notice == Notice::Escalated && *id == incident.id)
}

/// The time as the timelines write it, on the running clock.
fn seconds(now: Moment) -> String {
    format!("{:.3}", now.since(Moment::at_seconds(0.0)).as_secs_f64())
}
