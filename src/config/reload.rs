//! Hot reload: both files are looked at again when something in their directories changed, and every half minute besides.
//!
//! The directory is watched, not the file: editors replace files. So is the directory of every link on the way. An event says
//! only "look again"; what counts are the bytes. A bad file changes nothing: the old configuration stays in force.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, after, bounded, never, select};
use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::locate::Location;
use super::problem::{Level, Problem};
use super::source::{PLAYBOOKS, SETTINGS, Source};
use super::{Config, Half, Halves, Loaded};
use crate::clock::Moment;
use crate::threads::{self, Worker};

/// How long nothing must change before the files are read: a save is often several writes.
const QUIET: Duration = Duration::from_millis(150);
/// The files are read at the latest this long after the first change, whatever goes on.
const AT_MOST: Duration = Duration::from_millis(700);
/// How often the files are looked at without an event: queues overflow, and network file systems send none.
const POLL: Duration = Duration::from_secs(30);
/// The same where nothing could be watched at all.
const POLL_BLIND: Duration = Duration::from_secs(3);
const MAX_HOPS: usize = 40;

/// What a look at the files came to.
#[derive(Clone, Debug)]
pub enum Reloaded {
    /// This configuration is in force from now on. The problems are those of a file that is not: the other one was loaded
    /// together with its last good content.
    Loaded {
        /// The new configuration.
        config: Arc<Config>,
        /// Why one of the files on disk is not in force; empty when both are.
        problems: Vec<Problem>,
    },
    /// Nothing changed: the files on disk are bad.
    Rejected(Vec<Problem>),
    /// The files on disk are the ones in force.
    Unchanged,
}

/// A request to look now (SIGHUP, `autoheal reload`). The answer is about the bytes on disk at the time of asking.
#[derive(Debug)]
pub struct Now {
    /// Where the answer goes, if somebody waits for it. `Loaded` and `Rejected` go to the agent as well.
    pub reply: Option<Sender<Reloaded>>,
}

/// Starts the thread `reload`. It ends when the sender of `shutdown` is dropped, or nobody listens to `changes`.
#[must_use]
pub fn start(
    location: Location,
    in_force: Arc<Config>,
    changes: Sender<Reloaded>,
    requests: Receiver<Now>,
    shutdown: Receiver<()>,
) -> Worker {
    threads::spawn("reload", move || {
        let (poke, events) = bounded(1);
        let watch = Watch::new(&location, poke);
        run(Reloader::new(location, in_force), watch, &events, &changes, requests, &shutdown);
    })
}

fn run(
    mut reloader: Reloader,
    mut watch: Watch,
    events: &Receiver<()>,
    changes: &Sender<Reloaded>,
    mut requests: Receiver<Now>,
    shutdown: &Receiver<()>,
) {
    // The files may have changed since they were loaded at the start: the first look is at once.
    let mut first_change = Some(Moment::now());
    loop {
        let wait = match first_change {
            // Whatever has been changing for long enough is read as it is.
            Some(first) => QUIET.min(AT_MOST.saturating_sub(Moment::now().since(first))),
            None if watch.is_blind(&reloader.location) => POLL_BLIND,
            None => POLL,
        };
        let mut reply = None;
        select! {
            recv(shutdown) -> _ => return,
            recv(events) -> _ => {
                first_change.get_or_insert_with(Moment::now);
                continue;
            }
            recv(requests) -> request => match request {
                Ok(now) => reply = Some(now.reply),
                // A disconnected channel is always ready; this one asks no more.
                Err(_) => {
                    requests = never();
                    continue;
                }
            },
            recv(after(wait)) -> _ => {}
        }
        first_change = None;
        // The watches first: what changes after this line is seen as an event.
        watch.refresh(&reloader.location);
        let asked = reply.is_some();
        let result = reloader.look(asked);
        if let Some(reply) = reply.flatten() {
            // Who asked may have gone away.
            let _ = reply.send(result.clone());
        }
        if !matches!(result, Reloaded::Unchanged) && changes.send(result).is_err() {
            return;
        }
    }
}

/// The state of reloading, without threads and events.
#[derive(Debug)]
struct Reloader {
    location: Location,
    in_force: Arc<Config>,
    /// The files that the configuration in force was made of; unknown until the first look finds them. Copies of the last good
    /// files in the data directory begin here.
    good: Option<Halves>,
    /// What was seen at the last look: the same bytes are not judged, and not logged, twice.
    seen: Option<Halves>,
    /// What is wrong with `seen`.
    problems: Vec<Problem>,
}

