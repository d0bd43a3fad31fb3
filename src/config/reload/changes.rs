//! What a reload changed, in the words of one log line.

use std::collections::BTreeMap;

use super::super::Config;
use super::super::settings::{CertificateSource, Disks, Watch};

/// `playbooks_added=a playbooks_changed=b,c settings=changed targets_added=process:web`: what is different, and nothing else.
pub(super) fn changes(old: &Config, new: &Config) -> String {
    let books = |config: &Config| -> BTreeMap<_, _> { config.playbooks.iter().map(|one| (one.id.clone(), one.clone())).collect() };
    let mut words = difference("playbooks", &books(old), &books(new));
    if old.settings != new.settings {
        words.push("settings=changed".to_owned());
    }
    words.extend(difference("targets", &targets(&old.settings.watch), &targets(&new.settings.watch)));
    // The one switch that decides whether anything runs at all is never changed without a word.
    if old.settings.dry_run != new.settings.dry_run {
        words.push(format!("dry_run={}", new.settings.dry_run));
    }
    if words.is_empty() { "nothing that matters changed".to_owned() } else { words.join(" ") }
}

/// `WHAT_added=…`, `WHAT_removed=…` and `WHAT_changed=…`, each only if there is one.
fn difference<T: PartialEq>(what: &str, before: &BTreeMap<String, T>, after: &BTreeMap<String, T>) -> Vec<String> {
    let added = after.keys().filter(|name| !before.contains_key(*name)).collect();
    let removed = before.keys().filter(|name| !after.contains_key(*name)).collect();
    let changed = after.iter().filter(|(name, new)| before.get(*name).is_some_and(|old| old != *new)).map(|(name, _)| name).collect();
    let lists: [(&str, Vec<&String>); 3] = [("added", added), ("removed", removed), ("changed", changed)];
    lists.into_iter().filter(|(_, names)| !names.is_empty()).map(|(word, names)| format!("{what}_{word}={}", listed(&names))).collect()
}

/// A line of the log is read by people: of thousands it names some and counts the rest.
fn listed(names: &[&String]) -> String {
    const MOST: usize = 50;
    let mut text = names.iter().take(MOST).map(|name| name.as_str()).collect::<Vec<_>>().join(",");
    if names.len() > MOST {
        text.push_str(&format!(",and {} more", names.len() - MOST));
    }
    text
}

/// The entries of `watch` by kind and name, each with all that is said of it.
fn targets(watch: &Watch) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut add = |kind: &str, name: &str, entry: &dyn std::fmt::Debug| {
        let name = if name.is_empty() { kind.to_owned() } else { format!("{kind}:{name}") };
        // Two entries may have one name: two ports of a certificate's host, say.
        let text: &mut String = found.entry(name).or_default();
        text.push_str(&format!("{entry:?}\n"));
    };
    match &watch.disks {
        Disks::Auto(interval) => add("disks", "auto", interval),
        Disks::List(list) => list.iter().for_each(|disk| add("disk", &disk.mount.display().to_string(), disk)),
    }
    watch.memory.iter().for_each(|interval| add("memory", "", interval));
    watch.processes.iter().for_each(|entry| add("process", &entry.name, entry));
    watch.endpoints.iter().for_each(|entry| add("endpoint", &entry.name, entry));
    for entry in &watch.certificates {
        let name = match &entry.source {
            CertificateSource::Served { host, port, .. } => format!("{}:{host}:{port}", entry.name),
            CertificateSource::Files { path } => format!("{}:{path}", entry.name),
        };
        add("certificate", &name, entry);
    }
    watch.logs.iter().for_each(|entry| add("log", &entry.path, entry));
    found
}

#[cfg(test)]
mod tests {
    use super::super::super::source::Text;
    use super::super::super::{Config, parse};
    use super::changes;

    fn config(playbooks: &[(&str, u32)], settings: &str) -> Config {
        let book = |(id, threshold): &(&str, u32)| {
            let condition = format!(r#"{{"metric": "disk_usage", "operator": ">", "threshold": {threshold}}}"#);
            format!(r#""{id}": {{"condition": {condition}, "actions": []}}"#)
        };
        let books = format!("{{{}}}", playbooks.iter().map(book).collect::<Vec<_>>().join(", "));
        parse(&Text::new("p", &books), &Text::new("s", settings)).unwrap()
    }

    const NOTHING: &str = r#"{"watch": {"disks": [], "memory": false}}"#;

    #[track_caller]
    fn check(old: &Config, new: &Config, expected: &str) {
        assert_eq!(changes(old, new), expected);
    }

    #[test]
    fn the_log_says_what_changed() {
        let old = config(&[("full", 1), ("hot", 1)], NOTHING);
        check(&old, &old, "nothing that matters changed");
        check(&old, &config(&[("full", 1), ("hot", 1), ("new", 1)], NOTHING), "playbooks_added=new");
        check(&old, &config(&[("full", 2)], NOTHING), "playbooks_removed=hot playbooks_changed=full");
        let dry = config(&[("full", 1), ("hot", 1)], r#"{"dry_run": true, "watch": {"disks": [], "memory": false}}"#);
        check(&old, &dry, "settings=changed dry_run=true");
        check(&dry, &old, "settings=changed dry_run=false");
    }

    #[test]
    fn targets_are_named() {
        let watch = |text: &str| config(&[("full", 1)], &format!(r#"{{"watch": {text}}}"#));
        let old = watch(r#"{"disks": [], "memory": false, "processes": [{"name": "web"}, {"name": "db"}]}"#);
        let new =
            watch(r#"{"disks": "auto", "memory": true, "processes": [{"name": "web", "restartable": true}], "logs": [{"path": "/a"}]}"#);
        check(&old, &new, "settings=changed targets_added=disks:auto,log:/a,memory targets_removed=process:db targets_changed=process:web");
        let ports = |ports: &[u16]| {
            let entry = |port: &u16| format!(r#"{{"name": "c", "host": "h", "port": {port}}}"#);
            let list = ports.iter().map(entry).collect::<Vec<_>>().join(", ");
            watch(&format!(r#"{{"disks": [], "memory": false, "certificates": [{list}]}}"#))
        };
        check(&ports(&[1]), &ports(&[2]), "settings=changed targets_added=certificate:c:h:2 targets_removed=certificate:c:h:1");
    }

    #[test]
    fn thousands_are_counted() {
        let ids: Vec<String> = (0..60).map(|number| format!("p{number:03}")).collect();
        let books: Vec<(&str, u32)> = ids.iter().map(|id| (id.as_str(), 1)).collect();
        let line = changes(&config(&[("p000", 1)], NOTHING), &config(&books, NOTHING));
        assert!(line.starts_with("playbooks_added=p001,p002,") && line.ends_with(",p050,and 9 more"), "{line}");
    }
}
