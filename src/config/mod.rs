//! The two files: from text to a [`Config`], or to every problem at once.
//!
//! A file is read ([`source`]), parsed into a tree with places ([`document`]), given its shape (`raw_*`, on [`node`]), and checked
//! for its meaning ([`semantic`]: labels, placeholders, the guard). [`remarks`] adds what is legal but probably not meant.

pub mod checkup;
pub mod codes;
mod condition;
mod document;
pub(crate) mod expression;
pub mod ignored;
mod last_good;
mod locate;
mod mend;
mod node;
pub mod playbook;
pub mod problem;
mod proof;
mod raw_action;
mod raw_action_parts;
mod raw_certificate;
mod raw_channel;
mod raw_later;
mod raw_playbooks;
mod raw_settings;
mod raw_silence;
mod raw_watch;
pub mod rehearsal;
pub mod reload;
mod remarks;
mod render;
pub mod schema;
mod schema_condition;
mod semantic;
pub mod settings;
mod shape;
pub mod source;
mod syntax;
mod token;
mod trust;
mod units;
pub mod watched;
pub mod words;

use std::collections::HashMap;
use std::iter;
use std::path::PathBuf;
use std::sync::Arc;

use crate::detect::condition::Condition;
use crate::heal::guard::Policy;
use crate::metric::Metric;
use document::Document;
use node::Cx;
use playbook::Playbook;
use problem::{Level, Problem, place};
use settings::Settings;
use source::{Source, Sources, Text, Texts};
use watched::Watches;

pub use locate::{Location, Places};
pub(crate) use raw_action::fault as action_fault;
pub use render::{render, visible};
pub use trust::Trust;
pub(crate) use trust::other_writer;

/// The configuration in force: both files, checked together, and the guard's rules compiled from them.
#[derive(Clone, Debug)]
pub struct Config {
    /// `autoheal.json`
    pub settings: Arc<Settings>,
    /// `autoheal-playbooks.json`, in the order of the file.
    pub playbooks: Vec<Arc<Playbook>>,
    /// The guard.
    pub policy: Arc<Policy>,
    /// Warnings and notes.
    pub remarks: Vec<Problem>,
    /// Where it came from.
    pub origin: Origin,
    /// What the texts of both files hash to.
    pub digests: Digests,
}

impl Config {
    /// The playbooks by their ids.
    #[must_use]
    pub fn by_id(&self) -> HashMap<String, Arc<Playbook>> {
        self.playbooks.iter().map(|playbook| (playbook.id.clone(), Arc::clone(playbook))).collect()
    }

    /// The metrics that conditions and proofs of playbooks in force name; some stand twice.
    #[must_use]
    pub fn metrics(&self) -> Vec<&'static Metric> {
        let enabled = self.playbooks.iter().filter(|playbook| playbook.enabled);
        let conditions =
            enabled.flat_map(|playbook| iter::once(&playbook.condition).chain(playbook.verify.as_ref().map(|verify| &verify.condition)));
        conditions.flat_map(Condition::comparisons).map(|comparison| comparison.metric).collect()
    }
}

/// SHA-256 of both files' texts, in hexadecimal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Digests {
    /// Of the playbooks.
    pub playbooks: String,
    /// Of the settings.
    pub settings: String,
}

impl Digests {
    fn of(playbooks: &Text, settings: &Text) -> Self {
        Self { playbooks: Self::sha256(playbooks), settings: Self::sha256(settings) }
    }

    fn sha256(text: &Text) -> String {
        let digest = ring::digest::digest(&ring::digest::SHA256, text.text.as_bytes());
        digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Where a configuration came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The directory, or `None` for the embedded files.
    pub dir: Option<PathBuf>,
    /// The directory holds no settings: the embedded ones are in force, hence dry run.
    pub built_in_settings: bool,
}

impl std::fmt::Display for Origin {
    /// `/etc/autoheal`, or `built in`.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.dir {
            Some(dir) if self.built_in_settings => write!(out, "{} (settings: built in)", dir.display()),
            Some(dir) => write!(out, "{}", dir.display()),
            None => out.write_str("(built in)"),
        }
    }
}

/// What a load came to, with the texts that its problems and remarks are about.
#[derive(Debug)]
pub struct Loaded<T = Config> {
    /// For [`render()`]. The text of a file that could not be read is empty.
    pub texts: Texts,
    /// The configuration, or every problem (warnings included).
    pub result: Result<T, Vec<Problem>>,
}

