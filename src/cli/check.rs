//! `autoheal check`: what is wrong with the configuration, and what it means in words.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::check_targets::{self, Line};
use super::check_text::Page;
use super::fields::amount;
use super::{Failure, explain};
use crate::clock::in_words;
use crate::collect::Survey;
use crate::config::checkup::{self, Findings};
use crate::config::ignored::ignored;
use crate::config::playbook::{Action, Playbook, Strategy};
use crate::config::problem::{Level, Problem};
use crate::config::rehearsal::refused_now;
use crate::config::settings::Settings;
use crate::config::source::{PLAYBOOKS, Source, Sources, Texts};
use crate::config::watched::Watches;
use crate::config::words::{self, proven_by, selector};
use crate::config::{Config, Loaded, Location, Places, Trust, load_sources};
use crate::detect::condition::Selector;
use crate::detect::detector;
use crate::heal::guard::Request;
use crate::sample::{Labels, Sample};
use crate::{collect, threads};

/// Validates the configuration, then says in words when each playbook fires, on which targets, what it runs and by which rule, and how the repair is proven.
///
#[derive(Clone, Debug, Default, clap::Args)]
#[command(after_help = "Examples: autoheal check --playbooks draft.json\n          autoheal check --strict --accept nobody_told")]
pub struct Check {
    /// Check this playbook file instead of the one in force
    #[arg(long, value_name = "FILE")]
    pub playbooks: Option<PathBuf>,
    /// Check these settings instead of those in force
    #[arg(long, value_name = "FILE")]
    pub settings: Option<PathBuf>,
    /// Fail on warnings too
    #[arg(long)]
    pub strict: bool,
    /// Do not fail on warnings of this code (as in `code: nobody_told`); may be repeated
    #[arg(long, value_name = "CODE", requires = "strict")]
    pub accept: Vec<String>,
}

/// Looks at everything that the settings watch, once.
pub type Look = dyn Fn(&Arc<Settings>) -> Findings;

/// What the command needs besides its own arguments.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Where the files are looked for.
    pub places: &'a Places,
    /// One JSON object instead of text.
    pub json: bool,
    /// Colours in the text.
    pub color: bool,
    /// How many columns a line has; `None`: as many as it wants.
    pub width: Option<usize>,
    /// Looks at this host, to name the targets that exist now and what is wrong with them; without it they are taken from the
    /// settings.
    pub look: Option<&'a Look>,
}

impl std::fmt::Debug for Context<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Context").field("places", self.places).field("json", &self.json).finish_non_exhaustive()
    }
}

/// How long is measured.
const MEASURE: Duration = Duration::from_secs(5);

/// After this the files, or a look at the host, are called hung: something does not even let itself be given up.
const HUNG: Duration = Duration::from_secs(8);

/// Looks at this host, for some seconds at most.
#[must_use]
pub fn look(settings: &Arc<Settings>) -> Findings {
    let [own, also] = [Arc::clone(settings), Arc::clone(settings)];
    Findings {
        survey: threads::within("check:measure", HUNG, move || collect::survey(&own, MEASURE)),
        census: threads::within("check:census", HUNG, move || collect::census::census(&also.watch.processes)),
    }
}

/// Runs the command. The answer is the exit code: 1 on errors (with `--strict` on warnings that are not accepted too), else 0.
///
/// # Errors
/// When the files cannot be looked at, `out` cannot be written, or an accepted code does not exist.
pub fn run(args: &Check, context: Context<'_>, out: &mut dyn Write) -> super::Answer {
    let accepted: Vec<&str> = args.accept.iter().map(|name| Ok(explain::code(name)?.code)).collect::<Result<_, Failure>>()?;
    let (own, places) = (args.clone(), context.places.clone());
    let Some(mut loaded) = threads::within("check:load", HUNG, move || load(&own, &places)) else {
        let text = format!(
            "the configuration could not be read within {}: its directory, or one that a rule names, does not answer",
            in_words(HUNG)
        );
        return Err(Failure::new("hung", text));
    };
    let findings = loaded.result.as_ref().ok().zip(context.look).map(|(config, look)| look(&config.settings));
    if let (Ok(config), Some(findings)) = (&mut loaded.result, &findings) {
        let seen = checkup::remarks(config, &loaded.texts, findings);
        let refused = findings.survey.as_ref().map_or_else(Vec::new, |survey| rehearsed(config, &loaded.texts, survey));
        config.remarks.extend(seen.into_iter().chain(refused));
    }
    let samples = findings.and_then(|findings| findings.survey).map(|survey| survey.samples);
    let bad = print(&loaded, samples.as_deref(), context, out)?;
    let failing = |problem: &Problem| problem.severity == Level::Warning && !accepted.contains(&problem.code);
    let failed = bad || args.strict && loaded.problems().iter().any(failing);
    Ok(u8::from(failed))
}

