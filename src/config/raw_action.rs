//! The shape of an action.

use std::borrow::Cow;
use std::time::Duration;

use jsonc_parser::ast::Value;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value as Json, json};

use super::document::Document;
use super::node::{Cx, Fields, FromNode, entries, record};
use super::playbook::{Action, ActionKind, Order, StatusSet, Verb};
use super::problem::Draft;
use super::raw_action_parts::{FileName, OwnHeaders, PathTemplate, Signal};
use super::schema::{described, joined};
use super::shape::{AtLeastOne, Days, Megabytes, Method, Named, PositiveSeconds, Retries, Seconds, Url, Words, words};
use super::source::Text;
use crate::clock::in_words;
use crate::detect::condition::Selector;

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
        /// Runs one program with arguments; no shell reads the text.
        "shell" => Type::Shell,
        /// Restarts a service, through whoever manages it.
        "service_restart" => Type::Service(Verb::Restart),
        /// Starts a service, through whoever manages it.
        "service_start" => Type::Service(Verb::Start),
        /// Stops a service, through whoever manages it.
        "service_stop" => Type::Service(Verb::Stop),
        /// Has a service read its configuration again.
        "service_reload" => Type::Service(Verb::Reload),
        /// Sends one HTTP request.
        "http" => Type::Http,
        /// Deletes files by age, name or size; never follows a link or leaves the directory's file system.
        "delete_files" => Type::DeleteFiles,
        /// Compresses a copy of a log, then empties the log in place, so that its writer goes on.
        "archive_log" => Type::ArchiveLog,
        /// Sends a signal to exactly the matched processes.
        "signal_process" => Type::SignalProcess,
        /// Records the largest processes in the report; changes nothing.
        "top_processes" => Type::TopProcesses,
        /// Tells people, and goes on.
        "notify" => Type::Notify;
}

record! {
    /// Keys that every action may have.
    Common {
        /// What the action is called in messages and reports. Without it: made from what it does.
        description: Option<String>,
        /// After this many seconds the action has failed; a smaller one in its allow rule wins.
        timeout_seconds: Option<PositiveSeconds>,
        /// `true`: a person must approve before it runs.
        requires_approval: bool = false,
        /// The incident's labels must match these; otherwise the action is skipped. Such as: {"process_name": "node"}
        when: Option<Selector>,
        /// `true`: skipped when its program is not installed; otherwise that is a failure.
        skip_if_missing: bool = false,
        /// `true`: the next action runs even if this one fails.
        continue_on_failure: bool = false,
        /// A path where this makes room: skipped unless it lies on the file system of the incident.
        frees: Option<PathTemplate>,
        /// In a ladder: how often the verification after this rung looks again; without it, what `verify` says.
        retry_count: Option<Retries>,
        /// In a ladder: how many seconds lie between two looks after this rung; without it, what `verify` says.
        retry_interval_seconds: Option<Seconds>,
        /// The user it runs as; it must be the one that its allow rule names.
        run_as: Option<Named>,
    }
}

record! {
    /// `shell`
    Shell {
        /// A program and its arguments, such as: nginx -s reload. A placeholder like {process_name} is one argument or a part of it.
        command: Named,
    }
}

record! {
    /// `service_*`
    Service {
        /// The service's name, or that of the process that it belongs to, such as: {process_name}
        service: Named,
    }
}

record! {
    /// `http`
    Http {
        /// The method, such as GET or POST.
        method: Method = "POST",
        /// An http or https address.
        url: Url,
        /// Headers: name to value. Those that shape the request, like Host and Content-Length, are autoheal's to set.
        headers: Option<OwnHeaders>,
        /// What is sent.
        body: Option<String>,
        /// Answers that are a success: a status, a range such as "200-399", or a list of these.
        expect_status: StatusSet = "200-299",
    }
}

record! {
    /// `delete_files`
    DeleteFiles {
        /// Where to look, with everything below: an absolute path.
        directory: PathTemplate,
        /// Only files that were not modified for this many days.
        older_than_days: Option<Days>,
        /// Only files whose name matches this glob, such as *.gz
        name: Option<FileName>,
        /// Only files over this many MiB.
        larger_than_mb: Option<Megabytes>,
        /// At most this many MiB are deleted in one go.
        max_delete_mb: Option<Megabytes>,
    }
}

