//! `autoheal check`: what is wrong with the configuration, and what it means in words.

use std::io::{self, Write};
use std::path::PathBuf;

use serde::Serialize;

use crate::config::playbook::{Action, Playbook, Strategy};
use crate::config::problem::{Level, Problem};
use crate::config::settings::Settings;
use crate::config::source::{PLAYBOOKS, Source};
use crate::config::watched::{Watched, concerned};
use crate::config::words::{self, proven_by, selector};
use crate::config::{Config, Loaded, Places, Trust, load_sources, render, visible};
use crate::detect::condition::Selector;
use crate::detect::detector;
use crate::heal::guard::Request;
use crate::sample::{Labels, Sample};

/// Validates the configuration, then says in words when each playbook fires, on which targets, what it runs and by which rule, and how the repair is proven.
///
#[derive(Clone, Debug, Default, clap::Args)]
#[command(after_help = "Example: autoheal check --playbooks draft.json")]
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
}

/// Measures everything that the settings watch, once.
pub type Measure = dyn Fn(&Settings) -> Vec<Sample>;

/// What the command needs besides its own arguments.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Where the files are looked for.
    pub places: &'a Places,
    /// One JSON object instead of text.
    pub json: bool,
    /// Colours in the text.
    pub color: bool,
    /// Measures everything once, to name the targets that exist now; without it they are taken from the settings.
    pub measure: Option<&'a Measure>,
}

impl std::fmt::Debug for Context<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Context").field("places", self.places).field("json", &self.json).finish_non_exhaustive()
    }
}

/// Runs the command. The answer is the exit code: 1 on errors (with `--strict` on warnings too), else 0.
///
/// # Errors
/// When `out` cannot be written.
pub fn run(args: &Check, context: Context<'_>, out: &mut dyn Write) -> io::Result<u8> {
    let loaded = load(args, context.places);
    let (config, problems) = match &loaded.result {
        Ok(config) => (Some(config), &config.remarks),
        Err(problems) => (None, problems),
    };
    let count = |level| problems.iter().filter(|problem| problem.severity == level).count();
    let (errors, warnings) = (count(Level::Error), count(Level::Warning));
    let samples = config.zip(context.measure).map(|(config, measure)| measure(&config.settings));
    let playbooks: Vec<View> = config
        .map_or_else(Vec::new, |config| config.playbooks.iter().map(|playbook| View::new(playbook, config, samples.as_deref())).collect());
    if context.json {
        let answer = Answer { ok: errors == 0, errors, warnings, problems, playbooks };
        serde_json::to_writer_pretty(&mut *out, &answer)?;
        writeln!(out)?;
    } else {
        out.write_all(render(problems, &loaded.texts, context.color).as_bytes())?;
        if let Some(worst) = problems.iter().min_by_key(|problem| problem.severity) {
            writeln!(out, "`autoheal explain {}` says more; so it does for every code", worst.code)?;
        }
        playbooks.iter().try_for_each(|playbook| playbook.write(out))?;
        writeln!(out, "{}", summary(config, errors, warnings))?;
    }
    Ok(u8::from(errors > 0 || (args.strict && warnings > 0)))
}

/// The files that were named, and the others from where the agent would take them.
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
    let mut loaded = load_sources(&sources, location.dir, trust);
    match &mut loaded.result {
        Ok(config) => config.remarks.splice(0..0, location.remarks),
        Err(problems) => problems.splice(0..0, location.remarks),
    };
    loaded
}

