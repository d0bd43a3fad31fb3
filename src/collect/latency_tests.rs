use std::io::Write;

use super::*;
use crate::collect::Exclusions;
use crate::collect::test_rig::{answering, endpoint, pause, read_head, refusing, sample, server, silent, text, value};
use crate::config::playbook::StatusSet;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

fn measure(entry: EndpointEntry) -> Vec<Sample> {
    let samples = Latency::new(entry, Shared::new(Exclusions::default())).measure();
    assert_eq!(samples.len(), 3);
    samples
}

fn at(address: std::net::SocketAddr) -> EndpointEntry {
    endpoint("shop", &format!("http://{address}/path"))
}

/// The endpoint is down: infinite, and for this reason; the status code if there was one.
#[track_caller]
fn down(entry: EndpointEntry, reason: &str, status: Option<f64>) {
    let samples = measure(entry);
    let latency = sample(&samples, "api_latency_ms");
    assert_eq!(latency.value, Some(Value::Infinite));
    assert!(latency.reason.as_ref().unwrap().contains(reason), "{:?}", latency.reason);
    assert_eq!(text(&samples, "api_status"), "down");
    let code = sample(&samples, "http_status");
    assert_eq!(code.value, status.map(Value::Number));
    assert_eq!(code.value.is_none(), code.reason.is_some());
}

#[test]
fn a_good_answer_is_up_with_its_time() {
    let samples = measure(at(answering(OK)));
    assert_eq!(text(&samples, "api_status"), "up");
    assert!((0.0..5000.0).contains(&value(&samples, "api_latency_ms")));
    assert_eq!(value(&samples, "http_status"), 200.0);
    let target = &samples[0].target;
    assert_eq!((target.identity.get("endpoint"), target.identity.get("host")), (Some("shop"), Some("127.0.0.1")));
    assert!(target.facts.get("url").is_some());
}

#[test]
fn every_failure_is_infinite_and_says_why() {
    let short = |address| EndpointEntry { timeout: Duration::from_millis(300), ..at(address) };
    down(at(refusing()), "connection refused", None);
    down(short(silent()), "timed out after 0.3 s", None);
    down(at(answering("HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n")), "status 500, expected 200-399", Some(500.0));
    down(at(answering("HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nearly")), "", Some(200.0));
    down(at(answering("")), "", None);
    down(at(answering("garbage\r\n\r\n")), "", None);
    down(EndpointEntry { url: "http://no-such-host.invalid/".to_owned(), ..at(refusing()) }, "host not found", None);
    let https = |address| EndpointEntry { url: format!("https://{address}/"), ..short(address) };
    down(https(answering(OK)), "", None);
}

#[test]
fn a_trickle_does_not_outlast_the_deadline() {
    let trickle = |head: &'static str| {
        server(move |mut stream| {
            read_head(&mut stream);
            let _ = stream.write_all(head.as_bytes());
            while stream.write_all(b"x").is_ok() {
                pause(Duration::from_millis(20));
            }
        })
    };
    let short = |address| EndpointEntry { timeout: Duration::from_millis(300), ..at(address) };
    down(short(trickle("HTTP/1.1 200 OK\r\nslow: ")), "timed out", None);
    down(short(trickle("HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")), "timed out", Some(200.0));
}

#[test]
fn a_redirect_is_an_answer() {
    let address = answering("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(value(&measure(at(address)), "http_status"), 302.0);
    down(EndpointEntry { expected_status: StatusSet(vec![(200, 200)]), ..at(address) }, "status 302, expected 200", Some(302.0));
}

#[test]
fn the_body_is_looked_at() {
    let address = answering(OK);
    let expecting = |pattern: &str| EndpointEntry { expected_body: Some(regex::Regex::new(pattern).unwrap()), ..at(address) };
    assert_eq!(text(&measure(expecting("^hel+o$")), "api_status"), "up");
    down(expecting("welcome"), "does not match /welcome/", Some(200.0));
}

#[test]
fn an_endless_body_is_read_up_to_its_limit() {
    let address = server(|mut stream| {
        read_head(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n");
        while stream.write_all(&[b'x'; 4096]).is_ok() {}
    });
    assert_eq!(text(&measure(at(address)), "api_status"), "up");
}

#[test]
fn method_and_headers_are_sent() {
    let address = server(|mut stream| {
        let head = read_head(&mut stream).to_ascii_lowercase();
        let good = head.starts_with("post /path ") && head.contains("x-probe: 1");
        let _ = stream.write_all(if good { OK.as_bytes() } else { b"HTTP/1.1 400 Bad\r\ncontent-length: 0\r\n\r\n" });
    });
    let entry = EndpointEntry { method: "POST".to_owned(), headers: vec![("X-Probe".to_owned(), "1".to_owned())], ..at(address) };
    assert_eq!(value(&measure(entry), "http_status"), 200.0);
}

#[test]
fn connections_are_new_each_time_unless_kept() {
    use std::sync::atomic::{AtomicU32, Ordering};
    for keep_alive in [false, true] {
        let connections = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&connections);
        let address = server(move |mut stream| {
            counter.fetch_add(1, Ordering::Relaxed);
            // Two requests, then the server closes: the third must not see a failure.
            for _ in 0..2 {
                if !read_head(&mut stream).is_empty() {
                    let _ = stream.write_all(OK.as_bytes());
                }
            }
        });
        let mut latency = Latency::new(EndpointEntry { keep_alive, ..at(address) }, Shared::new(Exclusions::default()));
        for _ in 0..4 {
            assert_eq!(text(&latency.measure(), "api_status"), "up");
        }
        let made = connections.load(Ordering::Relaxed);
        assert!(if keep_alive { made < 4 } else { made == 4 }, "keep_alive {keep_alive}: {made} connections");
    }
}

#[test]
fn a_ca_file_that_is_missing_says_nothing_about_the_target() {
    let address = refusing();
    let entry = EndpointEntry { url: format!("https://{address}/"), ca_file: Some("/no/such/ca.pem".into()), ..at(address) };
    let samples = measure(entry);
    assert!(samples.iter().all(|sample| sample.value.is_none()));
    assert!(samples[0].reason.as_ref().unwrap().contains("ca_file /no/such/ca.pem: no such file"));
}
