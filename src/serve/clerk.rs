//! The clerk takes the calls that need the agent itself to the threads that can do them, and brings back their answers. It waits
//! for them on a thread of its own, so nobody who acts ever waits for who asks.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use serde_json::{Value, json};

use super::board::Board;
use super::control::{self, Call, Reply};
use super::listener::Listener;
use super::peer::Peer;
use super::protocol::{Refusal, Request};
use super::{recorded, status};
use crate::clock::Moment;
use crate::config::reload::{Now, Reloaded};
use crate::detect::Order;
use crate::heal::by_hand;
use crate::heal::command::{Change, Command};
use crate::heal::healer::NotDone;
use crate::heal::silence::Silence;
use crate::incident::{Answer, Incident};
use crate::record::recorder::SharedState;
use crate::record::store::report_path;
use crate::threads::{self, Worker};

/// The agent's threads answer at once; one that does not is stuck.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many changes a follower may be behind.
const BEHIND: usize = 4096;

/// Whom the clerk asks.
#[derive(Clone, Debug)]
pub struct Clerk {
    /// The heal worker.
    pub commands: Sender<Command>,
    /// The detector.
    pub detect: Sender<Order>,
    /// The reloader.
    pub reload: Sender<Now>,
    /// The main thread's facts.
    pub board: Board,
    /// The recorder's.
    pub recorder: SharedState,
}

/// Opens the control socket. Without one the agent heals all the same.
#[must_use]
pub fn listen(clerk: Clerk, data_dir: &Path, stop: &Receiver<()>) -> Vec<Worker> {
    match Listener::open(data_dir) {
        Ok(listener) => {
            log::info!("control socket {}", listener.path().display());
            let (calls_out, calls) = unbounded();
            vec![control::start(listener, calls_out, data_dir.to_owned(), stop.clone()), start(clerk, calls)]
        }
        Err(reason) => {
            log::warn!("there is no control socket, so nobody can approve, silence or ask: {reason}");
            Vec::new()
        }
    }
}

/// Starts the clerk's thread; it ends when nobody can call any more.
fn start(clerk: Clerk, calls: Receiver<Call>) -> Worker {
    threads::spawn("clerk", move || {
        for call in calls {
            clerk.take(call);
        }
    })
}

impl Clerk {
    fn take(&self, call: Call) {
        let Call { request, peer, reply } = call;
        match request {
            // What lasts gets a thread of its own.
            Request::Follow { .. } | Request::Heal { .. } => {
                let clerk = self.clone();
                let started = threads::try_spawn("clerk:stream", move || match request {
                    Request::Follow { id, playbook } => clerk.follow(id.as_deref(), playbook.as_deref(), &reply),
                    request => clerk.heal(&request, reply),
                });
                if let Err(error) = started {
                    log::warn!("a request cannot be followed reason={error}");
                }
            }
            request => match self.answer(request, &peer) {
                Ok(value) => reply.ok(value),
                Err(refusal) => reply.refuse(refusal),
            },
        }
    }

