//! Actions as transient units of systemd: what may leave a daemon behind is started by systemd, outside of the agent's own unit.
//! The daemon outlives the agent, and the agent's unit can be hardened without every daemon inheriting that.
//!
//! `systemd-run --pipe --wait` is the client and a child of the agent, behind the same gate as every program; the program is a
//! child of systemd's. At the limit all of the unit's control group is ended, not only the client.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;

use super::cgroup::{self, Group};
use super::executor::{self, Execution};
use super::guard::{self, Confinement, Look, Manager, Permit, Policy};
use super::outcome::{End, Limit};
use super::tree;
use crate::clock::Moment;
use crate::host::systemd::ACTION;

/// Clears the environment: systemd gives a unit more than an action is promised.
const ENV: &str = "/usr/bin/env";
/// Where the files with environments lie, and how their names end.
const RUN: &str = "/run";
const SUFFIX: &str = ".env";
/// What the agent needs at most, after the limit, to end a unit. Then systemd ends its main process, for an agent that is gone.
const BACKSTOP: Duration = Duration::from_secs(15);
/// How long systemd may take to say how a unit stands, and how often it is asked.
const ASK: Duration = Duration::from_secs(2);
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// What the client says, src/run/run.c of systemd. Newer ones indent it and add to it.
const RUNNING: &str = "Running as unit: ";
const FINISHED: &str = "Finished with result: ";
const TERMINATED: &str = "Main processes terminated with: code=";

/// Programs that leave nothing behind: the agent runs them itself.
const SHORT_LIVED: &str = "cat chmod chown cp curl date df du echo false find free grep gunzip gzip head kill killall ln ls mkdir mv \
     pgrep pkill ps redis-cli rm rmdir sleep sort sync tail tar touch true truncate wget xz zstd";
/// Programs that ask a service manager, which starts the daemon itself.
const MANAGERS: &[&str] = &["journalctl", "launchctl", "loginctl", "systemctl"];

/// A unit for one run of one action.
#[derive(Debug)]
pub struct Unit {
    name: String,
    client: PathBuf,
    /// The file with its environment.
    environment: PathBuf,
    limit: Duration,
}

impl Drop for Unit {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.environment);
    }
}

impl Unit {
    /// The unit for a run, if it gets one: it may leave a daemon, and systemd can be asked.
    #[must_use]
    pub(crate) fn for_run(permit: &Permit, incident: &str, limit: Duration) -> Option<Self> {
        if !may_leave_a_daemon(permit) {
            return None;
        }
        // Two runs of an incident are told apart by their time.
        let name = format!("{ACTION}{incident}-{}.service", Moment::now().wall.as_millisecond());
        let client = client().ok()?;
        sweep();
        Some(Self { environment: Path::new(RUN).join(format!("{name}{SUFFIX}")), name, client, limit })
    }

    /// `autoheal-action-7f3kq9zd-1772359200123.service`
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The control group of its processes.
    pub(crate) fn group(&self) -> Option<Group> {
        Group::of_unit(&self.name)
    }

    /// The client's words. The environment is the whole of what the program gets. Its values stand in a file for root alone: in the
    /// words everybody would see them, and who ends processes by a word of their command lines would end the client.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn words(&self, permit: &Permit, environment: impl Iterator<Item = (String, String)>) -> io::Result<Vec<String>> {
        let mut words: Vec<String> = vec![self.client.to_string_lossy().into_owned()];
        words.extend(["--pipe", "--wait", "--collect", "--no-ask-password", "--slice=system.slice"].map(str::to_owned));
        words.push(format!("--unit={}", self.name));
        words.push(format!("--description=autoheal: {}", permit.argv().join(" ")));
        let limit = format!("RuntimeMaxSec={}ms", (self.limit + BACKSTOP).as_millis());
        let file = format!("EnvironmentFile={}", self.environment.display());
        let user = permit.run_as().map(|user| format!("User={user}"));
        // What the daemon inherits is what an action of the agent itself gets. Who dies for want of memory takes nobody along.
        let properties = ["Type=exec", "KillMode=process", "WorkingDirectory=/", "UMask=0022", "LimitCORE=0", "LimitNOFILE=1024"];
        let no_new_privileges = (!matches!(permit.confinement(), Confinement::Free(_))).then_some("NoNewPrivileges=yes");
        let others = ["IgnoreSIGPIPE=no", "OOMPolicy=continue", "TimeoutStopSec=5s", &limit, &file];
        let others = others.into_iter().chain(user.as_deref()).chain(no_new_privileges);
        words.extend(properties.into_iter().chain(others).flat_map(|property| ["-p".to_owned(), property.to_owned()]));
        words.extend(["--", ENV, "-i"].map(str::to_owned));
        let mut lines = String::new();
        for (name, value) in environment {
            lines.push_str(&format!("{name}={}\n", in_quotes(&value)));
            // systemd fills this in.
            words.push(format!("{name}=${{{name}}}"));
        }
        words.push(literal(&permit.program().to_string_lossy()));
        words.extend(permit.argv().iter().skip(1).map(|word| literal(word)));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.environment)?;
        file.write_all(lines.as_bytes())?;
        Ok(words)
    }

    /// How the program ended, from what the client says last; that is taken out of the output. `client`: how the client ended.
    ///
    /// # Errors
    /// The client ended without a word on the unit's end, and the unit may go on: nothing was started, or the client was
    /// killed, or systemd started itself anew.
    pub(crate) fn end_of(&self, client: &End, output: &mut String) -> Result<End, String> {
        let started = self.announced(output);
        if let Some(at) = output.rfind(FINISHED) {
            let summary = output.split_off(at);
            output.truncate(output.trim_end().len());
            return Ok(ended(&summary).unwrap_or_else(|| client.clone()));
        }
        let last = output.lines().next_back().unwrap_or_default();
        Err(match client {
            End::Failed(reason) => reason.clone(),
            _ if !started && !last.is_empty() => format!("systemd started no unit: {}", crate::record::escape::terminal(last)),
            _ => "systemd-run ended before the unit, so how that ended is not known".to_owned(),
        })
    }

    /// Takes the line `Running as unit: NAME` out, if it is there.
    fn announced(&self, output: &mut String) -> bool {
        let Some(start) = output.find(&format!("{RUNNING}{}", self.name)) else { return false };
        let end = output[start..].find('\n').map_or(output.len(), |length| start + length + 1);
        output.replace_range(start..end, "");
        true
    }

    /// Waits for a unit that has lost its client. Whether it ended by itself before the limit.
    pub(crate) fn outlasts_client(&self, helper: &Path, limit: &Limit) -> bool {
        while is_active(&self.name, helper) != Some(false) {
            if limit.is_over() {
                return false;
            }
            tree::wait(limit.left().min(ASK_AGAIN));
        }
        true
    }
}

