//! How ureq's requests reach a server: over a [`Socket`], and through TLS where the address asks for it.

use std::cell::Cell;
use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use ureq::Error;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport};

use super::dial::{self, First, Socket};
use super::https::Tls;
use super::stages::Marks;
use crate::clock;

/// A request without a deadline has this one.
const LONGEST: Duration = Duration::from_hours(24);

/// Makes the connections of an agent, and marks how far its request came.
pub(super) struct Wires {
    pub(super) tls: Tls,
    pub(super) marks: Arc<Marks>,
}

impl Connector for Wires {
    type Out = Box<dyn Transport>;

    fn connect(&self, details: &ConnectionDetails<'_>, _chained: Option<()>) -> Result<Option<Self::Out>, Error> {
        let end = end(details.timeout);
        let late = |error| failure(error, details.timeout);
        self.marks.reach(|stages| stages.found = true);
        let socket = dial::connect(&details.addrs, First::We, end).map_err(late)?;
        self.marks.reach(|stages| stages.connected = Some(clock::instant()));
        let buffers = Lent::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        let marks = Arc::clone(&self.marks);
        if !details.needs_tls() {
            return Ok(Some(Box::new(Wire { buffers, stream: socket, marks })));
        }
        let config = self.tls.as_ref().ok_or(Error::Tls("no TLS was prepared for this address"))?;
        let host = details.uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host).map_err(|_| Error::Tls("the address has no host name that a certificate could be for"))?;
        let mut stream = StreamOwned::new(ClientConnection::new(Arc::clone(config), name)?, socket);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).map_err(late)?;
        }
        marks.reach(|stages| stages.secured = Some(clock::instant()));
        Ok(Some(Box::new(Wire { buffers, stream, marks })))
    }
}

impl fmt::Debug for Wires {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Wires")
    }
}

/// When this much time is over.
fn end(timeout: NextTimeout) -> Instant {
    clock::instant() + (*timeout.after).min(LONGEST)
}

fn failure(error: std::io::Error, timeout: NextTimeout) -> Error {
    match error.kind() {
        ErrorKind::TimedOut | ErrorKind::WouldBlock => Error::Timeout(timeout.reason),
        _ => error.into(),
    }
}

/// What bytes go through: a socket, or TLS over one.
trait Stream: Read + Write + Send + Sync + 'static {
    const TLS: bool;

    fn socket(&mut self) -> &mut Socket;
}

impl Stream for Socket {
    const TLS: bool = false;

    fn socket(&mut self) -> &mut Socket {
        self
    }
}

impl Stream for StreamOwned<ClientConnection, Socket> {
    const TLS: bool = true;

    fn socket(&mut self) -> &mut Socket {
        &mut self.sock
    }
}

thread_local! {
    /// Of the last connection of this thread.
    static SPARE: Cell<Option<LazyBuffers>> = const { Cell::new(None) };
}

/// The buffers of a connection: the next connection of the thread gets them. They are the largest block that a check takes, and new
/// ones are cleared for each.
struct Lent(LazyBuffers);

impl Lent {
    /// All agents ask for the same sizes.
    fn new(input: usize, output: usize) -> Self {
        Self(SPARE.take().unwrap_or_else(|| LazyBuffers::new(input, output)))
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut buffers = std::mem::replace(&mut self.0, LazyBuffers::new(1, 1));
        // What nobody has read is not for the next one.
        let left = buffers.input().len();
        buffers.input_consume(left);
        // A thread that ends has no use for them.
        let _ = SPARE.try_with(|spare| spare.set(Some(buffers)));
    }
}

/// A connection that is ready for requests.
struct Wire<S> {
    buffers: Lent,
    stream: S,
    marks: Arc<Marks>,
}

impl<S: Stream> Transport for Wire<S> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers.0
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.stream.socket().set_end(end(timeout));
        self.stream.write_all(&self.buffers.0.output()[..amount]).map_err(|error| failure(error, timeout))?;
        self.marks.reach(|stages| stages.sent = true);
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.stream.socket().set_end(end(timeout));
        let amount = self.stream.read(self.buffers.0.input_append_buf()).map_err(|error| failure(error, timeout))?;
        self.buffers.0.input_appended(amount);
        if amount > 0 {
            self.marks.reach(|stages| {
                stages.first_byte.get_or_insert_with(clock::instant);
            });
        }
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.socket().is_quiet()
    }

    fn is_tls(&self) -> bool {
        S::TLS
    }
}

impl<S: Stream> fmt::Debug for Wire<S> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Wire")
    }
}