    fn answer(&self, request: Request, peer: &Peer) -> Result<Value, Refusal> {
        match request {
            Request::Status => self.status(),
            Request::Approve { id, argv, reason } => self.decide(&id, Some(argv), reason, peer),
            Request::Deny { id, reason } => self.decide(&id, None, reason, peer),
            Request::Silence { playbook, labels, for_seconds, reason } => {
                let until = Moment::now().after(Duration::from_secs_f64(for_seconds));
                let labels = labels.into_iter().collect();
                let silence = Silence { id: String::new(), playbook, labels, until, reason, by: peer.user.clone() };
                let id = self.ask(|reply| Command::Silence(silence.clone(), reply))?;
                Ok(json!({"silence": status::silence(&Silence { id, ..silence })}))
            }
            Request::Silences => {
                let standing = self.ask(Command::Show)?;
                Ok(json!({"silences": standing.silences.iter().map(status::silence).collect::<Vec<_>>()}))
            }
            Request::ExpireSilence { id } => {
                self.ask(|reply| Command::EndSilence(id.clone(), reply))?.map_err(|not| refusal("no_silence", not))?;
                Ok(json!({"expired": id}))
            }
            Request::Reset { playbook, labels } => {
                let known = self.board.read().config.playbooks.iter().any(|known| known.id == playbook);
                let keys = self.ask(|reply| Command::Reset(playbook.clone(), labels.into_iter().collect(), reply))?;
                if keys.is_empty() && !known {
                    return Err(Refusal::failed("no_playbook", format!("there is no playbook {playbook:?}")));
                }
                let reset: Vec<Value> = keys.iter().map(|key| json!({"playbook": key.playbook, "labels": key.identity})).collect();
                Ok(json!({"reset": reset}))
            }
            Request::Reload => self.reload(),
            Request::Incident { id } => self.open_incident(&id),
            // The server answers these from the history.
            Request::Incidents { .. } | Request::Stats { .. } | Request::Follow { .. } | Request::Heal { .. } => {
                Err(Refusal::failed("bad_request", "this is answered elsewhere"))
            }
        }
    }

    /// Asks the heal worker.
    fn ask<T>(&self, command: impl FnOnce(Sender<T>) -> Command) -> Result<T, Refusal> {
        let (reply, answer) = bounded(1);
        let sent = self.commands.send(command(reply));
        sent.ok().and_then(|()| answer.recv_timeout(PATIENCE).ok()).ok_or_else(stuck)
    }

    fn status(&self) -> Result<Value, Refusal> {
        let (reply, samples) = bounded(1);
        let standing = self.ask(Command::Show)?;
        let sent = self.detect.send(Order::Show(reply));
        let samples = sent.ok().and_then(|()| samples.recv_timeout(PATIENCE).ok()).ok_or_else(stuck)?;
        Ok(status::of(&self.board.read(), &standing, &samples, &self.recorder.get(), Moment::now()))
    }

    /// An open incident that is not in the history yet.
    fn open_incident(&self, prefix: &str) -> Result<Value, Refusal> {
        let open = self.ask(Command::Show)?.incidents;
        let found: Vec<&Incident> = open.iter().filter(|incident| incident.id.starts_with(prefix)).collect();
        match found[..] {
            [] => Err(recorded::no_incident(prefix)),
            [one] => {
                let report = report_path(&self.board.read().data_dir, one);
                Ok(json!({"incident": one.view(Some(&report), Moment::now())}))
            }
            _ => Err(recorded::ambiguous(prefix, &found.iter().map(|incident| incident.id.clone()).collect::<Vec<_>>())),
        }
    }

    fn decide(&self, id: &str, shown: Option<Vec<String>>, reason: Option<String>, peer: &Peer) -> Result<Value, Refusal> {
        let from = peer
            .pid
            .map_or_else(|| format!("control socket, uid {}", peer.uid), |pid| format!("control socket, uid {}, pid {pid}", peer.uid));
        let answer = Answer { yes: shown.is_some(), by: peer.user.clone(), from, reason };
        let decision = if answer.yes { "approved" } else { "denied" };
        self.ask(|reply| Command::Answer(id.to_owned(), shown, answer, reply))?.map_err(|not| refusal("not_waiting", not))?;
        Ok(json!({"incident": id, "decision": decision}))
    }

    fn reload(&self) -> Result<Value, Refusal> {
        let (reply, answer) = bounded(1);
        let sent = self.reload.send(Now { reply: Some(reply) });
        let reloaded = sent.ok().and_then(|()| answer.recv_timeout(PATIENCE).ok()).ok_or_else(stuck)?;
        let before = self.board.read().generation;
        let (ok, generation, problems) = match reloaded {
            // The main thread counts it a moment later.
            Reloaded::Loaded { config, problems } => {
                let counted = self.board.read();
                let generation = if std::sync::Arc::ptr_eq(&counted.config, &config) { counted.generation } else { before + 1 };
                (problems.is_empty(), generation, problems)
            }
            Reloaded::Rejected(problems) => (false, before, problems),
            Reloaded::Unchanged => (true, before, Vec::new()),
        };
        Ok(json!({"ok": ok, "generation": generation, "problems": problems}))
    }

