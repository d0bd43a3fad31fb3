//! The shape of `watch`.

use std::collections::HashSet;
use std::time::Duration;

use jsonc_parser::ast::Value;
use schemars::{JsonSchema, json_schema};
use serde_json::json;

use super::document::span;
use super::node::{Cx, FromNode, Spanned, record};
use super::playbook::StatusSet;
use super::problem::Draft;
use super::raw_certificate::Certificate;
use super::raw_later::Checks;
use super::schema::{described, schema};
use super::settings::{self, DiskEntry, Disks, EndpointEntry, LogEntry, ProcessEntry, ProcessMatch};
use super::shape::{AbsolutePath, Headers, Interval, Method, Named, Pattern, PositiveSeconds, SAYS_SOMETHING, Url};
use crate::detect::condition;

record! {
    /// What is measured.
    pub(crate) Watch {
        /// Mounted file systems.
        disks: RawDisks = "auto",
        /// Memory, processor and load of the host.
        memory: Memory = true,
        /// Processes that should run.
        processes: Option<Unique<Process>>,
        /// HTTP endpoints.
        endpoints: Option<Unique<Endpoint>>,
        /// TLS certificates, served or in files.
        certificates: Option<Unique<Certificate>>,
        /// Log files.
        logs: Option<Vec<Log>>,
        /// Programs with the exit codes of Nagios plugins. They have no effect in this version.
        #[expect(dead_code, reason = "read for its problems only in this version")]
        checks: Option<Checks>,
    }
}

impl Watch {
    /// The targets; those without an interval of their own have this one.
    pub(crate) fn with_interval(self, interval: Duration) -> settings::Watch {
        let or = |own: Option<Interval>| own.map_or(interval, |own| own.0);
        settings::Watch {
            disks: match self.disks {
                RawDisks::Auto => Disks::Auto(interval),
                RawDisks::List(list) => Disks::List(
                    list.into_iter().map(|disk| DiskEntry { mount: disk.mount.0, interval: or(disk.interval_seconds) }).collect(),
                ),
            },
            memory: match self.memory {
                Memory::Off => None,
                Memory::On(own) => Some(or(own)),
            },
            processes: entries(self.processes, |process| process.entry(or)),
            endpoints: entries(self.endpoints, |endpoint| endpoint.entry(or)),
            certificates: entries(self.certificates, |certificate| certificate.entry(or)),
            logs: (self.logs.unwrap_or_default().into_iter())
                .map(|log| LogEntry { path: log.path.0, recursive: log.recursive, interval: or(log.interval_seconds) })
                .collect(),
        }
    }
}

fn entries<T, E>(list: Option<Unique<T>>, entry: impl Fn(T) -> E) -> Vec<E> {
    list.map_or_else(Vec::new, |list| list.0.into_iter().map(entry).collect())
}

/// Something whose name is a label, so that no two may share it.
pub(crate) trait HasName {
    fn name(&self) -> &str;
}

/// A list whose names differ.
#[derive(Debug, JsonSchema)]
#[schemars(inline)]
pub(crate) struct Unique<T>(pub(crate) Vec<T>);

impl<T: FromNode + HasName> FromNode for Unique<T> {
    fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        let list = Vec::<Spanned<T>>::from_node(node, cx)?;
        let mut seen = HashSet::new();
        for entry in &list {
            if !seen.insert(entry.value.name()) {
                let message = format!("two entries are called {:?}; the name is the label that tells them apart", entry.value.name());
                cx.report::<()>(entry.span.start..entry.span.start + 1, Draft::error("duplicate_name", message).found(entry.value.name()));
            }
        }
        let unique = seen.len() == list.len();
        unique.then(|| Self(list.into_iter().map(|entry| entry.value).collect()))
    }
}

/// How many bytes a name has at most.
const LONGEST_NAME: usize = 128;

/// A name that becomes a label: short, and without anything that a terminal would obey.
#[derive(Debug)]
pub(crate) struct Label(pub(crate) String);

