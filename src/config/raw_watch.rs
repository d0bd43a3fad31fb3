//! The shape of `watch`.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use jsonc_parser::ast::Value;

use super::document::span;
use super::node::{Cx, Fields, FromNode, Spanned, record};
use super::playbook::StatusSet;
use super::problem::Draft;
use super::raw_later::Checks;
use super::settings::{self, CertificateSource, DiskEntry, Disks, EndpointEntry, LogEntry, ProcessEntry, ProcessMatch, StartTls};
use super::shape::{AbsolutePath, Headers, Interval, Method, Named, Pattern, PositiveSeconds, Url};
use crate::detect::condition;

record! {
    /// `watch` as it stands in the file.
    #[derive(Default)]
    pub(crate) Watch {
        disks: Option<RawDisks>,
        memory: Option<Memory>,
        processes: Option<Unique<Process>>,
        endpoints: Option<Unique<Endpoint>>,
        certificates: Option<Unique<Certificate>>,
        logs: Option<Vec<Log>>,
        #[expect(dead_code, reason = "read for its problems only in this version")]
        checks: Option<Checks>,
    }
}

impl Watch {
    /// The targets; those without an interval of their own have this one.
    pub(crate) fn with_interval(self, interval: Duration) -> settings::Watch {
        let or = |own: Option<Interval>| own.map_or(interval, |own| own.0);
        settings::Watch {
            disks: match self.disks.unwrap_or(RawDisks::Auto) {
                RawDisks::Auto => Disks::Auto(interval),
                RawDisks::List(list) => Disks::List(
                    list.into_iter().map(|disk| DiskEntry { mount: disk.mount.0, interval: or(disk.interval_seconds) }).collect(),
                ),
            },
            memory: match self.memory.unwrap_or(Memory::On(None)) {
                Memory::Off => None,
                Memory::On(own) => Some(or(own)),
            },
            processes: entries(self.processes, |process| process.entry(or)),
            endpoints: entries(self.endpoints, |endpoint| endpoint.entry(or)),
            certificates: entries(self.certificates, |certificate| certificate.entry(or)),
            logs: (self.logs.unwrap_or_default().into_iter())
                .map(|log| LogEntry { path: log.path.0, recursive: log.recursive.unwrap_or(false), interval: or(log.interval_seconds) })
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
#[derive(Debug)]
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

/// A name that becomes a label: short, and without anything that a terminal would obey.
#[derive(Debug)]
pub(crate) struct Label(pub(crate) String);

impl FromNode for Label {
    fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        const MOST: usize = 128;
        let name = Named::from_node(node, cx)?.0;
        if name.len() > MOST || name.contains(char::is_control) {
            return cx.invalid("bad_name", format!("a name has at most {MOST} bytes and no control characters"), node);
        }
        Some(Self(name))
    }
}

#[derive(Debug)]
enum RawDisks {
    Auto,
    List(Vec<Disk>),
}

record! {
    /// One element of `watch.disks`.
    Disk { mount: AbsolutePath, interval_seconds: Option<Interval>, }
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
    MemoryObject { interval_seconds: Option<Interval>, }
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
    /// One element of `watch.processes`.
    Process {
        name: Label,
        r#match: Option<Matcher>,
        service: Option<Named>,
        restartable: Option<bool>,
        respect_manual_stop: Option<bool>,
        user: Option<Named>,
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
            restartable: self.restartable.unwrap_or(false),
            respect_manual_stop: self.respect_manual_stop.unwrap_or(true),
            user: self.user.map(|user| user.0),
            interval: or(self.interval_seconds),
        }
    }
}

#[derive(Debug)]
struct Matcher(ProcessMatch);

record! {
    /// `match`: exactly one of these.
    RawMatch {
        exe: Option<AbsolutePath>,
        command: Option<Named>,
        pattern: Option<Pattern>,
        pidfile: Option<AbsolutePath>,
        unit: Option<Named>,
    }
}

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
                cx.report(span(node), draft.allowed(["exe", "command", "pattern", "pidfile", "unit"]))
            }
        }
    }
}