fn summary(config: Option<&Config>, errors: usize, warnings: usize) -> String {
    let some = |count: usize, what: &str| match count {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    };
    let counts = format!("{}, {}", some(errors, "error"), some(warnings, "warning"));
    let Some(config) = config else { return format!("{counts}: a running agent would keep its old configuration") };
    let books = some(config.playbooks.len(), "playbook");
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
struct View {
    id: String,
    enabled: bool,
    /// The condition in words.
    fires_when: String,
    /// The condition as an expression, in its one canonical form.
    condition: String,
    targets: Vec<Labels>,
    actions: Vec<ActionView>,
    proven_by: String,
    #[serde(skip)]
    head: String,
    #[serde(skip)]
    on: Vec<String>,
    #[serde(skip)]
    ladder: bool,
}

#[derive(Debug, Serialize)]
struct ActionView {
    /// The words that would run; for a native action the line that the guard was asked about.
    argv: Vec<String>,
    /// The rule that allows it; empty for what touches nothing.
    rule: String,
    text: String,
    #[serde(skip)]
    conditions: Vec<String>,
}

impl View {
    fn new(playbook: &Playbook, config: &Config, samples: Option<&[Sample]>) -> Self {
        let entries = concerned(&config.settings, &playbook.condition);
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
            on: on(&entries, &targets, samples.is_some()),
            targets,
            actions: playbook.actions.iter().map(|action| ActionView::new(action, playbook, config)).collect(),
            proven_by: proven_by(playbook),
            head: format!("{} ({}{state}): {}", playbook.id, playbook.severity.name(), playbook.description),
            ladder: playbook.strategy == Strategy::Ladder,
        }
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "\n{}", visible(&self.head))?;
        writeln!(out, "  fires when  {}", visible(&self.fires_when))?;
        writeln!(out, "  condition   {}", visible(&self.condition))?;
        write_list(out, "on", &self.on)?;
        let does: Vec<String> = self.actions.iter().enumerate().map(|(index, action)| action.line(index)).collect();
        if self.ladder {
            writeln!(out, "  does        step by step, until one is proven:")?;
            write_list(out, "", &does)?;
        } else {
            write_list(out, "does", &does)?;
        }
        writeln!(out, "  proven by   {}", visible(&self.proven_by))
    }
}

fn write_list(out: &mut dyn Write, head: &str, lines: &[String]) -> io::Result<()> {
    lines.iter().enumerate().try_for_each(|(index, line)| {
        let head = if index == 0 { head } else { "" };
        writeln!(out, "  {head:<11} {line}")
    })
}

/// A glob may match hundreds of logs; the JSON names them all.
const MOST_TARGETS: usize = 12;

/// The targets in words: what was measured, else what the watch entries say.
fn on(entries: &[Watched], targets: &[Labels], measured: bool) -> Vec<String> {
    let named = |labels: &Labels| if labels.is_empty() { "this host".to_owned() } else { visible(&labels.to_string()) };
    if measured && !targets.is_empty() {
        let more = targets.len().saturating_sub(MOST_TARGETS);
        let rest = (more > 0).then(|| format!("and {more} more"));
        return targets.iter().take(MOST_TARGETS).map(named).chain(rest).collect();
    }
    if entries.is_empty() {
        return vec!["nothing yet: no target of this kind is watched".to_owned()];
    }
    entries.iter().map(|entry| entry.many.as_ref().map_or_else(|| named(&entry.target.identity), |many| visible(many))).collect()
}

impl ActionView {
    fn new(action: &Action, playbook: &Playbook, config: &Config) -> Self {
        let reviewed = Request::of(&action.kind).and_then(|request| config.policy.check(&request).ok());
        let approval =
            action.requires_approval || playbook.requires_approval || reviewed.as_ref().is_some_and(|reviewed| reviewed.requires_approval);
        let mut conditions: Vec<String> = action.frees.iter().map(|path| format!("only where {path} lies")).collect();
        conditions.extend(action.when.0.iter().map(|test| format!("only for {}", selector(&Selector(vec![test.clone()])))));
        let others = [
            (approval, "asks first"),
            (action.skip_if_missing, "skipped if not installed"),
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

    fn line(&self, index: usize) -> String {
        let argv: Vec<String> = self.argv.iter().map(|word| quoted(word)).collect();
        let mut line = format!("{}. {}", index + 1, visible(&argv.join(" ")));
        if self.text != self.argv.join(" ") && self.argv.first() != Some(&self.text) {
            line.push_str(&format!(": {}", visible(&self.text)));
        }
        if !self.conditions.is_empty() {
            line.push_str(&format!(" ({})", visible(&self.conditions.join(", "))));
        }
        if !self.rule.is_empty() {
            line.push_str(&format!("\n                 by the rule  {}", visible(&self.rule)));
        }
        line
    }
}

/// A word as one would type it, so that it is seen where it begins and ends.
fn quoted(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:=+,@{}%".contains(letter);
    if !word.is_empty() && word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
