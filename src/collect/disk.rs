//! Mounted file systems: how full they are, as `df` counts it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::StatVfs;

use super::mounts::{Mount, Mounts};
use super::shared::Shared;
use super::slot::targets;
use super::{Collector, There, reason};
use crate::clock::Moment;
use crate::metric::{self, Metric};
use crate::sample::{Labels, Sample, Target};

const MIB: f64 = 1_048_576.0;

/// Measures one listed mount, or with `"auto"` every real, writable one.
#[derive(Debug)]
pub(crate) struct Disk {
    listed: Option<PathBuf>,
    shared: Shared,
    targets: Vec<Arc<Target>>,
    /// A mount that was not found is not there, unless the table of mounts could not be read.
    there: There,
}

impl Disk {
    /// `listed`: this mount; `None`: `"auto"`.
    pub(crate) fn new(listed: Option<PathBuf>, shared: Shared) -> Self {
        Self { listed, shared, targets: Vec::new(), there: There::Measured }
    }

    /// The same allocation as long as nothing about it changes.
    fn target(&mut self, mount: &Mount) -> Arc<Target> {
        let point = mount.point.to_string_lossy();
        let same = |target: &&Arc<Target>| {
            let label = |name| target.label(name);
            (label("mount"), label("device"), label("fstype")) == (Some(&*point), Some(&mount.device), Some(&mount.fstype))
        };
        if let Some(target) = self.targets.iter().find(same) {
            return Arc::clone(target);
        }
        let facts = Labels::from([("device", mount.device.as_str()), ("fstype", mount.fstype.as_str())]);
        let target = Target::new(Labels::from([("mount", &*point)]), facts);
        self.targets.retain(|other| other.identity != target.identity);
        self.targets.push(Arc::clone(&target));
        target
    }
}

impl Disk {
    fn look(&mut self, mounts: &Mounts) -> Vec<Sample> {
        self.there = if mounts.is_empty() { There::Unsure } else { There::Measured };
        match self.listed.clone() {
            Some(listed) => self.one(&listed, mounts),
            None if self.there == There::Unsure => self.targets.iter().flat_map(|target| unknown(target, UNREADABLE)).collect(),
            None => {
                let samples: Vec<Sample> = mounts.watched().into_iter().flat_map(|mount| samples(mount, &self.target(mount))).collect();
                self.targets = targets(&samples);
                samples
            }
        }
    }

    fn one(&mut self, listed: &Path, mounts: &Mounts) -> Vec<Sample> {
        if let Some(mount) = mounts.at(listed) {
            return samples(mount, &self.target(mount));
        }
        let point = listed.to_string_lossy();
        let target = Target::new(Labels::from([("mount", point.trim_end_matches('/'))]), Labels::default());
        if self.there == There::Unsure {
            return unknown(&target, UNREADABLE);
        }
        self.there = There::Nothing;
        let holder = mounts.holding(listed).map(|mount| format!(" (the path lies on {})", mount.point.display()));
        unknown(&target, &format!("nothing is mounted here{}", holder.unwrap_or_default()))
    }
}

impl Collector for Disk {
    fn may_hang(&mut self) -> bool {
        let mounts = self.shared.mounts();
        match &self.listed {
            Some(listed) => mounts.at(listed).is_some_and(Mount::may_hang),
            None => mounts.can_hang() && mounts.watched().iter().any(|mount| mount.may_hang()),
        }
    }

    fn measure(&mut self) -> Vec<Sample> {
        let mounts = self.shared.mounts();
        self.look(&mounts)
    }

    fn there(&self) -> There {
        self.there
    }
}

const UNREADABLE: &str = "the table of mounts cannot be read";

fn unknown(target: &Arc<Target>, why: &str) -> Vec<Sample> {
    let now = Moment::now();
    METRICS.iter().map(|metric| Sample::unknown(metric, target, why, now)).collect()
}

const METRICS: [&Metric; 3] = [metric::named("disk_usage"), metric::named("disk_free_mb"), metric::named("inode_usage")];

fn samples(mount: &Mount, target: &Arc<Target>) -> Vec<Sample> {
    let asked = rustix::fs::statvfs(&mount.point).map_err(|error| reason::plain(&error.into()));
    let at = Moment::now();
    let figure = |of: fn(&StatVfs) -> Result<f64, &'static str>| match &asked {
        Ok(stat) => of(stat).map_err(str::to_owned),
        Err(reason) => Err(reason.clone()),
    };
    let number = |metric, value| Sample::number(metric, target, value, at);
    let [usage, free, inodes] = METRICS;
    vec![number(usage, figure(usage_percent)), number(free, figure(free_mib)), number(inodes, figure(inode_percent))]
}

/// As `df` counts: blocks that ordinary users can neither have nor get (root's reserve) are left out of the whole.
fn usage_percent(stat: &StatVfs) -> Result<f64, &'static str> {
    percent(stat.f_blocks.saturating_sub(stat.f_bfree), stat.f_bavail).ok_or("the file system has no size")
}

