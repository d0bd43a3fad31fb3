//! The recorder: the one thread that owns the history and the report files. Nobody waits for it but who wants to, and nothing
//! that it was given is lost for want of room: it waits in memory, and is tried again.

use std::collections::BTreeMap;
use std::mem;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::backlog::Backlog;
use super::ballast::Ballast;
use super::history::read::Reader;
use super::history::retention::{Keep, Sweep, remove_reports};
use super::history::samples::SampleRow;
use super::history::{Entry, History, OpenError, Opened, Restored, WriteError};
pub use super::message::{Ack, Acked, Message, RecorderState, SharedState};
use super::store::Reports;
use crate::clock::Moment;
use crate::threads::{self, Worker};

/// How often what could not be written is tried again, at least.
const RETRY: Duration = Duration::from_secs(5);
/// How often rows of samples that found no room are tried again, at least.
const FLUSH: Duration = Duration::from_secs(60);
/// How often old things are forgotten.
const DAY: Duration = Duration::from_secs(86_400);
/// So many messages are taken in before the next transaction. While writing works the rest waits in the channel, where it costs
/// nothing to look for an older row of the same thing.
const AT_ONCE: usize = 64;
/// So many reports are brought to the disk in one turn.
const SYNCED: usize = 4;
/// So many rows of samples wait for room; the oldest give way.
const SAMPLE_ROWS: usize = 5000;

/// What the thread owns.
#[derive(Debug)]
pub struct Recorder {
    dir: PathBuf,
    /// Missing while it cannot be opened.
    history: Option<History>,
    reports: Reports,
    ballast: Ballast,
    backlog: Backlog,
    /// Incidents that somebody wants to be durable.
    acks: Vec<(String, Ack)>,
    /// The reports that came with the rows of this turn.
    texts: BTreeMap<PathBuf, Text>,
    samples: Vec<SampleRow>,
    keep: Keep,
    sweep: Option<Sweep>,
    next_flush: Moment,
    next_sweep: Moment,
    /// The history is a new one, and the facts of the one before it are not in it.
    forgot: bool,
    /// Reports of incidents that have ended may not be on the disk yet.
    unsynced: bool,
    /// The last try to write rows failed.
    failing: bool,
    /// How many rows waited when a try succeeded again.
    waited: usize,
    /// That there is no room was said, and is not said again before there is.
    complained: bool,
    state: SharedState,
}

/// A report, and whether its incident has ended.
#[derive(Debug)]
struct Text {
    text: String,
    ended: bool,
}

/// Starts the thread. It ends when the sender of the messages is dropped, after writing what it can. `forgot` is called when a new
/// history was begun in the place of one that was damaged or removed: who remembers facts must give them again.
#[must_use]
pub fn start(recorder: Recorder, messages: Receiver<Message>, forgot: impl Fn() + Send + 'static) -> Worker {
    threads::spawn("record", move || recorder.run(&messages, &forgot))
}

impl Recorder {
    /// Opens the history beside the reports, and reads what a restart begins with. Without room for a history it waits in memory.
    ///
    /// # Errors
    /// When the agent must not start: a newer program wrote the history, or something else is in its place.
    pub fn open(reports: Reports, now: Moment) -> Result<(Self, Restored), OpenError> {
        let dir = reports.dir().to_owned();
        let ballast = Ballast::new(&dir);
        let opened = match History::open(&dir, now.wall) {
            Err(OpenError::NoRoom(_)) if ballast.give_up() => History::open(&dir, now.wall),
            opened => opened,
        };
        let mut recorder = Self {
            dir,
            history: None,
            reports,
            ballast,
            backlog: Backlog::default(),
            acks: Vec::new(),
            texts: BTreeMap::new(),
            samples: Vec::new(),
            keep: Keep::default(),
            sweep: None,
            next_flush: now.after(FLUSH),
            next_sweep: now,
            forgot: false,
            unsynced: true,
            failing: false,
            waited: 0,
            complained: false,
            state: SharedState::default(),
        };
        let restored = match opened {
            Ok(Opened { history, .. }) => recorder.begin_with(history, now),
            Err(OpenError::NoRoom(reason)) => {
                recorder.failing = true;
                recorder.complain(&reason);
                restored_read_only(&recorder.dir)
            }
            Err(error) => return Err(error),
        };
        Ok((recorder, restored))
    }

    fn begin_with(&mut self, history: History, now: Moment) -> Restored {
        self.reports.retell(&history, now.wall);
        let restored = history.restore().unwrap_or_else(|error| {
            log::error!("what an earlier run left behind cannot be read: {error}");
            Restored::default()
        });
        self.history = Some(history);
        self.ballast.make();
        restored
    }

