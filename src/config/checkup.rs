//! Remarks that are true of this host at this moment, and of no file by itself: only `check` makes them.

use std::collections::BTreeMap;

use super::document::{Document, top};
use super::playbook::Playbook;
use super::problem::{Draft, Problem, nearest, place};
use super::remarks::Remark;
use super::settings::{ProcessEntry, ProcessMatch, Settings};
use super::source::Texts;
use super::{Config, source};
use crate::collect::Survey;
use crate::collect::census::{Census, Programs};
use crate::collect::reason::is_not_yet;
use crate::detect::detector;
use crate::metric::Kind;
use crate::sample::{Labels, Sample, Value};

/// So many names of one kind are written out.
const MOST_NAMES: usize = 3;

/// What was looked at on this host. `None`: the look did not come back in time.
#[derive(Clone, Debug)]
pub struct Findings {
    /// The measurements.
    pub survey: Option<Survey>,
    /// The programs that watch entries mean.
    pub census: Option<Census>,
}

/// What these findings say about a configuration.
#[must_use]
pub fn remarks(config: &Config, texts: &Texts, findings: &Findings) -> Vec<Problem> {
    let mut about_playbooks = Vec::new();
    let mut about_settings = Vec::new();
    match &findings.census {
        Some(census) => about_settings.extend(about_processes(&config.settings, census)),
        None => about_settings.push(not_seen("$.watch.processes", "the processes could not be looked at in time")),
    }
    match &findings.survey {
        Some(survey) => {
            about_playbooks.extend(config.playbooks.iter().filter_map(|playbook| already_proven(playbook, &survey.samples)));
            about_settings.extend(not_measured(survey));
        }
        None => about_settings.push(not_seen("$.watch", "nothing was measured: something that is watched does not answer at all")),
    }
    [placed(&texts.playbooks, about_playbooks), placed(&texts.settings, about_settings)].concat()
}

fn not_seen(path: &str, message: &str) -> Remark {
    (path.to_owned(), Draft::note("not_seen", message))
}

pub(super) fn placed(text: &source::Text, remarks: Vec<Remark>) -> Vec<Problem> {
    let Ok(document) = Document::open(text) else { return Vec::new() };
    let mut problems: Vec<Problem> =
        remarks.into_iter().map(|(path, draft)| draft.at(&text.file, &path, document.head_of(&path))).collect();
    place(&text.text, &mut problems);
    problems
}

/// That the guard could not be asked about the targets.
#[must_use]
pub fn not_rehearsed(texts: &Texts) -> Problem {
    let message = "whether the commands may run for these targets could not be tried: a path that they name does not answer";
    Draft::note("not_seen", message).at(&texts.playbooks.file, "$", 0..0)
}

/// A target whose condition and verification hold both at this moment: acting on it would prove nothing.
fn already_proven(playbook: &Playbook, samples: &[Sample]) -> Option<Remark> {
    let verify = &playbook.verify.as_ref()?.condition;
    let both = |identity: &Labels| {
        playbook.condition.state_of(identity, samples) == Some(true) && verify.state_of(identity, samples) == Some(true)
    };
    let identity = detector::concerned(playbook, samples).into_iter().find(both).filter(|_| playbook.enabled)?;
    let target = name(&identity);
    let values: Vec<String> = detector::samples_of(verify, &identity, samples)
        .iter()
        .map(|sample| format!("{} {}", sample.metric.name, sample.value.as_ref().map_or_else(String::new, Value::to_string)))
        .collect();
    let message = format!("the condition holds now for {target}, and so does the verification already ({})", values.join(", "));
    let draft = Draft::warning("already_proven", message).suggest("verify what the condition measures, below its limit");
    Some((format!("{}.verify", top(&playbook.id)), draft))
}

fn about_processes(settings: &Settings, census: &Census) -> Vec<Remark> {
    let entries = settings.watch.processes.iter().zip(&census.entries).enumerate();
    let drafts = entries.filter_map(|(index, (entry, found))| {
        let path = match entry.matcher {
            ProcessMatch::Pattern(_) => format!("$.watch.processes[{index}].match.pattern"),
            _ => format!("$.watch.processes[{index}]"),
        };
        let draft = match found {
            Err(reason) => Draft::note("not_seen", format!("which processes {} means cannot be seen: {reason}", entry.name)),
            Ok(programs) if programs.is_empty() => no_process(entry, census),
            Ok(programs) => several_programs(entry, programs)?,
        };
        Some((path, draft))
    });
    drafts.collect()
}

