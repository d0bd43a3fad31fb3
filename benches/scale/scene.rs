//! What is watched: real files, processes and mounts, and settings that name them. All of it goes away with the scene.

use std::any::Any;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use autoheal::collect::measure_once;
use autoheal::config::playbook::StatusSet;
use autoheal::config::settings::{
    CertificateEntry, CertificateSource, DiskEntry, Disks, EndpointEntry, LogEntry, ProcessEntry, ProcessMatch, Settings, Watch,
};
use rcgen::{CertificateParams, KeyPair};
use regex::Regex;
use rustix::mount::{UnmountFlags, mount_bind, unmount};
use tempfile::TempDir;

use super::linux::OWN_MOUNTS;
use super::servers;

const TIMEOUT: Duration = Duration::from_secs(10);

/// So many targets of one kind.
pub(crate) struct Scene {
    targets: usize,
    /// Each look gives so many samples of `metric`.
    pub(crate) samples: usize,
    pub(crate) metric: &'static str,
    watch: Watch,
    /// What is watched, until the scene ends.
    _props: Box<dyn Any>,
}

impl Scene {
    fn new(targets: usize, metric: &'static str, watch: Watch, props: impl Any) -> Result<Self, String> {
        Ok(Self { targets, samples: targets, metric, watch, _props: Box::new(props) })
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings {
            dry_run: true,
            interval: interval(self.targets),
            watch: self.watch.clone(),
            allowed_commands: Vec::new(),
            command_path: Vec::new(),
            services: BTreeMap::new(),
            max_actions_per_hour: 0,
            silences: Vec::new(),
            history: Default::default(),
        }
    }
}

/// Far enough apart that a look at all targets ends before the next one.
fn interval(targets: usize) -> Duration {
    if targets < 1000 { Duration::from_millis(500) } else { Duration::from_secs(2) }
}

fn dir() -> TempDir {
    tempfile::tempdir().expect("a directory can be made")
}

/// One file for each target, in a directory of its own.
fn files(targets: usize, contents: impl Fn(usize) -> String) -> (TempDir, Vec<PathBuf>) {
    let dir = dir();
    let paths: Vec<PathBuf> = (0..targets).map(|number| dir.path().join(format!("{number:04}.x"))).collect();
    for (number, path) in paths.iter().enumerate() {
        fs::write(path, contents(number)).expect("a file can be written");
    }
    (dir, paths)
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

pub(crate) fn logs(targets: usize) -> Result<Scene, String> {
    let (dir, paths) = files(targets, |number| number.to_string());
    let log = |path: &PathBuf| LogEntry { path: text(path), recursive: false, interval: interval(targets) };
    let watch = Watch { logs: paths.iter().map(log).collect(), ..Watch::default() };
    Scene::new(targets, "log_file_size_mb", watch, dir)
}

pub(crate) fn log_glob(targets: usize) -> Result<Scene, String> {
    let (dir, _) = files(targets, |number| number.to_string());
    let log = LogEntry { path: text(&dir.path().join("*.x")), recursive: false, interval: interval(targets) };
    Scene::new(targets, "log_file_size_mb", Watch { logs: vec![log], ..Watch::default() }, dir)
}

/// Children that do nothing, each with an argument that no other process has; they are killed with this.
pub(crate) struct Sleepers(Vec<Child>);

impl Drop for Sleepers {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
        }
        for child in &mut self.0 {
            let _ = child.wait();
        }
    }
}

/// So many `sleep SECONDS.NUMBER`. They end by themselves after that time, if this process is killed.
#[expect(clippy::disallowed_methods, reason = "a benchmark starts the processes that it watches")]
pub(crate) fn sleepers(seconds: &str, count: usize) -> Sleepers {
    let start = |number: usize| {
        let mut command = Command::new("sleep");
        command.arg(format!("{seconds}.{number:07}")).stdin(Stdio::null()).stdout(Stdio::null());
        command.spawn().expect("a process can be started")
    };
    Sleepers((0..count).map(start).collect())
}

fn process(number: usize, matcher: ProcessMatch, interval: Duration) -> ProcessEntry {
    ProcessEntry {
        name: format!("sleeper {number}"),
        matcher,
        service: None,
        restartable: false,
        respect_manual_stop: true,
        user: None,
        interval,
    }
}

pub(crate) fn pid_files(targets: usize) -> Result<Scene, String> {
    let sleepers = sleepers("1800", targets);
    let (dir, paths) = files(targets, |number| sleepers.0[number].id().to_string());
    let entry = |(number, path)| process(number, ProcessMatch::Pidfile(path), interval(targets));
    let watch = Watch { processes: paths.into_iter().enumerate().map(entry).collect(), ..Watch::default() };
    Scene::new(targets, "process_memory_mb", watch, (sleepers, dir))
}

