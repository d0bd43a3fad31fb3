//! Watch entries: from the settings to what is on the schedule.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::disk::Disk;
use super::file_glob::FileGlob;
use super::latency::Latency;
use super::log_file::LogFiles;
use super::memory::Memory;
use super::process::Process;
use super::shared::Shared;
use super::{Collector, Want, certificate, latency};
use crate::clock::Moment;
use crate::config::settings::{CertificateEntry, CertificateSource, DiskEntry, Disks, EndpointEntry, LogEntry, ProcessEntry, Settings};
use crate::metric::{Kind, METRICS, Metric};
use crate::sample::{Labels, Sample, Target};

/// A measurement without a timeout of its own is called hung after this.
const HUNG: Duration = Duration::from_secs(10);

/// One thing on the schedule.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    /// Every real, writable file system.
    AllDisks(Duration),
    /// One mount.
    Disk(DiskEntry),
    /// The host.
    Memory(Duration),
    /// One process entry.
    Process(ProcessEntry),
    /// One endpoint.
    Endpoint(EndpointEntry),
    /// One certificate or glob of certificates.
    Certificate(CertificateEntry),
    /// One log, glob or directory.
    Log(LogEntry),
}

impl Entry {
    /// Everything that the settings watch, local things first.
    pub(crate) fn all(settings: &Settings) -> Vec<Self> {
        let watch = &settings.watch;
        let mut all: Vec<Self> = watch.memory.map(Self::Memory).into_iter().collect();
        match &watch.disks {
            Disks::Auto(interval) => all.push(Self::AllDisks(*interval)),
            Disks::List(disks) => all.extend(disks.iter().cloned().map(Self::Disk)),
        }
        all.extend(watch.processes.iter().cloned().map(Self::Process));
        all.extend(watch.logs.iter().cloned().map(Self::Log));
        all.extend(watch.certificates.iter().cloned().map(Self::Certificate));
        all.extend(watch.endpoints.iter().cloned().map(Self::Endpoint));
        all
    }

    pub(crate) fn interval(&self) -> Duration {
        let interval = match self {
            Self::AllDisks(interval) | Self::Memory(interval) => *interval,
            Self::Disk(entry) => entry.interval,
            Self::Process(entry) => entry.interval,
            Self::Endpoint(entry) => entry.interval,
            Self::Certificate(entry) => entry.interval,
            Self::Log(entry) => entry.interval,
        };
        // The loader allows no less; a schedule without a pause would starve everything.
        interval.max(Duration::from_millis(10))
    }