fn no_process(entry: &ProcessEntry, census: &Census) -> Draft {
    let names: Vec<&str> = census.names.iter().map(String::as_str).collect();
    let (what, next) = match &entry.matcher {
        ProcessMatch::Exe(path) if census.missing.contains(path) => (format!("there is no file {}", path.display()), None),
        ProcessMatch::Exe(path) => (format!("nothing runs {}", path.display()), None),
        ProcessMatch::Command(name) => {
            let next = nearest(name, &names).map(|near| format!("did you mean {near:?}, which runs?"));
            (format!("no process is called {name:?}"), next)
        }
        ProcessMatch::Pattern(pattern) => {
            let next = format!("`autoheal match --pattern '{}'` tries another one", pattern.as_str().replace('\'', "'\\''"));
            (format!("no command line matches /{pattern}/"), Some(next))
        }
        ProcessMatch::Pidfile(path) => (format!("no process is named by {}", path.display()), None),
        ProcessMatch::Unit(unit) => (format!("no process belongs to {unit}"), None),
    };
    Draft::note("no_process", format!("{} is not running: {what}", entry.name)).suggest_if(next)
}

/// Only what people write by a guess: an executable is one program, and a unit may well have several.
fn several_programs(entry: &ProcessEntry, programs: &Programs) -> Option<Draft> {
    if programs.len() < 2 || !matches!(entry.matcher, ProcessMatch::Pattern(_) | ProcessMatch::Command(_)) {
        return None;
    }
    let listed =
        programs.iter().map(|(program, count)| if *count == 1 { program.clone() } else { format!("{program} ({count} processes)") });
    let message = format!("{} means several programs at once: {}", entry.name, few(listed.collect()));
    let next = format!("begin the pattern with ^, or match by exe or unit; `autoheal match {}` lists the processes", entry.name);
    Some(Draft::warning("several_programs", message).suggest(next))
}

/// One note for each kind of target and reason: ten thousand files of a directory that may not be read have one.
fn not_measured(survey: &Survey) -> Vec<Remark> {
    let mut known: BTreeMap<(Kind, &Labels), Option<&str>> = BTreeMap::new();
    for sample in survey.samples.iter().filter(|sample| sample.metric.kind != Kind::Process) {
        let reason = sample.reason.as_deref().filter(|_| sample.value.is_none());
        if !reason.is_some_and(is_not_yet) {
            // One value of a target is enough to say that it was looked at.
            let entry = known.entry((sample.metric.kind, &sample.target.identity)).or_insert(reason);
            *entry = entry.and(reason);
        }
    }
    let mut reasons: BTreeMap<(Kind, &str), Vec<String>> = BTreeMap::new();
    for ((kind, identity), reason) in known {
        if let Some(reason) = reason {
            reasons.entry((kind, reason)).or_default().push(if identity.is_empty() {
                "this host".to_owned()
            } else {
                identity.to_string()
            });
        }
    }
    let measured = reasons.into_iter().map(|((kind, reason), targets)| (kind, format!("not measured: {}: {reason}", few(targets))));
    let gaps = survey.gaps.iter().map(|(kind, gap)| (*kind, format!("not measured: {gap}")));
    measured.chain(gaps).map(|(kind, message)| (format!("$.{}", kind.settings_key()), Draft::note("not_seen", message))).collect()
}

/// A target in words.
pub(crate) fn name(identity: &Labels) -> String {
    if identity.is_empty() { "this host".to_owned() } else { identity.to_string() }
}

/// The first few of these.
pub(super) fn few(mut names: Vec<String>) -> String {
    let more = names.len().saturating_sub(MOST_NAMES);
    names.truncate(MOST_NAMES);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    names.join(", ") + &rest
}

#[cfg(test)]
#[path = "checkup_tests.rs"]
mod tests;
