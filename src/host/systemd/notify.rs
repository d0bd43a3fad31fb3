//! What systemd is told: sd_notify(3), one datagram for each change of state.

use std::os::unix::net::UnixDatagram;

use crate::clock::Moment;
use crate::record::escape::terminal;

/// The way to the service manager; without one nothing is said.
#[derive(Debug, Default)]
pub struct Manager {
    socket: Option<UnixDatagram>,
}

impl Manager {
    /// Finds the manager by `$NOTIFY_SOCKET`: a path, or `@name` in Linux' abstract name space.
    #[must_use]
    pub fn from_environment() -> Self {
        let Some(address) = std::env::var("NOTIFY_SOCKET").ok().filter(|address| !address.is_empty()) else { return Self::default() };
        match connect(&address) {
            Ok(socket) => Self { socket: Some(socket) },
            Err(error) => {
                log::warn!("systemd cannot be told anything NOTIFY_SOCKET={address} reason={error}");
                Self::default()
            }
        }
    }

    /// The configuration is in force and every local target was measured once.
    pub fn ready(&self) {
        self.say("READY=1");
    }

    /// The configuration is loaded again.
    pub fn reloading(&self) {
        self.say(&format!("RELOADING=1\nMONOTONIC_USEC={}", Moment::now().monotonic().as_micros()));
    }

    /// One line for `systemctl status`. A line break in it would be another message to the manager.
    pub fn status(&self, text: &str) {
        self.say(&format!("STATUS={}", terminal(text)));
    }

    /// The agent stops.
    pub fn stopping(&self) {
        self.say("STOPPING=1");
    }

    fn say(&self, datagram: &str) {
        if let Some(socket) = &self.socket {
            // A manager that does not listen is no reason to do anything else.
            let _ = socket.send(datagram.as_bytes());
        }
    }
}

fn connect(address: &str) -> std::io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    match address.strip_prefix('@') {
        #[cfg(target_os = "linux")]
        Some(name) => {
            use std::os::linux::net::SocketAddrExt;
            socket.connect_addr(&std::os::unix::net::SocketAddr::from_abstract_name(name)?)?;
        }
        _ => socket.connect(address)?,
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_reach_a_socket_by_path() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let server = UnixDatagram::bind(&path).unwrap();
        let manager = Manager { socket: Some(connect(path.to_str().unwrap()).unwrap()) };
        manager.ready();
        manager.status("two\nlines\u{1b}[2J");
        let mut buffer = [0; 64];
        let mut next = || {
            let length = server.recv(&mut buffer).unwrap();
            String::from_utf8_lossy(&buffer[..length]).into_owned()
        };
        assert_eq!(next(), "READY=1");
        assert_eq!(next(), "STATUS=two\\nlines\\u{1b}[2J");
    }
}
