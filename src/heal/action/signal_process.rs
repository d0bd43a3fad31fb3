//! `signal_process`: a signal to exactly the processes that were matched, whatever happens to their numbers meanwhile.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::ended_early;
use crate::clock::{Moment, in_words};
use crate::heal::outcome::Limit;

/// How often the stop flag is looked at while processes end.
const LOOK: Duration = Duration::from_millis(50);
/// How long the end may take after KILL, which nobody can refuse; who sleeps in the kernel for longer is reported.
const AFTER_KILL: Duration = Duration::from_secs(5);

/// Sends `signal` (`TERM` or `SIGTERM`) to each process whose number `matches` gives. When the signal is one that ends processes,
/// or `then_kill_after` is given, waits for their end; KILL follows after `then_kill_after`.
///
/// `matches` is asked twice: a number says little, because its process can end while it is looked at, and another one get the
/// number. So each process is held first and matched again after that. One that still lives then had its number all the time, and
/// it is the one that matched. One that is gone is done. What it says: what became of each.
///
/// # Errors
/// The signal has no such name, no process matches, one of them must not be signalled or cannot be, or is still there at the end.
pub fn run(
    matches: impl Fn() -> Result<Vec<u32>, String>,
    signal: &str,
    then_kill_after: Option<Duration>,
    limit: &Limit,
) -> Result<String, String> {
    let number = parse(signal)?;
    let matching = matches()?;
    if matching.is_empty() {
        return Err("no process matches, nothing to signal".to_owned());
    }
    if let Some(pid) = matching.iter().find(|pid| **pid <= 1 || **pid == std::process::id()) {
        return Err(format!("process {pid} is never signalled"));
    }
    let (mut rest, mut said) = hold(&matching, matches)?;
    send(&rest, number)?;
    said.extend(rest.iter().map(|process| format!("sent {number} to process {}", process.pid)));
    if then_kill_after.is_some() || ends_processes(number) {
        rest = wait(rest, then_kill_after.unwrap_or(Duration::MAX), limit, &mut said)?;
        if !rest.is_empty() && then_kill_after.is_some() && !limit.is_over() {
            send(&rest, Signal::SIGKILL)?;
            said.extend(rest.iter().map(|process| format!("sent SIGKILL to process {}", process.pid)));
            rest = wait(rest, AFTER_KILL, limit, &mut said)?;
        }
        if let Some(process) = rest.first() {
            let why = if limit.is_over() { ended_early(limit) } else { "even SIGKILL did not end it" };
            return Err(format!("process {} is still there, {why}; {}", process.pid, said.join("; ")));
        }
    }
    Ok(said.join("\n"))
}

/// Holds those that match, and says which of them are gone.
fn hold(matching: &[u32], matches: impl Fn() -> Result<Vec<u32>, String>) -> Result<(Vec<Process>, Vec<String>), String> {
    let (mut held, mut said) = (Vec::new(), Vec::new());
    for pid in matching {
        match Process::open(*pid).map_err(|error| format!("process {pid}: {error}"))? {
            Some(process) => held.push(process),
            None => said.push(format!("process {pid} is gone already")),
        }
    }
    let again = matches()?;
    held.retain(|process| {
        let reason = match (process.lives(), again.contains(&process.pid)) {
            (true, true) => return true,
            (true, false) => "does not match any more",
            (false, _) => "is gone already",
        };
        said.push(format!("process {} {reason}", process.pid));
        false
    });
    Ok((held, said))
}

fn parse(name: &str) -> Result<Signal, String> {
    let long = if name.starts_with("SIG") { name.to_owned() } else { format!("SIG{name}") };
    long.parse().map_err(|_| format!("{name:?} is no signal; TERM and HUP are usual"))
}

/// Signals that a program takes as a wish to end, unless it handles them.
fn ends_processes(signal: Signal) -> bool {
    matches!(signal, Signal::SIGTERM | Signal::SIGKILL | Signal::SIGINT | Signal::SIGQUIT | Signal::SIGABRT)
}

fn send(processes: &[Process], signal: Signal) -> Result<(), String> {
    for process in processes {
        process.send(signal).map_err(|error| format!("cannot send {signal} to process {}: {error}", process.pid))?;
    }
    Ok(())
}

/// Waits until all have ended, `time` is over, or the limit; gives those that are still there.
fn wait(mut rest: Vec<Process>, time: Duration, limit: &Limit, said: &mut Vec<String>) -> Result<Vec<Process>, String> {
    let start = Moment::now();
    while !rest.is_empty() {
        let waited = Moment::now().since(start);
        let left = time.saturating_sub(waited).min(limit.left());
        if left.is_zero() {
            break;
        }
        let (ended, living) = Process::wait_any(rest, left.min(LOOK)).map_err(|error| format!("cannot wait for processes: {error}"))?;
        said.extend(ended.iter().map(|process| format!("process {} ended after {}", process.pid, in_words(Moment::now().since(start)))));
        rest = living;
    }
    Ok(rest)
}