/// What the guard would refuse now. It looks at the targets' own paths, so it may hang like a measurement.
fn rehearsed(config: &Config, texts: &Texts, survey: &Survey) -> Vec<Problem> {
    let (own, playbooks, survey) = (config.clone(), texts.playbooks.clone(), survey.clone());
    let refused = threads::within("check:rehearse", HUNG, move || refused_now(&own, &playbooks, &survey));
    refused.unwrap_or_else(|| vec![checkup::not_rehearsed(texts)])
}

/// Prints all of it, and says whether there are errors.
fn print(loaded: &Loaded, samples: Option<&[Sample]>, context: Context<'_>, out: &mut dyn Write) -> io::Result<bool> {
    let (config, problems) = (loaded.result.as_ref().ok(), loaded.problems());
    let count = |level| problems.iter().filter(|problem| problem.severity == level).count();
    let (errors, warnings) = (count(Level::Error), count(Level::Warning));
    let views = |config: &Config| {
        let watches = Watches::of(&config.settings);
        config.playbooks.iter().map(|playbook| View::new(playbook, config, &watches, samples)).collect()
    };
    let playbooks: Vec<View> = config.map_or_else(Vec::new, views);
    if context.json {
        let answer = Answer { ok: errors == 0, errors, warnings, problems, playbooks };
        serde_json::to_writer_pretty(&mut *out, &answer).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        let mut page = Page { out, width: context.width, color: context.color };
        page.problems(problems, &loaded.texts)?;
        playbooks.iter().try_for_each(|playbook| page.playbook(playbook))?;
        page.summary(&summary(config, errors, warnings))?;
    }
    Ok(errors > 0)
}

/// The files that were named, and the others from where the agent would take them; with what else lies beside them.
fn load(args: &Check, places: &Places) -> Loaded {
    let location = places.locate();
    let mut sources = location.sources();
    // A draft may lie anywhere: who could write it matters when it is in force.
    let drafts = args.playbooks.is_some() || args.settings.is_some();
    let trust = if drafts && location.trust == Trust::Refuse { Trust::Warn } else { location.trust };
    if let Some(file) = &args.settings {
        sources.settings = Source::File(file.clone());
        if location.dir.as_ref().is_some_and(|dir| !dir.join(PLAYBOOKS).exists()) {
            sources.playbooks = Source::BuiltIn;
        }
    }
    if let Some(file) = &args.playbooks {
        sources.playbooks = Source::File(file.clone());
    }
    let mut loaded = load_sources(&sources, location.dir.clone(), trust);
    let beside = not_read(&location, places, &sources, &loaded);
    let problems = match &mut loaded.result {
        Ok(config) => &mut config.remarks,
        Err(problems) => problems,
    };
    problems.splice(0..0, location.remarks);
    problems.extend(beside);
    loaded
}

/// Files that look as if they were meant: in the directory of the configuration; where there is none, in those where one is
/// looked for.
fn not_read(location: &Location, places: &Places, sources: &Sources, loaded: &Loaded) -> Vec<Problem> {
    let path = |source: &Source| if let Source::File(path) = source { Some(places.here.join(path)) } else { None };
    let read: Vec<PathBuf> = [&sources.playbooks, &sources.settings].into_iter().filter_map(path).collect();
    let mentions = |name: &str| loaded.texts.settings.text.contains(name);
    let local = places.here.join("config");
    let dirs: Vec<(&PathBuf, bool)> = match &location.dir {
        Some(dir) => vec![(dir, !location.local)],
        None => places.system.iter().map(|dir| (dir, true)).chain([(&local, false)]).filter(|(dir, _)| dir.is_dir()).collect(),
    };
    dirs.into_iter().flat_map(|(dir, own)| ignored(dir, &read, mentions, own)).collect()
}

