//! What was last done with a unit because somebody asked for it: systemd writes each of its jobs to the journal. An end by
//! itself has no job.

use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};

use super::executor::{self, Execution};
use super::guard::{Look, Manager, Policy};
use super::outcome::{End, Limit};
use crate::clock::Moment;
use crate::collect::Exclusions;
use crate::threads;

/// The journal of one boot is searched by an index; a slow disk makes it slow.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether the last job of the unit since the machine started was a stop. The look is made by a thread of its own; an answer
/// that never comes (the channel is closed) means that nobody knows.
pub(crate) fn was_a_stop(unit: &str, exclusions: &Exclusions) -> Receiver<bool> {
    let (sender, answer) = bounded(1);
    let (unit, exclusions) = (unit.to_owned(), exclusions.clone());
    let started = threads::try_spawn("collect:journal", move || match look(&unit, &exclusions) {
        Ok(text) => drop(sender.send(is_stop(&text, Moment::now()))),
        Err(reason) => log::debug!("the journal does not say who stopped a unit unit={unit} reason={reason}"),
    });
    if let Err(error) = started {
        log::debug!("the journal is not asked: no thread could be started reason={error}");
    }
    answer
}

fn look(unit: &str, exclusions: &Exclusions) -> Result<String, String> {
    let permit = Policy::default().with_manager(Manager::Systemd).look(Look::LastJob(unit)).map_err(|refusal| refusal.reason)?;
    let execution =
        Execution { helper: executor::own_binary(), command_path: Vec::new(), facts: Vec::new(), timeout: PATIENCE, unit: None };
    let limit = Limit { deadline: Moment::now().after(PATIENCE), stop: std::sync::Arc::default() };
    let mut excluded = None;
    let outcome = executor::look(&permit, &execution, &limit, |pid| {
        // A pattern on command lines would take the words of the look for the process that is looked for.
        excluded = u32::try_from(pid).ok().map(|pid| exclusions.exclude(pid));
    });
    match outcome.end {
        End::Exited(0) => Ok(outcome.output),
        end => Err(format!("{end:?}: {}", crate::record::escape::terminal(&outcome.output))),
    }
}

/// Whether the entry, if there is one, is of a stop since the machine started: when that ended the last time, everything was
/// stopped. (`journalctl -b` would not do: in a container it may take the host's start for its own.) systemd(1) turns the job of a
/// restart into one of a start when the stop is done.
fn is_stop(text: &str, now: Moment) -> bool {
    let entry: serde_json::Value = serde_json::from_str(text.lines().next().unwrap_or_default()).unwrap_or_default();
    let word = |name: &str| entry.get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
    let started = now.wall.saturating_sub(now.uptime()).unwrap_or(now.wall).as_microsecond();
    word("JOB_TYPE") == "stop" && word("__REALTIME_TIMESTAMP").parse().is_ok_and(|at: i64| at >= started)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_stop_since_the_start_counts() {
        let now = Moment::at_seconds(0.0);
        let started = now.wall.saturating_sub(now.uptime()).unwrap().as_microsecond();
        let entry = |job: &str, at: i64| format!("{{\"JOB_TYPE\":{job},\"__REALTIME_TIMESTAMP\":\"{at}\",\"_BOOT_ID\":\"2\"}}\n");
        assert!(is_stop(&entry("\"stop\"", started), now));
        assert!(!is_stop(&entry("\"stop\"", started - 1), now));
        for job in ["\"start\"", "\"restart\"", "[115,116]"] {
            assert!(!is_stop(&entry(job, started), now), "{job}");
        }
        for other in ["", "-- No entries --", "{\"JOB_TYPE\":\"stop\"}"] {
            assert!(!is_stop(other, now), "{other}");
        }
    }
}