record! {
    /// `archive_log`
    ArchiveLog {
        /// The log: an absolute path, such as {path}
        path: PathTemplate,
        /// The directory of the copies. Without it: that of the log.
        to: Option<PathTemplate>,
        /// How many copies are kept. Without it: all.
        keep: Option<AtLeastOne>,
    }
}

record! {
    /// `signal_process`
    SignalProcess {
        /// The name of a watched process, such as: {process_name}
        process: Named,
        /// The signal.
        signal: Signal,
        /// Whatever still runs after this many seconds is killed. Without it: nothing is.
        then_kill_after_seconds: Option<Seconds>,
    }
}

record! {
    /// `top_processes`
    TopProcesses {
        /// What makes a process large.
        by: Order = "memory",
        /// How many are recorded.
        count: AtLeastOne = 5,
    }
}

record! {
    /// `notify`
    Notify {
        /// What people are told. Placeholders are filled in.
        message: Named,
    }
}

impl JsonSchema for Action {
    fn schema_name() -> Cow<'static, str> {
        "action".into()
    }

    /// One object for each type.
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let action = |(word, about, kind): &(&str, &str, Type)| {
            let tag = json_schema!({"properties": {"type": described(word, about)}, "required": ["type"]});
            let mut schema = joined(about.trim(), [tag, Common::json_schema(generator), own_keys(*kind, generator)]);
            if let Some(Json::Object(timeout)) = schema.pointer_mut("/properties/timeout_seconds") {
                timeout.insert("default".to_owned(), default_timeout(*kind).as_secs().into());
            }
            if matches!(kind, Type::DeleteFiles) {
                let one = SELECTIVE.map(|key| json!({"required": [key]}));
                schema.insert("anyOf".to_owned(), json!(one));
            }
            schema
        };
        json_schema!({"oneOf": Type::TABLE.iter().map(action).collect::<Vec<_>>()})
    }
}

/// The keys that only actions of this type have.
fn own_keys(kind: Type, generator: &mut SchemaGenerator) -> Schema {
    match kind {
        Type::Shell => Shell::json_schema(generator),
        Type::Service(_) => Service::json_schema(generator),
        Type::Http => Http::json_schema(generator),
        Type::DeleteFiles => DeleteFiles::json_schema(generator),
        Type::ArchiveLog => ArchiveLog::json_schema(generator),
        Type::SignalProcess => SignalProcess::json_schema(generator),
        Type::TopProcesses => TopProcesses::json_schema(generator),
        Type::Notify => Notify::json_schema(generator),
    }
}

/// How long an action may take that does not say it.
fn default_timeout(kind: Type) -> Duration {
    Duration::from_secs(if matches!(kind, Type::Service(_)) { 120 } else { 60 })
}

/// Without one of these keys `delete_files` would delete everything.
const SELECTIVE: [&str; 3] = ["older_than_days", "name", "larger_than_mb"];

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
        let (default, kind, common) = (default_timeout(kind?), body?, common?);
        Some(Self {
            description: common.description.unwrap_or_else(|| describe(&kind)),
            timeout: common.timeout_seconds.map_or(default, |seconds| seconds.0),
            requires_approval: common.requires_approval,
            when: common.when.unwrap_or_default(),
            skip_if_missing: common.skip_if_missing,
            continue_on_failure: common.continue_on_failure,
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
                method: raw.method.0,
                url: raw.url.0,
                headers: raw.headers.map(|headers| headers.0).unwrap_or_default(),
                body: raw.body,
                expect_status: raw.expect_status,
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
            ActionKind::TopProcesses { by: raw.by, count: raw.count.0 }
        }
        Type::Notify => ActionKind::Notify { message: Notify::read(fields)?.message.0 },
    })
}

fn delete_files(fields: &mut Fields<'_, '_, '_>) -> Option<ActionKind> {
    let raw = DeleteFiles::read(fields)?;
    if raw.older_than_days.is_none() && raw.name.is_none() && raw.larger_than_mb.is_none() {
        let draft = Draft::error("missing_key", "this would delete every file: say which by age, name or size");
        let span = fields.span().start..fields.span().start + 1;
        return fields.cx.report(span, draft.allowed(SELECTIVE));
    }
    Some(ActionKind::DeleteFiles {
        directory: raw.directory.0,
        older_than: raw.older_than_days.map(|days| days.0),
        name: raw.name.map(|name| name.0),
        larger_than: raw.larger_than_mb.map(|size| size.0),
        max_delete: raw.max_delete_mb.map(|size| size.0),
    })
}

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

/// What an action without a description is called.
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
