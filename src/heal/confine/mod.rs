//! `autoheal __confine`: the last step before an action's program. A process of its own does what must happen between fork
//! and exec, so that the agent needs no code there.
//!
//! In this order: signals, session, limits, descriptors; the files that the sandbox speaks of are opened; the gate; the user;
//! no new privileges; the sandbox; exec. What comes later needs no privilege that an earlier step has given up.

#[cfg(target_os = "linux")]
mod landlock;
#[cfg(target_os = "linux")]
mod loader;
pub mod protections;

use std::io::Read;
use std::path::Path;
use std::process::Command;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::SigSet;
use nix::unistd::User;

use super::guard::{Confinement, Permit};
use protections::State;

/// The hidden command's name.
pub const COMMAND: &str = "__confine";

/// Exit code when the program could not be started; what went before it on standard error is [`PREFIX`] and the reason.
pub(crate) const CANNOT_START: u8 = 125;

/// How the line with the reason begins.
pub(crate) const PREFIX: &str = "autoheal: cannot start";

/// Open files that an action may have.
const OPEN_FILES: u64 = 1024;

/// Tasks that the user of an action may have besides those that there are. The kernel counts all of the user's, also those that
/// are none of the action's or lie in another container, so this is wide: it stops who forks without end, and nobody else.
#[cfg(target_os = "linux")]
const MORE_TASKS: u64 = 4096;

/// What the helper is told about one program.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options<'a> {
    /// `--user NAME`: not as the agent.
    user: Option<&'a str>,
    /// `--no-new-privileges`
    no_new_privileges: bool,
    /// `--sandbox`: it starts nothing, and writes only below `write`.
    sandbox: bool,
    /// `--write DIRECTORY`, as often as need be.
    write: Vec<&'a str>,
}

/// The arguments of the helper for a permit's program. A sandbox that this host does not have is left out; if somebody asked
/// for it, the log says so each time.
pub(crate) fn arguments(permit: &Permit) -> Vec<&str> {
    let mut arguments = vec![COMMAND];
    if let Some(user) = permit.run_as() {
        arguments.extend(["--user", user]);
    }
    if !matches!(permit.confinement(), Confinement::Free(_)) {
        arguments.push("--no-new-privileges");
    }
    if let Confinement::Sandboxed { writable, asked } = permit.confinement() {
        let landlock = protections::landlock();
        if landlock.state != State::Missing {
            arguments.push("--sandbox");
            arguments.extend(writable.iter().flat_map(|directory| ["--write", directory.as_str()]));
        } else if *asked {
            log::warn!("an action runs without the sandbox that its rule asks for rule={} reason={}", permit.rule(), landlock.detail);
        }
    }
    arguments.push("--");
    arguments
}

/// The arguments of the helper for the agent's own client of systemd, which confines the program itself.
pub(crate) fn gate_only() -> [&'static str; 2] {
    [COMMAND, "--"]
}

impl<'a> Options<'a> {
    fn parse(words: &'a [String]) -> Result<Self, String> {
        let mut options = Self::default();
        let mut words = words.iter().map(String::as_str);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
            match word {
                "--user" => options.user = Some(value()?),
                "--no-new-privileges" => options.no_new_privileges = true,
                "--sandbox" => options.sandbox = true,
                "--write" => options.write.push(value()?),
                _ => return Err(format!("unknown option {word}")),
            }
        }
        Ok(options)
    }
}

/// Does what the arguments say and becomes the program. Returns only if that failed, with the exit code.
#[must_use]
pub fn run(arguments: &[String]) -> u8 {
    let Some((options, program)) = arguments.iter().position(|word| word == "--").map(|at| (&arguments[..at], &arguments[at + 1..])) else {
        return fail(
            "?",
            "usage: autoheal __confine [--user NAME] [--no-new-privileges] [--sandbox [--write DIRECTORY]…] -- PROGRAM [ARGUMENT]…",
        );
    };
    let Some((path, rest)) = program.split_first() else { return fail("?", "no program is named") };
    #[expect(clippy::disallowed_methods, reason = "this is the executor's helper: the permit was checked by the agent")]
    let mut command = Command::new(path);
    command.args(rest);
    match Options::parse(options).and_then(|options| confine(&options, path, &mut command)) {
        Ok(()) => fail(path, &become_program(program, &mut command)),
        Err(reason) => fail(path, &reason),
    }
}

