//! What happens in a history: one event after the other, and the calm at its end.

use std::time::Duration;

use autoheal::detect::detector::{Detector, opening};
use autoheal::heal::healer::Healer;
use autoheal::heal::silence::Silence;
use autoheal::incident::id::Ids;
use autoheal::incident::{Answer, DedupKey, Incident, Source, Status};
use autoheal::sample::Labels;

use super::playbooks;
use super::world::{Due, Health, History};

impl History {
    pub(super) fn happens(&mut self) {
        match self.random.below(100) {
            0..30 => self.health(),
            30..64 => self.time(),
            64..74 => self.answer(),
            74..82 => self.dies_in = Some(self.random.below(7)),
            82..85 => self.clocks(),
            85..91 => self.reload(),
            91..94 => self.silence(),
            94..96 => self.reset(),
            96..98 => self.by_hand(),
            _ => self.gone(),
        }
    }

    fn health(&mut self) {
        let health = self.random.of(&[Health::Bad, Health::Bad, Health::Bad, Health::Well, Health::Well, Health::Unknown]);
        self.set(health);
        self.pass(Duration::from_secs(1));
    }

    fn gone(&mut self) {
        self.set(Health::Gone);
        self.pass(Duration::from_secs(1));
    }

    fn set(&mut self, health: Health) {
        let at = self.random.index(self.world.len());
        let key = self.world.keys().nth(at).unwrap().clone();
        self.rules.say(|| format!("{} of {} becomes {}", key.0, key.1, health.name()));
        self.world.insert(key, health);
    }

    fn time(&mut self) {
        let most = self.random.of(&[5, 30, 120, 120, 900, 7200]);
        let span = Duration::from_millis(self.random.below(most * 1000));
        self.rules.say(|| format!("{span:?} pass"));
        self.pass(span);
    }

    fn answer(&mut self) {
        let asking = self.healer.live().filter(|incident| incident.status == Status::AwaitingApproval).map(|incident| incident.id.clone());
        let asking: Vec<String> = asking.collect();
        if asking.is_empty() {
            return self.health();
        }
        let (id, yes) = (self.random.of(&asking), self.random.percent(60));
        let answer = Answer { yes, by: "ops".to_owned(), from: "here".to_owned(), reason: None };
        if let Ok(effects) = self.healer.answer(&id, None, answer, self.now()) {
            self.perform(effects);
            self.revive();
        }
    }

    /// The machine sleeps, or somebody sets its clock.
    fn clocks(&mut self) {
        if self.random.percent(50) {
            self.slept += Duration::from_secs(self.random.of(&[2, 60, 3600, 30_000]));
        } else {
            self.wall += self.random.of(&[-300_000, -3600, 3600, 300_000]);
        }
        self.pass(Duration::from_secs(1));
    }

    fn reload(&mut self) {
        let mut ids: Vec<String> = self.in_force.keys().chain(self.withdrawn.keys()).cloned().collect();
        ids.sort();
        let id = self.random.of(&ids);
        match self.random.below(10) {
            0..2 => self.dry_run = !self.dry_run,
            2..4 => self.most = self.random.of(&[0, 2, 60, 60]),
            _ => match (self.in_force.remove(&id), self.random.percent(30)) {
                (Some(playbook), true) => drop(self.withdrawn.insert(id, playbook)),
                (Some(playbook), false) => drop(self.in_force.insert(id, playbooks::edit(&mut self.random, &playbook))),
                (None, _) => self.in_force.extend(self.withdrawn.remove_entry(&id)),
            },
        }
        let (dry_run, most) = (self.dry_run, self.most);
        self.rules.say(|| format!("reload: dry run {dry_run}, {most} actions an hour"));
        self.configure();
        self.revive();
    }

    fn silence(&mut self) {
        let until = self.now().after(Duration::from_secs(self.random.of(&[5, 60, 600, 7200])));
        let playbook = self.random.percent(50).then(|| format!("p{}", self.random.below(4)));
        let labels = if self.random.percent(50) { Labels::default() } else { Labels::from([("mount", "/t0")]) };
        let silence = Silence { id: String::new(), playbook, labels, until, reason: None, by: "ops".to_owned() };
        let now = self.now();
        let (id, effects) = self.healer.begin_silence(silence.clone(), now);
        self.rules.silenced(Silence { id: id.clone(), ..silence });
        self.perform(effects);
        if !self.revive() && self.random.percent(20) {
            self.rules.unsilenced(&id);
            let effects = self.healer.end_silence(&id, now).unwrap();
            self.perform(effects);
            self.revive();
        }
    }

