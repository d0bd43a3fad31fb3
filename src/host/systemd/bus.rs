//! Questions to systemd, by D-Bus: nothing is started for them, and nobody waits for longer than he wants.
//!
//! Written by hand, because no crate does: zbus brings an async runtime, dbus a library in C, and rustbus (0.19) waits without
//! a limit while it connects, spins when the other side closes, and leaves its socket open for every program that is started.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, connect, socket};

use super::wire::{self, Reply, Value};
use crate::clock::Moment;

/// Where systemd itself listens, for root.
const PRIVATE: &str = "/run/systemd/private";
/// Where everybody else asks.
const BUS: &str = "/run/dbus/system_bus_socket";

/// A property: its interface, below `org.freedesktop.systemd1.`, and its name.
pub(super) type Property = (&'static str, &'static str);

/// What was asked, and what has come of the answers. Dropped, it is withdrawn.
#[derive(Debug)]
pub(super) struct Question {
    stream: UnixStream,
    received: Vec<u8>,
    /// How many replies come before those that count.
    greetings: usize,
    wanted: usize,
    values: Vec<Option<Value>>,
}

impl Question {
    /// Asks for properties of an object; waits for nothing.
    ///
    /// # Errors
    /// Nobody is there to be asked, we may not ask, or so many wait for an answer that no more is taken.
    pub(super) fn ask(object: &str, properties: &[Property]) -> Result<Self> {
        let root = nix::unistd::geteuid().is_root();
        Self::ask_at(Path::new(if root { PRIVATE } else { BUS }), !root, object, properties)
    }

    /// `bus`: not systemd itself listens there, but a message bus, which wants to be greeted.
    fn ask_at(path: &Path, bus: bool, object: &str, properties: &[Property]) -> Result<Self> {
        let socket = socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
        rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
        // Also the connection waits for nothing: where nobody takes connections any more, it is refused.
        rustix::io::ioctl_fionbio(&socket, true)?;
        connect(&socket, &SocketAddrUnix::new(path)?)?;
        let mut stream = UnixStream::from(socket);
        stream.write_all(&words(bus, object, properties))?;
        Ok(Self { stream, received: Vec::new(), greetings: usize::from(bus), wanted: properties.len(), values: Vec::new() })
    }

    /// The values in the order of the properties, if all are there after at most this time. A property that the object does
    /// not have is `None`. Once they were given, nothing more comes.
    ///
    /// # Errors
    /// The connection is broken, or this is no answer.
    pub(super) fn answers(&mut self, wait: Duration) -> Result<Option<Vec<Option<Value>>>> {
        let end = Moment::now().after(wait);
        loop {
            let more = self.receive()?;
            if self.values.len() >= self.wanted {
                return Ok(Some(std::mem::take(&mut self.values)));
            }
            let left = end.since(Moment::now());
            if more {
                continue;
            }
            if left.is_zero() {
                return Ok(None);
            }
            let time = Timespec { tv_sec: i64::try_from(left.as_secs()).unwrap_or(1), tv_nsec: i64::from(left.subsec_nanos()) };
            let _ = poll(&mut [PollFd::from_borrowed_fd(self.stream.as_fd(), PollFlags::IN)], Some(&time));
        }
    }

    /// Takes what is there, at most so much at a time: systemd also tells of every change of every unit. Whether there may be more.
    fn receive(&mut self) -> Result<bool> {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                self.received.extend(&buffer[..count]);
                self.read().map(|()| true)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(true),
            Err(error) => Err(error),
        }
    }

    fn read(&mut self) -> Result<()> {
        // `OK` and the server's id, on a line, come before the first message.
        if self.received.first() == Some(&b'O') {
            let Some(end) = self.received.windows(2).position(|pair| pair == b"\r\n") else { return Ok(()) };
            self.received.drain(..end + 2);
        } else if self.received.first().is_some_and(|first| !matches!(first, b'l' | b'B')) {
            return Err(Error::new(ErrorKind::PermissionDenied, "systemd does not let us ask"));
        }
        while let Some((reply, length)) = wire::first(&self.received).map_err(|what| Error::new(ErrorKind::InvalidData, what))? {
            self.received.drain(..length);
            // Replies come in the order of the calls: one connection, and systemd answers each call before it reads the next.
            match reply {
                Reply::Other => {}
                _ if self.greetings > 0 => self.greetings -= 1,
                Reply::Value(value) => self.values.push(value),
                Reply::Error => self.values.push(None),
            }
        }
        Ok(())
    }
}

/// All that is said: who we are, and every call, without waiting for an answer in between, as systemctl(1) does it.
fn words(bus: bool, object: &str, properties: &[Property]) -> Vec<u8> {
    let uid: String = nix::unistd::geteuid().to_string().bytes().map(|digit| format!("{digit:x}")).collect();
    let mut words = format!("\0AUTH EXTERNAL {uid}\r\nBEGIN\r\n").into_bytes();
    let mut serial = 0;
    let mut say = |object: &str, interface: &str, member: &str, arguments: &[&str]| {
        serial += 1;
        words.extend(wire::call(serial, object, interface, member, arguments));
    };
    if bus {
        say("/org/freedesktop/DBus", "org.freedesktop.DBus", "Hello", &[]);
    }
    for (interface, name) in properties {
        let interface = format!("org.freedesktop.systemd1.{interface}");
        say(object, "org.freedesktop.DBus.Properties", "Get", &[&interface, name]);
    }
    words
}

#[cfg(test)]
#[path = "bus_tests.rs"]
mod tests;
