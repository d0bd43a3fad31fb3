//! The shape of an action.

use std::time::Duration;

use jsonc_parser::ast::Value;

use super::document::{Document, span};
use super::node::{Cx, Fields, FromNode, entries, record};
use super::playbook::{Action, ActionKind, Order, StatusSet, Verb};
use super::problem::Draft;
use super::shape::{AtLeastOne, Days, Headers, Megabytes, Method, Named, PositiveSeconds, Retries, Seconds, Url, words};
use super::source::Text;
use crate::clock::in_words;
use crate::detect::condition::{Pattern, Selector};
use crate::heal::action::http::is_ours;

/// The values of `type`.
#[derive(Clone, Copy, Debug)]
enum Type {
    Shell,
    Service(Verb),
    Http,
    DeleteFiles,
    ArchiveLog,
    SignalProcess,
    TopProcesses,
    Notify,
}

words! {
    Type:
        "shell" => Type::Shell,
        "service_restart" => Type::Service(Verb::Restart),
        "service_start" => Type::Service(Verb::Start),
        "service_stop" => Type::Service(Verb::Stop),
        "service_reload" => Type::Service(Verb::Reload),
        "http" => Type::Http,
        "delete_files" => Type::DeleteFiles,
        "archive_log" => Type::ArchiveLog,
        "signal_process" => Type::SignalProcess,
        "top_processes" => Type::TopProcesses,
        "notify" => Type::Notify;
}

record! {
    /// Keys that every action may have.
    Common {
        description: Option<String>,
        timeout_seconds: Option<PositiveSeconds>,
        requires_approval: Option<bool>,
        when: Option<Selector>,
        skip_if_missing: Option<bool>,
        continue_on_failure: Option<bool>,
        frees: Option<PathTemplate>,
        retry_count: Option<Retries>,
        retry_interval_seconds: Option<Seconds>,
        run_as: Option<Named>,
    }
}

record! {
    /// `shell`
    Shell { command: Named, }
}

record! {
    /// `service_*`
    Service { service: Named, }
}

record! {
    /// `http`
    Http { method: Option<Method>, url: Url, headers: Option<OwnHeaders>, body: Option<String>, expect_status: Option<StatusSet>, }
}

record! {
    /// `delete_files`
    DeleteFiles {
        directory: PathTemplate,
        older_than_days: Option<Days>,
        name: Option<FileName>,
        larger_than_mb: Option<Megabytes>,
        max_delete_mb: Option<Megabytes>,
    }
}

record! {
    /// `archive_log`
    ArchiveLog { path: PathTemplate, to: Option<PathTemplate>, keep: Option<AtLeastOne>, }
}

record! {
    /// `signal_process`
    SignalProcess { process: Named, signal: Signal, then_kill_after_seconds: Option<Seconds>, }
}

record! {
    /// `top_processes`
    TopProcesses { by: Option<Order>, count: Option<AtLeastOne>, }
}

record! {
    /// `notify`
    Notify { message: Named, }
}

/// An absolute path that may hold placeholders.
#[derive(Debug)]
struct PathTemplate(String);

impl FromNode for PathTemplate {
    fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        let path = Named::from_node(node, cx)?.0;
        if path.starts_with('/') || path.starts_with('{') {
            return Some(Self(path));
        }
        cx.invalid("bad_path", "expected an absolute path (it begins with /, or with a placeholder)", node)
    }
}

/// Headers that leave the request the one that the guard allows.
#[derive(Debug)]
struct OwnHeaders(Vec<(String, String)>);

impl FromNode for OwnHeaders {
    fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        let headers = Headers::from_node(node, cx)?.0;
        let Some((name, _)) = headers.iter().find(|(name, _)| is_ours(name)) else { return Some(Self(headers)) };
        let message = format!("the header {name} is autoheal's to set: a rule allows a method and an address, and it could change them");
        cx.invalid("bad_header", message, node)
    }
}

/// A glob on file names.
#[derive(Debug)]
struct FileName(String);

impl FromNode for FileName {
    fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        let glob = Named::from_node(node, cx)?.0;
        match Pattern::new(&glob) {
            Ok(_) if glob.contains('/') => cx.invalid("bad_pattern", "a file name holds no /", node),
            Ok(_) => Some(Self(glob)),
            Err(reason) => cx.invalid("bad_pattern", format!("not a glob: {reason}"), node),
        }
    }
}

/// A signal's name, with or without `SIG`.
#[derive(Debug)]
struct Signal(String);

impl FromNode for Signal {
    fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        const SIGNALS: &[&str] = &["TERM", "HUP", "INT", "QUIT", "USR1", "USR2", "KILL"];
        let text = String::from_node(node, cx)?;
        let name = text.strip_prefix("SIG").unwrap_or(&text);
        if SIGNALS.contains(&name) {
            return Some(Self(name.to_owned()));
        }
        let message = format!("{text:?} is none of {}", SIGNALS.join(", "));
        cx.report(span(node), Draft::error("unknown_word", message).words(name, SIGNALS))
    }
}

