use std::os::unix::net::UnixListener;

use super::*;
use crate::host::systemd::wire::answers::{message, value};
use crate::threads;

const PROPERTIES: [Property; 2] = [("Unit", "ActiveState"), ("Service", "MainPID")];
const LONG: Duration = Duration::from_secs(10);

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// What is made of these pieces, which a systemd sends one after the other and then closes.
fn answer(bus: bool, pieces: Vec<Vec<u8>>) -> Result<Option<Vec<Option<Value>>>> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("private");
    let listener = UnixListener::bind(&path).unwrap();
    let mut question = Question::ask_at(&path, bus, "/unit/web", &PROPERTIES).unwrap();
    assert_eq!(question.answers(Duration::ZERO).unwrap(), None, "nobody is waited for");
    let server = threads::spawn("test:systemd", move || {
        let (mut stream, _) = listener.accept().unwrap();
        // What is left unread when it closes would take its own words with it.
        assert!(stream.read(&mut [0; 65536]).unwrap() > 100);
        for piece in pieces {
            stream.write_all(&piece).unwrap();
        }
    });
    let answer = question.answers(LONG);
    assert!(server.ended().recv_timeout(LONG).unwrap());
    answer
}

fn good() -> Vec<u8> {
    [b"OK 0123456789abcdef\r\n".to_vec(), value("s", &text("active")), value("u", &Value::Number(42))].concat()
}

#[test]
fn answers_are_read_whole_or_in_pieces() {
    let expected = vec![Some(text("active")), Some(Value::Number(42))];
    assert_eq!(answer(false, vec![good()]).unwrap(), Some(expected.clone()));
    let pieces = good().chunks(3).map(<[u8]>::to_vec).collect();
    assert_eq!(answer(false, pieces).unwrap(), Some(expected.clone()));
    let hello = [b"OK 1\r\n".to_vec(), value("s", &text(":1.7")), message(4, b""), good()[21..].to_vec()].concat();
    assert_eq!(answer(true, vec![hello]).unwrap(), Some(expected));
}

#[test]
fn a_property_that_is_not_there_is_none() {
    let mixed = [b"OK 1\r\n".to_vec(), message(3, b""), value("u", &Value::Number(1))].concat();
    assert_eq!(answer(false, vec![mixed]).unwrap(), Some(vec![None, Some(Value::Number(1))]));
}

#[test]
fn what_is_no_answer_is_an_error() {
    let closed = answer(false, vec![good()[..40].to_vec()]).unwrap_err();
    assert_eq!(closed.kind(), ErrorKind::UnexpectedEof);
    let rejected = answer(false, vec![b"REJECTED EXTERNAL\r\n".to_vec()]).unwrap_err();
    assert_eq!(rejected.to_string(), "systemd does not let us ask");
    assert!(answer(false, vec![b"OK 1\r\nlxxxxxxxxxxxxxxxxxxxxx".to_vec()]).is_err());
}

#[test]
fn a_systemd_that_takes_no_connections_keeps_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("private");
    let listener = socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
    rustix::net::bind(&listener, &SocketAddrUnix::new(&path).unwrap()).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let asked: Vec<Result<Question>> = (0..4).map(|_| Question::ask_at(&path, false, "/unit/web", &PROPERTIES)).collect();
    assert!(asked[0].is_ok());
    assert!(asked.iter().any(|one| one.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock)));
    assert_eq!(Question::ask_at(&dir.path().join("none"), false, "/", &PROPERTIES).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn everything_is_said_at_once() {
    let words = words(true, "/unit/web", &PROPERTIES);
    let text = String::from_utf8_lossy(&words);
    assert!(text.starts_with("\0AUTH EXTERNAL 3") && text.contains("\r\nBEGIN\r\nl\u{1}"));
    for word in ["Hello", "org.freedesktop.systemd1.Service", "MainPID", "/unit/web"] {
        assert!(text.contains(word), "{word}");
    }
}
