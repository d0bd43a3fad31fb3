//! Runs a permit: cleared environment, own session, a deadline for everything that it started, bounded output. The end of
//! the program is the end of the action, even if a daemon that it left holds its output open.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::unistd::User;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::cgroup::Group;
use super::confine;
use super::guard::{self, Permit};
use super::outcome::{End, Limit, Outcome};
use super::output::Output;
use super::transient::Unit;
use super::tree::{self, Started};
use crate::clock::Moment;
use crate::host::systemd::ACTION;

/// How often a running action looks whether the agent stops. Its own end and its output wake it at once.
const LOOK: Duration = Duration::from_millis(100);

/// What a program needs besides its permit.
#[derive(Debug)]
pub struct Execution {
    /// Our own binary: it becomes the program after confining itself.
    pub helper: PathBuf,
    /// `PATH` of the program.
    pub command_path: Vec<PathBuf>,
    /// Facts of the incident: `AUTOHEAL_…`.
    pub facts: Vec<(String, String)>,
    /// The action's time, for the record.
    pub timeout: Duration,
    /// The unit of systemd's in which it runs; `None`: the agent runs it itself.
    pub unit: Option<Unit>,
}

/// Runs the program to its end, or to the limit. `spawned` learns the process id as soon as there is one; `goes` is asked when the
/// process is in its control group: only if it says yes the process becomes the program, and ends otherwise. To move a process
/// takes the kernel some 15 ms, in which others can do what `spawned` asks of them.
#[must_use]
pub fn run(permit: &Permit, execution: &Execution, limit: &Limit, spawned: impl FnOnce(i32), goes: impl FnOnce() -> bool) -> Outcome {
    let begin = Moment::now();
    let _owned = tree::Owned::new();
    let before = tree::Before::look();
    let ended = |end, output: Output| {
        let (output, output_truncated) = output.into_text();
        Outcome { end, duration: Moment::now().since(begin), output, output_truncated }
    };
    let mut child = match spawn(permit, execution) {
        Ok(child) => child,
        Err(error) => {
            return ended(End::Failed(format!("{} could not be started: {error}", permit.program().display())), Output::default());
        }
    };
    let pid = i32::try_from(child.id()).unwrap_or(i32::MAX);
    spawned(pid);
    let group = group_of(execution, pid);
    let everything = Started { descent: Some((pid, &before)), group: group.as_ref() };
    let gate = child.stdin.take();
    if goes() {
        let_go(gate);
    } else {
        drop(gate);
    }
    let mut output = Output::default();
    let status = supervise(&mut child, &mut output, limit);
    // What is left behind after this are daemons; the dead among them are reaped when no child has an owner any more.
    let end = status.map(|status| end_of(status, &output));
    if end.is_none() {
        if execution.unit.is_some() && !group.as_ref().is_some_and(Group::exists) {
            output.push(b"[systemd had not started the unit]\n");
        }
        note(everything.end(|| drain(&mut child, &mut output)), &mut output);
        drain(&mut child, &mut output);
        let _ = child.try_wait();
    }
    let mut outcome = ended(end.clone().unwrap_or_else(|| cut_off(execution, limit)), output);
    if let Some(unit) = &execution.unit {
        outcome.end = match (unit.end_of(&outcome.end, &mut outcome.output), end) {
            (_, None) => outcome.end,
            (Ok(end), _) => end,
            (Err(reason), _) if unit.outlasts_client(&execution.helper, limit) => End::Failed(reason),
            (Err(_), _) => {
                note(everything.end(|| ()), &mut Output::default());
                cut_off(execution, limit)
            }
        };
        outcome.duration = Moment::now().since(begin);
    }
    outcome
}

/// Why it did not end by itself.
fn cut_off(execution: &Execution, limit: &Limit) -> End {
    let stopped = limit.stop.load(std::sync::atomic::Ordering::Relaxed);
    if stopped { End::Stopped } else { End::TimedOut(execution.timeout) }
}

