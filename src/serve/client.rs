//! The client of the control socket: what the command line uses.

use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, setsockopt, socket, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};
use serde_json::Value;

use super::protocol::{Answer, Refusal, Request};
use super::{listener, wire};
use crate::clock::Moment;

/// Where an agent's socket is when the service manager made a place for it.
pub const RUNTIME: &str = "/run/autoheal";
/// An agent that has not answered after this hangs.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest line of an answer, in bytes.
const ANSWER_BYTES: usize = 64 << 20;

/// A connection to an agent; good for one request.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    patience: Duration,
}

impl Client {
    /// Connects to the agent of this data directory, or else to that of the service manager, whose directory is `runtime`
    /// ([`RUNTIME`] but in tests).
    ///
    /// # Errors
    /// `no_agent` when there is none, `not_permitted` when there may be one that does not let us in.
    pub fn connect(data_dir: &Path, runtime: &Path) -> Result<Self, Refusal> {
        let dirs = [data_dir, runtime];
        Self::to(data_dir, &dirs.map(|dir| dir.join(listener::NAME)), PATIENCE)
    }

    /// Connects to the first of these sockets at which an agent listens.
    pub(super) fn to(data_dir: &Path, sockets: &[PathBuf], patience: Duration) -> Result<Self, Refusal> {
        let mut denied = None;
        for path in sockets {
            match connected(path, patience) {
                Ok(stream) => return Ok(Self { stream, patience }),
                Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied) => {
                    denied.get_or_insert(path);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(hangs(patience)),
                // Not there, nobody listens, or no socket at all.
                Err(_) => {}
            }
        }
        Err(match denied {
            Some(path) => Refusal::refused(
                "not_permitted",
                format!("{}: permission denied; only root, the agent's user or the socket's group may ask the agent", path.display()),
            ),
            None => {
                let looked: Vec<_> = sockets.iter().map(|path| path.display().to_string()).collect();
                Refusal::no_agent(format!(
                    "no agent is running on {} (looked for {}); start one with `autoheal run`",
                    data_dir.display(),
                    looked.join(" and ")
                ))
            }
        })
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// The agent's, `no_answer` when it hangs, `ended` when it ends in the middle.
    pub fn ask(self, request: &Request) -> Result<Value, Refusal> {
        let deadline = Moment::now().after(self.patience);
        self.exchange(request, Some(deadline), |_| Ok(()))
    }

    /// Asks, and hands each line of the answer to `each` for as long as it takes. The result is the last line's value.
    ///
    /// # Errors
    /// Those of `each`, and as with [`ask`](Self::ask).
    pub fn follow<E: From<Refusal>>(self, request: &Request, each: impl FnMut(Value) -> Result<(), E>) -> Result<Value, E> {
        self.exchange(request, None, each)
    }

    fn exchange<E: From<Refusal>>(
        self,
        request: &Request,
        deadline: Option<Moment>,
        mut each: impl FnMut(Value) -> Result<(), E>,
    ) -> Result<Value, E> {
        let sent = wire::write(&self.stream, &request.to_line(), Moment::now().after(self.patience));
        // An agent that takes no request (it is busy, say) has said why before it hung up.
        if let Err(error) = sent.as_ref()
            && error.kind() == ErrorKind::TimedOut
        {
            return Err(hangs(self.patience).into());
        }
        let mut lines = wire::Lines::new(&self.stream);
        loop {
            let line = lines.next(ANSWER_BYTES, deadline).map_err(|error| self.broken(&error))?;
            let line =
                line.ok_or_else(|| Refusal::failed("ended", "the agent hung up before its answer was complete; its log says why"))?;
            let answer = serde_json::from_slice(&line)
                .map_err(|error| Refusal::failed("bad_answer", format!("the agent's answer is not understood: {error}")))?;
            match answer {
                Answer::Line(value) => each(value)?,
                Answer::Ok(value) => return Ok(value),
                Answer::Error(refusal) => return Err(refusal.into()),
            }
        }
    }

    fn broken(&self, error: &io::Error) -> Refusal {
        match error.kind() {
            ErrorKind::TimedOut => hangs(self.patience),
            _ => Refusal::failed("ended", format!("the agent's answer cannot be read: {error}")),
        }
    }
}

fn hangs(patience: Duration) -> Refusal {
    let seconds = patience.as_secs_f64();
    Refusal::failed("no_answer", format!("the agent does not answer within {seconds} s: it hangs or is very busy; its log may say why"))
}

/// Connects; when the agent takes no connections for so long, `WouldBlock`.
fn connected(path: &Path, patience: Duration) -> io::Result<UnixStream> {
    let socket = socket(AddressFamily::Unix, SockType::Stream, SockFlag::empty(), None)?;
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
    let limit = TimeVal::milliseconds(i64::try_from(patience.as_millis()).unwrap_or(10_000));
    setsockopt(&socket, sockopt::SendTimeout, &limit)?;
    connect(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(UnixStream::from(socket))
}
