//! TCP connections with one deadline for everything, in as few system calls as the system allows.

use std::io::{Error, ErrorKind, IoSlice, Read, Result as IoResult, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use crate::clock;

/// A limit of the socket may be this much off what is left of the time, or a part of itself if that is less: most connections
/// then need to set each limit once.
const SLACK: Duration = Duration::from_millis(100);
const SLACK_PART: u32 = 32;

/// Who sends the first byte on a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum First {
    We,
    They,
}

/// Connects to the first of these addresses that answers, in their order.
///
/// # Errors
/// The system's for the last address; `TimedOut` at the deadline.
pub(crate) fn connect(addresses: &[SocketAddr], first: First, end: Instant) -> IoResult<Socket> {
    let mut last = Error::other("host not found");
    for (index, address) in addresses.iter().enumerate() {
        let left = left(end)?;
        // An address that does not answer must leave time for the next one.
        let share = if index + 1 == addresses.len() { left } else { (left / 2).max(Duration::from_millis(1)) };
        match open(address, first, share, clock::instant() + share) {
            Ok((stream, write_limit)) => return Ok(Socket::new(stream, end, write_limit)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Time that is left.
///
/// # Errors
/// `TimedOut` if there is none.
pub(crate) fn left(end: Instant) -> IoResult<Duration> {
    let left = end.saturating_duration_since(clock::instant());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// Linux bounds `connect` by the limit for sending, see socket(7): no switching to and from non-blocking, no polling. The limit
/// stays on the socket.
#[cfg(target_os = "linux")]
fn open(address: &SocketAddr, first: First, timeout: Duration, end: Instant) -> IoResult<(TcpStream, Option<Duration>)> {
    use rustix::net::sockopt::{Timeout, set_socket_timeout, set_tcp_quickack};
    use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};

    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    if first == First::We {
        // The confirmation that ends the handshake goes out with the request, see tcp(7): a packet less on its way, and a wake-up less
        // for the server. Where that cannot be, it is as it always was.
        let _ = set_tcp_quickack(&socket, false);
    }
    let mut limit = timeout;
    loop {
        set_socket_timeout(&socket, Timeout::Send, Some(limit))?;
        match connect(&socket, address) {
            Ok(()) => return Ok((socket.into(), Some(limit))),
            // A process that was stopped and goes on: asked again, the system waits for the connection that is under way.
            Err(Errno::INTR) => limit = left(end)?,
            // What is said of a connection that is still under way when the time is over.
            Err(Errno::INPROGRESS | Errno::ALREADY) => return Err(ErrorKind::TimedOut.into()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Elsewhere the limit for sending does not bound `connect`.
#[cfg(not(target_os = "linux"))]
fn open(address: &SocketAddr, _first: First, timeout: Duration, _end: Instant) -> IoResult<(TcpStream, Option<Duration>)> {
    Ok((TcpStream::connect_timeout(address, timeout)?, None))
}

/// A connection with one deadline for everything: a server that sends a byte now and then gains nothing.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    end: Instant,
    /// The limits that the system has for one call.
    read_limit: Option<Duration>,
    write_limit: Option<Duration>,
    /// Something was sent that nothing was received after.
    unanswered: bool,
    /// Small pieces are sent at once.
    hurries: bool,
}

impl Socket {
    fn new(stream: TcpStream, end: Instant, write_limit: Option<Duration>) -> Self {
        Self { stream, end, read_limit: None, write_limit, unanswered: false, hurries: false }
    }

    /// From now on this is the deadline.
    pub(crate) fn set_end(&mut self, end: Instant) {
        self.end = end;
    }

    /// Whether the other side has neither closed the connection nor sent what nobody asked for.
    pub(crate) fn is_quiet(&self) -> bool {
        recv(&self.stream, &mut [0; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT) == Err(Errno::AGAIN)
    }

    /// How the system's limit for one call must be set, if it must.
    fn limit(&self, known: Option<Duration>) -> IoResult<Option<Duration>> {
        let left = left(self.end)?;
        let fits = |known: Duration| known.abs_diff(left) <= SLACK.min(known / SLACK_PART);
        Ok(Some(left).filter(|_| !known.is_some_and(fits)))
    }

    fn before_write(&mut self) -> IoResult<()> {
        // The system holds a small piece back until the other side has confirmed the one before it, which it may put off.
        if self.unanswered && !self.hurries {
            set(self.stream.set_nodelay(true))?;
            self.hurries = true;
        }
        self.unanswered = true;
        if let Some(limit) = self.limit(self.write_limit)? {
            set(self.stream.set_write_timeout(Some(limit)))?;
            self.write_limit = Some(limit);
        }
        Ok(())
    }
}

/// macOS sets nothing on a connection that the other side has closed. What it sent before can be read all the same, and nothing
/// waits there.
fn set(result: IoResult<()>) -> IoResult<()> {
    match result {
        Err(error) if cfg!(target_os = "macos") && error.kind() == ErrorKind::InvalidInput => Ok(()),
        other => other,
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> IoResult<usize> {
        loop {
            if let Some(limit) = self.limit(self.read_limit)? {
                set(self.stream.set_read_timeout(Some(limit)))?;
                self.read_limit = Some(limit);
            }
            match self.stream.read(buffer) {
                // A process that was stopped and goes on.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                done => {
                    self.unanswered = false;
                    return done;
                }
            }
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> IoResult<usize> {
        self.before_write()?;
        self.stream.write(bytes)
    }

    /// The messages of one flight of a handshake go out together.
    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> IoResult<usize> {
        self.before_write()?;
        self.stream.write_vectored(pieces)
    }

    fn flush(&mut self) -> IoResult<()> {
        self.stream.flush()
    }
}

#[cfg(test)]
#[path = "dial_tests.rs"]
mod tests;
