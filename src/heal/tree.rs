//! Everything that an action started, also what changed its session or lost its parent. The agent is a *subreaper*: what
//! an action leaves behind becomes the agent's child, so every process that came from the action descends from the agent.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use rustix::process::{Pid, Signal};

use super::cgroup::Group;

/// After TERM, before KILL.
const GRACE: Duration = Duration::from_secs(5);
/// After KILL, before giving up: a process in an uninterruptible wait cannot be killed.
const LAST_WAIT: Duration = Duration::from_secs(2);
/// How often it is looked whether they are gone.
const PAUSE: Duration = Duration::from_millis(20);
/// The same while they are being killed: who forks all the time must be met between two forks.
const SHORT_PAUSE: Duration = Duration::from_millis(2);
/// A child that is born while the list of processes is read can be missing in it, and its parent have ended: nobody is left only
/// if this many looks in a row find nobody, dead or alive.
const LOOKS: usize = 5;

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
    session: i32,
    zombie: bool,
}

/// How many children have an owner who waits for them: meanwhile nobody else may. Held while orphans are reaped, so that no
/// child can be born and die between the look at the count and the reaping.
static OWNED: Mutex<usize> = Mutex::new(0);

fn owned() -> MutexGuard<'static, usize> {
    OWNED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// As long as it lives a child of ours has an owner who will take its exit status.
#[derive(Debug)]
pub(crate) struct Owned(());

impl Owned {
    /// Must exist before the child does.
    pub(crate) fn new() -> Self {
        *owned() += 1;
        Self(())
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        *owned() -= 1;
    }
}

/// Takes the exit status of dead orphans that became ours (at each SIGCHLD, and after each action), unless a child with an owner could be among them: then they wait for
/// the next call.
pub fn reap_orphans() {
    let owned = owned();
    if *owned > 0 {
        return;
    }
    while !matches!(waitpid(None, Some(WaitPidFlag::WNOHANG)), Ok(WaitStatus::StillAlive) | Err(_)) {}
}

/// What descended from the agent before an action, and its sessions. That is not the action's, which begins a session of its own;
/// nor is what a daemon of an earlier action leaves behind in its session while this one runs.
#[derive(Debug)]
pub(crate) struct Before {
    processes: HashSet<Process>,
    /// With the start of the process that the session is named after, if it still lived.
    sessions: HashMap<i32, Option<u64>>,
}

/// Makes this process the one that inherits orphans. Where the platform has no such thing, process groups must do.
pub fn become_subreaper() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_child_subreaper(Some(rustix::process::getpid())) {
        log::warn!("orphans of actions cannot be followed reason={error}");
    }
    log::info!("actions run as {}", super::transient::supervision());
}

impl Before {
    /// Looks at what descends from the agent.
    pub(crate) fn look() -> Self {
        let found = listed_children().unwrap_or_else(|| descendants(&all(), |_| true));
        let own_session = stat(own_pid()).map(|stat| stat.session);
        let sessions: HashSet<i32> = found.iter().map(|stat| stat.session).chain(own_session).collect();
        let leader = |session: i32| stat(session).filter(|stat| stat.session == session).map(|stat| stat.process.started);
        Self {
            sessions: sessions.into_iter().map(|session| (session, leader(session))).collect(),
            processes: found.iter().map(|stat| stat.process).collect(),
        }
    }

    /// Whether it is none of the action's, by itself. The number of a session that is over can be given to a new one.
    fn knows(&self, stat: &Stat, since: u64, leaders: &HashMap<i32, u64>) -> bool {
        let leader = leaders.get(&stat.session).copied();
        let same = |then: &Option<u64>| leader.is_none() || *then == leader;
        // A daemon can begin its session late, when the action that left it is over.
        let late = leader.is_some_and(|started| self.processes.contains(&Process { pid: stat.session, started }));
        stat.process.started < since || self.processes.contains(&stat.process) || late || self.sessions.get(&stat.session).is_some_and(same)
    }
}

/// What an action started, as far as it can be told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Started<'a> {
    /// The first process, a child of the agent, and what the agent had before it.
    pub(crate) descent: Option<(i32, &'a Before)>,
    /// Their control group.
    pub(crate) group: Option<&'a Group>,
}