#[expect(clippy::cast_precision_loss, reason = "a percent needs no 53 bits")]
fn free_mib(stat: &StatVfs) -> Result<f64, &'static str> {
    Ok(stat.f_bavail as f64 * stat.f_frsize as f64 / MIB)
}

fn inode_percent(stat: &StatVfs) -> Result<f64, &'static str> {
    percent(stat.f_files.saturating_sub(stat.f_ffree), stat.f_favail).ok_or("the file system has no fixed number of inodes")
}

#[expect(clippy::cast_precision_loss, reason = "a percent needs no 53 bits")]
fn percent(used: u64, available: u64) -> Option<f64> {
    let whole = used.checked_add(available).filter(|whole| *whole > 0)?;
    Some(used as f64 / whole as f64 * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::Exclusions;
    use crate::collect::test_rig::{command, sample, value};

    fn measure(listed: Option<&str>) -> Vec<Sample> {
        Disk::new(listed.map(PathBuf::from), Shared::new(Exclusions::default())).measure()
    }

    #[test]
    fn usage_is_dfs_figure() {
        let df = command("df").args(["--output=pcent", "/"]).output().unwrap();
        let text = String::from_utf8(df.stdout).unwrap();
        let shown: f64 = text.lines().nth(1).unwrap().trim().trim_end_matches('%').parse().unwrap();
        let samples = measure(Some("/"));
        let usage = value(&samples, "disk_usage");
        // df rounds up; others write to the disk meanwhile.
        assert!(usage <= shown + 1.0 && usage > shown - 2.0, "{usage} against df's {shown}");
        assert!(value(&samples, "disk_free_mb") > 0.0);
        let target = &samples[0].target;
        assert_eq!(target.label("mount"), Some("/"));
        assert!(target.facts.get("device").is_some() && target.facts.get("fstype").is_some());
    }

    #[test]
    fn roots_reserve_counts_as_used() {
        // 100 blocks, 20 free, of these 5 kept for root: 80 used of 95 that users can ever have.
        assert_eq!(percent(80, 15).map(f64::round), Some(84.0));
        assert_eq!(percent(0, 0), None);
        assert_eq!(percent(u64::MAX, 1), None);
    }

    #[test]
    fn what_is_not_mounted_is_unknown() {
        let dir = tempfile::tempdir().unwrap();
        for path in [dir.path().to_str().unwrap(), "/no/such/place/"] {
            let samples = measure(Some(path));
            assert_eq!(samples.len(), 3);
            let usage = sample(&samples, "disk_usage");
            assert!(usage.value.is_none() && usage.reason.as_ref().unwrap().starts_with("nothing is mounted here"));
            assert_eq!(usage.target.label("mount"), Some(path.trim_end_matches('/')));
        }
    }

    #[test]
    fn what_was_unmounted_is_not_there_and_what_cannot_be_read_may_be() {
        let dir = tempfile::tempdir().unwrap();
        let here = dir.path().to_str().unwrap();
        let line = |point: &str| format!("36 35 98:0 / {point} rw,noatime - ext4 /dev/{} rw\n", point.len());
        let table = |points: &[&str]| Mounts::parse(points.iter().map(|point| line(point)).collect::<String>().as_bytes());
        let (both, root, none) = (table(&["/", here]), table(&["/"]), Mounts::default());
        for listed in [None, Some(dir.path().to_owned())] {
            let mut disk = Disk::new(listed.clone(), Shared::new(Exclusions::default()));
            let mut look = |mounts: &Mounts| {
                let samples = disk.look(mounts);
                let own =
                    samples.into_iter().find(|sample| sample.metric.name == "disk_usage" && sample.target.label("mount") == Some(here));
                (disk.there(), own.map(|sample| sample.reason))
            };
            assert_eq!(look(&both), (There::Measured, Some(None)));
            assert_eq!(look(&none), (There::Unsure, Some(Some(UNREADABLE.to_owned()))));
            let unmounted = Some("nothing is mounted here (the path lies on /)".to_owned());
            assert_eq!(look(&root), if listed.is_some() { (There::Nothing, Some(unmounted)) } else { (There::Measured, None) });
        }
    }

    #[test]
    fn a_listed_tmpfs_is_measured_and_auto_leaves_it_out() {
        let shm = Path::new("/dev/shm");
        if super::super::mounts::Mounts::read().at(shm).is_some() {
            let samples = measure(shm.to_str());
            assert_eq!(sample(&samples, "disk_usage").target.label("fstype"), Some("tmpfs"));
            assert!(value(&samples, "disk_free_mb") > 0.0);
        }
        assert!(
            measure(None).iter().all(|sample| sample.target.label("fstype") != Some("tmpfs") || sample.target.label("mount") == Some("/"))
        );
        assert!(measure(None).iter().any(|sample| sample.target.label("mount") == Some("/")));
    }
}