/// Everything before exec, in the order that the module's head gives.
fn confine(options: &Options<'_>, program: &str, command: &mut Command) -> Result<(), String> {
    prepare()?;
    limit(Resource::RLIMIT_CORE, 0, options.no_new_privileges);
    limit(Resource::RLIMIT_NOFILE, OPEN_FILES, options.no_new_privileges);
    let user = options.user.map(find_user).transpose()?;
    if options.no_new_privileges {
        let uid = user.as_ref().map_or_else(nix::unistd::geteuid, |user| user.uid);
        limit_tasks(uid);
    }
    let sandbox = options.sandbox.then(|| Sandbox::open(Path::new(program), &options.write)).transpose()?;
    wait_for_the_record()?;
    if let Some(user) = user.filter(|user| user.uid != nix::unistd::geteuid()) {
        take_identity(&user, command)?;
    }
    if options.no_new_privileges {
        forgo_new_privileges()?;
    }
    sandbox.map_or(Ok(()), Sandbox::enter)
}

fn say(what: &str, error: impl std::fmt::Display) -> String {
    format!("{what}: {error}")
}

/// Signals, session and descriptors.
fn prepare() -> Result<(), String> {
    // The agent blocks the signals that it waits for, and a mask outlives exec: a service that was started with it would
    // never again hear a SIGTERM.
    SigSet::empty().thread_set_mask().map_err(|error| say("signal mask", error))?;
    rustix::process::setsid().map_err(|error| say("setsid", error))?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    close_inherited();
    Ok(())
}

/// Sets a limit, where a lower one of the agent's own stays as it is. What starts services may raise it again: a daemon would have
/// it as long as it lives.
fn limit(resource: Resource, most: u64, for_good: bool) {
    let (soft, hard) = getrlimit(resource).unwrap_or((most, most));
    // Lowering is always allowed.
    let _ = setrlimit(resource, soft.min(most), if for_good { hard.min(most) } else { hard });
}

/// Root has no such limit: who may do anything may also fork.
#[cfg(target_os = "linux")]
fn limit_tasks(uid: nix::unistd::Uid) {
    use std::os::unix::fs::MetadataExt;
    if uid.is_root() {
        return;
    }
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let own = processes.filter(|process| process.metadata().is_ok_and(|meta| meta.uid() == uid.as_raw()));
    let tasks = own.map(|process| std::fs::read_dir(process.path().join("task")).map_or(0, |tasks| tasks.count() as u64));
    limit(Resource::RLIMIT_NPROC, tasks.sum::<u64>() + MORE_TASKS, true);
}

/// Elsewhere the system's own limit for each user is low.
#[cfg(not(target_os = "linux"))]
fn limit_tasks(_uid: nix::unistd::Uid) {}

/// Waits until the agent has written down that this action starts: one byte on standard input. An agent that is gone sends none,
/// and then nothing starts. The program gets an empty input.
fn wait_for_the_record() -> Result<(), String> {
    let mut byte = [0];
    std::io::stdin().read_exact(&mut byte).map_err(|_| "the agent ended before it could be written down".to_owned())?;
    let empty = std::fs::File::open("/dev/null").map_err(|error| say("/dev/null", error))?;
    rustix::stdio::dup2_stdin(&empty).map_err(|error| say("standard input", error))
}

fn find_user(name: &str) -> Result<User, String> {
    User::from_name(name).map_err(|error| say(name, error))?.ok_or_else(|| format!("there is no user {name}"))
}