impl Reloader {
    fn new(location: Location, in_force: Arc<Config>) -> Self {
        Self { location, in_force, good: None, seen: None, problems: Vec::new() }
    }

    /// Reads both files and judges them if they are new, or if somebody asked.
    fn look(&mut self, asked: bool) -> Reloaded {
        let now = Halves::read(&self.sources(), self.location.trust);
        let repeated = self.seen.as_ref() == Some(&now);
        if repeated && !asked {
            return Reloaded::Unchanged;
        }
        self.seen = Some(now.clone());
        if self.good.as_ref() == Some(&now) {
            return self.unchanged(asked);
        }
        let result = self.judge(now);
        match &result {
            Reloaded::Loaded { problems, .. } | Reloaded::Rejected(problems) => self.problems.clone_from(problems),
            Reloaded::Unchanged => {}
        }
        if !repeated || asked {
            report(&self.problems);
        }
        result
    }

    /// The files are those in force. After a bad save that is news, and who asked gets an answer.
    fn unchanged(&mut self, asked: bool) -> Reloaded {
        if std::mem::take(&mut self.problems).is_empty() {
            if asked {
                log::info!("configuration: the files on disk are those in force already");
            }
            return Reloaded::Unchanged;
        }
        log::info!("configuration: the files on disk are those in force again");
        Reloaded::Loaded { config: Arc::clone(&self.in_force), problems: Vec::new() }
    }

    /// The files that are there now. Settings that were there and are gone are missing: the embedded ones are meant only where
    /// there were never any.
    fn sources(&self) -> super::Sources {
        let mut sources = self.location.sources();
        if let (Source::BuiltIn, Source::File(path)) = (&sources.settings, &self.settings_source()) {
            sources.settings = Source::File(path.clone());
        }
        sources
    }

    fn settings_source(&self) -> Source {
        let before = self.good.as_ref().or(self.seen.as_ref());
        before.map_or(Source::BuiltIn, |halves| halves.settings.source.clone())
    }

    fn judge(&mut self, now: Halves) -> Reloaded {
        let dir = self.location.dir.clone();
        let problems = match now.judge(dir.clone()).result {
            Ok(config) => return self.take(now, config, Vec::new()),
            Err(problems) => problems,
        };
        // If one file is bad by itself, the other is loaded with the bad one's last good content.
        let Some(good) = &self.good else { return Reloaded::Rejected(problems) };
        let with = |playbooks: &Half, settings: &Half| Halves { playbooks: playbooks.clone(), settings: settings.clone() };
        let mixed = match (now.playbooks_are_bad(), now.settings_are_bad()) {
            (true, false) if now.settings != good.settings => with(&good.playbooks, &now.settings),
            (false, true) if now.playbooks != good.playbooks => with(&now.playbooks, &good.settings),
            _ => return Reloaded::Rejected(problems),
        };
        let Loaded { result, .. } = mixed.judge(dir);
        match result {
            Ok(config) => self.take(mixed, config, problems),
            Err(_) => Reloaded::Rejected(problems),
        }
    }

    fn take(&mut self, halves: Halves, config: Config, problems: Vec<Problem>) -> Reloaded {
        let first = self.good.is_none() && config.settings == self.in_force.settings && config.playbooks == self.in_force.playbooks;
        if first && problems.is_empty() {
            self.good = Some(halves);
            return self.unchanged(false);
        }
        log::info!("configuration loaded {}", changes(&self.in_force, &config));
        if self.in_force.settings.watch != config.settings.watch {
            log::info!("watching {}", config.settings.watch);
        }
        self.good = Some(halves);
        self.in_force = Arc::new(config);
        Reloaded::Loaded { config: Arc::clone(&self.in_force), problems }
    }
}

fn report(problems: &[Problem]) {
    for problem in problems.iter().filter(|problem| problem.severity == Level::Error) {
        log::error!("configuration refused, the old one stays in force: {problem}");
    }
}