    fn reset(&mut self) {
        let playbook = format!("p{}", self.random.below(4));
        self.rules.reset(&playbook);
        let (_, effects) = self.healer.reset(&playbook, &Labels::default(), self.now());
        self.perform(effects);
        self.revive();
    }

    fn by_hand(&mut self) {
        let mut ids: Vec<String> = self.in_force.keys().cloned().collect();
        ids.sort();
        let Some(id) = ids.get(self.random.index(ids.len().max(1))) else { return };
        let playbook = &self.in_force[id];
        let metric = playbook.condition.leading().metric;
        let samples = self.samples(Duration::from_secs(10)).into_iter().filter(|sample| sample.metric == metric);
        let samples: Vec<_> = samples.filter(|sample| sample.target.label("mount") == Some("/t0")).collect();
        if samples.is_empty() || !playbook.enabled {
            return;
        }
        let mut opening = opening(playbook, &samples[0].target.identity.clone(), samples, self.now());
        (opening.source, opening.force) = (Source::Cli, self.random.percent(50));
        self.rules.by_hand(&opening.key());
        if let Ok((_, effects)) = self.healer.open_by_hand(opening, self.now()) {
            self.perform(effects);
            self.revive();
        }
    }

    /// If the agent was killed it starts again. All that is left is what was written down, and some of what was on its way.
    pub(super) fn revive(&mut self) -> bool {
        if !std::mem::take(&mut self.dead) {
            return false;
        }
        self.dies_in = None;
        self.lives += 1;
        self.disk.flush(self.random.index(self.disk.pending() + 1));
        self.compare();
        let lost = self.disk.lose();
        self.rules.crashed(&lost);
        let survives = self.random.percent(50);
        let acting = self.acting.take_if(|_| !survives);
        self.agenda.retain(|(_, due)| matches!(due, Due::Finish(id, ..) if acting.as_ref().is_none_or(|(killed, _)| killed != id)));
        self.healer = Healer::new("host".to_owned(), Ids::new((self.seed << 20) + (self.lives << 40)), self.dry_run, self.most);
        self.detector = Detector::default();
        // The worker is told of its configuration before it takes up what was left.
        self.configure();
        let saved = self.disk.restore(self.now());
        self.rules.restored(&saved, &self.disk);
        self.healer.load(saved);
        let keys: Vec<DedupKey> = self.healer.live().map(Incident::key).collect();
        self.detector.expect(keys, Duration::from_secs(10), self.now());
        let running = self.acting.clone().map(|(id, _)| id);
        let effects = self.healer.resume(&self.in_force.clone(), |incident| running.as_ref() == Some(&incident.id), self.now());
        self.perform(effects);
        true
    }

    /// Every target is well or unknown, nobody answers, and time passes: nothing may stay open.
    pub(super) fn settles(&mut self) {
        self.dies_in = None;
        let health = self.random.of(&[Health::Well, Health::Well, Health::Unknown, Health::Gone]);
        self.world.values_mut().for_each(|old| *old = health);
        for _ in 0..8 {
            if self.healer.live().len() == 0 {
                break;
            }
            self.pass(Duration::from_secs(6 * 3600));
        }
        let waits = |incident: &Incident| self.most == 0 && incident.ready().is_some();
        let open: Vec<String> = self
            .healer
            .live()
            .filter(|incident| !waits(incident))
            .map(|incident| format!("{} {} {}: {}", incident.id, incident.key(), incident.status, incident.last_word()))
            .collect();
        self.rules.must(open.is_empty(), || format!("every incident ends: two days later these are open: {}", open.join("; ")));
        self.check();
    }
}

impl Health {
    fn name(self) -> &'static str {
        match self {
            Self::Well => "well",
            Self::Bad => "bad",
            Self::Unknown => "unknown",
            Self::Gone => "gone",
        }
    }
}
