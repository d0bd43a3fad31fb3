//! What a look at the files comes to. No threads, no events; the time is an argument.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::super::last_good::LastGood;
use super::super::problem::{Level, Problem};
use super::super::source::{SETTINGS, Source, Sources, Stamp, stamp};
use super::super::{Config, Half, Halves, Loaded, Location, with_remarks};
use super::Reloaded;
use super::changes::changes;
use crate::clock::Moment;

/// What is no whole file (empty, missing, half a JSON text) may be a save in progress: it is bad when it has stayed as it is for
/// this long. So are two files that are bad only together: the other one may be saved next.
pub(super) const UNFINISHED: Duration = Duration::from_secs(1);

/// A configuration to begin with, and what it was made of.
#[derive(Debug)]
pub struct Beginning {
    /// The configuration.
    pub config: Arc<Config>,
    /// Why the files on disk, or one of them, are not in force: then the last good copies are. Empty when the files on disk are.
    pub problems: Vec<Problem>,
    location: Location,
    last_good: Option<LastGood>,
    good: Halves,
    seen: Halves,
}

impl Beginning {
    /// Reads and checks the files of a location; where they are bad, together with, or instead of them, the copies of the last
    /// good ones in the data directory.
    ///
    /// # Errors
    /// What is wrong with the files, when there is no good copy either.
    pub fn read(location: Location, data_dir: &Path) -> Result<Self, Box<Loaded>> {
        let last_good = location.dir.as_deref().map(|dir| LastGood::new(data_dir, dir));
        let had_settings = last_good.as_ref().is_some_and(|copies| copies.had_settings(location.trust));
        let seen = Halves::read(&sources(&location, had_settings), location.trust);
        let Loaded { texts, result } = with_remarks(seen.judge(location.dir.clone()), &location);
        let (config, good, problems) = match result {
            Ok(config) => (config, seen.clone(), Vec::new()),
            Err(problems) => match last_good.as_ref().and_then(|copies| from_copies(copies, &seen, &location)) {
                Some((config, good)) => (config, good, problems),
                None => return Err(Box::new(Loaded { texts, result: Err(problems) })),
            },
        };
        report(&problems, "the last good copy is in force");
        Ok(Self { config: Arc::new(config), problems, location, last_good, good, seen })
    }

    /// The state of the configuration at the start, in the words of contract C1.
    #[must_use]
    pub fn state(&self) -> &'static str {
        match (self.problems.is_empty(), &self.location.dir) {
            (false, _) => "last_good",
            (true, None) => "default",
            (true, Some(_)) => "ok",
        }
    }
}

/// The copies; if only one of the files on disk is bad by itself, that one's copy with the other as it is on disk.
fn from_copies(copies: &LastGood, seen: &Halves, location: &Location) -> Option<(Config, Halves)> {
    let copy = match copies.read(location.trust) {
        Ok(copy) => copy?,
        Err(why) => {
            log::error!("configuration: the last good copy is of no use: {why}");
            return None;
        }
    };
    let mut candidates = seen.mixed_with(&copy).into_iter().chain([copy]);
    candidates.find_map(|halves| {
        let result = halves.judge(location.dir.clone()).result;
        result.inspect_err(|problems| report(problems, "and the last good copy does not load either")).ok().map(|config| (config, halves))
    })
}

/// Says in the log what is doubtful in a configuration that is loaded, but for what was said of the one before it.
pub fn warn(config: &Config, before: Option<&Config>) {
    let said = |remark: &Problem| {
        let same = |other: &Problem| (other.code, &other.path, &other.message) == (remark.code, &remark.path, &remark.message);
        before.is_some_and(|before| before.remarks.iter().any(same))
    };
    for remark in config.remarks.iter().filter(|remark| !said(remark)) {
        match remark.severity {
            Level::Note => log::debug!("{remark}"),
            _ => log::warn!("{remark}"),
        }
    }
}

/// The files that are there now. Settings that were there and are gone are missing: the embedded ones are meant only where there
/// were never any.
fn sources(location: &Location, had_settings: bool) -> Sources {
    let mut sources = location.sources();
    if let (Some(dir), Source::BuiltIn, true) = (&location.dir, &sources.settings, had_settings) {
        sources.settings = Source::File(dir.join(SETTINGS));
    }
    sources
}

/// The state of reloading.
#[derive(Debug)]
pub(super) struct Reloader {
    location: Location,
    pub(super) in_force: Arc<Config>,
    /// The files that the configuration in force was made of.
    good: Halves,
    last_good: Option<LastGood>,
    /// What was seen at the last look: the same bytes are not judged, and not logged, twice.
    seen: Halves,
    /// The state of each file at the last look, and since when it has been so. A file that is emptied by each of many saves is
    /// empty at many looks, and a save in progress at each.
    since: [(Option<Stamp>, Moment); 2],
    /// When what was seen, and may be a save in progress, is to be judged.
    judge_at: Option<Moment>,
    /// What is wrong with `seen`.
    problems: Vec<Problem>,
}