/// How actions run on this host, and why not better.
pub(crate) fn supervision() -> String {
    let own = match cgroup::home() {
        Ok(_) => "in control groups of their own".to_owned(),
        Err(reason) => format!("followed by descent (no control groups: {reason})"),
    };
    match client() {
        Ok(_) => format!("transient units of systemd where they may leave a daemon; the others are children of the agent, {own}"),
        Err(reason) => format!("children of the agent, {own}; no transient units: {reason}"),
    }
}

/// Whether systemd says that the unit's main process runs, is being started or ended; `None`: it does not say.
pub(crate) fn is_active(unit: &str, helper: &Path) -> Option<bool> {
    let permit = Policy::default().with_manager(Manager::Systemd).look(Look::UnitState(unit)).ok()?;
    let execution = Execution { helper: helper.to_owned(), command_path: Vec::new(), facts: Vec::new(), timeout: ASK, unit: None };
    let limit = Limit { deadline: Moment::now().after(ASK), stop: std::sync::Arc::default() };
    let outcome = executor::look(&permit, &execution, &limit, |_| ());
    let state = outcome.output.lines().find_map(|line| line.strip_prefix("ActiveState="))?;
    outcome.succeeded().then_some(!matches!(state, "inactive" | "failed"))
}

/// Whether systemd still knows the unit: it runs, or processes of it are left. systemd keeps the files of transient units
/// here, systemd.unit(5).
pub(crate) fn is_loaded(unit: &str) -> bool {
    Path::new("/run/systemd/transient").join(unit).exists()
}

fn may_leave_a_daemon(permit: &Permit) -> bool {
    let name = permit.program().file_name().and_then(|name| name.to_str()).unwrap_or_default();
    // Assignments of the environment have the sign as well.
    let runs = !permit.native() && !MANAGERS.contains(&name) && !permit.program().to_string_lossy().contains('=');
    let free = match permit.confinement() {
        Confinement::Sandboxed { .. } => false,
        Confinement::Free(_) => true,
        Confinement::NoNewPrivileges(_) => permit.shell() || !SHORT_LIVED.split(' ').any(|program| program == name),
    };
    runs && free
}

/// `systemd-run`, where units can be had.
///
/// # Errors
/// Why there are none.
fn client() -> Result<PathBuf, String> {
    if !Path::new("/run/systemd/system").is_dir() {
        return Err("systemd does not run this host".to_owned());
    }
    if !nix::unistd::geteuid().is_root() {
        return Err("the agent is not root".to_owned());
    }
    let found = ["/usr/bin/systemd-run", "/bin/systemd-run"].map(PathBuf::from).into_iter().find(|path| path.is_file());
    let client = found.ok_or("systemd-run is not installed")?;
    if let Some(path) = [client.as_path(), Path::new(ENV)].into_iter().find(|path| guard::others_could_change(path, 0)) {
        return Err(format!("others could change {}", path.display()));
    }
    cgroup::slice().ok_or("the control groups of systemd's units are not to be seen")?;
    Ok(client)
}

/// Removes the environments of an agent that died. One action runs at a time: what is there is of none.
fn sweep() {
    for entry in fs::read_dir(RUN).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(ACTION) && name.ends_with(SUFFIX)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// A value of an environment file, systemd.exec(5): in double quotes these four are escaped.
fn in_quotes(value: &str) -> String {
    let mut text = String::from('"');
    for character in value.chars() {
        if matches!(character, '"' | '\\' | '`' | '$') {
            text.push('\\');
        }
        text.push(character);
    }
    text + "\""
}

/// systemd fills `$NAME` and `${NAME}` of a command line, systemd.service(5).
fn literal(word: &str) -> String {
    word.replace('$', "$$")
}

/// `code=exited/status=0`, `code=killed/status=KILL`; since version 256 `code=killed, status=9/KILL`.
fn ended(summary: &str) -> Option<End> {
    let rest = &summary[summary.find(TERMINATED)? + TERMINATED.len()..];
    let code = rest.split(['/', ',']).next()?;
    let status = rest.lines().next()?.split_once("status=")?.1;
    match code {
        "exited" => Some(End::Exited(status.split('/').next()?.trim().parse().ok()?)),
        "killed" | "dumped" => {
            let name = status.trim().rsplit('/').next()?;
            let signal = name.parse::<i32>().ok().and_then(|number| Signal::try_from(number).ok());
            Some(End::Killed(signal.map_or_else(|| format!("SIG{name}"), |signal| signal.to_string())))
        }
        _ => None,
    }
}

#[cfg(test)]
#[path = "transient_tests.rs"]
mod tests;
