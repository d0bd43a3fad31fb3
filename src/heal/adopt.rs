//! An action that an earlier life of the agent started, and that still runs: it is waited for, and ended at its limit. How it
//! ended nobody can learn, because it is no child of this process.

use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::action::signal_process;
use crate::clock::Moment;
use crate::collect::Exclusions;
use crate::incident::RunningProcess;
use crate::threads;

/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// From TERM to KILL.
const GRACE: Duration = Duration::from_secs(5);

/// Whether the process is still there, and still the same one.
#[must_use]
pub(super) fn is_running(process: &RunningProcess) -> bool {
    let same = |pid: u32| signal_process::started(pid) == Some(process.started) && !signal_process::is_zombie(pid);
    process.boot == crate::host::boot_id() && u32::try_from(process.pid).is_ok_and(same)
}

/// Waits for its end on a thread of its own; what is known of it arrives at `ended`. The wait is over when `shutdown` is.
pub(crate) fn wait(
    id: String,
    process: RunningProcess,
    until: Moment,
    exclusions: &Exclusions,
    ended: Sender<(String, String)>,
    shutdown: Receiver<()>,
) {
    let excluded = u32::try_from(process.pid).ok().map(|pid| exclusions.exclude(pid));
    let started = threads::try_spawn("heal:adopted", move || {
        let _excluded = excluded;
        if gone_by(&process, until, &shutdown) {
            let _ = ended.send((id, "the agent ended while it ran; it has ended since".to_owned()));
        } else if is_running(&process) && !shutdown_came(&shutdown) {
            end(&process, &shutdown);
            let _ = ended.send((id, "the agent ended while it ran; it was ended at its limit".to_owned()));
        }
    });
    if let Err(error) = started {
        log::error!("an action of an earlier run cannot be waited for reason={error}");
    }
}

fn gone_by(process: &RunningProcess, until: Moment, shutdown: &Receiver<()>) -> bool {
    while is_running(process) {
        if until.is_due(Moment::now()) || shutdown.recv_timeout(LOOK).is_err_and(|error| error.is_disconnected()) {
            return false;
        }
    }
    true
}

fn shutdown_came(shutdown: &Receiver<()>) -> bool {
    shutdown.try_recv().is_err_and(|error| error.is_disconnected())
}

/// Its session began with it: its process group has its number.
fn end(process: &RunningProcess, shutdown: &Receiver<()>) {
    let group = Pid::from_raw(process.pid);
    let _ = killpg(group, Signal::SIGTERM);
    if !gone_by(process, Moment::now().after(GRACE), shutdown) {
        let _ = killpg(group, Signal::SIGKILL);
        let _ = gone_by(process, Moment::now().after(GRACE), shutdown);
    }
}
