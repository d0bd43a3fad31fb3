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

/// The connections of a thread have their buffers one after the other.
#[test]
fn what_one_endpoint_said_too_much_is_no_answer_of_the_next() {
    let ends = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 503 Broken\r\ncontent-length: 0\r\n\r\n";
    let hello = Some(regex::Regex::new("^hello$").unwrap());
    let breaks_off = "HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nearly";
    for before in [ends, breaks_off, "HTTP/1.1 200 O", "garbage\r\n\r\n"] {
        measure(at(answering(before)));
        down(at(answering("HTTP/1.1 404 None\r\ncontent-length: 0\r\n\r\n")), "status 404", Some(404.0));
        down(at(answering("")), "", None);
        let honest = measure(EndpointEntry { expected_body: hello.clone(), ..at(answering(OK)) });
        assert_eq!(text(&honest, "api_status"), "up");
    }
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

/// The milliseconds behind each name in a remark.
fn stages(remark: &str) -> Vec<(String, f64)> {
    let stage = |part: &str| {
        let (name, ms) = part.strip_suffix(" ms").unwrap().rsplit_once(' ').unwrap();
        (name.to_owned(), ms.parse().unwrap())
    };
    remark.split(", ").map(stage).collect()
}

#[test]
fn a_slow_answer_says_where_the_time_went() {
    let slow = |before: u64, within: u64| {
        server(move |mut stream| {
            read_head(&mut stream);
            pause(Duration::from_millis(before));
            let _ = stream.write_all(&OK.as_bytes()[..20]);
            pause(Duration::from_millis(within));
            let _ = stream.write_all(&OK.as_bytes()[20..]);
        })
    };
    for (before, within) in [(150, 0), (0, 400)] {
        let samples = measure(at(slow(before, within)));
        let latency = sample(&samples, "api_latency_ms");
        let stages = stages(latency.reason.as_ref().unwrap());
        let [(connect, connected), (first, answered), (total, took)] = &stages[..] else { panic!("{stages:?}") };
        assert_eq!((&**connect, &**first, &**total), ("connect", "first byte", "total"));
        assert!(connected <= answered && answered <= took, "{stages:?}");
        assert!((took - value(&samples, "api_latency_ms")).abs() <= 0.5, "{stages:?}");
        // A busy machine notices the first byte late.
        assert!(if before > 0 { *answered >= 149.0 } else { *took >= 399.0 && *answered < 200.0 }, "{stages:?}");
        assert_eq!(sample(&samples, "api_status").reason, None);
    }
}

#[test]
fn what_comes_too_late_says_how_far_it_came() {
    let reason = |entry: EndpointEntry| {
        let samples = measure(EndpointEntry { timeout: Duration::from_millis(300), ..entry });
        let reason = sample(&samples, "api_latency_ms").reason.clone().unwrap();
        reason
            .strip_prefix("timed out after 0.3 s: connect ")
            .unwrap_or_else(|| panic!("{reason}"))
            .split_once(" ms, ")
            .unwrap()
            .1
            .to_owned()
    };
    assert_eq!(reason(at(silent())), "no first byte");
    assert_eq!(reason(EndpointEntry { url: format!("https://{}/", silent()), insecure: true, ..at(silent()) }), "no TLS");
    let unfinished = server(|mut stream| {
        read_head(&mut stream);
        let _ = stream.write_all(&OK.as_bytes()[..20]);
        crate::collect::test_rig::hold(stream);
    });
    let (first, end) = (reason(at(unfinished)), ", no end");
    assert!(first.starts_with("first byte ") && first.ends_with(end), "{first}");
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

/// An HTTPS server on 127.0.0.1 with such a certificate that it signed itself, and a file with it.
fn https(names: &[&str], change: impl FnOnce(&mut rcgen::CertificateParams)) -> (std::net::SocketAddr, tempfile::NamedTempFile) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
    change(&mut params);
    let certificate = params.self_signed(&key).unwrap();
    let secret = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let builder = rustls::ServerConfig::builder_with_provider(tls::provider()).with_safe_default_protocol_versions().unwrap();
    let config = builder.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], secret).unwrap();
    let config = Arc::new(config);
    let address = server(move |stream| {
        let mut tls = rustls::StreamOwned::new(rustls::ServerConnection::new(Arc::clone(&config)).unwrap(), stream);
        let mut head = [0; 4096];
        if tls.read(&mut head).is_ok_and(|read| read > 0) {
            let _ = tls.write_all(OK.as_bytes());
            tls.conn.send_close_notify();
            let _ = tls.flush();
        }
    });
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(certificate.pem().as_bytes()).unwrap();
    (address, file)
}

