//! Processes through sysinfo, for systems without `/proc` (macOS).

use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use sysinfo::{Pid, Process, ProcessRefreshKind, ProcessStatus, ProcessesToUpdate, System, UpdateKind};

use super::Stat;

fn system() -> io::Result<&'static Mutex<System>> {
    static SYSTEM: OnceLock<Option<Mutex<System>>> = OnceLock::new();
    SYSTEM.get_or_init(|| System::new().ok().map(Mutex::new)).as_ref().ok_or_else(|| io::Error::other("sysinfo has no processes here"))
}

/// Refreshes one process and looks at it.
fn with<T>(pid: u32, look: impl FnOnce(&Process) -> T) -> io::Result<Option<T>> {
    let mut system = system()?.lock().unwrap_or_else(PoisonError::into_inner);
    let pid = Pid::from_u32(pid);
    let kind = ProcessRefreshKind::everything().with_exe(UpdateKind::Always).with_cmd(UpdateKind::Always);
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, kind);
    Ok(system.process(pid).map(look))
}

/// The ids of all processes.
pub(crate) fn pids() -> io::Result<Vec<u32>> {
    let mut system = system()?.lock().unwrap_or_else(PoisonError::into_inner);
    system.refresh_processes_specifics(ProcessesToUpdate::All, true, ProcessRefreshKind::nothing());
    Ok(system.processes().keys().map(|pid| pid.as_u32()).collect())
}

/// One look at a process; `None` if there is none of that id.
pub(crate) fn stat(pid: u32) -> io::Result<Option<Stat>> {
    let booted = System::boot_time().map_err(|_| io::Error::other("sysinfo does not know when the host started"))?;
    with(pid, |process| Stat {
        comm: process.name().to_string_lossy().into_owned(),
        dead: matches!(process.status(), ProcessStatus::Zombie | ProcessStatus::Dead),
        parent: process.parent().map_or(0, Pid::as_u32),
        group: nix_group(pid),
        session: process.session_id().map_or(0, Pid::as_u32),
        cpu: Duration::from_millis(process.accumulated_cpu_time()),
        started: Duration::from_secs(process.start_time().saturating_sub(booted)),
        rss: process.memory(),
    })
}

/// A process that is looked at again and again.
#[derive(Debug)]
pub(crate) struct Held(u32);

impl Held {
    /// Remembers the id.
    pub(crate) fn open(pid: u32) -> Option<Self> {
        Some(Self(pid))
    }

    /// One look; `None` when the process is gone.
    pub(crate) fn stat(&self) -> io::Result<Option<Stat>> {
        stat(self.0)
    }
}

fn nix_group(pid: u32) -> u32 {
    let pid = i32::try_from(pid).map(nix::unistd::Pid::from_raw);
    let group = pid.ok().and_then(|pid| nix::unistd::getpgid(Some(pid)).ok());
    group.and_then(|group| u32::try_from(group.as_raw()).ok()).unwrap_or(0)
}

/// The command's name.
pub(crate) fn comm(pid: u32) -> io::Result<String> {
    with(pid, |process| process.name().to_string_lossy().into_owned())?.ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// The arguments.
pub(crate) fn command_line(pid: u32) -> io::Result<Vec<String>> {
    let words = with(pid, |process| process.cmd().iter().map(|word| word.to_string_lossy().into_owned()).collect())?;
    words.ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// The executable's path.
pub(crate) fn exe(pid: u32) -> io::Result<Option<PathBuf>> {
    Ok(with(pid, |process| process.exe().map(PathBuf::from))?.flatten())
}

/// The effective user id.
pub(crate) fn user(pid: u32) -> Option<u32> {
    with(pid, |process| process.effective_user_id().or(process.user_id()).map(|id| **id)).ok()??
}

/// There are no units here.
pub(crate) fn units(_pid: u32) -> Vec<String> {
    Vec::new()
}

/// How many descriptors it has open.
///
/// # Errors
/// The reason why that is not known.
pub(crate) fn open_files(pid: u32) -> Result<u64, String> {
    let count = with(pid, Process::open_files).map_err(|error| error.to_string())?.flatten();
    count.and_then(|count| u64::try_from(count).ok()).ok_or_else(|| "the system does not tell".to_owned())
}