    fn follow(&self, id: Option<&str>, playbook: Option<&str>, reply: &Reply) {
        let (changes_out, changes) = bounded(BEHIND);
        let mut printed = HashMap::new();
        if self.commands.send(Command::Follow(changes_out)).is_err() {
            return;
        }
        for change in changes {
            let Change::Incident { incident, .. } = change else { continue };
            let wanted = id.is_none_or(|id| incident.id.starts_with(id)) && playbook.is_none_or(|name| incident.playbook.id == name);
            if wanted && !lines(&incident, &mut printed, reply) {
                return;
            }
        }
    }

    /// Heals by hand: the lines of what happens, and each incident when it has ended.
    fn heal(&self, request: &Request, reply: Reply) {
        match self.heal_or_refuse(request, &reply) {
            Ok(value) => reply.ok(value),
            Err(refusal) => reply.refuse(refusal),
        }
    }

    fn heal_or_refuse(&self, request: &Request, reply: &Reply) -> Result<Value, Refusal> {
        let Request::Heal { playbook, labels, force, dry_run } = request else { return Err(stuck()) };
        let labels = labels.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        let request = by_hand::Request { playbook, labels, force: *force };
        let mut openings = match request.openings(&self.board.read().config)? {
            by_hand::Found::Open(openings) => openings,
            by_hand::Found::Nothing(text) => return Ok(json!({"nothing": text})),
        };
        if *dry_run {
            for opening in &mut openings {
                opening.playbook = std::sync::Arc::new(crate::config::playbook::Playbook { dry_run: true, ..(*opening.playbook).clone() });
            }
        }
        let (changes_out, changes) = unbounded();
        self.commands.send(Command::Follow(changes_out)).map_err(|_| stuck())?;
        let (mut open, mut refused) = (HashSet::new(), Vec::new());
        for opening in openings {
            match self.ask(|reply| Command::Heal(Box::new(opening), reply))? {
                Ok(id) => drop(open.insert(id)),
                Err(reason) => refused.push(reason),
            }
        }
        let mut printed = HashMap::new();
        while !open.is_empty() {
            let Ok(change) = changes.recv() else { return Err(stuck()) };
            let Change::Incident { incident, report, .. } = change else { continue };
            if !open.contains(&incident.id) {
                continue;
            }
            let ended = !incident.status.is_live();
            let heard = lines(&incident, &mut printed, reply)
                && (!ended || reply.line(json!({"incident": incident.view(Some(&report), Moment::now())})));
            if ended {
                open.remove(&incident.id);
            }
            if !heard {
                return Err(stuck());
            }
        }
        Ok(json!({"refused": refused}))
    }
}

/// What is new in the incident's timeline; false when nobody listens any more.
fn lines(incident: &Incident, printed: &mut HashMap<String, usize>, reply: &Reply) -> bool {
    let from = printed.insert(incident.id.clone(), incident.timeline.len()).unwrap_or(0);
    incident.timeline.iter().skip(from).all(|entry| {
        let mut line = json!(entry.view());
        line["incident"] = json!(incident.id);
        reply.line(line)
    })
}

fn refusal(code: &str, not: NotDone) -> Refusal {
    match not {
        NotDone::Unknown(text) => Refusal::failed(if code == "not_waiting" { "no_incident" } else { code }, text),
        NotDone::Refused(text) => Refusal::refused(code, text),
    }
}

fn stuck() -> Refusal {
    Refusal::failed("stuck", "a thread of the agent does not answer; its log says why")
}
