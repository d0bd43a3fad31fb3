//! `autoheal __confine`: the last step before an action's program. A process of its own does what must happen between fork
//! and exec, so that the agent needs no code there.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::SigSet;
use nix::unistd::User;

/// The hidden command's name.
pub const COMMAND: &str = "__confine";

/// Exit code when the program could not be started; what went before it on standard error is [`PREFIX`] and the reason.
pub(crate) const CANNOT_START: u8 = 125;

/// How the line with the reason begins.
pub(crate) const PREFIX: &str = "autoheal: cannot start";

/// Open files that an action may have.
const OPEN_FILES: u64 = 1024;

/// The arguments of the helper for a program that runs as `user`, if not as the agent.
pub(crate) fn arguments(user: Option<&str>) -> Vec<&str> {
    let mut arguments = vec![COMMAND];
    if let Some(user) = user {
        arguments.extend(["--user", user]);
    }
    arguments.push("--");
    arguments
}

/// Waits until the agent has written down that this action starts: one byte on standard input. An agent that is gone sends none,
/// and then nothing starts. The program gets an empty input.
fn wait_for_the_record() -> Result<(), String> {
    let mut byte = [0];
    std::io::stdin().read_exact(&mut byte).map_err(|_| "the agent ended before it could be written down".to_owned())?;
    let empty = std::fs::File::open("/dev/null").map_err(|error| say("/dev/null", error))?;
    rustix::stdio::dup2_stdin(&empty).map_err(|error| say("standard input", error))
}

/// Does what the arguments say and becomes the program. Returns only if that failed, with the exit code.
#[must_use]
pub fn run(arguments: &[String]) -> u8 {
    let Some((options, program)) = arguments.iter().position(|word| word == "--").map(|at| (&arguments[..at], &arguments[at + 1..])) else {
        return fail("?", "usage: autoheal __confine [--user NAME] -- PROGRAM [ARGUMENT]…");
    };
    let Some((path, rest)) = program.split_first() else { return fail("?", "no program is named") };
    let user = match options {
        [] => None,
        [option, user] if option == "--user" => Some(user.as_str()),
        _ => return fail(path, "unknown option"),
    };
    #[expect(clippy::disallowed_methods, reason = "this is the executor's helper: the permit was checked by the agent")]
    let mut command = Command::new(path);
    command.args(rest);
    match prepare().and_then(|()| wait_for_the_record()).and_then(|()| user.map_or(Ok(()), |name| become_user(name, &mut command))) {
        Ok(()) => fail(path, &command.exec().to_string()),
        Err(reason) => fail(path, &reason),
    }
}

fn say(what: &str, error: impl std::fmt::Display) -> String {
    format!("{what}: {error}")
}

/// Signals, session, limits and descriptors. The user comes last: the limits still need the privileges.
fn prepare() -> Result<(), String> {
    // The agent blocks the signals that it waits for, and a mask outlives exec: a service that was started with it would
    // never again hear a SIGTERM.
    SigSet::empty().thread_set_mask().map_err(|error| say("signal mask", error))?;
    rustix::process::setsid().map_err(|error| say("setsid", error))?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    setrlimit(Resource::RLIMIT_CORE, 0, 0).map_err(|error| say("core limit", error))?;
    // A lower hard limit of the agent's own stays as it is.
    let _ = setrlimit(Resource::RLIMIT_NOFILE, OPEN_FILES, OPEN_FILES);
    close_inherited();
    Ok(())
}

/// Becomes the user, with all of the user's groups and none of the agent's.
fn become_user(name: &str, command: &mut Command) -> Result<(), String> {
    let user = User::from_name(name).map_err(|error| say(name, error))?.ok_or_else(|| format!("there is no user {name}"))?;
    if nix::unistd::geteuid() == user.uid { Ok(()) } else { take_identity(&user, command) }
}

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
    command.gid(user.gid.as_raw()).uid(user.uid.as_raw());
    Ok(())
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

fn fail(program: &str, reason: &str) -> u8 {
    eprintln!("{PREFIX} {program}: {reason}");
    CANNOT_START
}
