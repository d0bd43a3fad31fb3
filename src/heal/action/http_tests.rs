use std::io::Write;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::Ordering;

use rustls::pki_types::PrivateKeyDer;

use super::super::tests::limit;
use super::*;

/// Answers one connection: gives back what was asked, sends `answer`, and keeps the connection open if it should hang.
fn serve(answer: &'static str, hang: bool) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/reset", listener.local_addr().unwrap());
    let (asked, question) = bounded(1);
    threads::spawn("test server", move || {
        let (mut stream, _) = listener.accept().unwrap();
        asked.send(read_request(&mut stream)).unwrap();
        stream.write_all(answer.as_bytes()).unwrap();
        if hang {
            // Until the client goes away.
            let _ = stream.read(&mut [0]);
        }
        let _ = stream.shutdown(Shutdown::Both);
    });
    (url, question)
}

/// Head and body of a request that names its length.
fn read_request(stream: &mut impl Read) -> String {
    let mut text = String::new();
    let mut byte = [0];
    while !text.ends_with("\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
        text.push(char::from(byte[0]));
    }
    let length = text.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    text + std::str::from_utf8(&body).unwrap()
}

fn success() -> StatusSet {
    StatusSet(vec![(200, 299)])
}

fn post(url: &str, seconds: u64) -> Result<String, String> {
    request("POST", url, &[], None, &success(), &limit(seconds))
}

#[test]
fn the_request_is_sent_as_told_and_the_answer_is_shown() {
    let (url, question) = serve("HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\nreset", false);
    let headers = [("X-Token".to_owned(), "a b".to_owned())];
    let said = request("PUT", &url, &headers, Some("{\"all\": true}"), &success(), &limit(10)).unwrap();
    assert_eq!(said, "HTTP/1.1 201 Created\nreset");
    let question = question.recv().unwrap();
    assert!(question.starts_with("PUT /reset HTTP/1.1\r\n") && question.ends_with("\r\n\r\n{\"all\": true}"), "{question}");
    let lower = question.to_ascii_lowercase();
    assert!(lower.contains("x-token: a b\r\n") && lower.contains("content-length: 13\r\n") && lower.contains("user-agent: autoheal/"));
}

