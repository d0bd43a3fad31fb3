//! How an action ended, and the limits under which it ran.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Moment;

/// What an action came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// How it ended.
    pub end: End,
    /// From start to end.
    pub duration: Duration,
    /// What it printed, or what a native action has to say; bounded, not yet escaped.
    pub output: String,
    /// Something in the middle of the output was dropped.
    pub output_truncated: bool,
}

/// How an action ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// A program ended by itself; 0 is success.
    Exited(i32),
    /// A program died of a signal (`SIGKILL`) that was not ours.
    Killed(String),
    /// It was ended at its deadline.
    TimedOut(Duration),
    /// It was ended because the agent stops.
    Stopped,
    /// A native action did what it should.
    Done,
    /// A native action failed, or a program could not be started: why.
    Failed(String),
}

impl Outcome {
    /// Whether the action did what it should.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        matches!(self.end, End::Exited(0) | End::Done)
    }

    /// The outcome of a native action.
    #[must_use]
    pub fn native(result: Result<String, String>, duration: Duration) -> Self {
        let (end, output) = match result {
            Ok(said) => (End::Done, said),
            Err(reason) => (End::Failed(reason), String::new()),
        };
        Self { end, duration, output, output_truncated: false }
    }
}

/// Until when an action may go on.
#[derive(Clone, Debug)]
pub struct Limit {
    /// The end of its time, on the running clock.
    pub deadline: Moment,
    /// Set when the agent stops.
    pub stop: Arc<AtomicBool>,
}

impl Limit {
    /// Time that is left; zero when it is over or the agent stops.
    #[must_use]
    pub fn left(&self) -> Duration {
        if self.stop.load(Ordering::Relaxed) { Duration::ZERO } else { self.deadline.since(Moment::now()) }
    }

    /// Whether the action must end now.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.left().is_zero()
    }
}