impl FromNode for Action {
    fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        let path = cx.path().to_owned();
        let mut fields = Fields::open(node, cx)?;
        let kind = fields.get::<Type>("type");
        let common = Common::read(&mut fields);
        let body = match kind {
            Some(kind) => read(kind, &mut fields),
            None => {
                fields.allow_all();
                None
            }
        };
        fields.close();
        let (kind, common) = (body?, common?);
        let default = if matches!(kind, ActionKind::Service { .. }) { 120 } else { 60 };
        Some(Self {
            description: common.description.unwrap_or_else(|| describe(&kind)),
            timeout: common.timeout_seconds.map_or(Duration::from_secs(default), |seconds| seconds.0),
            requires_approval: common.requires_approval.unwrap_or(false),
            when: common.when.unwrap_or_default(),
            skip_if_missing: common.skip_if_missing.unwrap_or(false),
            continue_on_failure: common.continue_on_failure.unwrap_or(false),
            frees: common.frees.map(|path| path.0),
            retry_count: common.retry_count.map(|count| count.0),
            retry_interval: common.retry_interval_seconds.map(|seconds| seconds.0),
            run_as: common.run_as.map(|user| user.0),
            kind,
            path,
        })
    }
}

fn read(kind: Type, fields: &mut Fields<'_, '_, '_>) -> Option<ActionKind> {
    Some(match kind {
        Type::Shell => ActionKind::Shell { command: Shell::read(fields)?.command.0 },
        Type::Service(verb) => ActionKind::Service { verb, service: Service::read(fields)?.service.0 },
        Type::Http => {
            let raw = Http::read(fields)?;
            ActionKind::Http {
                method: raw.method.map_or_else(|| "POST".to_owned(), |method| method.0),
                url: raw.url.0,
                headers: raw.headers.map(|headers| headers.0).unwrap_or_default(),
                body: raw.body,
                expect_status: raw.expect_status.unwrap_or(StatusSet(vec![(200, 299)])),
            }
        }
        Type::DeleteFiles => delete_files(fields)?,
        Type::ArchiveLog => {
            let raw = ArchiveLog::read(fields)?;
            ActionKind::ArchiveLog { path: raw.path.0, to: raw.to.map(|to| to.0), keep: raw.keep.map(|keep| keep.0) }
        }
        Type::SignalProcess => {
            let raw = SignalProcess::read(fields)?;
            let then_kill_after = raw.then_kill_after_seconds.map(|seconds| seconds.0);
            ActionKind::SignalProcess { process: raw.process.0, signal: raw.signal.0, then_kill_after }
        }
        Type::TopProcesses => {
            let raw = TopProcesses::read(fields)?;
            ActionKind::TopProcesses { by: raw.by.unwrap_or(Order::Memory), count: raw.count.map_or(5, |count| count.0) }
        }
        Type::Notify => ActionKind::Notify { message: Notify::read(fields)?.message.0 },
    })
}

fn delete_files(fields: &mut Fields<'_, '_, '_>) -> Option<ActionKind> {
    let raw = DeleteFiles::read(fields)?;
    if raw.older_than_days.is_none() && raw.name.is_none() && raw.larger_than_mb.is_none() {
        let draft = Draft::error("missing_key", "this would delete every file: say which by age, name or size");
        let span = fields.span().start..fields.span().start + 1;
        return fields.cx.report(span, draft.allowed(["older_than_days", "name", "larger_than_mb"]));
    }
    Some(ActionKind::DeleteFiles {
        directory: raw.directory.0,
        older_than: raw.older_than_days.map(|days| days.0),
        name: raw.name.map(|name| name.0),
        larger_than: raw.larger_than_mb.map(|size| size.0),
        max_delete: raw.max_delete_mb.map(|size| size.0),
    })
}

/// What an action without a description is called.
/// What a load would say to the action in a line `{"action": …, "labels": …}`, or to a key of the line that stands twice. A
/// missing key is not looked for: whoever asks may leave out what does not matter to the question.
pub(crate) fn fault(line: &str) -> Option<String> {
    let text = Text::new("the line", line);
    let document = match Document::open(&text) {
        Ok(document) => document,
        Err(problem) => return Some(problem.message),
    };
    let mut cx = Cx::new(&text);
    entries(
        &document.root,
        &mut cx,
        |_| false,
        |key, value, cx| {
            match key.name {
                "action" => drop(Action::from_node(value, cx)),
                "labels" => drop(entries(value, cx, |_| false, |_, _, _| Some(()))),
                _ => {}
            }
            Some(())
        },
    );
    cx.problems.into_iter().find(|problem| problem.code != "missing_key").map(|problem| problem.message)
}

fn describe(kind: &ActionKind) -> String {
    match kind {
        ActionKind::Shell { command } => command.clone(),
        ActionKind::Service { verb, service } => format!("{} service {service}", verb.name()),
        ActionKind::Http { method, url, .. } => format!("{method} {url}"),
        ActionKind::DeleteFiles { directory, older_than, name, .. } => {
            let name = name.as_ref().map_or_else(String::new, |name| format!(" named {name}"));
            let age = older_than.map_or_else(String::new, |age| format!(" older than {}", in_words(age)));
            format!("delete files{name}{age} in {directory}")
        }
        ActionKind::ArchiveLog { path, .. } => format!("archive {path}"),
        ActionKind::SignalProcess { process, signal, .. } => format!("send {signal} to {process}"),
        ActionKind::TopProcesses { by, count } => {
            let by = if *by == Order::Memory { "memory" } else { "processor time" };
            format!("record the {count} largest processes by {by}")
        }
        ActionKind::Notify { message } => message.clone(),
    }
}
