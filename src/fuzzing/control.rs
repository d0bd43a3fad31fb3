//! The control socket: lines as they come over a connection, as requests at the agent and as answers at the client.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::clock::Moment;
use crate::serve::protocol::{Answer, REQUEST_BYTES, Request};
use crate::serve::wire::Lines;

/// What somebody sends before he hangs up. More than a socket holds at once is cut off.
///
/// # Panics
/// A line is none, or what was understood does not survive being said again.
pub fn control(data: &[u8]) {
    let (mut theirs, ours) = UnixStream::pair().expect("the system has descriptors left");
    theirs.set_nonblocking(true).expect("every socket can be");
    let mut sent = 0;
    while let Ok(count @ 1..) = theirs.write(&data[sent..]) {
        sent += count;
    }
    let data = &data[..sent];
    drop(theirs);
    let deadline = Moment::now().after(Duration::from_secs(60));
    let mut lines = Lines::new(&ours);
    let mut at = 0;
    loop {
        match lines.next(REQUEST_BYTES, Some(deadline)) {
            Ok(Some(line)) => {
                assert_eq!(data.get(at..at + line.len()), Some(&*line), "the line at {at} is another");
                assert_eq!(data.get(at + line.len()), Some(&b'\n'));
                at += line.len() + 1;
                request(&line);
                answer(&line);
            }
            Ok(None) => return assert!(!data[at..].contains(&b'\n') && data.len() - at <= REQUEST_BYTES),
            Err(error) => {
                let length = data[at..].iter().position(|byte| *byte == b'\n').unwrap_or(data.len() - at);
                return assert!(length > REQUEST_BYTES, "{error}");
            }
        }
    }
}

/// Said again it is the same, and its times are times.
fn request(line: &[u8]) {
    match Request::parse(line) {
        Ok(request) => {
            let said = one_line(request.to_line());
            let heard = Request::parse(&said).expect("what is said is understood");
            assert_eq!(heard.is_change(), request.is_change());
            assert_eq!(heard, request);
            if let Request::Silence { for_seconds: seconds, .. } | Request::Stats { since_seconds: Some(seconds) } = request {
                assert!(Duration::try_from_secs_f64(seconds).is_ok(), "{seconds}");
            }
        }
        Err(refusal) => {
            assert!(!refusal.message.is_empty());
            answer(&one_line(Answer::Error(refusal).to_line()));
        }
    }
}

fn answer(line: &[u8]) {
    if let Ok(answer) = serde_json::from_slice::<Answer>(line) {
        let said = one_line(answer.to_line());
        serde_json::from_slice::<Answer>(&said).expect("what is said is understood");
    }
}

/// The line without its line break, of which it has exactly one.
fn one_line(mut line: Vec<u8>) -> Vec<u8> {
    assert_eq!((line.pop(), line.contains(&b'\n')), (Some(b'\n'), false));
    line
}
