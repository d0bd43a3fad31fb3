//! What the [recorder](super::recorder) is told, and what it says.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_channel::Sender;

use super::history::retention::Keep;
use super::history::samples::SampleRow;
use super::history::{Entry, IncidentRow};

/// What the recorder is told.
#[derive(Debug)]
pub enum Message {
    /// The incident changed: its row belongs into the history, its report into its file.
    Incident {
        /// As it is now.
        row: Box<IncidentRow>,
        /// The path and the text of its report.
        report: (PathBuf, String),
        /// Who wants to know when the row is durable.
        ack: Option<Ack>,
    },
    /// Anything else that belongs into the history.
    Entry(Entry),
    /// What was measured in the minutes that are over.
    Samples(Vec<SampleRow>),
    /// How long things are kept from now on.
    Settings(Keep),
}

/// A wish to know when something is durable.
#[derive(Clone, Debug)]
pub struct Ack {
    /// Comes back in the answer.
    pub token: u64,
    /// Where to. It must have room: the recorder waits for nobody.
    pub reply: Sender<Acked>,
}

/// The answer to an [`Ack`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acked {
    /// That of the question.
    pub token: u64,
    /// The row, or a newer one of the same incident, would survive a power cut. Otherwise it waits in memory for room.
    pub durable: bool,
}

/// How the recorder is, for those who show it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecorderState {
    /// How many rows and reports wait in memory.
    pub behind: usize,
    /// How many gave way to newer ones, because too many waited, since the start.
    pub dropped: u64,
    /// Why the history could not be written; `None` when all is well.
    pub last_error: Option<String>,
}

/// The [`RecorderState`], to be looked at from other threads.
#[derive(Clone, Debug, Default)]
pub struct SharedState(Arc<Mutex<RecorderState>>);

impl SharedState {
    /// As it is now.
    #[must_use]
    pub fn get(&self) -> RecorderState {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut RecorderState)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
