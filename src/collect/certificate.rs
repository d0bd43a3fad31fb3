//! Certificates, served or in files: how long they last, and what a strict client would say of them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::chain::{Dates, Verdict, judge};
use super::file_glob::{Exact, FileGlob, Found, Look};
use super::handshake::Shown;
use super::mount_table::Hangs;
use super::mounts::Mounts;
use super::shared::Shared;
use super::tls::{self, Roots, Trust};
use super::{Collector, There, handshake};
use crate::clock::Moment;
use crate::config::settings::{CertificateEntry, CertificateSource, StartTls};
use crate::metric;
use crate::sample::{Labels, Sample, Target, Value};

/// The collector of a certificate's watch entry.
pub(crate) fn collector(entry: &CertificateEntry, shared: &Shared) -> Box<dyn Collector> {
    match &entry.source {
        CertificateSource::Served { host, port, server_name, starttls } => Box::new(Served {
            target: target(entry),
            host: host.clone(),
            port: *port,
            name: server_name.clone().unwrap_or_else(|| host.clone()),
            starttls: *starttls,
            timeout: entry.timeout,
            ca_file: entry.ca_file.clone(),
            roots: None,
            judged: None,
        }),
        CertificateSource::Files { path } => {
            let (name, shared) = (entry.name.clone(), shared.clone());
            let files = FileGlob::new(path, false);
            Box::new(Files { name, hangs: Hangs::default(), files, shared, read: HashMap::new(), complete: true })
        }
    }
}

/// The target of an entry as it is known before anything was measured.
pub(crate) fn target(entry: &CertificateEntry) -> Arc<Target> {
    let name = entry.name.as_str();
    let identity = match &entry.source {
        CertificateSource::Served { host, port, .. } => Labels::from([("certificate", name), ("host", host), ("port", &port.to_string())]),
        CertificateSource::Files { path } => Labels::from([("certificate", name), ("path", path)]),
    };
    Target::new(identity, Labels::default())
}

fn samples(target: &Arc<Target>, days: Result<f64, String>, status: Option<Verdict>, at: Moment) -> Vec<Sample> {
    let why = days.as_ref().err().cloned();
    let judged = const { metric::named("ssl_status") };
    let status = match status {
        Some((word, remark)) => Sample { reason: remark, ..Sample::known(judged, target, Value::Text(word.into()), at) },
        None => Sample::unknown(judged, target, why.unwrap_or_default(), at),
    };
    vec![Sample::number(const { metric::named("ssl_expires_in_days") }, target, days, at), status]
}

/// A certificate that a server shows.
struct Served {
    target: Arc<Target>,
    host: String,
    port: u16,
    name: String,
    starttls: Option<StartTls>,
    timeout: Duration,
    ca_file: Option<PathBuf>,
    roots: Option<(Trust, Roots)>,
    judged: Option<Judged>,
}

/// What was said of a chain.
struct Judged {
    chain: Vec<CertificateDer<'static>>,
    at: Moment,
    verdict: Verdict,
    dates: Result<Dates, String>,
}

/// A chain that is shown again is judged again after this: time alone can change the verdict.
const JUDGED_AGAIN: Duration = Duration::from_mins(1);

impl Served {
    fn roots(&mut self) -> Result<Roots, String> {
        let trust = Trust::new(self.ca_file.as_deref(), false);
        match &self.roots {
            Some((same, roots)) if *same == trust => Ok(roots.clone()),
            _ => {
                let roots = tls::roots(&trust)?;
                self.roots = Some((trust, roots.clone()));
                self.judged = None;
                Ok(roots)
            }
        }
    }

    /// The dates and the verdict of a chain. Mostly it is the one of the last look: what was said of that still holds.
    fn judge(&mut self, shown: Shown, name: &ServerName<'_>, roots: &Roots, now: Moment) -> (Result<Dates, String>, Verdict) {
        let same = |judged: &&Judged| now.since_with_sleep(judged.at) < JUDGED_AGAIN && judged.chain == shown.chain;
        if let Some(judged) = self.judged.as_ref().filter(same).filter(|_| shown.proof.is_none()) {
            return (judged.dates.clone(), judged.verdict.clone());
        }
        let dates = Dates::of_chain(&shown.chain);
        let verdict = judge(&shown.chain, shown.proof.as_ref(), name, roots, now.wall);
        let (again, proven) = ((dates.clone(), verdict.clone()), shown.proof.is_none());
        self.judged = proven.then_some(Judged { chain: shown.chain, at: now, verdict, dates });
        again
    }
}

impl Collector for Served {
    fn may_hang(&mut self) -> bool {
        true
    }

    fn measure(&mut self) -> Vec<Sample> {
        let bare = self.name.trim_start_matches('[').trim_end_matches(']').to_owned();
        let Ok(name) = ServerName::try_from(bare) else {
            let why = format!("\"{}\" is no host name", self.name);
            return samples(&self.target, Err(why), None, Moment::now());
        };
        let shown = match handshake::look((&self.host, self.port), name.clone(), self.starttls, self.timeout) {
            Ok(shown) => shown,
            Err(why) => return samples(&self.target, Err(why.clone()), Some(("unreachable", Some(why))), Moment::now()),
        };
        let now = Moment::now();
        match self.roots() {
            Ok(roots) => {
                let (dates, verdict) = self.judge(shown, &name, &roots, now);
                samples(&self.target, dates.map(|dates| dates.days_left(now.wall)), Some(verdict), now)
            }
            // Without the file nothing can be said of trust; the dates stand all the same.
            Err(why) => {
                let days = Dates::of_chain(&shown.chain).map(|dates| dates.days_left(now.wall));
                let mut both = samples(&self.target, days, None, now);
                both[1].reason = Some(why);
                both
            }
        }
    }
}

