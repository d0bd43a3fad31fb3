//! What keeps a trigger from opening an incident: the pause of a target, or of a whole playbook, after a heal; and, for a
//! playbook that only tells, that it has told; and that somebody said no. Pure.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::clock::Moment;
use crate::config::playbook::{CooldownScope, Playbook};
use crate::incident::{DedupKey, Incident, Opening, Status};
use crate::sample::Labels;

/// What holds keys back. All times count on the clock that goes on while the machine sleeps.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cooldowns {
    windows: HashMap<DedupKey, Window>,
    /// Playbooks without actions tell once: what was told, and when, until it clears.
    told: HashMap<DedupKey, Moment>,
    /// What was denied is not asked again until it clears.
    denied: HashSet<DedupKey>,
}

/// Whether a key is held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// It is not.
    Free,
    /// For this long.
    For(Duration),
    /// Until its condition has been false.
    UntilCleared,
}

#[derive(Clone, Debug)]
struct Window {
    until: Moment,
    /// Keys of which a trigger was already recorded as rate limited in this window.
    recorded: HashSet<DedupKey>,
}

impl Cooldowns {
    /// Begins the pause that the incident's end asks for: it started an action, or ended `denied` or `dry_run`. So does an
    /// escalation before any action could start (a refusal, say), and a proof with every action skipped: they would come again
    /// with the next sample.
    pub(crate) fn begin(&mut self, incident: &Incident, now: Moment) {
        let playbook = &incident.playbook;
        if incident.status == Status::Escalated && incident.actions.is_empty() {
            self.told.insert(incident.key(), now);
            return;
        }
        if incident.status == Status::Denied {
            self.denied.insert(incident.key());
        }
        let earned = incident.acted || matches!(incident.status, Status::Denied | Status::DryRun | Status::Escalated | Status::Resolved);
        if earned && !playbook.cooldown.is_zero() {
            let window = Window { until: now.after(playbook.cooldown), recorded: HashSet::new() };
            self.windows.insert(scope(playbook, &incident.target.identity), window);
        }
    }

    /// How long the playbook must still leave the target alone.
    pub(crate) fn left(&self, playbook: &Playbook, identity: &Labels, now: Moment) -> Option<Duration> {
        let window = self.windows.get(&scope(playbook, identity))?;
        Some(window.until.boot.saturating_sub(now.boot)).filter(|left| !left.is_zero())
    }

    /// What keeps this trigger from opening an incident.
    pub(crate) fn held(&self, opening: &Opening, now: Moment) -> Held {
        let playbook = &opening.playbook;
        if let Some(left) = self.left(playbook, &opening.target.identity, now) {
            return Held::For(left);
        }
        if self.denied.contains(&opening.key()) {
            return Held::UntilCleared;
        }
        match self.told.get(&opening.key()) {
            None => Held::Free,
            Some(_) if playbook.repeat.is_zero() => Held::UntilCleared,
            Some(told) => match (told.boot + playbook.repeat).saturating_sub(now.boot) {
                Duration::ZERO => Held::Free,
                left => Held::For(left),
            },
        }
    }

    /// Whether this is the first trigger of the key in its window: only that one is recorded.
    pub(crate) fn record_once(&mut self, opening: &Opening) -> bool {
        self.recorded(&opening.playbook, opening.key())
    }

    /// Notes that the key has its record in this window; false when it had one.
    pub(crate) fn recorded(&mut self, playbook: &Playbook, key: DedupKey) -> bool {
        self.windows.get_mut(&scope(playbook, &key.identity)).is_some_and(|window| window.recorded.insert(key))
    }

    /// The key's condition is false: the next time it is told, or asked, again.
    pub(crate) fn cleared(&mut self, key: &DedupKey) {
        self.told.remove(key);
        self.denied.remove(key);
    }

    /// Forgets the windows that are over.
    pub(crate) fn sweep(&mut self, now: Moment) {
        self.windows.retain(|_, window| !window.until.is_due_after_sleep(now));
    }
}

fn scope(playbook: &Playbook, identity: &Labels) -> DedupKey {
    let identity = match playbook.cooldown_scope {
        CooldownScope::Target => identity.clone(),
        CooldownScope::Playbook => Labels::default(),
    };
    DedupKey { playbook: playbook.id.clone(), identity }
}