impl Started<'_> {
    /// Ends all of it: TERM, then KILL. Returns how many would not die. `meanwhile` runs at every look: who is ending may have
    /// much to say, and must not wait for a reader until it is killed.
    pub(crate) fn end(&self, mut meanwhile: impl FnMut()) -> usize {
        self.signal(Signal::TERM);
        if self.wait_until_gone((GRACE, PAUSE), &mut meanwhile) == 0 {
            return 0;
        }
        // What is being killed may fork meanwhile: it is looked for and killed again and again.
        self.wait_until_gone((LAST_WAIT, SHORT_PAUSE), || {
            meanwhile();
            self.group.iter().for_each(|group| group.kill());
            self.signal(Signal::KILL);
        })
    }

    fn signal(&self, signal: Signal) {
        if let Some((leader, before)) = self.descent {
            signal_all(leader, before, signal);
        }
        #[cfg(target_os = "linux")]
        self.in_group().into_iter().for_each(|process| send(process, signal));
    }

    /// Waits until the processes are gone and says how many are left. Adopted ones are reaped here; the leader is reaped by its
    /// owner, so for it *gone* means zombie.
    fn wait_until_gone(&self, (limit, pause): (Duration, Duration), mut meanwhile: impl FnMut()) -> usize {
        let start = crate::clock::Moment::now();
        loop {
            meanwhile();
            let look = || (self.reap(), self.left());
            let Some((_, left)) = (0..LOOKS).map(|_| look()).find(|found| *found != (0, 0)) else { return 0 };
            if crate::clock::Moment::now().since(start) >= limit {
                // The dead alone say that somebody lived a moment ago, and may have had children.
                return left.max(1);
            }
            wait(pause);
        }
    }

    fn left(&self) -> usize {
        let mut found: HashSet<Process> = self.in_group().into_iter().collect();
        found.extend(self.descent.into_iter().flat_map(|(leader, before)| members(leader, before)));
        found.len()
    }

    fn reap(&self) -> usize {
        self.descent.map_or(0, |(leader, before)| reap_adopted(leader, before))
    }

    /// The live processes of the group. That a number is still theirs is known when it is looked up between two looks at it.
    fn in_group(&self) -> Vec<Process> {
        let Some(group) = self.group else { return Vec::new() };
        let found = group.pids().into_iter().filter_map(stat);
        found.filter(|stat| !stat.zombie && group.holds(stat.process.pid)).map(|stat| stat.process).collect()
    }
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

/// Waits a little; nobody is there to interrupt it.
pub(crate) fn wait(time: Duration) {
    let _ = crossbeam_channel::never::<()>().recv_timeout(time);
}

/// Takes the exit status of dead orphans of the action, so that no zombie stays. Returns how many they were.
fn reap_adopted(leader: i32, before: &Before) -> usize {
    let (own, stats) = (own_pid(), all());
    let Some(since) = started(&stats, leader) else { return 0 };
    let leaders = leaders(&stats);
    let dead = stats.iter().filter(|stat| stat.zombie && stat.parent == own && stat.process.pid != leader);
    let ours = dead.filter(|stat| !before.knows(stat, since, &leaders));
    ours.filter(|stat| waitpid(nix::unistd::Pid::from_raw(stat.process.pid), Some(WaitPidFlag::WNOHANG)).is_ok()).count()
}

/// The action's process group, as long as somebody is in it.
#[cfg(not(target_os = "linux"))]
fn members(leader: i32, _before: &Before) -> Vec<Process> {
    let group = Pid::from_raw(leader).filter(|group| rustix::process::test_kill_process_group(*group).is_ok());
    group.map(|_| Process { pid: leader, started: 0 }).into_iter().collect()
}

/// The live processes that came from the action: descendants of the agent that started no earlier than the leader and do
/// not descend from what the agent had before.
#[cfg(target_os = "linux")]
fn members(leader: i32, before: &Before) -> Vec<Process> {
    let stats = all();
    let Some(since) = started(&stats, leader) else { return Vec::new() };
    let leaders = leaders(&stats);
    // The leader is in the agent's session until it has begun its own.
    let found = descendants(&stats, |stat| stat.process.pid == leader || !before.knows(stat, since, &leaders));
    found.into_iter().filter(|stat| !stat.zombie).map(|stat| stat.process).collect()
}

fn started(stats: &[Stat], pid: i32) -> Option<u64> {
    stats.iter().find(|stat| stat.process.pid == pid).map(|stat| stat.process.started)
}

/// Those whose numbers are the names of sessions, and when they started.
fn leaders(stats: &[Stat]) -> HashMap<i32, u64> {
    stats.iter().filter(|stat| stat.process.pid == stat.session).map(|stat| (stat.session, stat.process.started)).collect()
}

/// What descends from the agent, without those that do not belong to it and without what descends from them.
fn descendants(stats: &[Stat], belongs: impl Fn(&Stat) -> bool) -> Vec<Stat> {
    let mut children: HashMap<i32, Vec<Stat>> = HashMap::new();
    for stat in stats {
        children.entry(stat.parent).or_default().push(*stat);
    }
    let (mut found, mut open) = (Vec::new(), vec![own_pid()]);
    while let Some(parent) = open.pop() {
        for child in children.remove(&parent).unwrap_or_default() {
            if belongs(&child) {
                open.push(child.process.pid);
                found.push(child);
            }
        }
    }
    found
}

