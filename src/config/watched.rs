//! Which targets the settings name, as far as that can be said without measuring.

use super::settings::{CertificateEntry, CertificateSource, Disks, ProcessEntry, ProcessMatch, Settings};
use crate::detect::condition::{Comparison, Condition, Selector};
use crate::host::systemd::unit::full_name;
use crate::metric::Kind;
use crate::sample::{Labels, Target};

/// A watch entry as a source of targets.
#[derive(Clone, Debug, PartialEq)]
pub struct Watched {
    /// Labels that are known before it is measured.
    pub target: Target,
    /// What the entry stands for where its targets are found only by looking: `every file that matches /var/log/*.log`.
    pub many: Option<String>,
}

impl Watched {
    fn one(identity: Labels, facts: Labels) -> Self {
        Self { target: Target { identity, facts }, many: None }
    }

    fn many(identity: Labels, what: String) -> Self {
        Self { target: Target { identity, facts: Labels::default() }, many: Some(what) }
    }

    /// Whether the selector means a target of this entry, or may mean one that is not known yet.
    #[must_use]
    pub fn may_be(&self, selector: &Selector) -> bool {
        selector.0.iter().all(|test| {
            let value = self.target.label(&test.label);
            let unknown = value.is_none() && (self.many.is_some() || crate::metric::is_fact(&test.label));
            unknown || Selector(vec![test.clone()]).selects(|_| value)
        })
    }
}

/// The entries of one kind.
#[must_use]
pub fn entries(settings: &Settings, kind: Kind) -> Vec<Watched> {
    let watch = &settings.watch;
    match kind {
        Kind::Disk => match &watch.disks {
            Disks::Auto(_) => vec![Watched::many(Labels::default(), "every mounted file system".to_owned())],
            Disks::List(list) => {
                let mount = |path: &std::path::Path| Labels::from([("mount", path.to_string_lossy().as_ref())]);
                list.iter().map(|disk| Watched::one(mount(&disk.mount), Labels::default())).collect()
            }
        },
        Kind::Process => {
            let name = |name: &str| Watched::one(Labels::from([("process_name", name)]), Labels::default());
            watch.processes.iter().map(|process| name(&process.name)).collect()
        }
        Kind::Memory => watch.memory.iter().map(|_| Watched::one(Labels::default(), Labels::default())).collect(),
        Kind::Latency => (watch.endpoints.iter())
            .map(|endpoint| {
                let identity = Labels::from([("endpoint", endpoint.name.as_str()), ("host", host(&endpoint.url))]);
                Watched::one(identity, Labels::from([("url", endpoint.url.as_str())]))
            })
            .collect(),
        Kind::Certificate => watch.certificates.iter().map(|entry| certificate(&entry.name, &entry.source)).collect(),
        Kind::LogFile => watch.logs.iter().map(|log| files(&[], &log.path, log.recursive)).collect(),
    }
}

/// The units of the watched processes.
fn units(settings: &Settings) -> Vec<Watched> {
    let unit = |process: &ProcessEntry| match &process.matcher {
        ProcessMatch::Unit(unit) => Watched::one(Labels::from([("unit", full_name(unit).as_str())]), Labels::default()),
        _ => Watched::many(Labels::default(), format!("the unit of {}", process.name)),
    };
    settings.watch.processes.iter().map(unit).collect()
}

fn certificate(name: &str, source: &CertificateSource) -> Watched {
    match source {
        CertificateSource::Served { host, port, .. } => {
            let labels = Labels::from([("certificate", name), ("host", host), ("port", &port.to_string())]);
            Watched::one(labels, Labels::default())
        }
        CertificateSource::Files { path } => files(&[("certificate", name)], path, false),
    }
}

fn files(labels: &[(&str, &str)], path: &str, recursive: bool) -> Watched {
    let known = labels.iter().copied();
    if recursive {
        return Watched::many(known.collect(), format!("every file below {path}"));
    }
    if path.contains(['*', '?', '[', '{']) {
        return Watched::many(known.collect(), format!("every file that matches {path}"));
    }
    Watched::one(known.chain([("path", path)]).collect(), Labels::default())
}