    /// How the recorder is, now and later.
    #[must_use]
    pub fn state(&self) -> SharedState {
        self.state.clone()
    }

    fn run(mut self, messages: &Receiver<Message>, forgot: &dyn Fn()) {
        loop {
            let message = threads::next(messages, self.wait(Moment::now()));
            let now = Moment::now();
            match message {
                Ok(message) => {
                    self.take(message, now);
                    let room = if self.failing { AT_ONCE } else { AT_ONCE.saturating_sub(self.backlog.len()) };
                    messages.try_iter().take(room).for_each(|message| self.take(message, now));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.stop(now),
            }
            self.turn(now);
            if mem::take(&mut self.forgot) {
                forgot();
            }
        }
    }

    /// How long there is nothing to do if no message comes.
    fn wait(&self, now: Moment) -> Duration {
        let flush = self.next_flush.since(now);
        if self.failing {
            flush.min(RETRY)
        } else if self.backlog.len() > 0 || self.unsynced || self.sweep.is_some() || self.next_sweep.is_due_after_sleep(now) {
            Duration::ZERO
        } else if self.reports.is_behind() {
            flush.min(RETRY)
        } else {
            flush
        }
    }

    fn take(&mut self, message: Message, now: Moment) {
        match message {
            Message::Incident { row, report: (path, text), ack } => {
                let urgent = ack.is_some();
                self.acks.extend(ack.map(|ack| (row.id.clone(), ack)));
                self.texts.insert(path, Text { text, ended: !row.live });
                self.backlog.put(Entry::Incident(row), urgent);
            }
            Message::Entry(entry) => self.backlog.put(entry, false),
            Message::Samples(rows) => {
                self.samples.extend(rows);
                self.next_flush = now;
            }
            Message::Settings(keep) if keep != self.keep => {
                self.keep = keep;
                self.sweep = None;
                self.next_sweep = now;
            }
            Message::Settings(_) => {}
        }
    }

    /// One transaction, the answers to it, and whatever else is due. What is left makes the next [wait](Recorder::wait) short.
    fn turn(&mut self, now: Moment) {
        // A report that is there is renewed before its row: a crash between the two then leaves an incident that goes on, and the
        // next start writes both. The other way round its report would never say how it ended. An intent is waited for: it goes first.
        if self.acks.is_empty() {
            self.write_reports(Path::exists);
        }
        self.write_rows(now);
        self.write_reports(|_| true);
        self.reports.retry();
        if self.next_flush.is_due(now) {
            self.next_flush = now.after(FLUSH);
            self.write_samples(now);
            if !self.failing && self.backlog.len() == 0 && self.ballast.make() {
                self.be_well();
            }
        }
        self.forget_old(now);
        if self.unsynced && self.backlog.len() == 0 {
            self.unsynced = self.reports.sync(SYNCED);
        }
        let (behind, dropped) = (self.backlog.len() + self.reports.waiting(), self.backlog.dropped() + self.reports.dropped());
        self.state.change(|state| (state.behind, state.dropped) = (behind, dropped));
    }

    fn write_reports(&mut self, chosen: impl Fn(&Path) -> bool) {
        let (chosen, later): (BTreeMap<_, _>, _) = mem::take(&mut self.texts).into_iter().partition(|(path, _)| chosen(path));
        self.texts = later;
        for (path, Text { text, ended }) in chosen {
            self.reports.write_text(&path, text);
            if ended {
                self.reports.is_final(&path);
                self.unsynced = true;
            }
        }
    }

    /// Writes the first of the rows that wait, and answers those who wait for them.
    fn write_rows(&mut self, now: Moment) {
        let mut outcome = self.try_rows(now);
        if let Err(error) = &outcome {
            self.complain(&error.to_string());
            let renewed = self.mend(error, now);
            if self.ballast.give_up() || renewed {
                outcome = self.try_rows(now);
            }
        }
        let count = if outcome.is_ok() { self.backlog.chunk().len() } else { 0 };
        self.answer(count, outcome.is_err());
        self.backlog.written(count);
        match outcome {
            Err(error) => {
                self.failing = true;
                self.state.change(|state| state.last_error = Some(error.to_string()));
            }
            Ok(()) => {
                let was_failing = mem::take(&mut self.failing);
                self.waited = if was_failing { self.waited.max(count + self.backlog.len()) } else { self.waited };
                if self.backlog.len() == 0 && (was_failing || self.waited > 0) {
                    log::info!("the history is written again rows={} dropped={}", mem::take(&mut self.waited), self.backlog.dropped());
                    self.ballast.make();
                    self.be_well();
                }
            }
        }
    }

    fn try_rows(&mut self, now: Moment) -> Result<(), WriteError> {
        let rows = self.backlog.chunk();
        if rows.is_empty() && !self.failing {
            return Ok(());
        }
        opened(&mut self.history, &mut self.forgot, &self.dir, now)?.write(rows)
    }

    /// Answers for the first `count` rows, which are durable now; after a failure for all.
    fn answer(&mut self, count: usize, failed: bool) {
        let backlog = &self.backlog;
        self.acks.retain(|(id, ack)| {
            let durable = backlog.chunk()[..count].iter().any(|entry| matches!(entry, Entry::Incident(row) if row.id == *id));
            let waits = !durable && !failed && backlog.has_incident(id);
            if !waits {
                let _ = ack.reply.try_send(Acked { token: ack.token, durable });
            }
            waits
        });
    }

    /// After a failure: closes what cannot be trusted. Answers whether a new database was begun in the place of a damaged one.
    fn mend(&mut self, error: &WriteError, now: Moment) -> bool {
        let Some(history) = self.history.take() else { return false };
        match error {
            WriteError::Full(_) => self.history = Some(history),
            WriteError::Lost(_) => {}
            WriteError::Damaged(reason) => match history.renew(reason, now.wall) {
                Ok(opened) => {
                    self.history = Some(opened.history);
                    self.forgot = true;
                }
                Err(error) => log::error!("{error}"),
            },
        }
        matches!(error, WriteError::Damaged(_)) && self.history.is_some()
    }

    fn complain(&mut self, reason: &str) {
        self.state.change(|state| state.last_error = Some(reason.to_owned()));
        if !mem::replace(&mut self.complained, true) {
            log::warn!(
                "the disk is full or the history cannot be written; what does not fit waits in memory until there is room: {reason}"
            );
        }
    }

    fn be_well(&mut self) {
        self.complained = false;
        self.state.change(|state| state.last_error = None);
    }

    /// Samples wait for room too, but not for ever, and they get no ballast.
    fn write_samples(&mut self, now: Moment) {
        if self.failing || self.samples.is_empty() {
            let surplus = self.samples.len().saturating_sub(SAMPLE_ROWS);
            self.samples.drain(..surplus);
            return;
        }
        match opened(&mut self.history, &mut self.forgot, &self.dir, now).and_then(|history| history.write_samples(&self.samples)) {
            Ok(()) => self.samples.clear(),
            Err(error) => {
                log::debug!("rows of samples wait rows={}: {error}", self.samples.len());
                self.mend(&error, now);
            }
        }
    }

    /// A step of what is done once a day. Rows and messages come first.
    fn forget_old(&mut self, now: Moment) {
        if self.failing || self.backlog.len() > 0 {
            return;
        }
        if self.next_sweep.is_due_after_sleep(now) {
            self.next_sweep = now.after(DAY);
            self.sweep = Some(Sweep::new(self.keep, now.wall));
            if let Some(age) = self.keep.reports {
                remove_reports(&self.dir, age, now.wall);
            }
        }
        let Some(mut sweep) = self.sweep.take() else { return };
        match opened(&mut self.history, &mut self.forgot, &self.dir, now).and_then(|history| sweep.step(history)) {
            Ok(true) => {}
            Ok(false) => self.sweep = Some(sweep),
            Err(error) => {
                log::debug!("old things are forgotten later: {error}");
                self.mend(&error, now);
            }
        }
    }

    /// Writes what it can, once.
    fn stop(mut self, now: Moment) {
        self.turn(now);
        while !self.failing && self.backlog.len() > 0 {
            self.write_rows(now);
        }
        self.write_samples(now);
        self.reports.sync(SYNCED * 16);
        if self.backlog.len() > 0 || self.reports.is_behind() {
            log::error!("there was no room until the end: lost rows={} reports={}", self.backlog.len(), self.reports.waiting());
        }
    }
}

/// The history, opened anew if need be.
fn opened<'a>(history: &'a mut Option<History>, forgot: &mut bool, dir: &Path, now: Moment) -> Result<&'a mut History, WriteError> {
    match history {
        Some(history) => Ok(history),
        None => match History::open(dir, now.wall) {
            Ok(opened) => {
                *forgot |= opened.is_new;
                Ok(history.insert(opened.history))
            }
            Err(error) => Err(WriteError::Lost(error.to_string())),
        },
    }
}

/// What a restart begins with if the database is there and may be read only.
fn restored_read_only(dir: &Path) -> Restored {
    let restored = Reader::open(dir).and_then(|reader| reader.map_or_else(|| Ok(Restored::default()), |reader| reader.restore()));
    restored.unwrap_or_else(|error| {
        log::error!("what an earlier run left behind cannot be read: {error}");
        Restored::default()
    })
}

#[cfg(test)]
#[path = "recorder_tests.rs"]
mod tests;