    /// Equal for entries that measure the same thing the same way, whatever the interval: these keep their state.
    pub(crate) fn key(&self) -> String {
        let mut bare = self.clone();
        match &mut bare {
            Self::AllDisks(interval) | Self::Memory(interval) => *interval = Duration::ZERO,
            Self::Disk(entry) => entry.interval = Duration::ZERO,
            Self::Process(entry) => entry.interval = Duration::ZERO,
            Self::Endpoint(entry) => entry.interval = Duration::ZERO,
            Self::Certificate(entry) => entry.interval = Duration::ZERO,
            Self::Log(entry) => entry.interval = Duration::ZERO,
        }
        format!("{bare:?}")
    }

    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::AllDisks(_) | Self::Disk(_) => Kind::Disk,
            Self::Memory(_) => Kind::Memory,
            Self::Process(_) => Kind::Process,
            Self::Endpoint(_) => Kind::Latency,
            Self::Certificate(_) => Kind::Certificate,
            Self::Log(_) => Kind::LogFile,
        }
    }

    pub(crate) fn collector(&self, shared: &Shared) -> Box<dyn Collector> {
        let shared = shared.clone();
        match self.clone() {
            Self::AllDisks(_) => Box::new(Disk::new(None, shared)),
            Self::Disk(entry) => Box::new(Disk::new(Some(entry.mount), shared)),
            Self::Memory(_) => Box::new(Memory::new(shared.interest())),
            Self::Process(entry) => Box::new(Process::new(entry, shared)),
            Self::Endpoint(entry) => Box::new(Latency::new(entry, shared)),
            Self::Certificate(entry) => certificate::collector(&entry, &shared),
            Self::Log(entry) => Box::new(LogFiles::new(&entry.path, entry.recursive, shared)),
        }
    }

    /// A measurement that takes longer than this hangs.
    pub(crate) fn patience(&self) -> Duration {
        let grace = Duration::from_secs(1);
        match self {
            Self::Endpoint(entry) => entry.timeout + grace,
            Self::Certificate(entry) => entry.timeout + grace,
            _ => HUNG,
        }
    }

    /// Whether measuring this can answer the want. Labels that the want does not name leave it open.
    pub(crate) fn answers(&self, want: &Want) -> bool {
        let is = |label: &str, value: &str| want.identity.get(label).is_none_or(|wanted| wanted == value);
        let path_is = |path: &Path| want.identity.get("mount").is_none_or(|wanted| Path::new(wanted) == path);
        want.metric.kind == self.kind()
            && match self {
                Self::AllDisks(_) | Self::Memory(_) => true,
                Self::Disk(entry) => path_is(&entry.mount),
                Self::Process(entry) => is("process_name", &entry.name),
                Self::Endpoint(entry) => is("endpoint", &entry.name),
                Self::Certificate(entry) => is("certificate", &entry.name),
                Self::Log(entry) => {
                    let files = FileGlob::new(&entry.path, entry.recursive);
                    want.identity.get("path").is_none_or(|path| files.may_mean(Path::new(path)))
                }
            }
    }

    /// Whether a target of its kind may be one of its own.
    pub(crate) fn may_have(&self, identity: &Labels) -> bool {
        let mut metrics = METRICS.iter().filter(|metric| metric.kind == self.kind());
        metrics.next().is_some_and(|metric| self.answers(&Want { metric, identity: identity.clone() }))
    }

    /// The target as it is known before anything was measured; none where a glob names it.
    pub(crate) fn named_target(&self) -> Option<Arc<Target>> {
        let one = |name, value: &str| Some(Target::new(Labels::from([(name, value)]), Labels::default()));
        let exact = |path: &str| !path.contains(['*', '?', '[', '{']);
        match self {
            Self::AllDisks(_) => None,
            Self::Memory(_) => Some(Arc::default()),
            Self::Disk(entry) => one("mount", &without_slash(&entry.mount).to_string_lossy()),
            Self::Process(entry) => one("process_name", &entry.name),
            Self::Endpoint(entry) => Some(latency::target(entry)),
            Self::Certificate(entry) => match &entry.source {
                CertificateSource::Files { path } if !exact(path) => None,
                _ => Some(certificate::target(entry)),
            },
            Self::Log(entry) => exact(&entry.path).then(|| one("path", &entry.path))?.filter(|_| !entry.recursive),
        }
    }

    /// What an entry without a [named target](Self::named_target) looks at.
    pub(crate) fn in_words(&self) -> String {
        let files = |path: &str, recursive| if recursive { format!("files below {path}") } else { format!("files that match {path}") };
        match self {
            Self::Log(entry) => files(&entry.path, entry.recursive),
            Self::Certificate(CertificateEntry { source: CertificateSource::Files { path }, .. }) => files(path, false),
            _ => "the mounted file systems".to_owned(),
        }
    }

    /// Unknown samples of every metric, for the targets that it had when it was last measured.
    pub(crate) fn unknown(&self, known: &[Arc<Target>], reason: &str, now: Moment) -> Vec<Sample> {
        let named = if known.is_empty() { self.named_target() } else { None };
        let targets = known.iter().chain(&named);
        let has = |metric: &Metric, target: &Target| {
            metric.kind == self.kind() && target.identity.iter().all(|(label, _)| metric.identity.contains(&label))
        };
        let metrics = |target: &Arc<Target>| METRICS.iter().filter(|metric| has(metric, target)).collect::<Vec<_>>();
        targets
            .flat_map(|target| metrics(target).into_iter().map(|metric| Sample::unknown(metric, target, reason, now)).collect::<Vec<_>>())
            .collect()
    }
}

/// The path as the mount table writes it.
fn without_slash(path: &Path) -> PathBuf {
    path.components().collect()
}