/// The control group in which the program will be: the unit's, or one that the child, which waits, is put into.
fn group_of(execution: &Execution, child: i32) -> Option<Group> {
    match &execution.unit {
        Some(unit) => unit.group(),
        None => {
            let name = format!("{ACTION}{child}-{}", Moment::now().wall.as_millisecond());
            Group::make(&name).ok().filter(|group| group.take(child).is_ok())
        }
    }
}

/// Says how many processes would not die.
fn note(left: usize, output: &mut Output) {
    if left > 0 {
        log::error!("processes of an action cannot be killed count={left} (uninterruptible wait?)");
        output.push(format!("\n[{left} processes could not be killed]").as_bytes());
    }
}

/// Runs a permit of one of the guard's fixed looks. Such a program leaves nothing behind, and may run beside an action, whose
/// processes must not be taken for its own: at the limit it is killed alone, at once. An action that is ended meanwhile takes
/// the look with it, because it cannot know whose it is.
#[must_use]
pub fn look(permit: &Permit, execution: &Execution, limit: &Limit, started: impl FnOnce(i32)) -> Outcome {
    let begin = Moment::now();
    let _owned = tree::Owned::new();
    let mut output = Output::default();
    let end = match spawn(permit, execution) {
        Err(error) => End::Failed(format!("{} could not be started: {error}", permit.program().display())),
        Ok(mut child) => {
            started(i32::try_from(child.id()).unwrap_or(i32::MAX));
            // What only looks has no intent to be written down first.
            let_go(child.stdin.take());
            match supervise(&mut child, &mut output, limit) {
                Some(status) => end_of(status, &output),
                None => {
                    let _ = child.kill();
                    // It closes them a moment before it can be reaped.
                    (child.stdout, child.stderr) = (None, None);
                    wait(&child, open_handle(&child).as_ref(), LOOK);
                    let _ = child.try_wait();
                    End::TimedOut(execution.timeout)
                }
            }
        }
    };
    let (output, output_truncated) = output.into_text();
    Outcome { end, duration: Moment::now().since(begin), output, output_truncated }
}

/// Opens the gate at which the helper waits. One that died at once says so by its status.
fn let_go(gate: Option<ChildStdin>) {
    let _ = gate.map(|mut gate| gate.write_all(b"\n"));
}

fn spawn(permit: &Permit, execution: &Execution) -> std::io::Result<Child> {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that starts actions, from a permit")]
    let mut command = Command::new(&execution.helper);
    let environment = environment(permit.run_as(), &execution.command_path).into_iter().chain(execution.facts.iter().cloned());
    match &execution.unit {
        // The client is root's, and needs no environment.
        Some(unit) => command.args(confine::gate_only()).args(unit.words(permit, environment)?).env_clear(),
        None => {
            command.args(confine::arguments(permit)).arg(permit.program()).args(permit.argv().iter().skip(1));
            command.env_clear().envs(environment)
        }
    };
    command.current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
}

/// The whole environment of an action, but for the facts of its incident.
fn environment(run_as: Option<&str>, command_path: &[PathBuf]) -> Vec<(String, String)> {
    let user = match run_as {
        Some(name) => User::from_name(name),
        None => User::from_uid(nix::unistd::geteuid()),
    };
    let uid = user.as_ref().ok().and_then(Option::as_ref).map_or(0, |user| user.uid.as_raw());
    // The guard looks at the program alone. What that starts by name must not come from a directory that others can change.
    let safe = command_path.iter().filter(|directory| !guard::others_could_change(directory, uid));
    let path = std::env::join_paths(safe).map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
    let mut variables = vec![("PATH".to_owned(), path), ("LANG".to_owned(), "C.UTF-8".to_owned())];
    if let Ok(Some(user)) = user {
        let home = user.dir.to_string_lossy().into_owned();
        variables.extend([("HOME".to_owned(), home), ("USER".to_owned(), user.name.clone()), ("LOGNAME".to_owned(), user.name)]);
    }
    if let Ok(zone) = std::env::var("TZ") {
        variables.push(("TZ".to_owned(), zone));
    }
    variables
}

