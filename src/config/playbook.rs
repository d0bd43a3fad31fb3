//! A playbook as the rest of the program sees it: checked, with every default filled in.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::detect::condition::{Condition, Selector};
use crate::placeholder::{self, Values};

/// How urgent an incident is, most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Wake somebody.
    Critical,
    /// Look today.
    Error,
    /// Look this week.
    Warning,
    /// For the record.
    Info,
}

impl Severity {
    /// All, most urgent first.
    pub const ALL: [Self; 4] = [Self::Critical, Self::Error, Self::Warning, Self::Info];

    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// One entry of `autoheal-playbooks.json`: when, what, and how it is proven.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "SavedPlaybook", try_from = "SavedPlaybook")]
pub struct Playbook {
    /// The key in the file; also the incident's type.
    pub id: String,
    /// Shown wherever the playbook is.
    pub description: String,
    /// A disabled playbook never fires.
    pub enabled: bool,
    /// Urgency of its incidents.
    pub severity: Severity,
    /// How often a playbook that only tells repeats its message; zero is once.
    pub repeat: Duration,
    /// When it fires.
    pub condition: Condition,
    /// What it does, in order; none means that it only tells.
    pub actions: Vec<Action>,
    /// How the heal is proven; `None`: the condition no longer holds.
    pub verify: Option<Verify>,
    /// All actions, or rung by rung until one verifies.
    pub strategy: Strategy,
    /// The whole playbook waits for a yes.
    pub requires_approval: bool,
    /// How long it waits.
    pub approval_timeout: Duration,
    /// Pause of a target (or of the whole playbook) after a heal.
    pub cooldown: Duration,
    /// What the pause is for.
    pub cooldown_scope: CooldownScope,
    /// Failed or relapsed heals before the breaker opens.
    pub max_attempts: u32,
    /// A fault that returns within this did not stay healed; zero: never judged.
    pub relapse: Duration,
    /// When an open breaker allows one attempt; zero: never.
    pub retry_after: Duration,
    /// This playbook only says what it would do.
    pub dry_run: bool,
    /// A link for people.
    pub runbook_url: Option<String>,
    /// Its text in the file: an incident in flight finishes on the playbook that it started with, also after a restart.
    pub source: Arc<str>,
}

/// A playbook in saved state: it is read again from its text.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SavedPlaybook {
    /// The key in the file.
    pub id: String,
    /// The value of that key.
    pub source: Arc<str>,
}

impl From<Playbook> for SavedPlaybook {
    fn from(playbook: Playbook) -> Self {
        Self { id: playbook.id, source: playbook.source }
    }
}

/// The proof of a heal.
#[derive(Clone, Debug, PartialEq)]
pub struct Verify {
    /// What must hold.
    pub condition: Condition,
    /// How often it is looked at again after the first look.
    pub retry_count: u32,
    /// How far apart the looks are.
    pub retry_interval: Duration,
    /// For how long it must stay true.
    pub hold: Duration,
}

impl Playbook {
    /// How often and how far apart the heal is looked at after the first look: `verify`'s numbers or their defaults (3, 10 s).
    #[must_use]
    pub fn retries(&self) -> (u32, Duration) {
        self.verify.as_ref().map_or((3, Duration::from_secs(10)), |verify| (verify.retry_count, verify.retry_interval))
    }
}

/// How the actions relate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// All of them, then the verification; the first failure stops.
    All,
    /// A verification after each; the first rung that verifies ends it, a failed rung goes on to the next.
    Ladder,
}

/// What a cooldown holds back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CooldownScope {
    /// The same playbook on the same target.
    Target,
    /// The same playbook on every target.
    Playbook,
}

/// One remediation.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    /// What it does.
    pub kind: ActionKind,
    /// For people; by default made from the command.
    pub description: String,
    /// Its deadline.
    pub timeout: Duration,
    /// It waits for a yes.
    pub requires_approval: bool,
    /// It is skipped unless these labels match.
    pub when: Selector,
    /// It is skipped when its program is not installed.
    pub skip_if_missing: bool,
    /// Its failure does not stop the playbook.
    pub continue_on_failure: bool,
    /// A path (may hold placeholders): it is skipped unless that path lies on the incident's mount.
    pub frees: Option<String>,
    /// In a ladder: how often this rung is looked at again. `None`: 0, or the playbook's for the last rung.
    pub retry_count: Option<u32>,
    /// In a ladder: how far apart these looks are. `None`: the playbook's.
    pub retry_interval: Option<Duration>,
    /// The user that it runs as; must equal the rule's.
    pub run_as: Option<String>,
    /// Where it stands in the file: `$.disk_space_low.actions[0]`.
    pub path: String,
}