#[test]
fn a_post_without_a_body_says_so_and_a_get_has_none() {
    for (method, length) in [("POST", true), ("GET", false), ("DELETE", false)] {
        let (url, question) = serve("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false);
        assert_eq!(request(method, &url, &[], None, &success(), &limit(10)).unwrap(), "HTTP/1.1 200 OK");
        let question = question.recv().unwrap();
        assert!(question.starts_with(&format!("{method} /reset ")), "{question}");
        assert_eq!(question.to_ascii_lowercase().contains("content-length: 0"), length, "{question}");
    }
}

#[test]
fn no_second_request_hides_in_the_first() {
    for name in ["Content-Length", "transfer-encoding", "Connection", "UPGRADE", "Host", "X-HTTP-Method-Override"] {
        let headers = [("X-Token".to_owned(), "a".to_owned()), (name.to_owned(), "0".to_owned())];
        let error =
            request("POST", "http://127.0.0.1:9/", &headers, Some("DELETE /all HTTP/1.1\r\n\r\n"), &success(), &limit(10)).unwrap_err();
        assert!(error.contains(&format!("the header {name} is autoheal's to set")), "{error}");
    }
}

#[test]
fn a_value_makes_no_second_header() {
    for value in ["a\r\nX-Admin: 1", "a\nb", "a\u{0}", "a\u{7f}"] {
        let headers = [("X-Name".to_owned(), value.to_owned())];
        let error = request("POST", "http://127.0.0.1:9/", &headers, None, &success(), &limit(10)).unwrap_err();
        assert!(error.contains("cannot be sent"), "{error}");
    }
}

#[track_caller]
fn fails(answer: &'static str, reason: &str) {
    let (url, _question) = serve(answer, false);
    let error = post(&url, 10).unwrap_err();
    assert!(error.starts_with(&format!("POST {url}: ")) && error.contains(reason), "{error}");
}

#[test]
fn the_status_decides() {
    fails(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 8\r\n\r\nno\n pool",
        "answered HTTP/1.1 503 Service Unavailable, expected 200-299; it said: no pool",
    );
    fails(
        "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        "answered HTTP/1.1 302 Found, expected 200-299",
    );
    fails("nonsense\r\n\r\n", "");
    fails("", "");
    let (url, _question) = serve("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", false);
    assert_eq!(request("POST", &url, &[], None, &StatusSet(vec![(302, 302)]), &limit(10)).unwrap(), "HTTP/1.1 302 Found");
}

#[test]
fn a_long_or_broken_body_is_cut_and_named() {
    let (url, _question) = serve(concat!("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", "half"), false);
    let said = post(&url, 10).unwrap();
    assert!(said.starts_with("HTTP/1.1 200 OK\nhalf\n(the body broke off: "), "{said}");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    threads::spawn("test server", move || {
        let (mut stream, _) = listener.accept().unwrap();
        read_request(&mut stream);
        let _ = write!(stream, "HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(100_000));
    });
    let said = post(&url, 10).unwrap();
    assert!(said.ends_with("xxx\n(the body goes on)") && said.len() < 4200, "{} bytes", said.len());
}

#[test]
fn nobody_there_is_a_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    assert!(post(&url, 10).unwrap_err().to_lowercase().contains("refused"));
    for url in ["no url", "ftp://127.0.0.1/", "/path"] {
        assert!(post(url, 10).is_err(), "{url}");
    }
    assert!(request("BAD METHOD", "http://127.0.0.1:1/", &[], None, &success(), &limit(10)).unwrap_err().contains("cannot be sent"));
}

#[test]
fn one_deadline_holds_for_head_and_silence() {
    for answer in ["", "HTTP/1.1 200 OK\r\nContent-"] {
        let (url, _question) = serve(answer, true);
        let error = post(&url, 1).unwrap_err();
        assert!(error.contains("no answer"), "{error}");
    }
    assert!(post("http://127.0.0.1:1/", 0).unwrap_err().contains("not sent, its time was over"));
}

#[test]
fn a_stopping_agent_does_not_wait_for_a_silent_server() {
    let (url, question) = serve("", true);
    let limit = limit(3600);
    let stop = limit.stop.clone();
    threads::spawn("test stop", move || {
        question.recv().unwrap();
        stop.store(true, Ordering::Relaxed);
    });
    let error = request("POST", &url, &[], None, &success(), &limit).unwrap_err();
    assert!(error.contains("the agent stops"), "{error}");
}

/// A TLS server that answers two connections, and its own certificate.
fn serve_tls() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://localhost:{}/", listener.local_addr().unwrap().port());
    let config = std::sync::Arc::new(config);
    threads::spawn("test server", move || {
        for stream in listener.incoming().take(2) {
            let connection = rustls::ServerConnection::new(config.clone()).unwrap();
            let mut stream: rustls::StreamOwned<_, TcpStream> = rustls::StreamOwned::new(connection, stream.unwrap());
            // The client that does not trust it goes away in the handshake.
            if stream.conn.complete_io(&mut stream.sock).is_ok() {
                read_request(&mut stream);
                let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n");
            }
        }
    });
    (url, made.cert.pem())
}

#[test]
fn certificates_are_verified() {
    let (url, certificate) = serve_tls();
    let error = post(&url, 10).unwrap_err();
    assert!(error.contains("certificate"), "{error}");
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(certificate.as_bytes()).unwrap();
    let trust = Trust::new(Some(file.path()), false);
    let trusting: &'static Agent = Box::leak(Box::new(super::trusting(&trust).unwrap()));
    assert_eq!(request_by(trusting, "POST", &url, &[], None, &success(), &limit(10)).unwrap(), "HTTP/1.1 204 No Content");
}