impl Reloader {
    pub(super) fn new(beginning: Beginning, now: Moment) -> Self {
        let Beginning { config, problems, location, last_good, good, seen } = beginning;
        Self { location, in_force: config, good, last_good, seen, since: [(None, now); 2], judge_at: None, problems }
    }

    /// When to look again although nothing more happens.
    pub(super) fn look_again_in(&self, now: Moment) -> Option<Duration> {
        self.judge_at.map(|at| at.running.saturating_sub(now.running))
    }

    /// Reads both files and judges them if they are new, or if somebody asked: who asks wants to know about the bytes on disk now.
    pub(super) fn look(&mut self, asked: bool, now: Moment) -> Reloaded {
        let had_settings = self.good.settings.source != Source::BuiltIn;
        let sources = sources(&self.location, had_settings);
        for (since, source) in self.since.iter_mut().zip([&sources.playbooks, &sources.settings]) {
            let stamp = stamp(source);
            if since.0 != stamp {
                *since = (stamp, now);
            }
        }
        let found = Halves::read(&sources, self.location.trust);
        let repeated = found == self.seen;
        if repeated && self.judge_at.is_none() && !asked { Reloaded::Unchanged } else { self.judge(found, asked, now) }
    }

    /// Keeps copies of the files in force. A disk may take its time: whoever waits for the result of a look has it before.
    pub(super) fn keep(&mut self) {
        if let Some(copies) = &mut self.last_good {
            copies.keep(&self.good);
        }
    }

    fn judge(&mut self, found: Halves, asked: bool, now: Moment) -> Reloaded {
        self.seen = found.clone();
        self.judge_at = None;
        if found == self.good {
            return self.as_in_force(asked);
        }
        let dir = self.location.dir.clone();
        let problems = match found.judge(dir.clone()).result {
            Ok(config) => return self.take(found, config, Vec::new()),
            Err(problems) => problems,
        };
        if let Some(at) = self.unfinished(&found, now).filter(|_| !asked) {
            self.judge_at = Some(at);
            return Reloaded::Unchanged;
        }
        if let Some(mixed) = found.mixed_with(&self.good).filter(|mixed| *mixed != self.good)
            && let Ok(config) = mixed.judge(dir).result
        {
            report(&problems, "the last good content of that file stays in force");
            return self.take(mixed, config, problems);
        }
        report(&problems, "the old one stays in force");
        self.problems.clone_from(&problems);
        Reloaded::Rejected(problems)
    }

    /// Until when these bad files may be a save in progress.
    fn unfinished(&self, found: &Halves, now: Moment) -> Option<Moment> {
        let bad = [found.playbooks_are_bad(), found.settings_are_bad()];
        let halves = [&found.playbooks, &found.settings].into_iter().zip(bad).zip(self.since);
        halves
            .filter(|((half, is_bad), _)| bad == [false; 2] || (*is_bad && !half.is_whole()))
            .map(|(_, (_, since))| since.after(UNFINISHED))
            .filter(|at| !at.is_due(now))
            .max()
    }

    /// The files are those in force. After a bad save that is news, and who asked gets an answer.
    fn as_in_force(&mut self, asked: bool) -> Reloaded {
        if std::mem::take(&mut self.problems).is_empty() {
            if asked {
                log::info!("configuration: the files on disk are those in force already");
            }
            return Reloaded::Unchanged;
        }
        log::info!("configuration: the files on disk are those in force again");
        Reloaded::Loaded { config: Arc::clone(&self.in_force), problems: Vec::new() }
    }

    fn take(&mut self, halves: Halves, config: Config, problems: Vec<Problem>) -> Reloaded {
        log::info!("configuration loaded {}", changes(&self.in_force, &config));
        if self.in_force.settings.watch != config.settings.watch {
            log::info!("watching {}", config.settings.watch);
        }
        self.good = halves;
        self.in_force = Arc::new(config);
        self.problems.clone_from(&problems);
        Reloaded::Loaded { config: Arc::clone(&self.in_force), problems }
    }
}

fn report(problems: &[Problem], consequence: &str) {
    for problem in problems.iter().filter(|problem| problem.severity == Level::Error) {
        log::error!("configuration refused, {consequence}: {problem}");
    }
}

impl Halves {
    /// If one of these files is bad by itself and the other is not, the good one together with the other pair's copy of the bad one.
    fn mixed_with(&self, good: &Self) -> Option<Self> {
        let with = |playbooks: &Half, settings: &Half| Self { playbooks: playbooks.clone(), settings: settings.clone() };
        match (self.playbooks_are_bad(), self.settings_are_bad()) {
            (true, false) => Some(with(&good.playbooks, &self.settings)),
            (false, true) => Some(with(&self.playbooks, &good.settings)),
            _ => None,
        }
    }
}
