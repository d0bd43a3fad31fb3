//! The table of metrics: names, kinds, labels and one line about each. Validation, documentation and collectors read it here.

use std::hash::{Hash, Hasher};

use serde::Serialize;

/// Which collector measures a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Mounted file systems.
    Disk,
    /// Watched processes.
    Process,
    /// Memory, processor and load of the host.
    Memory,
    /// HTTP endpoints.
    Latency,
    /// TLS certificates, served or in files.
    Certificate,
    /// Log files.
    LogFile,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Disk, Self::Process, Self::Memory, Self::Latency, Self::Certificate, Self::LogFile];

    /// The word for it in messages and in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Process => "process",
            Self::Memory => "memory",
            Self::Latency => "latency",
            Self::Certificate => "certificate",
            Self::LogFile => "log_file",
        }
    }

    /// Where in the settings its targets are named.
    #[must_use]
    pub fn settings_key(self) -> &'static str {
        match self {
            Self::Disk => "watch.disks",
            Self::Process => "watch.processes",
            Self::Memory => "watch.memory",
            Self::Latency => "watch.endpoints",
            Self::Certificate => "watch.certificates",
            Self::LogFile => "watch.logs",
        }
    }
}

/// What the values of a metric are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Values {
    /// Numbers, in the unit given (for messages; may be empty).
    Number(&'static str),
    /// One of these words.
    Words(&'static [&'static str]),
}

/// One line of the table.
#[derive(Debug, Eq)]
pub struct Metric {
    /// The exact name.
    pub name: &'static str,
    /// Numbers or words.
    pub values: Values,
    /// Labels that name the target. A certificate has `host` and `port`, or `path`.
    pub identity: &'static [&'static str],
    /// Labels that may change while the target stays the same.
    pub facts: &'static [&'static str],
    /// Who measures it.
    pub kind: Kind,
    /// One line for people.
    pub doc: &'static str,
    /// Where it stands in the table.
    place: usize,
}

impl PartialEq for Metric {
    /// There is no metric outside the table.
    fn eq(&self, other: &Self) -> bool {
        self.place == other.place
    }
}

impl Hash for Metric {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.place.hash(state);
    }
}

impl Metric {
    /// Its bit in a set of metrics.
    pub(crate) fn bit(&self) -> u64 {
        const { assert!(METRICS.len() <= 64) };
        1 << self.place
    }

    /// Whether conditions on it compare words.
    #[must_use]
    pub fn is_text(&self) -> bool {
        matches!(self.values, Values::Words(_))
    }
}

/// Labels that are facts about a target and no part of its identity.
pub const FACTS: &[&str] = &["pid", "device", "fstype", "url"];

/// What each label says of a target.
pub const LABELS: &[(&str, &str)] = &[
    ("mount", "where the file system is mounted, such as /data"),
    ("device", "the device that is mounted there"),
    ("fstype", "the type of the file system, such as ext4"),
    ("process_name", "the `name` of the watch entry"),
    ("unit", "the unit of systemd to which a watched process belongs, such as nginx.service"),
    ("pid", "the id of the oldest process that matches"),
    ("endpoint", "the `name` of the watch entry"),
    ("host", "the name or address of the server"),
    ("url", "the address that is asked"),
    ("certificate", "the `name` of the watch entry"),
    ("port", "the port of the server"),
    ("path", "the file"),
];

/// What the label says of a target (see [`LABELS`]).
#[must_use]
pub fn about_label(name: &str) -> Option<&'static str> {
    LABELS.iter().find(|(label, _)| *label == name).map(|(_, about)| *about)
}

/// Whether a label is a fact (see [`FACTS`]).
#[must_use]
pub fn is_fact(label: &str) -> bool {
    FACTS.contains(&label)
}

/// The metric of that name; `process_memory` is another name of `process_memory_mb`.
#[must_use]
pub fn find(name: &str) -> Option<&'static Metric> {
    let name = if name == "process_memory" { "process_memory_mb" } else { name };
    METRICS.iter().find(|metric| metric.name == name)
}

/// The metric of that name, for code that names it literally. In a constant a misspelt name does not compile.
///
/// # Panics
/// If there is no such metric.
#[must_use]
pub const fn named(name: &'static str) -> &'static Metric {
    let mut place = 0;
    while place < METRICS.len() {
        if is_same(METRICS[place].name.as_bytes(), name.as_bytes()) {
            return &METRICS[place];
        }
        place += 1;
    }
    panic!("no metric has this name")
}

/// `==` is not there for constants.
const fn is_same(one: &[u8], other: &[u8]) -> bool {
    let mut index = 0;
    while index < one.len() && index < other.len() && one[index] == other[index] {
        index += 1;
    }
    index == one.len() && index == other.len()
}

const DISK: (&[&str], &[&str], Kind) = (&["mount"], &["device", "fstype"], Kind::Disk);
const PROCESS: (&[&str], &[&str], Kind) = (&["process_name"], &["pid"], Kind::Process);
const UNIT: (&[&str], &[&str], Kind) = (&["unit"], &[], Kind::Process);
const HOST: (&[&str], &[&str], Kind) = (&[], &[], Kind::Memory);
const ENDPOINT: (&[&str], &[&str], Kind) = (&["endpoint", "host"], &["url"], Kind::Latency);
const CERTIFICATE: (&[&str], &[&str], Kind) = (&["certificate", "host", "port", "path"], &[], Kind::Certificate);
const LOG: (&[&str], &[&str], Kind) = (&["path"], &[], Kind::LogFile);

type Labelled = (&'static [&'static str], &'static [&'static str], Kind);

