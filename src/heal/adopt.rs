//! An action that an earlier life of the agent started, and that still runs: it is waited for, and ended at its limit. How it
//! ended nobody can learn, because it is no child of this process.
//!
//! The process on record can be the client of a unit of systemd's. It dies with the agent, and the unit goes on.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::action::signal_process;
use super::cgroup::Group;
use super::transient;
use super::tree::Started;
use crate::clock::Moment;
use crate::collect::Exclusions;
use crate::incident::RunningProcess;
use crate::threads;

/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// How often systemd is asked how a unit stands.
const ASK: Duration = Duration::from_secs(1);
/// From TERM to KILL.
const GRACE: Duration = Duration::from_secs(5);

/// Whether the process is still there, and still the same one; or its unit, as far as a look at files tells.
#[must_use]
pub(super) fn is_running(process: &RunningProcess) -> bool {
    lives(process) || is_loaded(process)
}

fn lives(process: &RunningProcess) -> bool {
    let same = |pid: u32| signal_process::started(pid) == Some(process.started) && !signal_process::is_zombie(pid);
    process.boot == crate::host::boot_id() && u32::try_from(process.pid).is_ok_and(same)
}

fn is_loaded(process: &RunningProcess) -> bool {
    process.boot == crate::host::boot_id() && process.unit.as_deref().is_some_and(transient::is_loaded)
}

/// Waits for its end on a thread of its own; what is known of it arrives at `ended`. The wait is over when `shutdown` is.
pub(crate) fn wait(
    id: String,
    process: RunningProcess,
    until: Moment,
    (exclusions, helper): (&Exclusions, &Path),
    ended: Sender<(String, String)>,
    shutdown: Receiver<()>,
) {
    let excluded = u32::try_from(process.pid).ok().map(|pid| exclusions.exclude(pid));
    let unit = process.unit.as_deref().map(|unit| exclusions.exclude_unit(unit));
    let adopted = Adopted { process, helper: helper.to_owned(), shutdown };
    let started = threads::try_spawn("heal:adopted", move || {
        let _excluded = (excluded, unit);
        if adopted.gone_by(until) {
            let _ = ended.send((id, "the agent ended while it ran; it has ended since".to_owned()));
        } else if !adopted.shutdown_came() {
            adopted.end();
            let _ = ended.send((id, "the agent ended while it ran; it was ended at its limit".to_owned()));
        }
    });
    if let Err(error) = started {
        log::error!("an action of an earlier run cannot be waited for reason={error}");
    }
}

struct Adopted {
    process: RunningProcess,
    helper: PathBuf,
    shutdown: Receiver<()>,
}

impl Adopted {
    /// A unit whose main process has ended can be kept by a daemon: only systemd can tell.
    fn goes_on(&self) -> bool {
        let unit = self.process.unit.as_deref().filter(|_| is_loaded(&self.process));
        lives(&self.process) || unit.is_some_and(|unit| transient::is_active(unit, &self.helper) != Some(false))
    }

    /// Whether it is gone, at the latest at that moment. A shutdown ends the wait.
    fn gone_by(&self, until: Moment) -> bool {
        while self.goes_on() {
            let pause = if lives(&self.process) { LOOK } else { ASK };
            let pause = pause.min(until.since(Moment::now()));
            if pause.is_zero() || self.shutdown.recv_timeout(pause).is_err_and(|error| error.is_disconnected()) {
                return false;
            }
        }
        true
    }

    fn shutdown_came(&self) -> bool {
        self.shutdown.try_recv().is_err_and(|error| error.is_disconnected())
    }

    /// All of its control group, if it has one; and its process group, which has its number, because its session began with it.
    fn end(&self) {
        let unit = self.process.unit.as_deref();
        let group = unit.map_or_else(|| Group::of_action(self.process.pid), Group::of_unit);
        let left = Started { descent: None, group: group.as_ref() }.end(|| ());
        if left > 0 {
            log::error!("processes of an action of an earlier run cannot be killed count={left} (uninterruptible wait?)");
        }
        let group = Pid::from_raw(self.process.pid);
        for signal in [Signal::SIGTERM, Signal::SIGKILL].into_iter().take_while(|_| lives(&self.process)) {
            let _ = killpg(group, signal);
            let _ = self.gone_by(Moment::now().after(GRACE));
        }
    }
}