fn over_tls((address, file): &(std::net::SocketAddr, tempfile::NamedTempFile), named: bool) -> EndpointEntry {
    EndpointEntry { url: format!("https://{address}/"), ca_file: named.then(|| file.path().to_owned()), ..at(*address) }
}

#[test]
fn a_certificate_that_was_named_is_trusted_although_it_is_its_own_authority() {
    for authority in [rcgen::IsCa::NoCa, rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained)] {
        let server = https(&["127.0.0.1"], |params| params.is_ca = authority);
        let mut probe = Latency::new(over_tls(&server, true), Shared::new(Exclusions::default()));
        for _ in 0..2 {
            let samples = probe.measure();
            assert_eq!(text(&samples, "api_status"), "up", "{:?}", samples[0].reason);
        }
        down(over_tls(&server, false), "certificate untrusted: ", None);
        assert_eq!(text(&measure(EndpointEntry { insecure: true, ..over_tls(&server, false) }), "api_status"), "up");
    }
}

#[test]
fn what_is_wrong_with_a_certificate_is_said_in_a_few_words() {
    let expired = https(&["127.0.0.1"], |params| params.not_after = rcgen::date_time_ymd(2020, 1, 2));
    down(over_tls(&expired, true), "certificate expired: expired on 2020-01-02", None);
    let ancient = https(&["127.0.0.1"], |params| {
        (params.not_before, params.not_after) = (rcgen::date_time_ymd(1, 1, 1), rcgen::date_time_ymd(1951, 1, 1));
    });
    down(over_tls(&ancient, true), "certificate expired: expired on 1951-01-01", None);
    let names: Vec<String> = (0..1000).map(|number| format!("host-{number}.example")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let reason = "certificate name_mismatch: it is for host-0.example, host-1.example, host-2.example, host-3.example, host-4.example, …";
    let many = https(&names, |_| {});
    assert_eq!(sample(&measure(over_tls(&many, true)), "api_status").reason.as_deref(), Some(reason));
}

#[test]
fn a_header_without_end_is_named() {
    let endless = |head: &'static str| {
        server(move |mut stream| {
            read_head(&mut stream);
            let _ = stream.write_all(head.as_bytes());
            while stream.write_all(format!("X-Pad: {}\r\n", "x".repeat(1000)).as_bytes()).is_ok() {}
        })
    };
    down(at(endless("HTTP/1.1 200 OK\r\n")), "the header is longer than 16 KiB", None);
    down(at(endless("HTTP/1.1 200 OK\r\nX-Pad: ")), "the header is longer than 16 KiB", None);
    down(at(answering("\u{0}\u{ff}garbage\r\n\r\n")), "not an answer in HTTP: ", None);
}

#[test]
fn a_kept_connection_whose_server_is_gone_does_not_double_the_deadline() {
    let address = server(|mut stream| {
        if !read_head(&mut stream).is_empty() {
            let _ = stream.write_all(OK.as_bytes());
        }
        // The next request is read, and nobody answers it.
        while stream.read(&mut [0; 1024]).is_ok_and(|read| read > 0) {}
    });
    let entry = EndpointEntry { keep_alive: true, timeout: Duration::from_millis(600), ..at(address) };
    let mut probe = Latency::new(entry, Shared::new(Exclusions::default()));
    assert_eq!(text(&probe.measure(), "api_status"), "up");
    let began = Moment::now();
    let samples = probe.measure();
    assert_eq!(sample(&samples, "api_status").reason.as_deref(), Some("timed out after 0.6 s: no first byte"));
    assert!(Moment::now().since(began) < Duration::from_millis(1100), "{:?}", Moment::now().since(began));
}