impl FromNode for Label {
    fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        let name = Named::from_node(node, cx)?.0;
        if name.len() > LONGEST_NAME || name.contains(char::is_control) {
            return cx.invalid("bad_name", format!("a name has at most {LONGEST_NAME} bytes and no control characters"), node);
        }
        Some(Self(name))
    }
}

schema! {
    RawDisks = |generator| json_schema!({"oneOf": [
        described("auto", "Every real file system that can be written."),
        generator.subschema_for::<Vec<Disk>>()
    ]});
}

schema! {
    Memory = |generator| json_schema!({"oneOf": [{"type": "boolean"}, generator.subschema_for::<MemoryObject>()]});
}

schema! {
    Label = {"type": "string", "pattern": SAYS_SOMETHING, "maxLength": LONGEST_NAME};
    Glob = {"type": "string", "pattern": "^/"};
}

#[derive(Debug)]
enum RawDisks {
    Auto,
    List(Vec<Disk>),
}

record! {
    /// One file system.
    Disk {
        /// Where it is mounted, such as /data.
        mount: AbsolutePath,
        /// How many seconds lie between two measurements. Without it: `interval_seconds` of the settings.
        interval_seconds: Option<Interval>,
    }
}

impl FromNode for RawDisks {
    fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        match node {
            Value::Array(_) => Vec::from_node(node, cx).map(Self::List),
            Value::StringLit(literal) if literal.value == "auto" => Some(Self::Auto),
            _ => cx.expected("\"auto\" or a list of mounts", node),
        }
    }
}

#[derive(Debug)]
enum Memory {
    Off,
    On(Option<Interval>),
}

record! {
    /// `watch.memory` with an interval of its own.
    MemoryObject {
        /// How many seconds lie between two measurements. Without it: `interval_seconds` of the settings.
        interval_seconds: Option<Interval>,
    }
}

impl FromNode for Memory {
    fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        match node {
            Value::BooleanLit(literal) => Some(if literal.value { Self::On(None) } else { Self::Off }),
            Value::Object(_) => MemoryObject::from_node(node, cx).map(|object| Self::On(object.interval_seconds)),
            _ => cx.expected("true, false or {\"interval_seconds\": …}", node),
        }
    }
}

record! {
    /// One process that should run.
    Process {
        /// What it is called: the label `process_name`. Without `match`, also the name of its program.
        name: Label,
        /// How it is recognized. Without it: by `name`.
        r#match: Option<Matcher>,
        /// The service that it belongs to. Without it: the unit of `match`, or the one in which it was last seen, or its name.
        service: Option<Named>,
        /// `true`: actions may restart or stop it while it runs.
        restartable: bool = false,
        /// `true`: a unit of systemd that a person stopped or masked stays down, with one `suppressed` incident. `false`: it is healed.
        respect_manual_stop: bool = true,
        /// Only processes of this user.
        user: Option<Named>,
        /// How many seconds lie between two measurements. Without it: `interval_seconds` of the settings.
        interval_seconds: Option<Interval>,
    }
}

impl HasName for Process {
    fn name(&self) -> &str {
        &self.name.0
    }
}

impl Process {
    fn entry(self, or: impl Fn(Option<Interval>) -> Duration) -> ProcessEntry {
        ProcessEntry {
            matcher: self.r#match.map_or_else(|| ProcessMatch::Command(self.name.0.clone()), |matcher| matcher.0),
            name: self.name.0,
            service: self.service.map(|service| service.0),
            restartable: self.restartable,
            respect_manual_stop: self.respect_manual_stop,
            user: self.user.map(|user| user.0),
            interval: or(self.interval_seconds),
        }
    }
}

#[derive(Debug)]
struct Matcher(ProcessMatch);

record! {
    /// How a process is recognized: exactly one of these.
    RawMatch {
        /// The path of its program.
        exe: Option<AbsolutePath>,
        /// The whole name of its program.
        command: Option<Named>,
        /// A regular expression that is looked for anywhere in its command line.
        pattern: Option<Pattern>,
        /// The file that holds its id.
        pidfile: Option<AbsolutePath>,
        /// Its systemd unit.
        unit: Option<Named>,
    }
}

