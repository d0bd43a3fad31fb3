//! The pause of a target, or of a whole playbook, after a heal. Pure.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::clock::Moment;
use crate::config::playbook::{CooldownScope, Playbook};
use crate::incident::{DedupKey, Incident, Status};
use crate::sample::Labels;

/// The cooldowns that run. They count on the clock that goes on while the machine sleeps.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cooldowns(HashMap<DedupKey, Window>);

#[derive(Clone, Debug)]
struct Window {
    until: Moment,
    /// Keys of which a trigger was already recorded as rate limited in this window.
    recorded: HashSet<DedupKey>,
}

impl Cooldowns {
    /// Begins the pause that the incident's end asks for: it started an action, or ended `denied` or `dry_run`.
    pub(crate) fn begin(&mut self, incident: &Incident, now: Moment) {
        let earned = incident.acted || matches!(incident.status, Status::Denied | Status::DryRun);
        if earned && !incident.playbook.cooldown.is_zero() {
            let window = Window { until: now.after(incident.playbook.cooldown), recorded: HashSet::new() };
            self.0.insert(scope(&incident.playbook, &incident.target.identity), window);
        }
    }

    /// How long the playbook must still leave the target alone.
    pub(crate) fn left(&self, playbook: &Playbook, identity: &Labels, now: Moment) -> Option<Duration> {
        let window = self.0.get(&scope(playbook, identity))?;
        Some(window.until.boot.saturating_sub(now.boot)).filter(|left| !left.is_zero())
    }

    /// Whether this is the first trigger of the key in its window: only that one is recorded.
    pub(crate) fn record_once(&mut self, playbook: &Playbook, identity: &Labels) -> bool {
        let key = DedupKey { playbook: playbook.id.clone(), identity: identity.clone() };
        self.0.get_mut(&scope(playbook, identity)).is_some_and(|window| window.recorded.insert(key))
    }

    /// Forgets the windows that are over.
    pub(crate) fn sweep(&mut self, now: Moment) {
        self.0.retain(|_, window| !window.until.is_due_after_sleep(now));
    }
}

fn scope(playbook: &Playbook, identity: &Labels) -> DedupKey {
    let identity = match playbook.cooldown_scope {
        CooldownScope::Target => identity.clone(),
        CooldownScope::Playbook => Labels::default(),
    };
    DedupKey { playbook: playbook.id.clone(), identity }
}