/// When a process started, in the platform's count: clock ticks since boot on Linux (`/proc/PID/stat`, field 22, proc(5)), seconds
/// since 1970 elsewhere. With the number it names one process for ever. `None` if there is no such process.
#[must_use]
pub fn started(pid: u32) -> Option<u64> {
    platform::started(pid)
}

/// Whether the process has ended and only waits for its parent to notice. Where that cannot be told it has not.
#[must_use]
pub fn is_zombie(pid: u32) -> bool {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).unwrap_or_default();
    let end = stat.iter().rposition(|byte| *byte == b')');
    end.and_then(|end| stat.get(end + 2)).is_some_and(|state| *state == b'Z')
}

use platform::Process;

#[cfg(target_os = "linux")]
mod platform {
    use std::os::fd::OwnedFd;
    use std::time::Duration;

    use nix::sys::signal::Signal;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::io::Errno;
    use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};

    pub(super) fn started(pid: u32) -> Option<u64> {
        let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
        // The name in parentheses may hold blanks and parentheses itself; the last one ends it, and field 3 follows.
        let end = stat.iter().rposition(|byte| *byte == b')')?;
        std::str::from_utf8(&stat[end + 1..]).ok()?.split_ascii_whitespace().nth(19)?.parse().ok()
    }

    /// One process, held by a descriptor that never means another one.
    #[derive(Debug)]
    pub(super) struct Process {
        pub(super) pid: u32,
        descriptor: OwnedFd,
    }

    impl Process {
        /// The process that has this number now; `None` if there is none.
        pub(super) fn open(pid: u32) -> Result<Option<Self>, Errno> {
            let Some(number) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(None) };
            match pidfd_open(number, PidfdFlags::empty()) {
                Ok(descriptor) => Ok(Some(Self { pid, descriptor })),
                // Linux says EINVAL for the number of a thread that leads no process.
                Err(Errno::SRCH | Errno::INVAL) => Ok(None),
                Err(error) => Err(error),
            }
        }

        /// Whether it has not ended: the descriptor of one that has can be read (pidfd_open(2)).
        pub(super) fn lives(&self) -> bool {
            let mut looked = [PollFd::new(&self.descriptor, PollFlags::IN)];
            poll(&mut looked, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready == 0)
        }

        pub(super) fn send(&self, signal: Signal) -> Result<(), Errno> {
            let signal = rustix::process::Signal::from_named_raw(signal as i32).ok_or(Errno::INVAL)?;
            match pidfd_send_signal(&self.descriptor, signal) {
                Ok(()) | Err(Errno::SRCH) => Ok(()),
                Err(error) => Err(error),
            }
        }

        /// Waits for the first to end, for at most `time`; gives those that have ended and the others. A zombie has ended.
        pub(super) fn wait_any(all: Vec<Self>, time: Duration) -> Result<(Vec<Self>, Vec<Self>), Errno> {
            let mut looked: Vec<PollFd<'_>> = all.iter().map(|process| PollFd::new(&process.descriptor, PollFlags::IN)).collect();
            let time = Timespec { tv_sec: time.as_secs().cast_signed(), tv_nsec: time.subsec_nanos().into() };
            match poll(&mut looked, Some(&time)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
            let mut ended = looked.iter().map(|looked| !looked.revents().is_empty()).collect::<Vec<_>>().into_iter();
            Ok(all.into_iter().partition(|_| ended.next().unwrap_or(false)))
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod platform {
    use std::time::Duration;

    use nix::errno::Errno;
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;
    use sysinfo::{ProcessRefreshKind, ProcessStatus, ProcessesToUpdate, System};

    pub(super) fn started(pid: u32) -> Option<u64> {
        let pid = sysinfo::Pid::from_u32(pid);
        let mut system = System::new().ok()?;
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, ProcessRefreshKind::nothing());
        let process = system.process(pid)?;
        (process.status() != ProcessStatus::Zombie).then(|| process.start_time())
    }

    /// One process. Without pidfds a number can be given to another process between the look and the signal; the look right
    /// before each signal makes that as unlikely as it can be.
    #[derive(Debug)]
    pub(super) struct Process {
        pub(super) pid: u32,
        since: u64,
    }

    impl Process {
        pub(super) fn open(pid: u32) -> Result<Option<Self>, Errno> {
            Ok(started(pid).map(|since| Self { pid, since }))
        }

        pub(super) fn lives(&self) -> bool {
            started(self.pid) == Some(self.since)
        }

        pub(super) fn send(&self, signal: Signal) -> Result<(), Errno> {
            let Ok(number) = i32::try_from(self.pid) else { return Ok(()) };
            if !self.lives() {
                return Ok(());
            }
            match kill(Pid::from_raw(number), signal) {
                Ok(()) | Err(Errno::ESRCH) => Ok(()),
                Err(error) => Err(error),
            }
        }

        pub(super) fn wait_any(all: Vec<Self>, time: Duration) -> Result<(Vec<Self>, Vec<Self>), Errno> {
            let _ = crossbeam_channel::never::<()>().recv_timeout(time);
            Ok(all.into_iter().partition(|process| !process.lives()))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::io::{BufRead, BufReader};
    use std::process::{Child, Command, Stdio};
    use std::sync::atomic::Ordering;

    use super::super::tests::limit;
    use super::*;

    /// A shell that has printed a line, so that its traps are set.
    #[expect(clippy::disallowed_methods, reason = "a test needs a process to signal")]
    fn shell(script: &str) -> Child {
        let mut child = Command::new("/bin/sh").args(["-c", script]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        child
    }

    /// Those that match are always these.
    fn always(pids: &[u32]) -> impl Fn() -> Result<Vec<u32>, String> {
        let pids = pids.to_vec();
        move || Ok(pids.clone())
    }

    fn end(mut child: Child) -> std::process::ExitStatus {
        let _ = child.kill();
        child.wait().unwrap()
    }

    #[test]
    fn the_signal_arrives_and_the_end_is_waited_for() {
        use std::os::unix::process::ExitStatusExt;
        let (one, two) = (shell("echo ready; exec sleep 1000"), shell("echo ready; exec sleep 1000"));
        let said = run(always(&[one.id(), two.id()]), "TERM", None, &limit(60)).unwrap();
        assert!(said.contains(&format!("sent SIGTERM to process {}\n", one.id())), "{said}");
        assert!(said.contains(&format!("process {} ended after", two.id())), "{said}");
        assert_eq!((end(one).signal(), end(two).signal()), (Some(15), Some(15)));
    }

    #[test]
    fn who_does_not_obey_is_killed_when_the_playbook_says_so() {
        use std::os::unix::process::ExitStatusExt;
        let child = shell("trap '' TERM; echo ready; while :; do sleep 1; done");
        let said = run(always(&[child.id()]), "SIGTERM", Some(Duration::from_millis(100)), &limit(60)).unwrap();
        assert!(said.contains("sent SIGTERM") && said.contains("sent SIGKILL"), "{said}");
        assert_eq!(end(child).signal(), Some(9));
    }

    #[test]
    fn who_does_not_obey_is_reported_otherwise() {
        let child = shell("trap '' TERM; echo ready; while :; do sleep 1; done");
        let error = run(always(&[child.id()]), "TERM", None, &limit(1)).unwrap_err();
        assert!(error.contains("is still there, its time was over"), "{error}");
        let stopping = limit(3600);
        stopping.stop.store(true, Ordering::Relaxed);
        let error = run(always(&[child.id()]), "TERM", None, &stopping).unwrap_err();
        assert!(error.contains("is still there, the agent stops"), "{error}");
        end(child);
    }

    #[test]
    fn a_signal_that_ends_nothing_is_only_sent() {
        // Not SIGHUP: where nohup ignores it, no shell below can trap it.
        let mut child = shell("trap 'echo reloaded' USR1; echo ready; while :; do sleep 0.05; done");
        let said = run(always(&[child.id()]), "USR1", None, &limit(60)).unwrap();
        assert_eq!(said, format!("sent SIGUSR1 to process {}", child.id()));
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "reloaded\n");
        end(child);
    }

    #[test]
    fn a_process_that_ends_while_it_is_matched_hands_its_number_to_nobody() {
        let child = RefCell::new(shell("echo ready; exec sleep 1000"));
        let pid = child.borrow().id();
        let looks = Cell::new(0);
        let said = run(
            || {
                looks.set(looks.get() + 1);
                if looks.get() == 2 {
                    child.borrow_mut().kill().unwrap();
                    child.borrow_mut().wait().unwrap();
                }
                // As if another process that matches had got the number meanwhile.
                Ok(vec![pid])
            },
            "KILL",
            None,
            &limit(60),
        );
        assert_eq!((said.unwrap(), looks.get()), (format!("process {pid} is gone already"), 2));
        assert_eq!(run(always(&[pid]), "KILL", None, &limit(60)).unwrap(), format!("process {pid} is gone already"));
    }

    #[test]
    fn a_process_that_matches_no_more_once_it_is_held_is_left_alone() {
        let mut child = shell("echo ready; exec sleep 1000");
        let looks = Cell::new(0);
        let said = run(
            || {
                looks.set(looks.get() + 1);
                Ok(if looks.get() == 1 { vec![child.id()] } else { vec![] })
            },
            "KILL",
            None,
            &limit(60),
        );
        assert_eq!(said.unwrap(), format!("process {} does not match any more", child.id()));
        assert!(child.try_wait().unwrap().is_none(), "it lives on");
        end(child);
    }

    #[test]
    fn what_must_not_be_signalled_is_refused() {
        for (processes, signal, reason) in [
            (vec![std::process::id()], "TERM", "is never signalled"),
            (vec![1], "TERM", "process 1 is never signalled"),
            (vec![0], "TERM", "process 0 is never signalled"),
            (vec![], "TERM", "no process matches"),
            (vec![4_000_000], "NOPE", "\"NOPE\" is no signal"),
        ] {
            let error = run(always(&processes), signal, None, &limit(60)).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
