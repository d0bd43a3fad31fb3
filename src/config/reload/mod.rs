//! Hot reload: both files are looked at again when something about them changed ([`watch`]), and every half minute besides.
//!
//! An event says only "look again"; what counts are the bytes. A bad file changes nothing: the old configuration stays in force.
//! What may be a save in progress is not even called bad until it has been left alone ([`reloader`]). What is good is kept as a
//! copy for a start on bad files ([`last_good`](super::last_good)).

mod changes;
mod reloader;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, after, bounded, never, select};

use super::Config;
use super::problem::Problem;
use crate::clock::Moment;
use crate::threads::{self, Worker};
use reloader::Reloader;
pub use reloader::{Beginning, warn};
use watch::Watch;

/// How long nothing must change before the files are read: a save is often several writes.
const QUIET: Duration = Duration::from_millis(150);
/// The files are read at the latest this long after the first change, whatever goes on.
const AT_MOST: Duration = Duration::from_millis(850);

/// What a look at the files came to.
#[derive(Clone, Debug)]
pub enum Reloaded {
    /// This configuration is in force from now on. The problems are those of a file that is not: the other one was loaded
    /// together with its last good content.
    Loaded {
        /// The new configuration.
        config: Arc<Config>,
        /// Why one of the files on disk is not in force; empty when both are.
        problems: Vec<Problem>,
    },
    /// Nothing changed: the files on disk are bad.
    Rejected(Vec<Problem>),
    /// The files on disk are the ones in force.
    Unchanged,
}

/// A request to look now (SIGHUP, `autoheal reload`). The answer is about the bytes on disk at the time of asking.
#[derive(Debug)]
pub struct Now {
    /// Where the answer goes, if somebody waits for it. `Loaded` and `Rejected` go to the agent as well.
    pub reply: Option<Sender<Reloaded>>,
}

/// Starts the thread `reload`. It ends when the sender of `shutdown` is dropped, or nobody listens to `changes`.
#[must_use]
pub fn start(beginning: Beginning, changes: Sender<Reloaded>, requests: Receiver<Now>, shutdown: Receiver<()>) -> Worker {
    start_with(watch::platform, beginning, changes, requests, shutdown)
}

fn start_with(
    make: watch::Make,
    beginning: Beginning,
    changes: Sender<Reloaded>,
    requests: Receiver<Now>,
    shutdown: Receiver<()>,
) -> Worker {
    threads::spawn("reload", move || {
        let (poke, events) = bounded(1);
        let watch = Watch::new(beginning.config.origin.dir.as_deref(), poke, make);
        run(Reloader::new(beginning, Moment::now()), watch, &events, &changes, requests, &shutdown);
    })
}

fn run(
    mut reloader: Reloader,
    mut watch: Watch,
    events: &Receiver<()>,
    changes: &Sender<Reloaded>,
    mut requests: Receiver<Now>,
    shutdown: &Receiver<()>,
) {
    // The files may have changed since they were loaded at the start: the first look is at once.
    let mut first_change = Some(Moment::now());
    loop {
        let now = Moment::now();
        let wait = match first_change {
            // Whatever has been changing for long enough is read as it is.
            Some(first) => QUIET.min(AT_MOST.saturating_sub(now.since(first))),
            None => watch.poll().min(reloader.look_again_in(now).unwrap_or(Duration::MAX)),
        };
        let mut reply = None;
        select! {
            recv(shutdown) -> _ => return,
            recv(events) -> _ => {
                first_change.get_or_insert_with(Moment::now);
                continue;
            }
            recv(requests) -> request => match request {
                Ok(now) => reply = Some(now.reply),
                // A disconnected channel is always ready; this one asks no more.
                Err(_) => {
                    requests = never();
                    continue;
                }
            },
            recv(after(wait)) -> _ => {}
        }
        first_change = None;
        // The watches first: what changes after this line is seen as an event.
        watch.refresh();
        let asked = reply.is_some();
        let result = reloader.look(asked, Moment::now());
        if let Some(reply) = reply.flatten() {
            // Who asked may have gone away.
            let _ = reply.send(result.clone());
        }
        if !matches!(result, Reloaded::Unchanged) && changes.send(result).is_err() {
            return;
        }
        reloader.keep();
    }
}

#[cfg(test)]
mod tests;
