//! What people, and the recorder, ask of the heal worker, and what it shows them.

use std::path::PathBuf;

use crossbeam_channel::Sender;

use super::healer::{Effect, Healer, NotDone, Standing};
use super::silence::Silence;
use crate::clock::Moment;
use crate::incident::event::Notice;
use crate::incident::{Answer, DedupKey, Incident, Opening};
use crate::sample::Labels;

/// What is asked of the heal worker, by people but for one.
#[derive(Debug)]
pub enum Command {
    /// Heal by hand; the answer is the incident's id, or why it is refused.
    Heal(Box<Opening>, Sender<Result<String, String>>),
    /// Yes or no to the question of the incident with this id; a yes names the words that were shown.
    Answer(String, Option<Vec<String>>, Answer, Sender<Result<(), NotDone>>),
    /// Begins a silence; the answer is its id.
    Silence(Silence, Sender<String>),
    /// Ends the silence of this id.
    EndSilence(String, Sender<Result<(), NotDone>>),
    /// Closes breakers and ends pauses of a playbook.
    Reset(String, Labels, Sender<Vec<DedupKey>>),
    /// How things stand.
    Show(Sender<Standing>),
    /// The history was lost: what must survive a restart is written down again.
    WriteDown,
    /// Everything that happens from now on; whoever does not keep up is left behind.
    Follow(Sender<Change>),
}

/// What happens to incidents, for those who show it.
#[derive(Clone, Debug)]
pub enum Change {
    /// One changed.
    Incident {
        /// As it is now.
        incident: Box<Incident>,
        /// Its report.
        report: PathBuf,
        /// How many incidents are open.
        open: usize,
    },
    /// People are told this, on one line; text from outside is not yet escaped.
    Told(Notice, String),
}

impl Command {
    /// Does what is asked, answers, and gives what follows. Followers are the worker's own.
    pub(super) fn obey(self, healer: &mut Healer, now: Moment) -> Vec<Effect> {
        match self {
            Self::Heal(opening, reply) => answered(healer.open_by_hand(*opening, now), &reply),
            Self::Answer(id, shown, answer, reply) => {
                let result = healer.answer(&id, shown.as_deref(), answer, now);
                answered(result.map(|effects| ((), effects)), &reply)
            }
            Self::Silence(silence, reply) => {
                let (id, effects) = healer.begin_silence(silence, now);
                let _ = reply.send(id);
                effects
            }
            Self::EndSilence(id, reply) => answered(healer.end_silence(&id, now).map(|effects| ((), effects)), &reply),
            Self::Reset(playbook, labels, reply) => {
                let (keys, effects) = healer.reset(&playbook, &labels, now);
                let _ = reply.send(keys);
                effects
            }
            Self::Show(reply) => {
                let _ = reply.send(healer.standing(now));
                Vec::new()
            }
            Self::WriteDown => healer.all_to_save(),
            Self::Follow(_) => Vec::new(),
        }
    }
}

/// Answers who asked, and gives what is to be done.
fn answered<T, E>(result: Result<(T, Vec<Effect>), E>, reply: &Sender<Result<T, E>>) -> Vec<Effect> {
    let (answer, effects) = match result {
        Ok((value, effects)) => (Ok(value), effects),
        Err(error) => (Err(error), Vec::new()),
    };
    let _ = reply.send(answer);
    effects
}
