//! Warnings and notes: legal things that are probably not meant.

use std::collections::HashSet;
use std::path::Path;

use crate::placeholder;

use super::document::{push_key, top};
use super::playbook::{Action, ActionKind, Playbook, Strategy};
use super::problem::Draft;
use super::proof;
use super::semantic::Reviews;
use super::settings::Settings;
use super::watched::{Watched, Watches};
use super::words::selector;
use crate::clock::in_words;
use crate::detect::condition::Selector;
use crate::metric::Kind;

/// A remark and its path.
pub(crate) type Remark = (String, Draft);

/// Remarks about a playbook.
pub(crate) fn playbook(playbook: &Playbook, settings: &Settings, watches: &Watches<'_>, reviews: &Reviews) -> Vec<Remark> {
    let path = top(&playbook.id);
    let mut found = Vec::new();
    found.extend(no_target(playbook, watches).map(|draft| (path.clone(), draft)));
    found.extend(proof::remarks(playbook, watches));
    found.extend(late_retry(playbook).map(|draft| (format!("{path}.verify.retry_interval_seconds"), draft)));
    if !playbook.repeat.is_zero() && !playbook.actions.is_empty() {
        let draft = Draft::warning("no_effect", "only a playbook without actions repeats its message");
        found.push((format!("{path}.repeat_seconds"), draft));
    }
    if playbook.verify.is_some() && playbook.actions.is_empty() {
        let draft = Draft::warning("no_effect", "without actions there is no heal to prove: it is over when the condition is false");
        found.push((format!("{path}.verify"), draft));
    }
    for action in &playbook.actions {
        found.extend(missing_program(action, reviews));
        found.extend(unknown_name(action, settings, watches));
        found.extend(secrets(action));
        if action.retry_count.is_some() && playbook.strategy == Strategy::All {
            let draft = Draft::warning("no_effect", "only a rung of a ladder has a verification of its own");
            found.push((format!("{}.retry_count", action.path), draft.suggest("write \"strategy\": \"ladder\"")));
        }
    }
    found
}

fn no_target(playbook: &Playbook, watches: &Watches<'_>) -> Option<Draft> {
    let leading = playbook.condition.leading();
    if !playbook.enabled || watches.concerns_any(&playbook.condition) {
        return None;
    }
    let key = leading.metric.kind.settings_key();
    let message = if watches.all(leading.metric.kind).is_empty() {
        format!("it cannot fire yet: {key} in the settings names nothing")
    } else {
        format!("it cannot fire yet: nothing in {key} of the settings has the labels {}", leading.selector)
    };
    Some(Draft::note("no_target", message))
}

fn late_retry(playbook: &Playbook) -> Option<Draft> {
    let (count, interval) = playbook.retries();
    let late = count > 0 && !playbook.cooldown.is_zero() && interval > playbook.cooldown;
    late.then(|| {
        let message = format!("checks {} apart are longer than the cooldown of {}", in_words(interval), in_words(playbook.cooldown));
        Draft::warning("retry_longer_than_cooldown", message)
    })
}

fn missing_program(action: &Action, reviews: &Reviews) -> Option<Remark> {
    let program = reviews.get(&action.path)?.missing_program.as_ref()?;
    let path = action.kind.main_text().map_or_else(|| action.path.clone(), |(key, _)| format!("{}.{key}", action.path));
    let draft = if action.skip_if_missing {
        Draft::note("program_missing", format!("{program} is not on command_path: the action will be skipped"))
    } else {
        Draft::warning("program_missing", format!("program not found on command_path: {program}"))
    };
    Some((path, draft.found(program)))
}

/// Names without placeholders that nothing here has.
fn unknown_name(action: &Action, settings: &Settings, watches: &Watches<'_>) -> Option<Remark> {
    let processes = &settings.watch.processes;
    let is_watched = |name: &str| watches.names(Kind::Process, "process_name", name);
    match &action.kind {
        ActionKind::Service { service, .. } if placeholder::find(service).is_empty() => {
            let known = settings.services.contains_key(service)
                || is_watched(service)
                || processes.iter().any(|process| process.service.as_ref() == Some(service))
                || unit_exists(service);
            let message = format!("neither the settings nor this host know a service {service:?}");
            (!known).then(|| (format!("{}.service", action.path), Draft::warning("unknown_service", message).found(service)))
        }
        ActionKind::SignalProcess { process, .. } if placeholder::find(process).is_empty() && !is_watched(process) => {
            let names: Vec<&str> = processes.iter().map(|process| process.name.as_str()).collect();
            let message = format!("no entry of watch.processes is called {process:?}");
            let draft = Draft::warning("unknown_process", message).words(process, &names);
            Some((format!("{}.process", action.path), draft))
        }
        _ => None,
    }
}

