//! The settings (`autoheal.json`) as the rest of the program sees them: checked, with every default filled in.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::playbook::{StatusSet, Verb};
use crate::heal::silence::RecurringSilence;

/// What to watch, which commands may ever run, and whom to tell.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Nothing is executed, everything is decided and recorded.
    pub dry_run: bool,
    /// Interval of every watch entry that has none of its own.
    pub interval: Duration,
    /// What is measured.
    pub watch: Watch,
    /// `allowed_commands`, with `@shipped` replaced by the shipped list.
    pub allowed_commands: Vec<AllowedCommand>,
    /// Where programs are looked up: absolute directories, in this order.
    pub command_path: Vec<PathBuf>,
    /// Services that no service manager knows.
    pub services: BTreeMap<String, BTreeMap<ServiceCommand, String>>,
    /// Budget of the whole host; `0`: no actions at all.
    pub max_actions_per_hour: u32,
    /// Recurring maintenance windows.
    pub silences: Vec<RecurringSilence>,
    /// For how long what happened is kept.
    pub history: History,
}

/// `history`: for how long records are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// Incidents, since they ended.
    pub incidents: Duration,
    /// Samples, since they were measured.
    pub samples: Duration,
    /// Reports; `None`: all of them, for ever.
    pub keep_reports: Option<Duration>,
}

impl Default for History {
    /// 90 days of incidents, 7 days of samples, every report.
    fn default() -> Self {
        Self { incidents: Duration::from_hours(90 * 24), samples: Duration::from_hours(7 * 24), keep_reports: None }
    }
}

/// The keys of an entry of `services`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ServiceCommand {
    /// What a `service_*` action runs.
    Verb(VerbKey),
    /// Exit 0 means that the service runs.
    Status,
}

/// [`Verb`] with an order, as a map key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum VerbKey {
    /// `restart`
    Restart,
    /// `start`
    Start,
    /// `stop`
    Stop,
    /// `reload`
    Reload,
}

impl From<Verb> for VerbKey {
    fn from(verb: Verb) -> Self {
        match verb {
            Verb::Restart => Self::Restart,
            Verb::Start => Self::Start,
            Verb::Stop => Self::Stop,
            Verb::Reload => Self::Reload,
        }
    }
}

impl Settings {
    /// The command of the settings' `services` for this, if the service has one.
    #[must_use]
    pub fn service_command(&self, service: &str, verb: Verb) -> Option<&str> {
        self.services.get(service)?.get(&ServiceCommand::Verb(verb.into())).map(String::as_str)
    }
}

/// One element of `allowed_commands`.
#[derive(Clone, Debug, PartialEq)]
pub struct AllowedCommand {
    /// The rule, as written.
    pub rule: String,
    /// The user that the command runs as.
    pub run_as: Option<String>,
    /// It waits for a yes whatever the playbook says.
    pub requires_approval: bool,
    /// An upper limit for the action's timeout.
    pub timeout: Option<Duration>,
    /// `"sandbox"`: `Some(true)` on, the program starts no other and writes only below the paths of the rule; `Some(false)` off,
    /// and it may gain privileges, too; `None` as the guard's table of programs says.
    pub sandbox: Option<bool>,
    /// For people.
    pub note: Option<String>,
    /// Where it comes from: `shipped`, or its place in the settings (`$.allowed_commands[3]`).
    pub source: String,
}

/// `watch`: the targets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Watch {
    /// Mounts.
    pub disks: Disks,
    /// Memory, processor and load; `None`: off.
    pub memory: Option<Duration>,
    /// Processes.
    pub processes: Vec<ProcessEntry>,
    /// HTTP endpoints.
    pub endpoints: Vec<EndpointEntry>,
    /// Certificates.
    pub certificates: Vec<CertificateEntry>,
    /// Log files.
    pub logs: Vec<LogEntry>,
}

impl Watch {
    /// The longest time that one measurement of a target may take.
    #[must_use]
    pub fn longest_timeout(&self) -> Duration {
        let endpoints = self.endpoints.iter().map(|entry| entry.timeout);
        let certificates = self.certificates.iter().map(|entry| entry.timeout);
        endpoints.chain(certificates).max().unwrap_or_default()
    }

    /// How many entries there are; `"auto"` disks and memory are one each.
    #[must_use]
    pub fn entries(&self) -> usize {
        let disks = if let Disks::List(list) = &self.disks { list.len() } else { 1 };
        let listed = self.processes.len() + self.endpoints.len() + self.certificates.len() + self.logs.len();
        disks + usize::from(self.memory.is_some()) + listed
    }
}