impl Loaded {
    /// Every problem: where the files are refused those that say why, else what is doubtful.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        match &self.result {
            Ok(config) => &config.remarks,
            Err(problems) => problems,
        }
    }
}

/// Reads and checks the files of a location.
#[must_use]
pub fn load(location: &Location) -> Loaded {
    with_remarks(Halves::read(&location.sources(), location.trust).judge(location.dir.clone()), location)
}

/// Reads and checks the settings of a location by themselves: whoever asks about rules or targets need not have good playbooks.
#[must_use]
pub fn load_settings(location: &Location) -> Loaded<Settings> {
    let half = Half::read(&location.sources().settings, source::shipped_settings, location.trust);
    let texts = Texts { playbooks: Text::new(String::new(), ""), settings: half.text() };
    let result = match half.read {
        Ok((text, _)) => parse_settings(&text),
        Err(problem) => Err(vec![*problem]),
    };
    Loaded { texts, result }
}

/// Adds what was found out while the location was chosen.
fn with_remarks(mut loaded: Loaded, location: &Location) -> Loaded {
    match &mut loaded.result {
        Ok(config) => config.remarks.splice(0..0, location.remarks.iter().cloned()),
        Err(problems) => problems.splice(0..0, location.remarks.iter().cloned()),
    };
    loaded
}

/// Reads and checks two files that were named.
#[must_use]
pub fn load_sources(sources: &Sources, dir: Option<PathBuf>, trust: Trust) -> Loaded {
    Halves::read(sources, trust).judge(dir)
}

/// One file as it was read: its text and warnings about who can write it, or why it could not be read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Half {
    source: Source,
    read: Result<(Text, Vec<Problem>), Box<Problem>>,
}

impl Half {
    fn read(source: &Source, built_in: fn() -> Text, trust: Trust) -> Self {
        let read = match source {
            Source::BuiltIn => Ok((built_in(), Vec::new())),
            Source::File(path) => source::read(path, trust),
        };
        Self { source: source.clone(), read }
    }

    fn text(&self) -> Text {
        match &self.read {
            Ok((text, _)) => text.clone(),
            Err(problem) => Text::new(problem.file.clone(), ""),
        }
    }

    /// Whether it is a whole JSON text, whatever that says.
    fn is_whole(&self) -> bool {
        self.read.as_ref().is_ok_and(|(text, _)| Document::open(text).is_ok())
    }
}

/// Both files as they were read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Halves {
    playbooks: Half,
    settings: Half,
}

impl Halves {
    fn read(sources: &Sources, trust: Trust) -> Self {
        Self {
            playbooks: Half::read(&sources.playbooks, source::shipped_playbooks, trust),
            settings: Half::read(&sources.settings, source::shipped_settings, trust),
        }
    }

    fn judge(&self, dir: Option<PathBuf>) -> Loaded {
        let texts = Texts { playbooks: self.playbooks.text(), settings: self.settings.text() };
        let mut early = Vec::new();
        for half in [&self.playbooks, &self.settings] {
            match &half.read {
                Ok((_, warnings)) => early.extend(warnings.iter().cloned()),
                Err(problem) => early.push((**problem).clone()),
            }
        }
        let result = if self.playbooks.read.is_ok() && self.settings.read.is_ok() {
            parse(&texts.playbooks, &texts.settings)
        } else {
            // What can be said about the other file is said all the same.
            Err([self.playbooks_alone(), self.settings_alone()].concat())
        };
        let built_in_settings = dir.is_some() && self.settings.source == Source::BuiltIn;
        let result = match result {
            Ok(config) => {
                let remarks = early.into_iter().chain(config.remarks).collect();
                Ok(Config { origin: Origin { dir, built_in_settings }, remarks, ..config })
            }
            Err(problems) => Err(early.into_iter().chain(problems).collect()),
        };
        Loaded { texts, result }
    }

    /// Whether the playbooks cannot be loaded with any settings.
    fn playbooks_are_bad(&self) -> bool {
        self.playbooks.read.is_err() || has_errors(&self.playbooks_alone())
    }

    /// Whether the settings cannot be loaded with any playbooks.
    fn settings_are_bad(&self) -> bool {
        self.settings.read.is_err() || has_errors(&self.settings_alone())
    }

    /// Problems of the playbooks that no settings can cure.
    fn playbooks_alone(&self) -> Vec<Problem> {
        if self.playbooks.read.is_err() { Vec::new() } else { Parsed::playbooks(&self.playbooks.text()).into_problems() }
    }