/// The types of actions. Text fields may hold placeholders.
#[derive(Clone, Debug, PartialEq)]
pub enum ActionKind {
    /// One program with arguments; no shell.
    Shell {
        /// The command line.
        command: String,
    },
    /// `service_restart`, `service_start`, `service_stop`, `service_reload`.
    Service {
        /// What is done to the service.
        verb: Verb,
        /// Which service, or a process name that maps to one.
        service: String,
    },
    /// One request.
    Http {
        /// The method, upper case.
        method: String,
        /// Where to.
        url: String,
        /// Header names and values.
        headers: Vec<(String, String)>,
        /// The body.
        body: Option<String>,
        /// Which answers are a success.
        expect_status: StatusSet,
    },
    /// Deletes old files natively.
    DeleteFiles {
        /// Where; subdirectories on the same file system included.
        directory: String,
        /// Only files not changed for this long.
        older_than: Option<Duration>,
        /// Only files whose name matches this glob.
        name: Option<String>,
        /// Only files over this many bytes.
        larger_than: Option<u64>,
        /// Stops after this many bytes.
        max_delete: Option<u64>,
    },
    /// Compresses a copy of a log and truncates the original in place.
    ArchiveLog {
        /// The log.
        path: String,
        /// The directory of the copy; `None`: beside the log.
        to: Option<String>,
        /// How many copies are kept; `None`: all.
        keep: Option<u32>,
    },
    /// Sends a signal to the processes of a watch entry.
    SignalProcess {
        /// The watch entry's name.
        process: String,
        /// The signal's name without `SIG`.
        signal: String,
        /// KILL follows after this.
        then_kill_after: Option<Duration>,
    },
    /// Records the largest processes in the report; changes nothing.
    TopProcesses {
        /// By what they are ordered.
        by: Order,
        /// How many.
        count: u32,
    },
    /// Tells people, goes on.
    Notify {
        /// What they are told.
        message: String,
    },
}

impl ActionKind {
    /// The `type` in the file.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Shell { .. } => "shell",
            Self::Service { verb, .. } => verb.action_name(),
            Self::Http { .. } => "http",
            Self::DeleteFiles { .. } => "delete_files",
            Self::ArchiveLog { .. } => "archive_log",
            Self::SignalProcess { .. } => "signal_process",
            Self::TopProcesses { .. } => "top_processes",
            Self::Notify { .. } => "notify",
        }
    }
}

/// What is done to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Stop, then start.
    Restart,
    /// Start.
    Start,
    /// Stop.
    Stop,
    /// Read the configuration again.
    Reload,
}

impl Verb {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Restart, Self::Start, Self::Stop, Self::Reload];

    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Restart => "restart",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Reload => "reload",
        }
    }

    /// The action's `type`.
    #[must_use]
    pub fn action_name(self) -> &'static str {
        match self {
            Self::Restart => "service_restart",
            Self::Start => "service_start",
            Self::Stop => "service_stop",
            Self::Reload => "service_reload",
        }
    }
}

/// By what `top_processes` orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Resident memory.
    Memory,
    /// Processor time.
    Cpu,
}

/// HTTP status codes: inclusive ranges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusSet(pub Vec<(u16, u16)>);

impl StatusSet {
    /// Whether the code is one of them.
    #[must_use]
    pub fn contains(&self, code: u16) -> bool {
        self.0.iter().any(|(low, high)| (*low..=*high).contains(&code))
    }
}

impl std::fmt::Display for StatusSet {
    /// `200-299, 304`
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let texts: Vec<String> =
            self.0.iter().map(|(low, high)| if low == high { low.to_string() } else { format!("{low}-{high}") }).collect();
        out.write_str(&texts.join(", "))
    }
}

impl ActionKind {
    /// The action in one line, for people: the command, or what a native action stands for.
    #[must_use]
    pub fn line(&self, values: &Values) -> String {
        let text = match self {
            Self::Shell { command } => command.clone(),
            Self::Service { verb, service } => format!("{} service {service}", verb.name()),
            Self::Http { method, url, .. } => format!("{method} {url}"),
            Self::DeleteFiles { directory, older_than, .. } => match older_than {
                Some(age) => format!("delete_files {directory} older than {} days", age.as_secs_f64() / 86_400.0),
                None => format!("delete_files {directory}"),
            },
            Self::ArchiveLog { path, to: Some(to), .. } => format!("archive_log {path} {to}"),
            Self::ArchiveLog { path, .. } => format!("archive_log {path}"),
            Self::SignalProcess { process, signal, .. } => format!("signal_process {process} {signal}"),
            Self::TopProcesses { by, count } => {
                format!("top_processes by {}, {count}", if *by == Order::Memory { "memory" } else { "cpu" })
            }
            Self::Notify { message } => format!("notify {message}"),
        };
        placeholder::fill(&text, values)
    }
}