/// Becomes the user, with all of the user's groups and none of the agent's.
#[cfg(not(target_os = "macos"))]
fn take_identity(user: &User, _command: &mut Command) -> Result<(), String> {
    use nix::unistd::{initgroups, setgid, setuid};
    let login = std::ffi::CString::new(user.name.as_str()).map_err(|error| say(&user.name, error))?;
    initgroups(&login, user.gid).map_err(|error| say("supplementary groups", error))?;
    setgid(user.gid).map_err(|error| say("setgid", error))?;
    setuid(user.uid).map_err(|error| say("setuid", error))
}

/// Here the user's supplementary groups cannot be had safely; when it sets the user, the standard library drops the agent's.
#[cfg(target_os = "macos")]
fn take_identity(user: &User, command: &mut Command) -> Result<(), String> {
    use std::os::unix::process::CommandExt;
    command.gid(user.gid.as_raw()).uid(user.uid.as_raw());
    Ok(())
}

/// From here on no set-user-ID program and no capability of a file gives more rights than there are (prctl(2),
/// `PR_SET_NO_NEW_PRIVS`).
#[cfg(target_os = "linux")]
fn forgo_new_privileges() -> Result<(), String> {
    rustix::thread::set_no_new_privs(true).map_err(|error| say("no new privileges", error))
}

/// No other platform has it; `status` says so.
#[cfg(not(target_os = "linux"))]
fn forgo_new_privileges() -> Result<(), String> {
    Ok(())
}

#[cfg(target_os = "linux")]
use landlock::Sandbox;

/// There is none here, and the agent asks for none.
#[cfg(not(target_os = "linux"))]
struct Sandbox;

#[cfg(not(target_os = "linux"))]
impl Sandbox {
    fn open(_program: &Path, _writable: &[&str]) -> Result<Self, String> {
        Err("this platform has no Landlock".to_owned())
    }

    fn enter(self) -> Result<(), String> {
        Ok(())
    }
}

/// Closes what the agent was given by whoever started it: nothing of that is the action's.
fn close_inherited() {
    let directory = if cfg!(target_os = "linux") { "/proc/self/fd" } else { "/dev/fd" };
    let names = std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let open: Vec<i32> = names.filter_map(|name| name.to_str()?.parse().ok()).collect();
    for number in open.into_iter().filter(|number| *number > 2) {
        // The one of the directory itself is closed already.
        let _ = nix::unistd::close(number);
    }
}

/// Becomes the program; gives the reason why not. Not by the standard library's `exec`: where the kernel knows no way to start a
/// file, that of the C library below it has a shell read it.
#[cfg(not(target_os = "macos"))]
fn become_program(program: &[String], _command: &mut Command) -> String {
    use std::ffi::CString;
    let words: Result<Vec<CString>, _> = program.iter().map(|word| CString::new(word.as_str())).collect();
    let Ok(words) = words else { return "a word holds a NUL".to_owned() };
    crate::host::raw::default_sigpipe();
    match nix::unistd::execv(&words[0], &words) {
        Ok(never) => match never {},
        Err(error) => std::io::Error::from(error).to_string(),
    }
}

/// Here only the standard library can drop the agent's groups, right before its `exec`.
#[cfg(target_os = "macos")]
fn become_program(_program: &[String], command: &mut Command) -> String {
    use std::os::unix::process::CommandExt;
    command.exec().to_string()
}

fn fail(program: &str, reason: &str) -> u8 {
    eprintln!("{PREFIX} {program}: {reason}");
    CANNOT_START
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_whole_or_nothing_runs() {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let all = words("--user web --no-new-privileges --sandbox --write /tmp --write /var/log");
        let expected = Options { user: Some("web"), no_new_privileges: true, sandbox: true, write: vec!["/tmp", "/var/log"] };
        assert_eq!(Options::parse(&all), Ok(expected));
        assert_eq!(Options::parse(&[]), Ok(Options::default()));
        for wrong in ["--user", "--write", "--sandbox /tmp", "--no-sandbox", "web"] {
            assert!(Options::parse(&words(wrong)).is_err(), "{wrong}");
        }
    }
}