/// Certificates in files. A file is parsed again only when it has changed.
struct Files {
    name: String,
    hangs: Hangs,
    files: FileGlob,
    shared: Shared,
    read: HashMap<PathBuf, Read>,
    /// The last look was at every place where a file may be.
    complete: bool,
}

/// What a file held when it had this time of change and size.
struct Read {
    version: ((i64, i64), u64),
    dates: Result<Dates, String>,
}

impl Files {
    fn target(&self, path: &Path) -> Arc<Target> {
        let path = path.to_string_lossy();
        Target::new(Labels::from([("certificate", self.name.as_str()), ("path", &*path)]), Labels::default())
    }

    fn dates(&mut self, path: &Path, look: &Look) -> Result<Dates, String> {
        let version = (look.modified, look.bytes);
        if let Some(read) = self.read.get(path).filter(|read| read.version == version) {
            return read.dates.clone();
        }
        let dates = tls::certificates_in(path).and_then(|chain| Dates::of_chain(&chain));
        self.read.insert(path.to_owned(), Read { version, dates: dates.clone() });
        dates
    }

    fn measure_file(&mut self, path: &Path, look: &Look) -> Vec<Sample> {
        let dates = self.dates(path, look);
        let now = Moment::now();
        let verdict = dates.as_ref().ok().map(|dates| dates.verdict(now.wall));
        samples(&self.target(path), dates.map(|dates| dates.days_left(now.wall)), verdict, now)
    }
}

impl Collector for Files {
    fn may_hang(&mut self) -> bool {
        self.hangs.ask(&self.shared.mounts(), self.files.base())
    }

    fn measure(&mut self) -> Vec<Sample> {
        let mounts = self.shared.mounts();
        let on_pool = self.hangs.ask(&mounts, self.files.base());
        if self.files.is_exact() {
            let path = PathBuf::from(self.files.text());
            return match self.files.exact(&mounts, on_pool, None) {
                Exact::File(look) => self.measure_file(&path, &look),
                Exact::Absent => self.without(&path, "no such file"),
                Exact::Unusable(reason) => self.without(&path, &reason),
            };
        }
        let Found { files, complete } = self.files.files(&mounts, on_pool, |look| look);
        self.complete = complete;
        self.read.retain(|path, _| files.contains_key(path));
        files.iter().flat_map(|(path, look)| self.measure_file(path, look)).collect()
    }

    fn there(&self) -> There {
        if self.complete { There::Measured } else { There::Unsure }
    }
}

impl Files {
    fn without(&self, path: &Path, reason: &str) -> Vec<Sample> {
        let verdict = ("unreachable", Some(reason.to_owned()));
        samples(&self.target(path), Err(reason.to_owned()), Some(verdict), Moment::now())
    }
}

/// The regular files that a path or glob of the settings means now; none where a look could hang.
pub(crate) fn files_of(glob: &str) -> Vec<PathBuf> {
    let (files, mounts) = (FileGlob::new(glob, false), Mounts::read());
    if mounts.may_hang(files.base()) { Vec::new() } else { files.files(&mounts, false, drop).files.into_keys().collect() }
}

/// A certificate file that a server could show under some name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fit {
    /// The earliest end of its chain, in seconds since 1970.
    pub(crate) not_after: i64,
}

impl Fit {
    /// Reads a file of at most `most_bytes`; `None` if it is no certificate, or not for this name.
    pub(crate) fn of(path: &Path, name: &str, most_bytes: u64) -> Option<Self> {
        let small = std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() <= most_bytes);
        let chain = if small { tls::certificates_in(path).ok()? } else { return None };
        // Damaged files may hold anything: parsing runs in a cage that may panic.
        let fits = std::panic::catch_unwind(|| chain.first().is_some_and(|leaf| is_for(leaf, name))).unwrap_or(false);
        fits.then(|| Dates::of_chain(&chain).ok()).flatten().map(|dates| Self { not_after: dates.not_after })
    }
}

/// Whether the certificate is for this name: by its alternative names, or by its common name if it has no other.
pub(crate) fn is_for(leaf: &CertificateDer<'_>, name: &str) -> bool {
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    let by_alternatives = ServerName::try_from(bare)
        .is_ok_and(|name| ParsedCertificate::try_from(leaf).is_ok_and(|parsed| verify_server_name(&parsed, &name).is_ok()));
    let by_common_name = || {
        let Ok((_, parsed)) = X509Certificate::from_der(leaf) else { return false };
        let none = matches!(parsed.subject_alternative_name(), Ok(None));
        none && parsed.subject().iter_common_name().any(|common| common.as_str().is_ok_and(|common| common.eq_ignore_ascii_case(bare)))
    };
    by_alternatives || by_common_name()
}

#[cfg(test)]
#[path = "certificate_tests.rs"]
mod tests;
