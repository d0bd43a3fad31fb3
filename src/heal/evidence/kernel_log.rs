//! A dead process: whether the kernel killed it for lack of memory, from the kernel's log where that may be read.

use std::path::Path;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::{Evidence, Subject, within};
use crate::clock::{Moment, in_words};
use crate::config::settings::ProcessMatch;
use crate::heal::action::top_processes::visible;
use crate::heal::outcome::Limit;

/// What is looked for.
pub(super) const TITLE: &str = "Killed by the kernel for lack of memory";

/// How long ago counts.
const LATELY: Duration = Duration::from_hours(1);
/// How long reading takes.
const MOST_TIME: Duration = Duration::from_millis(500);
/// The last ones are shown.
const SHOWN: usize = 5;
/// Linux cuts a command's name here.
const NAME_BYTES: usize = 15;

/// A process that the kernel killed.
#[derive(Debug, PartialEq, Eq)]
struct Kill {
    pid: u32,
    name: String,
    ago: Duration,
}

/// The processes of the dead one's name that the kernel killed within the last hour. Where the log may not be read, nothing.
///
/// # Errors
/// The log cannot be read to its end.
pub(super) fn gather(subject: &Subject<'_>, now: Moment, limit: &Limit) -> Result<Evidence, String> {
    let names = names_of(subject);
    let mut kills = Vec::new();
    each_record(Path::new("/dev/kmsg"), &within(limit, MOST_TIME), |record| {
        kills.extend(kill_in(record, now).filter(|kill| names.contains(&kill.name)));
    })?;
    Ok(evidence_of(&kills))
}

fn evidence_of(kills: &[Kill]) -> Evidence {
    let line = |kill: &Kill| format!("pid {}, {} ago: {}", kill.pid, in_words(kill.ago), visible(&kill.name));
    let lines = kills.iter().rev().take(SHOWN).map(line).collect();
    let hints = if kills.is_empty() { Vec::new() } else { vec!["the kernel killed it for lack of memory".to_owned()] };
    Evidence { hints, ..Evidence::of(TITLE, lines, None) }
}

/// The names under which the kernel knows the watched process.
fn names_of(subject: &Subject<'_>) -> Vec<String> {
    let Some(label) = subject.target.label("process_name") else { return Vec::new() };
    let entry = subject.settings.watch.processes.iter().find(|entry| entry.name == label);
    let matched = entry.and_then(|entry| match &entry.matcher {
        ProcessMatch::Command(command) => Some(command.clone()),
        ProcessMatch::Exe(path) => path.file_name().map(|name| name.to_string_lossy().into_owned()),
        ProcessMatch::Pattern(_) | ProcessMatch::Pidfile(_) | ProcessMatch::Unit(_) => None,
    });
    std::iter::once(label.to_owned()).chain(matched).map(|name| shortened(&name)).collect()
}

fn shortened(name: &str) -> String {
    let bytes = name.as_bytes();
    String::from_utf8_lossy(&bytes[..bytes.len().min(NAME_BYTES)]).into_owned()
}

/// Hands over every record of the log without waiting for new ones.
fn each_record(log: &Path, limit: &Limit, mut see: impl FnMut(&str)) -> Result<(), String> {
    // Not to be had in many containers, and for root alone on most hosts.
    let Ok(log) = rustix::fs::open(log, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()) else { return Ok(()) };
    // One record for each read; the kernel makes none that is larger.
    let mut buffer = [0; 8192];
    loop {
        if limit.is_over() {
            return Err("not read to its end, because the time was over".to_owned());
        }
        match rustix::io::read(&log, &mut buffer) {
            Ok(0) | Err(Errno::AGAIN) => return Ok(()),
            Ok(length) => see(&String::from_utf8_lossy(&buffer[..length])),
            // The record was overwritten meanwhile: the next read goes on with the oldest that is left.
            Err(Errno::PIPE | Errno::INTR) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
}

/// `3,1023,81234567,-;Out of memory: Killed process 4711 (java) total-vm:…`: level, number, microseconds since boot. The same
/// with `Memory cgroup out of memory: ` before it; older kernels write `4711, UID 0, (java)`.
fn kill_in(record: &str, now: Moment) -> Option<Kill> {
    let (head, message) = record.split_once(';')?;
    let micros: u64 = head.split(',').nth(2)?.parse().ok()?;
    let ago = now.monotonic().saturating_sub(Duration::from_micros(micros));
    // The lines below the first hold keys, each after a blank.
    let message = message.lines().next()?;
    let at = message.find("ut of memory")?;
    let rest = message[at..].split_once("Killed process ")?.1;
    let (pid, rest) = rest.split_once(" (")?;
    // A name may hold any character, parentheses too.
    let name = rest.rsplit_once(") total-vm:").or_else(|| rest.rsplit_once(')'))?.0;
    (ago <= LATELY).then(|| Some(Kill { pid: pid.split(',').next()?.parse().ok()?, name: name.to_owned(), ago }))?
}

#[cfg(test)]
#[path = "kernel_log_tests.rs"]
mod tests;
