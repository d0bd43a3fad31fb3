//! Telling people. What is told is written down, and what would be too much becomes a summary. The channel of this version is
//! the log.

mod throttle;

use std::time::Duration;

use crossbeam_channel::Sender;

pub use throttle::Throttle;

use crate::clock::Moment;
use crate::incident::event::Notice;
use crate::record::history::{Entry, NotificationRow};
use crate::record::recorder::Message;

/// Decides what goes out, and writes it down.
#[derive(Debug)]
pub struct Teller {
    throttle: Throttle,
    record: Sender<Message>,
    number: u64,
}

impl Teller {
    /// One that has told nothing yet.
    #[must_use]
    pub fn new(record: Sender<Message>) -> Self {
        Self { throttle: Throttle::default(), record, number: 0 }
    }

    /// The message, if it goes out now. That something was repaired is only for the record: people hear of what was not.
    pub fn tell(&mut self, notice: Notice, critical: bool, incident: &str, text: String, now: Moment) -> Option<(Notice, String)> {
        if notice != Notice::Resolved && !self.throttle.admits(notice, critical, incident, now) {
            return None;
        }
        self.write_down(notice, Some(incident), &text, now);
        Some((notice, text))
    }

    /// Summaries of what was held back, when it is their time.
    pub fn summaries(&mut self, now: Moment) -> Vec<(Notice, String)> {
        let due = self.throttle.summaries(now);
        for (notice, text) in &due {
            self.write_down(*notice, None, text, now);
        }
        due
    }

    /// How long until there is a summary to tell.
    #[must_use]
    pub fn next(&self, now: Moment) -> Option<Duration> {
        self.throttle.next(now)
    }

    fn write_down(&mut self, notice: Notice, incident: Option<&str>, text: &str, now: Moment) {
        self.number += 1;
        let at = now.wall.as_millisecond();
        let row = NotificationRow {
            id: format!("{}/{}/{at}-{}", incident.unwrap_or("summary"), notice.name(), self.number),
            incident: incident.map(str::to_owned),
            event: notice.name().to_owned(),
            at,
            channel: "log".to_owned(),
            text: text.to_owned(),
            delivered_at: Some(at),
        };
        let _ = self.record.send(Message::Entry(Entry::Notification(row)));
    }
}
