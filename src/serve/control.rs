//! The server of the control socket: thread `control` takes connections, a thread `control:peer` for each says what was asked
//! to the agent and its answer to the client. A client that is slow, silent or gone costs its own thread and nothing else.

use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::Value;

use super::listener::Listener;
use super::peer::{self, Admitted, Peer};
use super::protocol::{Answer, REQUEST_BYTES, Refusal, Request};
use super::{recorded, wire};
use crate::clock::Moment;
use crate::threads::{self, Worker};

/// Connections at the same time.
const CONNECTIONS: usize = 16;
/// A request must be here after this.
const REQUEST: Duration = Duration::from_secs(5);
/// A client must have taken a line of the answer after this.
const TAKEN: Duration = Duration::from_secs(10);
/// Lines that wait for a client that reads slowly; it is dropped beyond that.
const LINES: usize = 1024;
/// How often we look whether a client that waits for something to happen is still there.
const LOOK: Duration = Duration::from_secs(1);
/// Between two tries to take a connection while the system has no room for one.
const PAUSE: Duration = Duration::from_millis(200);

/// A request on its way to the thread that can do it.
#[derive(Debug)]
pub struct Call {
    /// What is asked.
    pub request: Request,
    /// Who asks. The peer may ask this: that was looked at.
    pub peer: Peer,
    /// Where the answer goes. Dropping it without one tells the client that there was none.
    pub reply: Reply,
}

/// The way back to the client. Nothing here ever blocks.
#[derive(Debug)]
pub struct Reply(Sender<Answer>);

impl Reply {
    /// A reply and where it comes out.
    #[must_use]
    pub fn channel() -> (Self, Receiver<Answer>) {
        let (send, answers) = bounded(LINES);
        (Self(send), answers)
    }

    /// It was done, with this result.
    pub fn ok(self, value: Value) {
        let _ = self.0.try_send(Answer::Ok(value));
    }

    /// One of several lines. `false` when the client is gone or reads too slowly: then drop the reply.
    #[must_use]
    pub fn line(&self, value: Value) -> bool {
        self.0.try_send(Answer::Line(value)).is_ok()
    }

    /// It was not done: a word for machines, a sentence for people, the exit code of the command that asked.
    pub fn error(self, code: &str, message: impl Into<String>, exit: u8) {
        self.refuse(Refusal { code: code.to_owned(), message: message.into(), exit });
    }

    /// It was not done.
    pub fn refuse(self, refusal: Refusal) {
        let _ = self.0.try_send(Answer::Error(refusal));
    }
}

/// Serves until `shutdown` says something or is closed; then the socket is removed. `calls` gets what the history of
/// `data_dir` cannot answer.
#[must_use]
pub fn start(mut listener: Listener, calls: Sender<Call>, data_dir: PathBuf, shutdown: Receiver<()>) -> Worker {
    let stop = listener.take_stop();
    // A channel and a socket cannot be waited for together: closing one end of a pair of sockets carries the word over.
    threads::spawn("control:stop", move || {
        let _ = shutdown.recv();
        drop(stop);
    });
    let admitted = Admitted::by(listener.path(), listener.is_shared());
    let desk = Arc::new(Desk { calls, data_dir, admitted });
    threads::spawn("control", move || take_connections(&listener, &desk))
}