    /// Problems of the settings that no playbooks can cure.
    fn settings_alone(&self) -> Vec<Problem> {
        if self.settings.read.is_err() { Vec::new() } else { Parsed::settings(&self.settings.text()).into_problems() }
    }
}

fn has_errors(problems: &[Problem]) -> bool {
    problems.iter().any(|problem| problem.severity == Level::Error)
}

/// A file by itself.
struct Parsed<'t, T> {
    document: Option<Document<'t>>,
    value: Option<T>,
    problems: Vec<Problem>,
}

impl<'t, T> Parsed<'t, T> {
    fn new(text: &'t Text, read: impl FnOnce(&Document<'t>, &mut Cx<'t>) -> Option<T>) -> Self {
        match Document::open(text) {
            Ok(document) => {
                let mut cx = Cx::new(text);
                let value = read(&document, &mut cx);
                Self { document: Some(document), value, problems: cx.problems }
            }
            Err(problem) => Self { document: None, value: None, problems: vec![*problem] },
        }
    }

    fn into_problems(mut self) -> Vec<Problem> {
        if let Some(document) = &self.document {
            place(&document.text.text, &mut self.problems);
        }
        self.problems
    }
}

impl<'t> Parsed<'t, Vec<Playbook>> {
    fn playbooks(text: &'t Text) -> Self {
        Self::new(text, |document, cx| {
            let playbooks = raw_playbooks::read(&document.root, cx);
            for playbook in &playbooks {
                semantic::labels(document, playbook, &mut cx.problems);
            }
            Some(playbooks)
        })
    }
}

impl<'t> Parsed<'t, (Settings, Policy)> {
    fn settings(text: &'t Text) -> Self {
        Self::new(text, |document, cx| {
            let settings = raw_settings::read(&document.root, cx)?;
            let (policy, found) = Policy::compile(&settings);
            cx.problems.extend(semantic::rules(document, found));
            for (path, draft) in remarks::settings(&settings) {
                let span = document.span_of(&path);
                cx.problems.push(draft.at(&document.text.file, &path, span));
            }
            Some((settings, policy))
        })
    }
}

/// Checks both texts together. Needs no files.
///
/// # Errors
/// Every problem of both, if one of them is an error; else warnings and notes are the configuration's remarks.
pub fn parse(playbooks: &Text, settings: &Text) -> Result<Config, Vec<Problem>> {
    let mut rules = Parsed::settings(settings);
    let mut books = Parsed::playbooks(playbooks);
    if let (Some(document), Some(list), Some(of_rules), Some((settings, policy))) =
        (&books.document, &books.value, &rules.document, &rules.value)
    {
        let reviews = semantic::guard(document, list, policy, settings, &mut books.problems);
        let watches = Watches::of(settings);
        for (path, draft) in list.iter().flat_map(|playbook| remarks::playbook(playbook, settings, &watches, &reviews)) {
            books.problems.push(draft.at(&document.text.file, &path, document.head_of(&path)));
        }
        for (path, draft) in remarks::not_covered(list, &watches) {
            rules.problems.push(draft.at(&of_rules.text.file, &path, of_rules.head_of(&path)));
        }
    }
    let digests = Digests::of(playbooks, settings);
    let (list, compiled) = (books.value.take(), rules.value.take());
    let problems = [books.into_problems(), rules.into_problems()].concat();
    match (list, compiled) {
        (Some(list), Some((settings, policy))) if !has_errors(&problems) => Ok(Config {
            settings: Arc::new(settings),
            playbooks: list.into_iter().map(Arc::new).collect(),
            policy: Arc::new(policy),
            remarks: problems,
            origin: Origin { dir: None, built_in_settings: false },
            digests,
        }),
        _ => Err(problems),
    }
}

/// Checks settings by themselves.
///
/// # Errors
/// Every problem, if one of them is an error.
pub fn parse_settings(text: &Text) -> Result<Settings, Vec<Problem>> {
    let mut parsed = Parsed::settings(text);
    let value = parsed.value.take();
    let problems = parsed.into_problems();
    match value {
        Some((settings, _)) if !has_errors(&problems) => Ok(settings),
        _ => Err(problems),
    }
}

#[cfg(test)]
mod files_tests;
#[cfg(test)]
mod tests;

#[cfg(test)]
#[path = "reference_tests.rs"]
mod reference;