impl fmt::Display for Watch {
    /// `every mounted file system, memory, processes: web, db, logs: /var/log/*.log`
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        let mut list = |what: &str, names: Vec<String>| {
            if !names.is_empty() {
                parts.push(format!("{what}: {}", names.join(", ")));
            }
        };
        match &self.disks {
            Disks::Auto(_) => list("disks", vec!["every real file system".to_owned()]),
            Disks::List(disks) => list("disks", disks.iter().map(|disk| disk.mount.display().to_string()).collect()),
        }
        list("host", self.memory.iter().map(|_| "memory, processor, load".to_owned()).collect());
        list("processes", self.processes.iter().map(|entry| entry.name.clone()).collect());
        list("endpoints", self.endpoints.iter().map(|entry| entry.name.clone()).collect());
        list("certificates", self.certificates.iter().map(|entry| entry.name.clone()).collect());
        list("logs", self.logs.iter().map(|entry| entry.path.clone()).collect());
        out.write_str(&if parts.is_empty() { "nothing".to_owned() } else { parts.join("; ") })
    }
}

/// `watch.disks`
#[derive(Clone, Debug, PartialEq)]
pub enum Disks {
    /// Every real, writable file system, looked up anew at this interval.
    Auto(Duration),
    /// These mounts.
    List(Vec<DiskEntry>),
}

impl Default for Disks {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

/// One element of `watch.disks`.
#[derive(Clone, Debug, PartialEq)]
pub struct DiskEntry {
    /// The mount point.
    pub mount: PathBuf,
    /// How often it is measured.
    pub interval: Duration,
}

/// One element of `watch.processes`.
#[derive(Clone, Debug)]
pub struct ProcessEntry {
    /// The label `process_name`.
    pub name: String,
    /// Which processes are meant.
    pub matcher: ProcessMatch,
    /// The service that belongs to it.
    pub service: Option<String>,
    /// Whether it may be restarted while it runs.
    pub restartable: bool,
    /// A stop by a person is respected.
    pub respect_manual_stop: bool,
    /// Only processes of this user are meant.
    pub user: Option<String>,
    /// How often it is measured.
    pub interval: Duration,
}

impl PartialEq for ProcessEntry {
    fn eq(&self, other: &Self) -> bool {
        format!("{self:?}") == format!("{other:?}")
    }
}

/// How processes are recognised.
#[derive(Clone, Debug)]
pub enum ProcessMatch {
    /// The executable's absolute path.
    Exe(PathBuf),
    /// The whole command name: comm (15 characters) or the base name of argv\[0\].
    Command(String),
    /// A regular expression on the command line.
    Pattern(regex::Regex),
    /// A file that holds the process id.
    Pidfile(PathBuf),
    /// A systemd unit.
    Unit(String),
}

/// One element of `watch.endpoints`.
#[derive(Clone, Debug)]
pub struct EndpointEntry {
    /// The label `endpoint`.
    pub name: String,
    /// What is requested.
    pub url: String,
    /// How.
    pub method: String,
    /// Header names and values.
    pub headers: Vec<(String, String)>,
    /// One deadline for the whole request.
    pub timeout: Duration,
    /// Which answers mean that it is up.
    pub expected_status: StatusSet,
    /// What the body must match.
    pub expected_body: Option<regex::Regex>,
    /// A file with the roots that are trusted besides the host's.
    pub ca_file: Option<PathBuf>,
    /// Any certificate will do.
    pub insecure: bool,
    /// Connections are used again (and hide a dead listener).
    pub keep_alive: bool,
    /// How often it is measured.
    pub interval: Duration,
}

impl PartialEq for EndpointEntry {
    fn eq(&self, other: &Self) -> bool {
        format!("{self:?}") == format!("{other:?}")
    }
}

/// One element of `watch.certificates`.
#[derive(Clone, Debug, PartialEq)]
pub struct CertificateEntry {
    /// The label `certificate`.
    pub name: String,
    /// Served, or in files.
    pub source: CertificateSource,
    /// A file with the roots that are trusted besides the host's.
    pub ca_file: Option<PathBuf>,
    /// One deadline for connect and handshake.
    pub timeout: Duration,
    /// How often it is measured.
    pub interval: Duration,
}

/// Where a certificate is.
#[derive(Clone, Debug, PartialEq)]
pub enum CertificateSource {
    /// A server shows it.
    Served {
        /// Its host name or address.
        host: String,
        /// Its port.
        port: u16,
        /// The name that is asked for (SNI) and that the certificate must be for; by default the host.
        server_name: Option<String>,
        /// The protocol that is upgraded to TLS.
        starttls: Option<StartTls>,
    },
    /// PEM or DER files.
    Files {
        /// A path or a glob.
        path: String,
    },
}

/// Protocols that begin in clear text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartTls {
    /// RFC 3207
    Smtp,
    /// RFC 3501
    Imap,
    /// RFC 2595
    Pop3,
}

/// One element of `watch.logs`.
#[derive(Clone, Debug, PartialEq)]
pub struct LogEntry {
    /// A path or a glob.
    pub path: String,
    /// Every file below the directories that match.
    pub recursive: bool,
    /// How often it is measured.
    pub interval: Duration,
}