fn take_connections(listener: &Listener, desk: &Arc<Desk>) {
    let connections = Arc::new(());
    let mut is_full = false;
    while listener.wait() {
        match listener.socket.accept() {
            Ok((stream, _)) => {
                is_full = false;
                take(stream, desk, &connections);
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => {}
            Err(error) => {
                if !is_full {
                    log::warn!("control socket: no connection can be taken: {error}");
                }
                is_full = true;
                if listener.stops_within(PAUSE) {
                    return;
                }
            }
        }
    }
}

/// Hands the connection to a thread of its own. That thread holds a clone of `connections`, which is how they are counted.
fn take(stream: UnixStream, desk: &Arc<Desk>, connections: &Arc<()>) {
    if Arc::strong_count(connections) > CONNECTIONS {
        let busy = Refusal::failed("busy", format!("the agent talks to {CONNECTIONS} others already; try again"));
        let _ = say(&stream, &Answer::Error(busy));
        return;
    }
    let (desk, counted) = (Arc::clone(desk), Arc::clone(connections));
    let talk = move || {
        let _counted = counted;
        if let Err(error) = stream.set_nonblocking(false).and_then(|()| desk.talk(&stream)) {
            log::debug!("control socket: a client was dropped: {error}");
        }
    };
    if let Err(error) = threads::try_spawn("control:peer", talk) {
        log::warn!("control socket: no thread for a client: {error}");
    }
}

/// What every connection needs.
#[derive(Debug)]
struct Desk {
    calls: Sender<Call>,
    data_dir: PathBuf,
    admitted: Admitted,
}

impl Desk {
    /// One request, its answer, and good-bye.
    fn talk(&self, stream: &UnixStream) -> io::Result<()> {
        let (peer, gid) = peer::of(stream)?;
        let request = match received(stream)? {
            Some(Ok(request)) => request,
            Some(Err(refusal)) => return say(stream, &Answer::Error(refusal)),
            None => return Ok(()),
        };
        self.answer(request, peer, gid, stream)
    }

    fn answer(&self, request: Request, peer: Peer, gid: u32, stream: &UnixStream) -> io::Result<()> {
        if recorded::is_recorded(&request) {
            let found = recorded::answer(&self.data_dir, &request, Moment::now().wall);
            // On a full disk an open incident may be in the agent's memory alone.
            let in_memory =
                matches!(request, Request::Incident { .. }) && found.as_ref().is_err_and(|refusal| refusal.code == "no_incident");
            if !in_memory {
                return say(stream, &found.map_or_else(Answer::Error, Answer::Ok));
            }
        }
        if request.is_change() && !self.admitted.admits(&peer, gid) {
            let message = format!("{} may look, but only root, the agent's user and the socket's group may change something", peer.user);
            return say(stream, &Answer::Error(Refusal::refused("not_permitted", message)));
        }
        let (reply, answers) = Reply::channel();
        match self.calls.send(Call { request, peer, reply }) {
            Ok(()) => pass_on(&answers, stream),
            Err(_) => say(stream, &Answer::Error(Refusal::no_agent("the agent is stopping"))),
        }
    }
}

/// The request, or what is wrong with it; `None` when the client hung up without one.
fn received(stream: &UnixStream) -> io::Result<Option<Result<Request, Refusal>>> {
    let deadline = Moment::now().after(REQUEST);
    match wire::Lines::new(stream).next(REQUEST_BYTES, Some(deadline)) {
        Ok(line) => Ok(line.map(|line| Request::parse(&line))),
        Err(error) if error.kind() == ErrorKind::InvalidData => {
            Ok(Some(Err(Refusal::failed("bad_request", format!("the request is not understood: {error}")))))
        }
        Err(error) if error.kind() == ErrorKind::TimedOut => {
            Ok(Some(Err(Refusal::failed("bad_request", format!("no request came within {} s", REQUEST.as_secs())))))
        }
        Err(error) => Err(error),
    }
}

/// Writes what comes until the last line, or until the client is gone. The agent sees from the closed channel that it is.
fn pass_on(answers: &Receiver<Answer>, stream: &UnixStream) -> io::Result<()> {
    loop {
        match answers.recv_timeout(LOOK) {
            Ok(answer) => {
                say(stream, &answer)?;
                if !matches!(answer, Answer::Line(_)) {
                    return Ok(());
                }
            }
            Err(RecvTimeoutError::Timeout) if has_hung_up(stream) => return Ok(()),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                let why = "the agent ended its answer early: it stops, or what it said was not read fast enough";
                return say(stream, &Answer::Error(Refusal::failed("ended", why)));
            }
        }
    }
}

fn say(stream: &UnixStream, answer: &Answer) -> io::Result<()> {
    wire::write(stream, &answer.to_line(), Moment::now().after(TAKEN))
}

/// Whether the client has closed the connection. One that only says no more has not: it still reads.
fn has_hung_up(stream: &UnixStream) -> bool {
    let mut looked = [PollFd::from_borrowed_fd(stream.as_fd(), PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut looked, Some(&now)).is_ok() && looked[0].revents().intersects(PollFlags::HUP | PollFlags::ERR)
}

#[cfg(test)]
#[path = "control_tests.rs"]
mod tests;