/// Reads until the program ends (its status) or the limit is over (`None`).
fn supervise(child: &mut Child, output: &mut Output, limit: &Limit) -> Option<ExitStatus> {
    set_nonblocking(child);
    let handle = open_handle(child);
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            drain(child, output);
            return Some(status);
        }
        let left = limit.left();
        if left.is_zero() {
            return None;
        }
        wait(child, handle.as_ref(), left.min(LOOK));
        drain(child, output);
    }
}

#[cfg(target_os = "linux")]
fn open_handle(child: &Child) -> Option<rustix::fd::OwnedFd> {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok()
}

#[cfg(not(target_os = "linux"))]
fn open_handle(_child: &Child) -> Option<rustix::fd::OwnedFd> {
    None
}

/// Waits for output, for the end of the program, or for the time.
fn wait(child: &Child, handle: Option<&rustix::fd::OwnedFd>, limit: Duration) {
    let mut sources = Vec::with_capacity(3);
    sources.extend(child.stdout.as_ref().map(|pipe| PollFd::from_borrowed_fd(pipe.as_fd(), PollFlags::IN)));
    sources.extend(child.stderr.as_ref().map(|pipe| PollFd::from_borrowed_fd(pipe.as_fd(), PollFlags::IN)));
    sources.extend(handle.map(|handle| PollFd::from_borrowed_fd(handle.as_fd(), PollFlags::IN)));
    let time = Timespec { tv_sec: i64::try_from(limit.as_secs()).unwrap_or(1), tv_nsec: i64::from(limit.subsec_nanos()) };
    let _ = poll(&mut sources, Some(&time));
}

fn set_nonblocking(child: &Child) {
    let set = |pipe: rustix::fd::BorrowedFd<'_>| {
        let _ = rustix::io::ioctl_fionbio(pipe, true);
    };
    if let Some(pipe) = &child.stdout {
        set(pipe.as_fd());
    }
    if let Some(pipe) = &child.stderr {
        set(pipe.as_fd());
    }
}

/// Reads what is there. A pipe that is closed is forgotten, so that waiting for it does not spin.
fn drain(child: &mut Child, output: &mut Output) {
    if child.stdout.as_mut().is_some_and(|pipe| !read_all(pipe, output)) {
        child.stdout = None;
    }
    if child.stderr.as_mut().is_some_and(|pipe| !read_all(pipe, output)) {
        child.stderr = None;
    }
}

/// Whether more may come. One turn reads 1 MiB at most: a program that prints without end must not keep its own deadline away.
fn read_all(pipe: &mut impl Read, output: &mut Output) -> bool {
    let mut buffer = [0; 16 * 1024];
    for _ in 0..64 {
        match pipe.read(&mut buffer) {
            Ok(0) => return false,
            Ok(count) => output.push(&buffer[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
        }
    }
    true
}

fn end_of(status: ExitStatus, output: &Output) -> End {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) if code == i32::from(confine::CANNOT_START) && output.starts_with(confine::PREFIX) => {
            End::Failed("the program could not be started".to_owned())
        }
        (Some(code), _) => End::Exited(code),
        (None, Some(signal)) => {
            End::Killed(nix::sys::signal::Signal::try_from(signal).map_or_else(|_| format!("signal {signal}"), |s| s.to_string()))
        }
        (None, None) => End::Failed("it ended without a status".to_owned()),
    }
}

/// Our own binary, also after it was replaced on disk by an upgrade.
#[must_use]
pub fn own_binary() -> PathBuf {
    if cfg!(target_os = "linux") { Path::new("/proc/self/exe").to_owned() } else { std::env::current_exe().unwrap_or_default() }
}
