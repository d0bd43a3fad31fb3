//! Everything that an action started, also what changed its session or lost its parent. The agent is a *subreaper*: what
//! an action leaves behind becomes the agent's child, so every process that came from the action descends from the agent.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use rustix::process::{Pid, Signal};

/// After TERM, before KILL.
const GRACE: Duration = Duration::from_secs(5);
/// After KILL, before giving up: a process in an uninterruptible wait cannot be killed.
const LAST_WAIT: Duration = Duration::from_secs(2);
/// How often it is looked whether they are gone.
const PAUSE: Duration = Duration::from_millis(20);

/// A process, safe against the reuse of its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Process {
    /// Its number.
    pub(crate) pid: i32,
    /// When it started, in clock ticks since boot.
    pub(crate) started: u64,
}

#[derive(Clone, Copy)]
struct Stat {
    process: Process,
    parent: i32,
    zombie: bool,
}

/// How many children have an owner who waits for them: meanwhile nobody else may.
static OWNED: AtomicUsize = AtomicUsize::new(0);

/// As long as it lives a child of ours has an owner who will take its exit status.
#[derive(Debug)]
pub(crate) struct Owned(());

impl Owned {
    /// Must exist before the child does.
    pub(crate) fn new() -> Self {
        OWNED.fetch_add(1, Ordering::SeqCst);
        Self(())
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        OWNED.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Takes the exit status of dead orphans that became ours, unless a child with an owner could be among them: then they wait for
/// the next call.
pub fn reap_orphans() {
    while OWNED.load(Ordering::SeqCst) == 0 {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) | Err(_) => return,
            Ok(_) => {}
        }
    }
}

/// The children that the agent had before an action: they and what descends from them are not the action's.
#[derive(Debug)]
pub(crate) struct Before(HashSet<Process>);

/// Makes this process the one that inherits orphans. Where the platform has no such thing, process groups must do.
pub fn become_subreaper() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_child_subreaper(Some(rustix::process::getpid())) {
        log::warn!("orphans of actions cannot be followed reason={error}");
    }
}

impl Before {
    /// Looks at the agent's children.
    pub(crate) fn look() -> Self {
        let own = own_pid();
        Self(all().into_iter().filter(|stat| stat.parent == own).map(|stat| stat.process).collect())
    }
}

/// Ends the action's leader and everything that it started: TERM, then KILL. Returns how many would not die.
pub(crate) fn end(leader: i32, before: &Before) -> usize {
    signal_all(leader, before, Signal::TERM);
    if wait_until_gone(leader, before, GRACE) == 0 {
        return 0;
    }
    let mut left = 0;
    // What is being killed may fork meanwhile: look again.
    for _ in 0..3 {
        signal_all(leader, before, Signal::KILL);
        left = wait_until_gone(leader, before, LAST_WAIT / 3);
        if left == 0 {
            break;
        }
    }
    left
}

#[cfg(target_os = "linux")]
fn signal_all(leader: i32, before: &Before, signal: Signal) {
    for process in members(leader, before) {
        send(process, signal);
    }
}

/// Without `/proc` and process handles the process group must do.
#[cfg(not(target_os = "linux"))]
fn signal_all(leader: i32, _before: &Before, signal: Signal) {
    if let Some(group) = Pid::from_raw(leader) {
        let _ = rustix::process::kill_process_group(group, signal);
    }
}

/// Sends a signal to exactly this process.
#[cfg(target_os = "linux")]
fn send(process: Process, signal: Signal) {
    use rustix::process::{PidfdFlags, pidfd_open, pidfd_send_signal};
    let Some(pid) = Pid::from_raw(process.pid) else { return };
    let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else { return };
    // The handle is of whoever has the number now; if that is still the process, it stays so.
    if stat(process.pid).is_some_and(|now| now.process == process) {
        let _ = pidfd_send_signal(&handle, signal);
    }
}

/// Waits until the action's processes are gone and says how many are left. Adopted ones are reaped here; the leader is
/// reaped by its owner, so for it *gone* means zombie.
fn wait_until_gone(leader: i32, before: &Before, limit: Duration) -> usize {
    let start = crate::clock::Moment::now();
    loop {
        reap_adopted(leader, before);
        let left = members(leader, before).len();
        if left == 0 || crate::clock::Moment::now().since(start) >= limit {
            return left;
        }
        pause();
    }
}

/// Waits a little; nobody is there to interrupt it.
fn pause() {
    let (_keep, nothing) = crossbeam_channel::bounded::<()>(0);
    let _ = nothing.recv_timeout(PAUSE);
}

/// Takes the exit status of dead orphans of the action, so that no zombie stays.
pub(crate) fn reap_adopted(leader: i32, before: &Before) {
    let own = own_pid();
    let dead = all().into_iter().filter(|stat| stat.zombie && stat.parent == own);
    for stat in dead.filter(|stat| stat.process.pid != leader && !before.0.contains(&stat.process)) {
        let _ = waitpid(nix::unistd::Pid::from_raw(stat.process.pid), Some(WaitPidFlag::WNOHANG));
    }
}

/// The action's process group, as long as somebody is in it.
#[cfg(not(target_os = "linux"))]
fn members(leader: i32, _before: &Before) -> Vec<Process> {
    let group = Pid::from_raw(leader).filter(|group| rustix::process::test_kill_process_group(*group).is_ok());
    group.map(|_| Process { pid: leader, started: 0 }).into_iter().collect()
}

/// The live processes that came from the action: descendants of the agent that started no earlier than the leader and do
/// not descend from a child that the agent had before.
#[cfg(target_os = "linux")]
fn members(leader: i32, before: &Before) -> Vec<Process> {
    let stats = all();
    let Some(since) = stats.iter().find(|stat| stat.process.pid == leader).map(|stat| stat.process.started) else {
        return Vec::new();
    };
    let mut children: HashMap<i32, Vec<Stat>> = HashMap::new();
    for stat in &stats {
        children.entry(stat.parent).or_default().push(*stat);
    }
    let (mut found, mut open) = (Vec::new(), vec![own_pid()]);
    while let Some(parent) = open.pop() {
        for child in children.remove(&parent).unwrap_or_default() {
            if child.process.started < since || before.0.contains(&child.process) {
                continue;
            }
            open.push(child.process.pid);
            if !child.zombie {
                found.push(child.process);
            }
        }
    }
    found
}

fn own_pid() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}

/// Every process of the host; empty where there is no `/proc`.
fn all() -> Vec<Stat> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter_map(stat).collect()
}

/// proc(5), `/proc/pid/stat`: the name is in parentheses and may hold any character, so fields count from the last `)`.
fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let text = String::from_utf8_lossy(&text);
    let fields: Vec<&str> = text[text.rfind(')')? + 1..].split_ascii_whitespace().collect();
    let process = Process { pid, started: fields.get(19)?.parse().ok()? };
    Some(Stat { process, parent: fields.get(1)?.parse().ok()?, zombie: matches!(*fields.first()?, "Z" | "X") })
}