const fn number(name: &'static str, unit: &'static str, (identity, facts, kind): Labelled, doc: &'static str) -> Metric {
    Metric { name, values: Values::Number(unit), identity, facts, kind, doc, place: 0 }
}

const fn words(name: &'static str, words: &'static [&'static str], (identity, facts, kind): Labelled, doc: &'static str) -> Metric {
    Metric { name, values: Values::Words(words), identity, facts, kind, doc, place: 0 }
}

/// Tells each where it stands.
const fn placed<const COUNT: usize>(mut table: [Metric; COUNT]) -> [Metric; COUNT] {
    let mut place = 0;
    while place < COUNT {
        table[place].place = place;
        place += 1;
    }
    table
}

/// Every metric that a condition can name.
pub static METRICS: &[Metric] = &placed([
    number("disk_usage", "%", DISK, "percent used, as df shows it (root's reserve counted as used)"),
    number("disk_free_mb", "MiB", DISK, "MiB free to ordinary users"),
    number("inode_usage", "%", DISK, "percent of the inodes in use"),
    words("process_status", &["running", "stopped"], PROCESS, "stopped: no live process matches (zombies are dead)"),
    number("process_count", "", PROCESS, "how many live processes match"),
    number("process_memory_mb", "MiB", PROCESS, "resident memory of all matches together; unknown when none runs"),
    number("process_cpu", "%", PROCESS, "percent of one core, all matches together, since the last look; unknown when none runs"),
    number("process_uptime_seconds", "s", PROCESS, "age of the oldest match"),
    number("process_open_files", "", PROCESS, "open descriptors of all matches together"),
    words(
        "unit_status",
        &["active", "reloading", "inactive", "failed", "activating", "deactivating", "maintenance"],
        UNIT,
        "systemd's ActiveState of the service to which a watched process belongs (Linux)",
    ),
    number("memory_usage", "%", HOST, "percent: (total - available) / total"),
    number("memory_available_mb", "MiB", HOST, "MiB that programs can get without swapping"),
    number("swap_usage", "%", HOST, "percent of the swap space in use; 0 without swap"),
    number("memory_pressure", "%", HOST, "PSI some avg10: percent of the last 10 s in which somebody waited for memory (Linux)"),
    number("cpu_usage", "%", HOST, "percent of all cores since the last look"),
    number("load_average", "", HOST, "load of the last minute divided by the number of cores"),
    number(
        "api_latency_ms",
        "ms",
        ENDPOINT,
        "whole request: look-up, connect, TLS, headers, up to 64 KiB of body; infinite when it failed; from 100 ms on its remark says where the time went",
    ),
    words("api_status", &["up", "down"], ENDPOINT, "down: refused, timed out, TLS error, unexpected status or body"),
    number("http_status", "", ENDPOINT, "status code; absent where there was no answer"),
    number("ssl_expires_in_days", "d", CERTIFICATE, "days to the earliest notAfter of the served chain or file; negative when past"),
    words(
        "ssl_status",
        &["valid", "expired", "not_yet_valid", "name_mismatch", "untrusted", "unsupported", "unreachable"],
        CERTIFICATE,
        "what a strict client would say of it",
    ),
    number("log_file_size_mb", "MiB", LOG, "size of the file; 0 when it was seen before and is absent now"),
    number("log_growth_mb_per_hour", "MiB/h", LOG, "growth over the last hour seen"),
]);

/// Metrics in saved state: by name.
pub mod by_name {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use super::{Metric, find};

    /// The name.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(metric: &&'static Metric, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(metric.name)
    }

    /// The metric of that name.
    ///
    /// # Errors
    /// When this version has none.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<&'static Metric, D::Error> {
        let name = String::deserialize(deserializer)?;
        find(&name).ok_or_else(|| D::Error::custom(format!("no metric {name}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_facts_are_listed() {
        for (index, metric) in METRICS.iter().enumerate() {
            assert!(METRICS[..index].iter().all(|other| other.name != metric.name), "{} stands twice", metric.name);
            assert!(metric.facts.iter().all(|fact| is_fact(fact)), "{}", metric.name);
            assert!(metric.identity.iter().all(|label| !is_fact(label)), "{}", metric.name);
            assert!(metric.identity.iter().chain(metric.facts).all(|label| about_label(label).is_some()), "{}", metric.name);
        }
        assert!(
            LABELS.iter().all(|(label, _)| METRICS.iter().any(|metric| metric.identity.iter().chain(metric.facts).any(|own| own == label)))
        );
        assert_eq!(find("process_memory").map(|metric| metric.name), Some("process_memory_mb"));
    }

    #[test]
    fn a_metric_is_found_by_its_name_and_told_by_its_place() {
        for (place, metric) in METRICS.iter().enumerate() {
            assert!(std::ptr::eq(named(metric.name), metric));
            assert_eq!(metric.place, place);
        }
    }
}
