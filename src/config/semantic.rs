//! What can be said about playbooks once their shape is right: labels, placeholders, and the guard's answer to each command.

use crate::placeholder;
use std::collections::{HashMap, HashSet};

use super::document::{Document, push_key, top};
use super::playbook::{Action, ActionKind, Playbook};
use super::problem::{Draft, Problem};
use super::settings::Settings;
use super::source::SETTINGS;
use crate::heal::guard::{Policy, Refusal, RefusalKind, Request, Reviewed};

/// The guard's answers, by the action's path.
pub(crate) type Reviews = HashMap<String, Reviewed>;

/// Placeholders that no label can fill, and `when` on labels that the incident does not have.
pub(crate) fn labels(document: &Document<'_>, playbook: &Playbook, problems: &mut Vec<Problem>) {
    let comparisons = playbook.condition.comparisons();
    let mut labels: Vec<&str> = comparisons.iter().flat_map(|one| one.metric.identity.iter().chain(one.metric.facts)).copied().collect();
    labels.sort_unstable();
    labels.dedup();
    let fillable: Vec<&str> = labels.iter().copied().chain(placeholder::facts()).collect();
    for action in &playbook.actions {
        for test in action.when.0.iter().filter(|test| !labels.contains(&test.label.as_str())) {
            let mut path = format!("{}.when", action.path);
            push_key(&mut path, &test.label);
            let draft = Draft::error("unknown_label", format!("an incident of this playbook has no label {:?}", test.label));
            problems.push(draft.words(&test.label, &labels).at(&document.text.file, &path, document.span_of(&path)));
        }
        for (path, text) in texts(action) {
            for (part, name) in placeholder::find(text).into_iter().filter(|(_, name)| !fillable.contains(name)) {
                let draft = Draft::error("unknown_placeholder", format!("no label of an incident of this playbook fills {{{name}}}"));
                let span = document.span_inside(&path, &part);
                problems.push(draft.words(name, &fillable).at(&document.text.file, &path, span));
            }
        }
    }
}

/// Every text of an action that may hold placeholders, with its path.
pub(super) fn texts(action: &Action) -> Vec<(String, &str)> {
    let mut found = vec![("description", Some(&action.description)), ("frees", action.frees.as_ref())];
    let mut headers = Vec::new();
    match &action.kind {
        ActionKind::Shell { command } => found.push(("command", Some(command))),
        ActionKind::Service { service, .. } => found.push(("service", Some(service))),
        ActionKind::Http { url, body, headers: given, .. } => {
            found.extend([("url", Some(url)), ("body", body.as_ref())]);
            headers.extend(given.iter().map(|(name, value)| {
                let mut path = format!("{}.headers", action.path);
                push_key(&mut path, name);
                (path, value.as_str())
            }));
        }
        ActionKind::DeleteFiles { directory, name, .. } => found.extend([("directory", Some(directory)), ("name", name.as_ref())]),
        ActionKind::ArchiveLog { path, to, .. } => found.extend([("path", Some(path)), ("to", to.as_ref())]),
        ActionKind::SignalProcess { process, .. } => found.push(("process", Some(process))),
        ActionKind::TopProcesses { .. } => {}
        ActionKind::Notify { message } => found.push(("message", Some(message))),
    }
    let own = found.into_iter().filter_map(|(key, text)| text.map(|text| (key, text.as_str())));
    // A description that was made from the command repeats its problems.
    let main = action.kind.main_text();
    own.filter(|(key, text)| *key != "description" || main.is_none_or(|(_, main)| !text.contains(main)))
        .map(|(key, text)| (format!("{}.{key}", action.path), text))
        .chain(headers)
        .collect()
}

impl ActionKind {
    /// The key and the text that say most about the action.
    pub(crate) fn main_text(&self) -> Option<(&'static str, &str)> {
        match self {
            Self::Shell { command } => Some(("command", command)),
            Self::Service { service, .. } => Some(("service", service)),
            Self::Http { url, .. } => Some(("url", url)),
            Self::DeleteFiles { directory, .. } => Some(("directory", directory)),
            Self::ArchiveLog { path, .. } => Some(("path", path)),
            Self::SignalProcess { process, .. } => Some(("process", process)),
            Self::Notify { message } => Some(("message", message)),
            Self::TopProcesses { .. } => None,
        }
    }
}