/// Whether a service manager's directories hold a file for it. Where none of them exists, nothing can be said.
fn unit_exists(service: &str) -> bool {
    const DIRECTORIES: &[&str] = &[
        "/etc/systemd/system",
        "/run/systemd/system",
        "/usr/local/lib/systemd/system",
        "/usr/lib/systemd/system",
        "/lib/systemd/system",
        "/run/systemd/generator",
    ];
    let here: Vec<&Path> = DIRECTORIES.iter().map(Path::new).filter(|dir| dir.is_dir()).collect();
    let unit = if service.ends_with(".service") { service.to_owned() } else { format!("{service}.service") };
    let template = unit.split_once('@').map(|(name, _)| format!("{name}@.service"));
    let exists = |name: &str| !name.contains('/') && here.iter().any(|dir| dir.join(name).symlink_metadata().is_ok());
    here.is_empty() || exists(&unit) || template.is_some_and(|template| exists(&template))
}

fn secrets(action: &Action) -> Vec<Remark> {
    let ActionKind::Http { url, headers, .. } = &action.kind else { return Vec::new() };
    let mut found: Vec<Remark> = Vec::new();
    for name in secret_headers(headers) {
        let mut path = format!("{}.headers", action.path);
        push_key(&mut path, name);
        found.push((path, secret(&format!("the header {name}"))));
    }
    if is_secret_url(url) {
        found.push((format!("{}.url", action.path), secret("this address")));
    }
    found
}

/// Endpoints that no playbook is about, although there are some about endpoints: trouble with them would be seen by nobody.
pub(crate) fn not_covered(playbooks: &[Playbook], watches: &Watches<'_>) -> Vec<Remark> {
    let mut selectors: Vec<(&str, &Selector)> = Vec::new();
    for playbook in playbooks.iter().filter(|playbook| playbook.enabled) {
        let own = playbook.condition.comparisons().into_iter().filter(|one| one.metric.kind == Kind::Latency);
        selectors.extend(own.map(|one| (playbook.id.as_str(), &one.selector)));
    }
    let Some((id, first)) = selectors.first() else { return Vec::new() };
    if selectors.iter().any(|(_, selector)| selector.0.is_empty()) {
        return Vec::new();
    }
    let covered: HashSet<usize> = selectors.iter().flat_map(|(_, selector)| watches.meant(Kind::Latency, selector)).collect();
    let remark = |(index, entry): (usize, &Watched)| {
        let message = format!("no playbook is about this endpoint ({}): {id} is only for {}", entry.target.identity, selector(first));
        let next = format!("name it in \"where\" of {id}, or write a playbook for it; one without actions only tells");
        (format!("$.watch.endpoints[{index}]"), Draft::warning("not_covered", message).suggest(next))
    };
    watches.all(Kind::Latency).iter().enumerate().filter(|(index, _)| !covered.contains(index)).map(remark).collect()
}

/// Remarks about the settings' own secrets.
pub(crate) fn settings(settings: &Settings) -> Vec<Remark> {
    let mut found: Vec<Remark> = Vec::new();
    for (index, endpoint) in settings.watch.endpoints.iter().enumerate() {
        let path = format!("$.watch.endpoints[{index}]");
        for name in secret_headers(&endpoint.headers) {
            let mut path = format!("{path}.headers");
            push_key(&mut path, name);
            found.push((path, secret(&format!("the header {name}"))));
        }
        if is_secret_url(&endpoint.url) {
            found.push((format!("{path}.url"), secret("this address")));
        }
    }
    found
}

fn secret(what: &str) -> Draft {
    Draft::warning("secret_in_file", format!("{what} looks like a secret; whoever can read this file can use it"))
}

fn secret_headers(headers: &[(String, String)]) -> impl Iterator<Item = &str> {
    const PARTS: &[&str] = &["authorization", "cookie", "token", "secret", "password", "api-key", "apikey"];
    headers.iter().map(|(name, _)| name.as_str()).filter(|name| {
        let name = name.to_ascii_lowercase();
        PARTS.iter().any(|part| name.contains(part))
    })
}

fn is_secret_url(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let query = rest.split_once('?').map_or("", |(_, query)| query).to_ascii_lowercase();
    let names = query.split('&').filter_map(|pair| pair.split_once('=').map(|(name, _)| name));
    let named = names.into_iter().any(|name| ["token", "key", "api_key", "apikey", "secret", "password"].contains(&name));
    named || authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_recognised_by_their_names() {
        for (url, expected) in [
            ("http://h/", false),
            ("http://h/?monkey=1", false),
            ("http://h/?a=b&token=c", true),
            ("http://u:p@h/", true),
            ("http://u@h/a:b", false),
        ] {
            assert_eq!(is_secret_url(url), expected, "{url}");
        }
        let headers = [("X-Probe".to_owned(), String::new()), ("X-API-Key".to_owned(), String::new())];
        assert_eq!(secret_headers(&headers).collect::<Vec<_>>(), ["X-API-Key"]);
    }
}