/// The host of an address, without brackets and port.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    }
}

/// The comparisons that tell a condition's targets apart.
fn leading(condition: &Condition) -> impl Iterator<Item = &Comparison> {
    let most = condition.leading().metric.identity.len();
    condition.comparisons().into_iter().filter(move |one| one.metric.identity.len() == most)
}

/// The certificates that a condition is about, as they stand in the settings.
#[must_use]
pub fn concerned_certificates<'s>(settings: &'s Settings, condition: &Condition) -> Vec<&'s CertificateEntry> {
    let selectors: Vec<&Selector> =
        leading(condition).filter(|one| one.metric.kind == Kind::Certificate).map(|one| &one.selector).collect();
    let is_meant = |entry: &&CertificateEntry| {
        let watched = certificate(&entry.name, &entry.source);
        selectors.iter().any(|selector| watched.may_be(selector))
    };
    settings.watch.certificates.iter().filter(is_meant).collect()
}

/// The entries that a condition is about.
#[must_use]
pub fn concerned(settings: &Settings, condition: &Condition) -> Vec<Watched> {
    let mut found: Vec<Watched> = Vec::new();
    for comparison in leading(condition) {
        let entries = if comparison.metric.identity == ["unit"] { units(settings) } else { entries(settings, comparison.metric.kind) };
        for entry in entries {
            if entry.may_be(&comparison.selector) && !found.contains(&entry) {
                found.push(entry);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_an_address_is_found() {
        for (url, expected) in [
            ("http://127.0.0.1:8080/x", "127.0.0.1"),
            ("https://shop.example/a@b:c", "shop.example"),
            ("http://user:pass@h:1?x", "h"),
            ("http://[::1]:80/", "::1"),
        ] {
            assert_eq!(host(url), expected);
        }
    }

    #[track_caller]
    fn check(settings: &str, condition: &str, expected: &[&str]) {
        let settings = crate::config::parse_settings(&super::super::source::Text::new("s", settings)).unwrap();
        let condition = super::super::expression::parse(condition).unwrap();
        let found: Vec<String> = concerned(&settings, &condition)
            .into_iter()
            .map(|entry| entry.many.unwrap_or_else(|| entry.target.labels().to_string()))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn selectors_choose_among_watch_entries() {
        let settings = r#"{"watch": {"disks": [{"mount": "/"}, {"mount": "/data"}],
            "processes": [{"name": "web"}, {"name": "db"}],
            "endpoints": [{"name": "shop", "url": "http://localhost:1/"}],
            "logs": [{"path": "/var/log/syslog"}, {"path": "/srv/*.log"}]}}"#;
        check(settings, "disk_usage > 1", &["mount=/", "mount=/data"]);
        check(settings, "disk_usage{mount=\"/data\"} > 1", &["mount=/data"]);
        check(settings, "disk_usage{fstype=\"ext4\"} > 1", &["mount=/", "mount=/data"]);
        check(settings, "memory_usage > 1 && process_memory_mb{process_name!=\"db\"} > 1", &["process_name=web"]);
        check(settings, "api_latency_ms{host=\"localhost\"} > 1", &["endpoint=shop, host=localhost, url=http://localhost:1/"]);
        check(settings, "log_file_size_mb{path=~\"/srv/**\"} > 1", &["every file that matches /srv/*.log"]);
        check(settings, "ssl_expires_in_days < 1", &[]);
        let units = r#"{"watch": {"processes": [{"name": "web"}, {"name": "db", "match": {"unit": "postgresql"}}]}}"#;
        check(units, "unit_status == failed", &["the unit of web", "unit=postgresql.service"]);
        check(units, "unit_status{unit=\"db.service\"} == failed", &["the unit of web"]);
        check("{}", "disk_usage{mount=\"/x\"} > 1", &["every mounted file system"]);
    }
}