schema! {
    Matcher = |generator| {
        let mut schema = RawMatch::json_schema(generator);
        schema.insert("oneOf".to_owned(), json!(WAYS.map(|key| json!({"required": [key]}))));
        schema
    };
}

/// The ways to recognize a process.
const WAYS: [&str; 5] = ["exe", "command", "pattern", "pidfile", "unit"];

impl FromNode for Matcher {
    fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        let raw = RawMatch::from_node(node, cx)?;
        let mut given = [
            raw.exe.map(|path| ProcessMatch::Exe(path.0)),
            raw.command.map(|name| ProcessMatch::Command(name.0)),
            raw.pattern.map(|pattern| ProcessMatch::Pattern(pattern.0)),
            raw.pidfile.map(|path| ProcessMatch::Pidfile(path.0)),
            raw.unit.map(|unit| ProcessMatch::Unit(unit.0)),
        ]
        .into_iter()
        .flatten();
        match (given.next(), given.next()) {
            (Some(one), None) => Some(Self(one)),
            _ => {
                let draft = Draft::error("bad_match", "give exactly one of exe, command, pattern, pidfile, unit");
                cx.report(span(node), draft.allowed(WAYS))
            }
        }
    }
}

record! {
    /// One HTTP endpoint.
    Endpoint {
        /// What it is called: the label `endpoint`.
        name: Label,
        /// An http or https address.
        url: Url,
        /// The method.
        method: Method = "GET",
        /// Headers: name to value.
        headers: Option<Headers>,
        /// After this many seconds the request has failed.
        timeout_seconds: PositiveSeconds = 5,
        /// Answers that are good: a status, a range such as "200-399", or a list of these.
        expected_status: StatusSet = "200-399",
        /// A regular expression that is looked for anywhere in the first 64 KiB of the answer.
        expected_body: Option<Pattern>,
        /// A file with root certificates, in PEM. Without it: the host's.
        ca_file: Option<AbsolutePath>,
        /// `true`: any certificate will do.
        insecure: bool = false,
        /// `true`: one connection for many requests; otherwise each has its own.
        keep_alive: bool = false,
        /// How many seconds lie between two measurements. Without it: `interval_seconds` of the settings.
        interval_seconds: Option<Interval>,
    }
}

impl HasName for Endpoint {
    fn name(&self) -> &str {
        &self.name.0
    }
}

impl Endpoint {
    fn entry(self, or: impl Fn(Option<Interval>) -> Duration) -> EndpointEntry {
        EndpointEntry {
            name: self.name.0,
            url: self.url.0,
            method: self.method.0,
            headers: self.headers.map(|headers| headers.0).unwrap_or_default(),
            timeout: self.timeout_seconds.0,
            expected_status: self.expected_status,
            expected_body: self.expected_body.map(|pattern| pattern.0),
            ca_file: self.ca_file.map(|path| path.0),
            insecure: self.insecure,
            keep_alive: self.keep_alive,
            interval: or(self.interval_seconds),
        }
    }
}

record! {
    /// Log files.
    Log {
        /// An absolute path, which may be a glob, such as /var/log/*.log
        path: Glob,
        /// `true`: with all directories below.
        recursive: bool = false,
        /// How many seconds lie between two measurements. Without it: `interval_seconds` of the settings.
        interval_seconds: Option<Interval>,
    }
}

/// An absolute path that may be a glob.
#[derive(Debug)]
pub(crate) struct Glob(pub(crate) String);

impl FromNode for Glob {
    fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        let path = AbsolutePath::from_node(node, cx)?.0.to_string_lossy().into_owned();
        match condition::Pattern::new(&path) {
            Ok(_) => Some(Self(path)),
            Err(reason) => cx.invalid("bad_pattern", format!("not a glob: {reason}"), node),
        }
    }
}