pub(crate) fn patterns(targets: usize) -> Result<Scene, String> {
    let sleepers = sleepers("1800", targets);
    let pattern = |number| Regex::new(&format!(r"sleep 1800\.{number:07}\b")).expect("it is a pattern");
    let entry = |number| process(number, ProcessMatch::Pattern(pattern(number)), interval(targets));
    let watch = Watch { processes: (0..targets).map(entry).collect(), ..Watch::default() };
    Scene::new(targets, "process_memory_mb", watch, sleepers)
}

fn certificate(number: usize, source: CertificateSource, ca_file: Option<PathBuf>, interval: Duration) -> CertificateEntry {
    CertificateEntry { name: format!("certificate {number}"), source, ca_file, timeout: TIMEOUT, interval }
}

pub(crate) fn pem_files(targets: usize) -> Result<Scene, String> {
    let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("it is a name");
    let key = KeyPair::generate().expect("a key can be made");
    let pem = params.self_signed(&key).expect("it can be signed").pem();
    let (dir, paths) = files(targets, |_| pem.clone());
    let entry =
        |(number, path): (usize, &PathBuf)| certificate(number, CertificateSource::Files { path: text(path) }, None, interval(targets));
    let watch = Watch { certificates: paths.iter().enumerate().map(entry).collect(), ..Watch::default() };
    Scene::new(targets, "ssl_expires_in_days", watch, dir)
}

pub(crate) fn served(targets: usize) -> Result<Scene, String> {
    let dir = dir();
    let ca_file = dir.path().join("ca.pem");
    let port = servers::tls(&ca_file).port();
    let source = || {
        let (host, name) = ("127.0.0.1".to_owned(), "localhost".to_owned());
        CertificateSource::Served { host, port, server_name: Some(name), starttls: None }
    };
    let entry = |number| certificate(number, source(), Some(ca_file.clone()), interval(targets));
    let watch = Watch { certificates: (0..targets).map(entry).collect(), ..Watch::default() };
    Scene::new(targets, "ssl_expires_in_days", watch, dir)
}

pub(crate) fn endpoints(targets: usize) -> Result<Scene, String> {
    let address = servers::http();
    let entry = |number| EndpointEntry {
        name: format!("endpoint {number}"),
        url: format!("http://{address}/{number}"),
        method: "GET".to_owned(),
        headers: Vec::new(),
        timeout: TIMEOUT,
        expected_status: StatusSet(vec![(200, 399)]),
        expected_body: None,
        ca_file: None,
        insecure: false,
        keep_alive: false,
        interval: interval(targets),
    };
    let watch = Watch { endpoints: (0..targets).map(entry).collect(), ..Watch::default() };
    Scene::new(targets, "http_status", watch, ())
}

pub(crate) fn mounts(targets: usize) -> Result<Scene, String> {
    let mounted = mount(targets)?;
    let disk = |mount: &PathBuf| DiskEntry { mount: mount.clone(), interval: interval(targets) };
    let watch = Watch { disks: Disks::List(mounted.0.iter().map(disk).collect()), ..Watch::default() };
    Scene::new(targets, "disk_usage", watch, mounted)
}

/// These mounts are all of the same file system, so `"auto"` has to see through them and watches few.
pub(crate) fn auto_mounts(targets: usize) -> Result<Scene, String> {
    let mounted = mount(targets)?;
    let watch = Watch { disks: Disks::Auto(interval(targets)), ..Watch::default() };
    let mut scene = Scene::new(targets, "disk_usage", watch, mounted)?;
    scene.samples = measure_once(&scene.settings(), TIMEOUT).iter().filter(|sample| sample.metric.name == scene.metric).count();
    Ok(scene)
}

/// Directories that are mounted on themselves, until this is dropped.
struct Mounted(Vec<PathBuf>, TempDir);

impl Drop for Mounted {
    fn drop(&mut self) {
        for point in &self.0 {
            let _ = unmount(point, UnmountFlags::DETACH);
        }
    }
}

fn mount(targets: usize) -> Result<Mounted, String> {
    if !std::env::args().any(|word| word == OWN_MOUNTS) {
        return Err("not measured: it takes root".to_owned());
    }
    let mut mounted = Mounted(Vec::new(), dir());
    for number in 0..targets {
        let point = mounted.1.path().join(format!("{number:04}"));
        fs::create_dir(&point).expect("a directory can be made");
        mount_bind(&point, &point).map_err(|error| format!("not measured: cannot mount: {error}"))?;
        mounted.0.push(point);
    }
    Ok(mounted)
}