/// What is different, in a few words.
fn changes(old: &Config, new: &Config) -> String {
    let books = |config: &Config| -> BTreeMap<String, Arc<super::Playbook>> {
        config.playbooks.iter().map(|playbook| (playbook.id.clone(), Arc::clone(playbook))).collect()
    };
    let (before, after) = (books(old), books(new));
    let added = after.keys().filter(|id| !before.contains_key(*id));
    let removed = before.keys().filter(|id| !after.contains_key(*id));
    let changed = after.iter().filter(|(id, playbook)| before.get(*id).is_some_and(|old| old != *playbook)).map(|(id, _)| id);
    let mut words: Vec<String> = Vec::new();
    let lists: [(&str, Vec<&String>); 3] = [("added", added.collect()), ("removed", removed.collect()), ("changed", changed.collect())];
    for (word, ids) in lists {
        if !ids.is_empty() {
            words.push(format!("{word}={}", ids.into_iter().map(String::as_str).collect::<Vec<_>>().join(",")));
        }
    }
    if old.settings != new.settings {
        words.push("settings=changed".to_owned());
    }
    // The one switch that decides whether anything runs at all is never changed without a word.
    if old.settings.dry_run != new.settings.dry_run {
        words.push(format!("dry_run={}", new.settings.dry_run));
    }
    if words.is_empty() { "nothing that matters changed".to_owned() } else { words.join(" ") }
}

fn watcher(poke: Sender<()>) -> Option<RecommendedWatcher> {
    let handle = move |event: notify::Result<Event>| {
        if event.map_or(true, |event| matters(event.kind)) {
            // One waiting poke is enough: it says only "look again".
            let _ = poke.try_send(());
        }
    };
    notify::recommended_watcher(handle)
        .map_err(|error| log::warn!("configuration: cannot watch for changes, looking every {} s: {error}", POLL_BLIND.as_secs()))
        .ok()
}

/// Our own reading makes events too; only the end of somebody's writing matters among those.
fn matters(kind: EventKind) -> bool {
    !matches!(kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write))
}

/// Which directories are watched. A directory that was replaced is another one.
struct Watch {
    watcher: Option<RecommendedWatcher>,
    directories: BTreeMap<PathBuf, (u64, u64)>,
}

impl Watch {
    fn new(location: &Location, poke: Sender<()>) -> Self {
        let watcher = location.dir.as_ref().and_then(|_| watcher(poke));
        let mut state = Self { watcher, directories: BTreeMap::new() };
        state.refresh(location);
        state
    }

    /// Something should be watched, and nothing is.
    fn is_blind(&self, location: &Location) -> bool {
        location.dir.is_some() && self.directories.is_empty()
    }

    fn refresh(&mut self, location: &Location) {
        let (Some(dir), Some(watcher)) = (&location.dir, &mut self.watcher) else { return };
        let wanted = directories(dir);
        self.directories.retain(|path, id| {
            let keep = wanted.get(path) == Some(id);
            if !keep {
                // It may be gone already.
                let _ = watcher.unwatch(path);
            }
            keep
        });
        for (path, id) in wanted {
            if self.directories.contains_key(&path) {
                continue;
            }
            match watcher.watch(&path, RecursiveMode::NonRecursive) {
                Ok(()) => drop(self.directories.insert(path, id)),
                Err(error) => log::warn!("configuration: cannot watch {}: {error}", path.display()),
            }
        }
    }
}

/// The directory of the configuration, and that of every link that its files lead through.
fn directories(dir: &Path) -> BTreeMap<PathBuf, (u64, u64)> {
    let mut found = BTreeMap::new();
    let mut add = |path: &Path| {
        if let Ok(facts) = path.metadata() {
            found.insert(path.to_owned(), (facts.dev(), facts.ino()));
        }
    };
    add(dir);
    for name in [PLAYBOOKS, SETTINGS] {
        let mut path = dir.join(name);
        for _ in 0..MAX_HOPS {
            // A link may also be in the middle of the target: `..data/file`, where `..data` is one.
            for ancestor in path.clone().ancestors().skip(1).filter(|ancestor| ancestor.is_symlink()) {
                ancestor.parent().into_iter().for_each(&mut add);
            }
            let parent = path.parent().unwrap_or(dir).to_owned();
            add(&parent);
            match path.read_link() {
                Ok(target) => path = parent.join(target),
                Err(_) => break,
            }
        }
    }
    found
}

#[cfg(test)]
#[path = "reload_tests.rs"]
mod tests;
