//! Log files: size and growth. Only their metadata is read; nothing is ever opened.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::file_glob::{Exact, FileGlob, Found};
use super::mount_table::Hangs;
use super::mounts::Mounts;
use super::shared::Shared;
use super::{Collector, There, reason};
use crate::clock::Moment;
use crate::metric::{self, Metric};
use crate::sample::{Labels, Sample, Target, Value};

const SIZE: &Metric = metric::named("log_file_size_mb");
const GROWTH: &Metric = metric::named("log_growth_mb_per_hour");

const MIB: f64 = 1_048_576.0;
const HOUR: Duration = Duration::from_hours(1);

/// The history of a file has one point for each of these.
const STEP: Duration = Duration::from_mins(1);

/// Growth seen for less than this says nothing about an hour.
const SHORTEST: Duration = Duration::from_secs(10);

/// Measures one entry: a path, a glob, or everything below some directories.
#[derive(Debug)]
pub(crate) struct LogFiles {
    files: FileGlob,
    hangs: Hangs,
    /// The mounts and the answer when it was last asked whether it may hang: the measurement that follows goes by them.
    asked: Option<(Arc<Mounts>, bool)>,
    shared: Shared,
    /// Of a glob or directory, with the moment when each was there.
    seen: BTreeMap<PathBuf, (Moment, Seen)>,
    /// Of a path.
    exact: Option<Seen>,
    literal: Arc<Target>,
    /// The last look was at every place where a file may be.
    complete: bool,
}

impl LogFiles {
    pub(crate) fn new(path: &str, recursive: bool, shared: Shared) -> Self {
        let files = FileGlob::new(path, recursive);
        Self {
            files,
            hangs: Hangs::default(),
            asked: None,
            shared,
            seen: BTreeMap::new(),
            exact: None,
            literal: target(Path::new(path)),
            complete: true,
        }
    }

    /// The mounts, and whether looking may hang.
    fn ask(&mut self) -> (Arc<Mounts>, bool) {
        let mounts = self.shared.mounts();
        let hangs = self.hangs.ask(&mounts, self.files.base());
        (mounts, hangs)
    }

    fn exact(&mut self, mounts: &Mounts, on_pool: bool) -> Vec<Sample> {
        let mut near = (!on_pool).then(|| self.shared.near());
        let size = match self.files.exact(mounts, on_pool, near.as_deref_mut()) {
            Exact::File(look) => look.bytes,
            Exact::Absent if self.exact.is_some() => 0,
            Exact::Absent => return unknown(&self.literal, "no such file"),
            Exact::Unusable(reason) => return unknown(&self.literal, &reason),
        };
        let now = Moment::now();
        self.exact.get_or_insert_with(|| Seen::new(Arc::clone(&self.literal), now, size)).measure(now, size).into()
    }

    fn matches(&mut self, mounts: &Mounts, on_pool: bool) -> Vec<Sample> {
        let Found { files, complete } = self.files.files(mounts, on_pool, |look| look.bytes);
        self.complete = complete;
        let now = Moment::now();
        let mut samples = Vec::with_capacity(files.len() * 2);
        for (path, size) in files {
            let (present, seen) = self.seen.entry(path).or_insert_with_key(|path| (now, Seen::new(target(path), now, size)));
            *present = now;
            samples.extend(seen.measure(now, size));
        }
        // Rotation makes new names for ever: a name that is gone measures 0 for an hour and is forgotten then.
        self.seen.retain(|_, (present, _)| now.since(*present) <= HOUR);
        for (_, seen) in self.seen.values_mut().filter(|(present, _)| *present != now) {
            samples.extend(seen.measure(now, 0));
        }
        samples
    }
}

impl Collector for LogFiles {
    fn may_hang(&mut self) -> bool {
        let (mounts, hangs) = self.ask();
        self.asked = Some((mounts, hangs));
        hangs
    }

    fn measure(&mut self) -> Vec<Sample> {
        let (mounts, on_pool) = self.asked.take().unwrap_or_else(|| self.ask());
        if self.files.is_exact() { self.exact(&mounts, on_pool) } else { self.matches(&mounts, on_pool) }
    }

    fn there(&self) -> There {
        if self.complete { There::Measured } else { There::Unsure }
    }
}

fn target(path: &Path) -> Arc<Target> {
    Target::new(Labels::from([("path", &*path.to_string_lossy())]), Labels::default())
}

fn unknown(target: &Arc<Target>, reason: &str) -> Vec<Sample> {
    let now = Moment::now();
    [SIZE, GROWTH].map(|metric| Sample::unknown(metric, target, reason, now)).into()
}

/// One file over time.
#[derive(Debug)]
struct Seen {
    target: Arc<Target>,
    size: u64,
    /// Bytes written since the first look. A file that shrank was truncated or replaced: what it holds then is new.
    written: u64,
    /// What was written until when (running clock): points of the last hour, oldest first; the first may be older. While nothing
    /// is written there is no new point: thousands of files may be watched, and few grow.
    history: VecDeque<(Duration, u64)>,
}