/// Asks the guard about every action. Actions in `known_bad` have a problem of their own at that place already.
pub(crate) fn guard(
    document: &Document<'_>,
    playbooks: &[Playbook],
    policy: &Policy,
    settings: &Settings,
    problems: &mut Vec<Problem>,
) -> Reviews {
    let known_bad: HashSet<String> =
        problems.iter().filter(|problem| problem.code == "unknown_placeholder").map(|p| p.path.clone()).collect();
    let mut reviews = Reviews::new();
    for action in playbooks.iter().flat_map(|playbook| &playbook.actions) {
        let Some((request, (key, _))) = Request::of(&action.kind).zip(action.kind.main_text()) else { continue };
        let path = format!("{}.{key}", action.path);
        if known_bad.contains(&path) {
            continue;
        }
        match policy.check(&request) {
            Ok(reviewed) => {
                problems.extend(run_as_differs(document, action, &reviewed, settings));
                reviews.insert(action.path.clone(), reviewed);
            }
            Err(refusal) => {
                let span = match &refusal.span {
                    Some(part) if matches!(request, Request::Command(_)) => document.span_inside(&path, part),
                    _ => document.span_of(&path),
                };
                let rule = match &request {
                    Request::Command(command) if refusal.kind == RefusalKind::NoRule => policy.missing_rule(command),
                    _ => None,
                };
                problems.push(refused(&refusal, action, rule).at(&document.text.file, &path, span));
            }
        }
    }
    reviews
}

/// `rule`: what could be added to the settings.
fn refused(refusal: &Refusal, action: &Action, rule: Option<String>) -> Draft {
    let draft = match refusal.kind {
        // What is not installed today may be tomorrow: the file is loaded, and the action fails if it is still missing then.
        RefusalKind::MissingProgram => Draft::warning("program_missing", &*refusal.reason),
        RefusalKind::UnknownService => Draft::warning("unknown_service", &*refusal.reason),
        _ => Draft::error("command_refused", &*refusal.reason),
    };
    let draft = match action.kind.main_text() {
        Some((_, text)) => draft.found(text),
        None => draft,
    };
    let commands: Vec<String> = refusal.suggestion.iter().map(|command| format!("`{command}`")).collect();
    match (commands.as_slice(), &refusal.nearest_rule) {
        ([], Some(rule)) => draft.suggest(format!("the nearest rule is: {rule}")),
        ([], None) => {
            draft.suggest_if(rule.map(|rule| format!("if it may run, add {} to allowed_commands in {SETTINGS}", serde_json::json!(rule))))
        }
        ([one], _) => draft.suggest(format!("write {one}")),
        (several, _) => draft.suggest(format!("write {} actions: {}", in_letters(several.len()), several.join(" and "))),
    }
}

fn in_letters(count: usize) -> String {
    match count {
        2 => "two".to_owned(),
        3 => "three".to_owned(),
        more => more.to_string(),
    }
}

/// The user that an action names must be the one of its rule.
fn run_as_differs(document: &Document<'_>, action: &Action, reviewed: &Reviewed, settings: &Settings) -> Option<Problem> {
    let wanted = action.run_as.as_deref()?;
    let rule = settings.allowed_commands.iter().find(|rule| rule.rule == reviewed.rule)?;
    if rule.run_as.as_deref() == Some(wanted) {
        return None;
    }
    let path = format!("{}.run_as", action.path);
    let allowed = rule.run_as.as_deref().unwrap_or("the agent's own user");
    let message = format!("the rule {:?} runs as {allowed}, not as {wanted}", rule.rule);
    Some(Draft::error("run_as_differs", message).found(wanted).at(&document.text.file, &path, document.span_of(&path)))
}

/// The guard's problems with the settings' own rules.
pub(crate) fn rules(document: &Document<'_>, found: Vec<crate::heal::guard::RuleProblem>) -> impl Iterator<Item = Problem> {
    found.into_iter().map(|problem| {
        let path = if problem.source.starts_with('$') { problem.source } else { top("allowed_commands") };
        let draft =
            if problem.warning { Draft::warning("doubtful_rule", problem.message) } else { Draft::error("bad_rule", problem.message) };
        draft.suggest_if(problem.suggestion).at(&document.text.file, &path, document.span_of(&path))
    })
}
