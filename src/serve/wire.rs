//! Lines on a stream socket, each with a deadline for the whole of it: somebody who sends a byte now and then gains nothing.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::clock::Moment;

/// Reads lines. What was read beyond a line stays for the next one.
#[derive(Debug)]
pub(crate) struct Lines<'s> {
    stream: &'s UnixStream,
    buffer: Vec<u8>,
    /// The beginning of the buffer up to here holds no line break.
    seen: usize,
}

impl<'s> Lines<'s> {
    pub(crate) fn new(stream: &'s UnixStream) -> Self {
        Self { stream, buffer: Vec::new(), seen: 0 }
    }

    /// The next line without its line break; `None` at the end. Without a deadline it waits as long as it takes.
    ///
    /// # Errors
    /// `TimedOut` after the deadline, `InvalidData` for a longer line, and the system's.
    pub(crate) fn next(&mut self, limit: usize, deadline: Option<Moment>) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(end) = self.buffer[self.seen..].iter().position(|byte| *byte == b'\n') {
                let rest = self.buffer.split_off(self.seen + end + 1);
                let mut line = std::mem::replace(&mut self.buffer, rest);
                self.seen = 0;
                line.pop();
                return if line.len() > limit { Err(too_long(limit)) } else { Ok(Some(line)) };
            }
            self.seen = self.buffer.len();
            if self.seen > limit {
                return Err(too_long(limit));
            }
            self.stream.set_read_timeout(left(deadline)?)?;
            let mut chunk = [0; 8 * 1024];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Ok(None),
                Ok(count) => self.buffer.extend_from_slice(&chunk[..count]),
                Err(error) if is_retried(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Writes all of it.
///
/// # Errors
/// `TimedOut` after the deadline, and the system's.
pub(crate) fn write(mut stream: &UnixStream, mut bytes: &[u8], deadline: Moment) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.set_write_timeout(left(Some(deadline))?)?;
        match stream.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(error) if is_retried(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A timeout of the socket is looked at again by the clock: it may have come a little early.
fn is_retried(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

fn left(deadline: Option<Moment>) -> io::Result<Option<Duration>> {
    match deadline.map(|deadline| deadline.since(Moment::now())) {
        Some(left) if left.is_zero() => Err(ErrorKind::TimedOut.into()),
        // Less than a microsecond would be taken for "no timeout".
        left => Ok(left.map(|left| left.max(Duration::from_millis(1)))),
    }
}

fn too_long(limit: usize) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("the line is longer than {} KiB", limit / 1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soon() -> Option<Moment> {
        Some(Moment::now().after(Duration::from_secs(10)))
    }

    #[test]
    fn lines_come_one_by_one_however_they_arrive() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        ours.write_all(b"one\ntwo\n\nhalf").unwrap();
        let mut lines = Lines::new(&theirs);
        let mut next = || lines.next(100, soon()).unwrap().map(|line| String::from_utf8(line).unwrap());
        assert_eq!((next(), next(), next()), (Some("one".to_owned()), Some("two".to_owned()), Some(String::new())));
        ours.write_all(b" and half\nlost").unwrap();
        drop(ours);
        assert_eq!((next(), next()), (Some("half and half".to_owned()), None));
    }

    #[test]
    fn a_line_has_a_limit_and_a_deadline() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        ours.write_all(&[b'x'; 2000]).unwrap();
        assert_eq!(Lines::new(&theirs).next(1024, soon()).unwrap_err().kind(), ErrorKind::InvalidData);
        ours.write_all(b"no line break").unwrap();
        let past = Some(Moment::now().after(Duration::from_millis(30)));
        let mut lines = Lines::new(&theirs);
        assert_eq!(lines.next(1 << 20, past).unwrap_err().kind(), ErrorKind::TimedOut);
    }

    #[test]
    fn nobody_waits_for_a_reader_that_does_not_read() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let big = vec![b'x'; 32 << 20];
        let error = write(&ours, &big, Moment::now().after(Duration::from_millis(50))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }
}