impl Seen {
    fn new(target: Arc<Target>, now: Moment, size: u64) -> Self {
        Self { target, size, written: 0, history: VecDeque::from([(now.running, 0)]) }
    }

    #[expect(clippy::cast_precision_loss, reason = "no file has 2^53 bytes")]
    fn measure(&mut self, now: Moment, size: u64) -> [Sample; 2] {
        self.written += if size >= self.size { size - self.size } else { size };
        self.size = size;
        let growth = self.growth(now);
        let size = Value::Number(size as f64 / MIB);
        [Sample::known(SIZE, &self.target, size, now), Sample::number(GROWTH, &self.target, growth, now)]
    }

    #[expect(clippy::cast_precision_loss, reason = "nobody writes 2^53 bytes in an hour")]
    fn growth(&mut self, now: Moment) -> Result<f64, String> {
        let last = self.history.back().copied();
        if last.is_none_or(|(at, before)| before != self.written && now.running.saturating_sub(at) >= STEP) {
            self.history.push_back((now.running, self.written));
        }
        // The first point says what was written until an hour ago.
        let hour_ago = now.running.saturating_sub(HOUR);
        while self.history.get(1).is_some_and(|(at, _)| *at <= hour_ago) {
            self.history.pop_front();
        }
        let (from, before) = self.history.front().copied().unwrap_or((now.running, self.written));
        let span = now.running.saturating_sub(from.max(hour_ago));
        if span < SHORTEST {
            return Err(reason::TOO_SHORT.to_owned());
        }
        Ok((self.written - before) as f64 / MIB / (span.as_secs_f64() / HOUR.as_secs_f64()))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;
    use crate::collect::Exclusions;
    use crate::collect::test_rig::{sample, value};

    fn watch(path: &Path) -> LogFiles {
        LogFiles::new(path.to_str().unwrap(), false, Shared::new(Exclusions::default()))
    }

    #[test]
    fn never_seen_is_unknown_and_seen_before_is_zero() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.log");
        let mut log = watch(&path);
        let samples = log.measure();
        assert_eq!(sample(&samples, "log_file_size_mb").reason.as_deref(), Some("no such file"));
        assert_eq!(samples[0].target.label("path"), path.to_str());
        File::create(&path).unwrap().set_len(3 * 1_048_576).unwrap();
        assert_eq!(value(&log.measure(), "log_file_size_mb"), 3.0);
        fs::remove_file(&path).unwrap();
        assert_eq!(value(&log.measure(), "log_file_size_mb"), 0.0);
    }

    #[test]
    fn a_glob_makes_a_sample_for_each_file_and_none_without_one() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = watch(&dir.path().join("*.log"));
        assert!(log.measure().is_empty());
        for name in ["a.log", "b.log"] {
            fs::write(dir.path().join(name), vec![0; 524_288]).unwrap();
        }
        let sizes = |samples: &[Sample]| -> Vec<Option<Value>> {
            samples.iter().filter(|s| s.metric.name == "log_file_size_mb").map(|s| s.value.clone()).collect()
        };
        assert_eq!(sizes(&log.measure()), [Some(Value::Number(0.5)), Some(Value::Number(0.5))]);
        fs::remove_file(dir.path().join("a.log")).unwrap();
        let mut after = sizes(&log.measure());
        after.sort_by_key(|value| format!("{value:?}"));
        assert_eq!(after, [Some(Value::Number(0.0)), Some(Value::Number(0.5))]);
    }

    #[test]
    fn what_is_no_regular_file_is_unknown() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).unwrap();
        for path in [dir.path(), &pipe] {
            assert_eq!(sample(&watch(path).measure(), "log_file_size_mb").reason.as_deref(), Some("not a regular file"));
        }
    }

    #[test]
    fn growth_counts_what_is_written_over_the_last_hour() {
        let at = |minutes: u32| Moment::at_seconds(f64::from(minutes) * 60.0);
        let mib = |count: u64| count * 1_048_576;
        let mut seen = Seen::new(target(Path::new("/x")), at(0), mib(100));
        assert!(sample(&seen.measure(at(0), mib(100)), "log_growth_mb_per_hour").value.is_none());
        let mut growth = |minute, size| value(&seen.measure(at(minute), size), "log_growth_mb_per_hour");
        assert_eq!(growth(30, mib(110)).round(), 20.0);
        // Truncated: the 5 MiB that it holds are new.
        assert_eq!(growth(60, mib(5)).round(), 15.0);
        // Half an hour on, the first half hour's 10 MiB are older than an hour.
        assert_eq!(growth(90, mib(5)).round(), 5.0);
        assert_eq!(growth(180, mib(5)).round(), 0.0);
    }
}