record! {
    /// One element of `watch.endpoints`.
    Endpoint {
        name: Label,
        url: Url,
        method: Option<Method>,
        headers: Option<Headers>,
        timeout_seconds: Option<PositiveSeconds>,
        expected_status: Option<StatusSet>,
        expected_body: Option<Pattern>,
        ca_file: Option<AbsolutePath>,
        insecure: Option<bool>,
        keep_alive: Option<bool>,
        interval_seconds: Option<Interval>,
    }
}

impl HasName for Endpoint {
    fn name(&self) -> &str {
        &self.name.0
    }
}

const TIMEOUT: Duration = Duration::from_secs(5);

impl Endpoint {
    fn entry(self, or: impl Fn(Option<Interval>) -> Duration) -> EndpointEntry {
        EndpointEntry {
            name: self.name.0,
            url: self.url.0,
            method: self.method.map_or_else(|| "GET".to_owned(), |method| method.0),
            headers: self.headers.map(|headers| headers.0).unwrap_or_default(),
            timeout: self.timeout_seconds.map_or(TIMEOUT, |timeout| timeout.0),
            expected_status: self.expected_status.unwrap_or(StatusSet(vec![(200, 399)])),
            expected_body: self.expected_body.map(|pattern| pattern.0),
            ca_file: self.ca_file.map(|path| path.0),
            insecure: self.insecure.unwrap_or(false),
            keep_alive: self.keep_alive.unwrap_or(false),
            interval: or(self.interval_seconds),
        }
    }
}

/// One element of `watch.certificates`.
#[derive(Debug)]
pub(crate) struct Certificate {
    name: Label,
    source: CertificateSource,
    ca_file: Option<PathBuf>,
    timeout: Duration,
    interval_seconds: Option<Interval>,
}

record! {
    /// Keys of a certificate that a server shows.
    Served { host: Named, port: Option<u16>, server_name: Option<Named>, starttls: Option<StartTls>, timeout_seconds: Option<PositiveSeconds>, }
}

impl FromNode for Certificate {
    fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        let mut fields = Fields::open(node, cx)?;
        let name = fields.get::<Label>("name");
        let ca_file = fields.get::<Option<AbsolutePath>>("ca_file");
        let interval_seconds = fields.get::<Option<Interval>>("interval_seconds");
        let source = if fields.has("path") {
            let timeout = fields.get::<Option<PositiveSeconds>>("timeout_seconds");
            let path = fields.get::<Glob>("path");
            path.zip(timeout).map(|(path, timeout)| (CertificateSource::Files { path: path.0 }, timeout))
        } else {
            Served::read(&mut fields).map(|raw| {
                let source = CertificateSource::Served {
                    host: raw.host.0,
                    port: raw.port.unwrap_or(443),
                    server_name: raw.server_name.map(|name| name.0),
                    starttls: raw.starttls,
                };
                (source, raw.timeout_seconds)
            })
        };
        fields.close();
        let (source, timeout) = source?;
        let timeout = timeout.map_or(TIMEOUT, |timeout| timeout.0);
        Some(Self { name: name?, source, ca_file: ca_file?.map(|path| path.0), timeout, interval_seconds: interval_seconds? })
    }
}

impl HasName for Certificate {
    fn name(&self) -> &str {
        &self.name.0
    }
}

impl Certificate {
    fn entry(self, or: impl Fn(Option<Interval>) -> Duration) -> settings::CertificateEntry {
        let interval = or(self.interval_seconds);
        settings::CertificateEntry { name: self.name.0, source: self.source, ca_file: self.ca_file, timeout: self.timeout, interval }
    }
}

record! {
    /// One element of `watch.logs`.
    Log { path: Glob, recursive: Option<bool>, interval_seconds: Option<Interval>, }
}

/// An absolute path that may be a glob.
#[derive(Debug)]
struct Glob(String);

impl FromNode for Glob {
    fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        let path = AbsolutePath::from_node(node, cx)?.0.to_string_lossy().into_owned();
        match condition::Pattern::new(&path) {
            Ok(_) => Some(Self(path)),
            Err(reason) => cx.invalid("bad_pattern", format!("not a glob: {reason}"), node),
        }
    }
}
