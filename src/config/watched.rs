//! Which targets the settings name, as far as that can be said without measuring.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::settings::{CertificateEntry, CertificateSource, Disks, ProcessEntry, ProcessMatch, Settings};
use crate::detect::condition::{Comparison, Condition, Pattern, Selector};
use crate::host::systemd::unit::full_name;
use crate::metric::Kind;
use crate::sample::{Labels, Target};

/// A watch entry as a source of targets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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

fn entries(settings: &Settings, kind: Kind) -> Vec<Watched> {
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

/// All entries of the settings, made once for all playbooks: there can be a thousand of each.
#[derive(Debug)]
pub struct Watches<'s> {
    settings: &'s Settings,
    kinds: HashMap<Kind, Listed>,
    /// Of the processes.
    units: Listed,
}

/// The entries of one kind, in order, and where those with a certain label are.
#[derive(Debug)]
struct Listed {
    entries: Vec<Watched>,
    labels: HashMap<String, Places>,
}

/// Which entries have a label.
#[derive(Debug, Default)]
struct Places {
    by_value: HashMap<String, Vec<usize>>,
    /// Of these entries it is not known.
    without: Vec<usize>,
}

impl<'s> Watches<'s> {
    /// The entries of these settings.
    #[must_use]
    pub fn of(settings: &'s Settings) -> Self {
        let kinds = Kind::ALL.iter().map(|kind| (*kind, Listed::new(entries(settings, *kind)))).collect();
        Self { settings, kinds, units: Listed::new(units(settings)) }
    }

    /// The entries of one kind, in the order of the settings.
    #[must_use]
    pub fn all(&self, kind: Kind) -> &[Watched] {
        self.kinds.get(&kind).map_or(&[], |listed| &listed.entries)
    }

    /// Whether an entry has this label.
    #[must_use]
    pub fn names(&self, kind: Kind, label: &str, value: &str) -> bool {
        self.kinds.get(&kind).and_then(|listed| listed.labels.get(label)).is_some_and(|places| places.by_value.contains_key(value))
    }

    /// The places of the entries of one kind that a selector means or may mean.
    pub fn meant(&self, kind: Kind, selector: &Selector) -> impl Iterator<Item = usize> {
        self.kinds.get(&kind).into_iter().flat_map(move |listed| listed.meant(selector))
    }

    /// The entries that a comparison means or may mean.
    fn meant_by<'a>(&'a self, one: &Comparison) -> impl Iterator<Item = &'a Watched> {
        let listed = if one.metric.identity == ["unit"] { Some(&self.units) } else { self.kinds.get(&one.metric.kind) };
        listed.into_iter().flat_map(|listed| listed.meant(&one.selector).map(|place| &listed.entries[place]))
    }

    /// Whether a condition is about any entry.
    #[must_use]
    pub fn concerns_any(&self, condition: &Condition) -> bool {
        leading(condition).any(|one| self.meant_by(one).next().is_some())
    }

    /// The entries that a condition is about.
    #[must_use]
    pub fn concerned(&self, condition: &Condition) -> Vec<&Watched> {
        let mut seen: HashSet<&Watched> = HashSet::new();
        leading(condition).flat_map(|one| self.meant_by(one).collect::<Vec<_>>()).filter(|entry| seen.insert(entry)).collect()
    }

    /// The certificates that a condition is about, as they stand in the settings.
    #[must_use]
    pub fn concerned_certificates(&self, condition: &Condition) -> Vec<&'s CertificateEntry> {
        let own = leading(condition).filter(|one| one.metric.kind == Kind::Certificate);
        let places: BTreeSet<usize> = own.flat_map(|one| self.meant(Kind::Certificate, &one.selector)).collect();
        places.into_iter().map(|place| &self.settings.watch.certificates[place]).collect()
    }
}

impl Listed {
    fn new(entries: Vec<Watched>) -> Self {
        let mut labels: HashMap<String, Places> = HashMap::new();
        for (place, entry) in entries.iter().enumerate() {
            for (name, value) in entry.target.identity.iter().chain(entry.target.facts.iter()) {
                labels.entry(name.to_owned()).or_default().by_value.entry(value.to_owned()).or_default().push(place);
            }
        }
        for (name, places) in &mut labels {
            places.without = (0..entries.len()).filter(|place| entries[*place].target.label(name).is_none()).collect();
        }
        Self { entries, labels }
    }

    fn meant(&self, selector: &Selector) -> impl Iterator<Item = usize> {
        self.candidates(selector).filter(|place| self.entries[*place].may_be(selector))
    }

    /// The places of all entries that can pass the selector: where it names a label's value, those that have it, or have no value
    /// of it yet; else all.
    fn candidates(&self, selector: &Selector) -> Box<dyn Iterator<Item = usize> + '_> {
        let named = selector.0.iter().find(|test| !test.negated && !test.patterns.iter().any(Pattern::is_glob));
        match named.and_then(|test| Some((test, self.labels.get(&test.label)?))) {
            Some((test, Places { by_value, without })) => {
                let own = test.patterns.iter().filter_map(|pattern| by_value.get(pattern.text())).flatten();
                Box::new(own.chain(without).copied().collect::<BTreeSet<usize>>().into_iter())
            }
            None => Box::new(0..self.entries.len()),
        }
    }
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
        let watches = Watches::of(&settings);
        let words = |entry: &Watched| entry.many.clone().unwrap_or_else(|| entry.target.labels().to_string());
        let found: Vec<String> = watches.concerned(&condition).into_iter().map(words).collect();
        assert_eq!(found, expected);
        assert_eq!(watches.concerns_any(&condition), !expected.is_empty());
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

    #[test]
    fn a_playbook_for_one_of_a_thousand_targets_asks_one() {
        let logs: Vec<String> = (0..1000).map(|number| format!("{{\"path\": \"/var/log/{number}.log\"}}")).collect();
        let settings = format!("{{\"watch\": {{\"logs\": [{}, {{\"path\": \"/srv/*.log\"}}]}}}}", logs.join(", "));
        let settings = crate::config::parse_settings(&super::super::source::Text::new("s", &settings)).unwrap();
        let watches = Watches::of(&settings);
        let asked = |condition: &str| {
            let condition = super::super::expression::parse(condition).unwrap();
            watches.kinds[&Kind::LogFile].candidates(&condition.leading().selector).collect::<Vec<usize>>()
        };
        assert_eq!(asked("log_file_size_mb{path=\"/var/log/7.log\"} > 1"), [7, 1000], "and the glob, which may mean it");
        assert_eq!(asked("log_file_size_mb{path=\"/nowhere\"} > 1"), [1000]);
        assert_eq!(asked("log_file_size_mb{path!=\"/var/log/7.log\"} > 1").len(), 1001);
        assert!(watches.names(Kind::LogFile, "path", "/var/log/7.log") && !watches.names(Kind::LogFile, "path", "/srv/*.log"));
    }
}
