//! The largest and the busiest processes, in one pass and without waiting: how busy one is comes from the look before.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::time::Duration;

use super::{Evidence, Section};
use crate::clock::{Moment, in_words};
use crate::collect::host;
use crate::collect::reason;
use crate::heal::action::mebibytes;
use crate::heal::action::top_processes::{user_names, visible};
use crate::heal::outcome::Limit;

/// Stands where nothing could be seen.
pub(super) const TITLE: &str = "Processes";

/// How many of each are shown.
const SHOWN: usize = 5;
/// Thousands of incidents may open at once; they share a look that is younger.
const SHARED: Duration = Duration::from_secs(2);
/// An older look says nothing about now.
const OLDEST: Duration = Duration::from_mins(10);

/// The looks at the processes.
#[derive(Debug, Default)]
pub(super) struct Processes {
    last: Option<Look>,
    shared: Option<(Moment, Evidence)>,
}

/// Processor time that each process had used. Its number and its start name a process for good.
#[derive(Debug)]
struct Look {
    at: Moment,
    used: HashMap<(u32, Duration), Duration>,
}

/// A process in this look.
struct Seen {
    pid: u32,
    name: String,
    memory: u64,
    /// Percent of one core.
    busy: f64,
}

impl Processes {
    /// The processes as they are now.
    ///
    /// # Errors
    /// The host tells nothing of its processes.
    pub(super) fn gather(&mut self, now: Moment, limit: &Limit) -> Result<Evidence, String> {
        if let Some((_, shared)) = self.shared.as_ref().filter(|(at, _)| now.since(*at) < SHARED) {
            return Ok(shared.clone());
        }
        let pids = host::pids().map_err(|error| format!("cannot list the processes: {}", reason::plain(&error)))?;
        let before = self.last.take().filter(|look| now.since(look.at) <= OLDEST);
        let (seen, note) = self.look(&pids, before.as_ref(), now, limit);
        let basis = match &before {
            Some(before) => format!("CPU since the look {} before", in_words(now.since(before.at))),
            None => "CPU on average since each began".to_owned(),
        };
        let evidence = Evidence { sections: sections(seen, &basis, note), hints: Vec::new() };
        // What was cut short is nobody else's answer.
        self.shared = (!limit.is_over()).then(|| (now, evidence.clone()));
        Ok(evidence)
    }

    /// What these processes are now, and why that is not all; it becomes the last look.
    fn look(&mut self, pids: &[u32], before: Option<&Look>, now: Moment, limit: &Limit) -> (Vec<Seen>, Option<String>) {
        let mut look = Look { at: now, used: HashMap::with_capacity(pids.len()) };
        let mut seen = Vec::with_capacity(pids.len());
        let mut note = (!pids.contains(&1)).then(|| "the processes of other users are hidden from autoheal".to_owned());
        for (index, pid) in pids.iter().copied().enumerate() {
            if limit.is_over() {
                note = Some(format!("only {index} of {} processes were looked at, because the time was over", pids.len()));
                break;
            }
            let Ok(Some(stat)) = host::stat(pid) else { continue };
            if stat.dead {
                continue;
            }
            look.used.insert((pid, stat.started), stat.cpu);
            seen.push(Seen { pid, memory: stat.rss, busy: busy(&stat, pid, before, now), name: stat.comm });
        }
        self.last = Some(look);
        (seen, note)
    }
}

/// Percent of one core since the last look; since its start if there was none, or the process is younger.
fn busy(stat: &host::Stat, pid: u32, before: Option<&Look>, now: Moment) -> f64 {
    let known = before.and_then(|look| Some((look.at, look.used.get(&(pid, stat.started))?)));
    let (used, time) = match known {
        Some((at, used)) => (stat.cpu.saturating_sub(*used), now.since(at)),
        None => (stat.cpu, now.uptime().saturating_sub(stat.started)),
    };
    // A process that began a moment ago has used next to nothing of next to no time.
    100.0 * used.as_secs_f64() / time.as_secs_f64().max(0.1)
}

fn sections(mut seen: Vec<Seen>, basis: &str, note: Option<String>) -> Vec<Section> {
    let users = user_names();
    let mut section = |title: &str, order: fn(&mut Vec<Seen>)| {
        order(&mut seen);
        let lines = seen.iter().take(SHOWN).map(|process| line(process, &users)).collect();
        Section { title: format!("{title} ({basis})"), lines, note: note.clone() }
    };
    vec![
        section("Largest processes by memory", |seen| seen.sort_by_key(|process| (Reverse(process.memory), process.pid))),
        section("Busiest processes", |seen| seen.sort_by(|one, other| other.busy.total_cmp(&one.busy).then(one.pid.cmp(&other.pid)))),
    ]
}

/// The name stands last: it can be anything, and must not look like what follows it.
fn line(process: &Seen, users: &HashMap<String, String>) -> String {
    let id = host::user(process.pid).map(|id| id.to_string()).unwrap_or_else(|| "?".to_owned());
    let user = users.get(&id).unwrap_or(&id);
    format!("pid {}, {user}, {}, {:.0} % CPU: {}", process.pid, mebibytes(process.memory), process.busy, visible(&process.name))
}

#[cfg(test)]
#[path = "processes_tests.rs"]
mod tests;