/// What descends from the agent by the kernel's own lists of children (proc(5), `children`), which cost what the agent has and not
/// what the host has; `None` where there are none. A list can miss somebody while a child ends, so it is read twice.
fn listed_children() -> Option<Vec<Stat>> {
    let mut found: HashMap<i32, Stat> = HashMap::new();
    for _ in 0..2 {
        let mut open = vec![own_pid()];
        while let Some(parent) = open.pop() {
            let Ok(tasks) = fs::read_dir(format!("/proc/{parent}/task")) else { continue };
            for task in tasks.flatten() {
                match fs::read_to_string(task.path().join("children")) {
                    Ok(children) => open.extend(children.split_ascii_whitespace().filter_map(|child| child.parse::<i32>().ok())),
                    Err(_) if parent == own_pid() && !task.path().join("children").exists() => return None,
                    Err(_) => {}
                }
            }
            found.extend(stat(parent).map(|stat| (parent, stat)));
        }
    }
    found.remove(&own_pid());
    Some(found.into_values().collect())
}

fn own_pid() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}

/// Every process of the host; empty where there is no `/proc`.
fn all() -> Vec<Stat> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter_map(stat).collect()
}

fn stat(pid: i32) -> Option<Stat> {
    parse(pid, &String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/stat")).ok()?))
}

/// proc(5), `/proc/pid/stat`: the name is in parentheses and may hold any character, so fields count from the last `)`.
fn parse(pid: i32, text: &str) -> Option<Stat> {
    let fields: Vec<&str> = text[text.rfind(')')? + 1..].split_ascii_whitespace().collect();
    let process = Process { pid, started: fields.get(19)?.parse().ok()? };
    // When only the main thread has ended, the others go on under the same number.
    let threads: u32 = fields.get(17)?.parse().ok()?;
    let zombie = matches!(*fields.first()?, "Z" | "X") && threads <= 1;
    Some(Stat { process, parent: fields.get(1)?.parse().ok()?, session: fields.get(3)?.parse().ok()?, zombie })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, parent: i32, session: i32, zombie: bool) {
        let stat = parse(7, text).unwrap();
        assert_eq!((stat.parent, stat.session, stat.zombie), (parent, session, zombie), "{text}");
        assert_eq!(stat.process, Process { pid: 7, started: 99 });
    }

    #[test]
    fn a_process_is_dead_only_with_all_its_threads() {
        let line =
            |name: &str, state: &str, threads: u32| format!("7 ({name}) {state} 3 7 5 0 -1 0 0 0 0 0 0 0 0 0 20 0 {threads} 0 99 0 0");
        check(&line("sh", "S", 1), 3, 5, false);
        check(&line("sh", "Z", 1), 3, 5, true);
        check(&line("main thread has ended", "Z", 4), 3, 5, false);
        check(&line("a) Z 1 1 1\n(b", "R", 2), 3, 5, false);
        assert!(parse(7, "").is_none() && parse(7, "7 (x) S 1").is_none());
    }

    #[test]
    fn the_kernels_lists_say_what_the_table_of_all_processes_says() {
        let child = crate::collect::test_rig::Child::sleeping();
        let pid = i32::try_from(child.pid()).unwrap();
        if let Some(listed) = listed_children() {
            assert!(listed.iter().any(|stat| stat.process.pid == pid && stat.parent == own_pid()));
            assert!(listed.iter().all(|stat| stat.process.pid != own_pid()));
        }
        assert!(descendants(&all(), |_| true).iter().any(|stat| stat.process.pid == pid));
        assert!(Before::look().processes.contains(&stat(pid).unwrap().process));
    }

    #[test]
    fn what_the_agent_had_before_is_not_the_actions() {
        let stat = |pid, parent, session, started| Stat { process: Process { pid, started }, parent, session, zombie: false };
        let others =
            [stat(11, 1, 10, 60), stat(12, 1, 12, 60), stat(13, 1, 30, 60), stat(30, 1, 30, 60), stat(14, 1, 40, 60), stat(15, 1, 20, 60)];
        let (daemon, late) = (stat(10, 1, 10, 5), stat(20, 1, 20, 50));
        let before = Before {
            processes: HashSet::from([daemon.process, late.process]),
            sessions: HashMap::from([(1, None), (10, Some(5)), (30, Some(2)), (40, None)]),
        };
        let leaders = leaders(&[&others[..], &[daemon, late]].concat());
        let knows = |stat: &Stat| before.knows(stat, 50, &leaders);
        assert!(knows(&daemon));
        assert!(knows(&others[0]), "an orphan of the daemon, in its session");
        assert!(!knows(&others[1]), "a session of its own");
        assert!(!knows(&others[2]), "the number of a session that is over was given to a new one");
        assert!(knows(&others[4]), "whoever began the session is gone");
        assert!(knows(&others[5]), "the daemon began its session later");
    }
}