fn summary(config: Option<&Config>, errors: usize, warnings: usize) -> String {
    let counts = format!("{}, {}", amount(errors, "error"), amount(warnings, "warning"));
    let Some(config) = config else { return format!("{counts}: a running agent would keep its old configuration") };
    let books = amount(config.playbooks.len(), "playbook");
    let dry = match (config.settings.dry_run, config.origin.built_in_settings) {
        (false, _) => "",
        (true, false) => "; dry run: nothing would be executed (\"dry_run\": false in the settings turns it on)",
        (true, true) => "; there are no settings, so the built-in ones hold: dry run, nothing would be executed",
    };
    format!("{counts}, {books}{dry}")
}

/// The JSON of `--json` (contract C4).
#[derive(Debug, Serialize)]
struct Answer<'a> {
    ok: bool,
    errors: usize,
    warnings: usize,
    problems: &'a [Problem],
    playbooks: Vec<View>,
}

/// One playbook in words.
#[derive(Debug, Serialize)]
pub(super) struct View {
    pub(super) id: String,
    enabled: bool,
    /// The condition in words.
    pub(super) fires_when: String,
    /// The condition as an expression, in its one canonical form.
    pub(super) condition: String,
    targets: Vec<Labels>,
    pub(super) actions: Vec<ActionView>,
    pub(super) proven_by: String,
    /// `critical, dry run`
    #[serde(skip)]
    pub(super) state: String,
    #[serde(skip)]
    pub(super) description: String,
    /// The targets in words.
    #[serde(skip)]
    pub(super) on: Vec<Line>,
    #[serde(skip)]
    pub(super) ladder: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct ActionView {
    /// The words that would run; for a native action the line that the guard was asked about.
    pub(super) argv: Vec<String>,
    /// The rule that allows it; empty for what touches nothing.
    pub(super) rule: String,
    pub(super) text: String,
    #[serde(skip)]
    pub(super) conditions: Vec<String>,
}

impl View {
    fn new(playbook: &Playbook, config: &Config, watches: &Watches<'_>, samples: Option<&[Sample]>) -> Self {
        let entries = watches.concerned(&playbook.condition);
        let targets = match samples {
            Some(samples) => detector::concerned(playbook, samples),
            None => entries.iter().filter(|entry| entry.many.is_none()).map(|entry| entry.target.identity.clone()).collect(),
        };
        let state = match (playbook.enabled, playbook.dry_run) {
            (false, _) => ", disabled",
            (true, true) => ", dry run",
            (true, false) => "",
        };
        Self {
            id: playbook.id.clone(),
            enabled: playbook.enabled,
            fires_when: words::condition(&playbook.condition),
            condition: playbook.condition.to_string(),
            on: match samples {
                Some(samples) if !targets.is_empty() => check_targets::measured(playbook, &targets, samples),
                _ => check_targets::named(playbook, &entries, samples.is_some()),
            },
            targets,
            actions: playbook.actions.iter().map(|action| ActionView::new(action, playbook, config)).collect(),
            proven_by: proven_by(playbook),
            state: format!("{}{state}", playbook.severity.name()),
            description: playbook.description.clone(),
            ladder: playbook.strategy == Strategy::Ladder,
        }
    }
}

impl ActionView {
    fn new(action: &Action, playbook: &Playbook, config: &Config) -> Self {
        let reviewed = Request::of(&action.kind).and_then(|request| config.policy.check(&request).ok());
        let approval =
            action.requires_approval || playbook.requires_approval || reviewed.as_ref().is_some_and(|reviewed| reviewed.requires_approval);
        let missing = reviewed.as_ref().is_some_and(|reviewed| reviewed.missing_program.is_some());
        let mut conditions: Vec<String> = action.frees.iter().map(|path| format!("only where {path} lies")).collect();
        conditions.extend(action.when.0.iter().map(|test| format!("only for {}", selector(&Selector(vec![test.clone()])))));
        let others = [
            (approval, "asks first"),
            (action.skip_if_missing && missing, "skipped: not installed here"),
            (missing && !action.skip_if_missing, "fails: not installed here"),
            (action.continue_on_failure, "its failure stops nothing"),
        ];
        conditions.extend(others.into_iter().filter(|(holds, _)| *holds).map(|(_, words)| words.to_owned()));
        Self {
            conditions,
            text: action.description.clone(),
            rule: reviewed.as_ref().map_or_else(String::new, |reviewed| reviewed.rule.clone()),
            argv: reviewed.map_or_else(|| vec![action.kind.name().to_owned()], |reviewed| reviewed.argv),
        }
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
