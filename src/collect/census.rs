//! Which programs the entries of `watch.processes` mean at this moment: for `check`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::process_match::{Finder, Live};
use super::shared::Shared;
use super::{Exclusions, host};
use crate::config::settings::{ProcessEntry, ProcessMatch};

/// How many live processes there are of each program: by the path of its executable, or by its short name where one of them
/// belongs to another user and its path cannot be read.
pub type Programs = BTreeMap<String, usize>;

/// What one look at the processes of this host found.
#[derive(Clone, Debug, Default)]
pub struct Census {
    /// For each entry what it means, or why that cannot be known.
    pub entries: Vec<Result<Programs, String>>,
    /// The short names of all programs that run.
    pub names: BTreeSet<String>,
    /// Executables of entries that are not there.
    pub missing: BTreeSet<PathBuf>,
}

/// Looks once for all entries.
#[must_use]
pub fn census(entries: &[ProcessEntry]) -> Census {
    let shared = Shared::new(Exclusions::default());
    let mut census = Census { names: shared.processes().names(), ..Census::default() };
    for entry in entries {
        let found = programs(entry, &shared);
        match &entry.matcher {
            ProcessMatch::Exe(path) if found.is_ok() && path.symlink_metadata().is_err() => drop(census.missing.insert(path.clone())),
            _ => {}
        }
        census.entries.push(found);
    }
    census
}

fn programs(entry: &ProcessEntry, shared: &Shared) -> Result<Programs, String> {
    let mut finder = Finder::new(entry.clone(), shared.clone());
    if finder.may_hang() {
        return Err("its file lies on a network file system, or on that of another program".to_owned());
    }
    let found = finder.find();
    if let Some(reason) = found.unknown {
        return Err(reason);
    }
    let exe = |live: &Live| Some(host::exe(live.pid).ok()??.to_string_lossy().into_owned());
    let paths: Option<Vec<String>> = found.live.iter().map(exe).collect();
    let names = paths.unwrap_or_else(|| found.live.iter().map(|live| live.stat.comm.clone()).collect());
    let mut programs = Programs::new();
    names.into_iter().for_each(|name| *programs.entry(name).or_default() += 1);
    Ok(programs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::test_rig::{Child, process_entry};

    #[test]
    fn programs_are_counted_for_each_entry() {
        let (one, other) = (Child::sleeping(), Child::sleeping());
        let pattern = format!("{}|{}", one.argument(), other.argument());
        let of = |pattern: &str| process_entry("web", ProcessMatch::Pattern(regex::Regex::new(pattern).unwrap()));
        let nobody = process_entry("db", ProcessMatch::Command("no-such-program-runs".to_owned()));
        let no_file = process_entry("exe", ProcessMatch::Exe("/no/such/file".into()));
        let census = census(&[of(&pattern), nobody, no_file]);
        let exe = host::exe(one.pid()).unwrap().unwrap().to_string_lossy().into_owned();
        assert_eq!(census.entries, [Ok(Programs::from([(exe, 2)])), Ok(Programs::new()), Ok(Programs::new())]);
        assert_eq!(census.missing, BTreeSet::from(["/no/such/file".into()]));
        assert!(census.names.contains("sleep"), "{:?}", census.names);
    }

    #[test]
    fn what_cannot_be_known_is_said() {
        let entry =
            ProcessEntry { user: Some("nobody-is-called-so".to_owned()), ..process_entry("web", ProcessMatch::Command("sh".to_owned())) };
        assert!(census(&[entry]).entries[0].as_ref().unwrap_err().contains("no user is called"));
    }
}
