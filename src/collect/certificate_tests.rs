use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};

use jiff::Timestamp;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;

use super::*;
use crate::collect::Exclusions;
use crate::collect::test_rig::{answering, hold, refusing, sample, server, silent, text, value};
use crate::config::settings::{EndpointEntry, StartTls};

/// A private authority and its file.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, dir }
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// A certificate for a name, valid for these days from now.
    fn issue(&self, name: &str, from: i64, to: i64) -> Identity {
        let key = KeyPair::generate().unwrap();
        let chain = vec![params(name, from, to).signed_by(&key, &self.issuer).unwrap().der().clone()];
        Identity { chain, key: key.serialize_der() }
    }
}

struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: Vec<u8>,
}

fn params(name: &str, from: i64, to: i64) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let day = |days: i64| {
        let at = (Timestamp::now() + jiff::SignedDuration::from_hours(days * 24)).to_zoned(jiff::tz::TimeZone::UTC);
        let number = |value: i8| u8::try_from(value).unwrap();
        date_time_ymd(i32::from(at.year()), number(at.month()), number(at.day()))
    };
    (params.not_before, params.not_after) = (day(from), day(to));
    params
}

fn self_signed(name: &str, authority: bool) -> Identity {
    let key = KeyPair::generate().unwrap();
    let mut params = params(name, -1, 30);
    params.is_ca = if authority { IsCa::Ca(BasicConstraints::Unconstrained) } else { IsCa::NoCa };
    let chain = vec![params.self_signed(&key).unwrap().der().clone()];
    Identity { chain, key: key.serialize_der() }
}

fn tls_config(identity: &Identity) -> Arc<ServerConfig> {
    let key = PrivateKeyDer::try_from(identity.key.clone()).unwrap();
    let builder = ServerConfig::builder_with_provider(tls::provider()).with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_no_client_auth().with_single_cert(identity.chain.clone(), key).unwrap())
}

/// A TLS server on loopback; before TLS begins it speaks `prologue`.
fn serve(identity: &Identity, prologue: fn(&mut TcpStream)) -> SocketAddr {
    let config = tls_config(identity);
    server(move |mut stream| {
        prologue(&mut stream);
        let mut tls = StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream);
        let _ = tls.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        let _ = tls.flush();
        hold(tls.sock);
    })
}

fn at_once(_: &mut TcpStream) {}

fn entry(address: SocketAddr, name: &str, ca_file: Option<PathBuf>) -> CertificateEntry {
    CertificateEntry {
        name: "shop".to_owned(),
        source: CertificateSource::Served {
            host: address.ip().to_string(),
            port: address.port(),
            server_name: Some(name.to_owned()),
            starttls: None,
        },
        ca_file,
        timeout: Duration::from_secs(10),
        interval: Duration::from_hours(1),
    }
}

fn measure(entry: &CertificateEntry) -> Vec<Sample> {
    let samples = collector(entry, &Shared::new(Exclusions::default())).measure();
    assert!(samples.len().is_multiple_of(2));
    samples
}

/// The status, and the days rounded up (`None`: unknown).
#[track_caller]
fn check(entry: &CertificateEntry, status: &str, days: Option<f64>) {
    let samples = measure(entry);
    assert_eq!(text(&samples, "ssl_status"), status, "{:?}", samples[1].reason);
    assert_eq!(samples[1].reason.is_none(), status == "valid");
    match days {
        Some(days) => {
            let measured = value(&samples, "ssl_expires_in_days");
            assert!(measured <= days && measured > days - 1.01, "{measured} is not about {days}");
        }
        None => assert!(samples[0].value.is_none() && samples[0].reason.is_some()),
    }
}

#[test]
fn served_certificates_are_judged_as_a_strict_client_does() {
    let authority = Authority::new();
    let ca = || Some(authority.file());
    let good = authority.issue("shop.example", -1, 30);
    let address = serve(&good, at_once);
    check(&entry(address, "shop.example", ca()), "valid", Some(30.0));
    check(&entry(address, "shop.example", None), "untrusted", Some(30.0));
    check(&entry(address, "other.example", ca()), "name_mismatch", Some(30.0));
    check(&entry(serve(&authority.issue("shop.example", -10, -3), at_once), "shop.example", ca()), "expired", Some(-3.0));
    check(&entry(serve(&authority.issue("shop.example", 3, 10), at_once), "shop.example", ca()), "not_yet_valid", Some(10.0));
    check(&entry(serve(&authority.issue("127.0.0.1", -1, 5), at_once), "127.0.0.1", ca()), "valid", Some(5.0));
    check(&entry(serve(&self_signed("shop.example", false), at_once), "shop.example", ca()), "untrusted", Some(30.0));
}

#[test]
fn a_self_signed_certificate_is_trusted_when_it_is_named() {
    for authority in [false, true] {
        let identity = self_signed("shop.example", authority);
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("own.der");
        fs::write(&file, &identity.chain[0]).unwrap();
        let address = serve(&identity, at_once);
        check(&entry(address, "shop.example", Some(file.clone())), "valid", Some(30.0));
        check(&entry(address, "other.example", Some(file)), "name_mismatch", Some(30.0));
    }
}

#[test]
fn somebody_elses_certificate_is_no_proof() {
    let authority = Authority::new();
    let stolen = Identity { chain: authority.issue("shop.example", -1, 30).chain, ..self_signed("x.example", false) };
    let key = PrivateKeyDer::try_from(stolen.key).unwrap();
    let key = tls::provider().key_provider.load_private_key(key).unwrap();
    let certified = Arc::new(rustls::sign::CertifiedKey::new(stolen.chain, key));
    let builder = ServerConfig::builder_with_provider(tls::provider()).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(builder.with_no_client_auth().with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified))));
    let address = server(move |stream| {
        let mut tls = StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream);
        let _ = tls.flush();
        hold(tls.sock);
    });
    check(&entry(address, "shop.example", Some(authority.file())), "untrusted", Some(30.0));
}

#[test]
fn the_earliest_end_in_the_chain_counts() {
    let authority = Authority::new();
    let mut identity = authority.issue("shop.example", -1, 300);
    identity.chain.extend(authority.issue("above.example", -1, 7).chain);
    check(&entry(serve(&identity, at_once), "shop.example", Some(authority.file())), "valid", Some(7.0));
}

#[test]
fn what_cannot_be_reached_says_why() {
    let short = |address| CertificateEntry { timeout: Duration::from_millis(300), ..entry(address, "shop.example", None) };
    for (address, reason) in [
        (refusing(), "connection refused"),
        (silent(), "timed out after 0.3 s"),
        (answering("HTTP/1.1 400 Bad Request\r\n\r\n"), ""),
        (server(|mut stream| drop(stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n"))), "does not speak TLS"),
        (server(drop), "closed early"),
    ] {
        let samples = measure(&short(address));
        assert_eq!(text(&samples, "ssl_status"), "unreachable");
        assert!(samples[0].value.is_none());
        let why = samples[1].reason.clone().unwrap();
        assert!(why.contains(reason) || why.contains("reset"), "{why} against {reason}");
    }
}

#[test]
fn a_chain_of_a_thousand_certificates_is_refused() {
    let mut identity = self_signed("shop.example", false);
    identity.chain.extend(vec![identity.chain[0].clone(); 60]);
    let samples = measure(&entry(serve(&identity, at_once), "shop.example", None));
    assert_eq!(text(&samples, "ssl_status"), "unreachable");
    assert!(samples[1].reason.as_ref().unwrap().contains("longer than 10 certificates"), "{samples:?}");
}

fn line(stream: &TcpStream) -> String {
    let mut line = String::new();
    let _ = BufReader::with_capacity(1, stream).read_line(&mut line);
    line
}

fn smtp(stream: &mut TcpStream) {
    let _ = stream.write_all(b"220-hello\r\n220 mail\r\n");
    assert!(line(stream).starts_with("EHLO "));
    let _ = stream.write_all(b"250-mail\r\n250 STARTTLS\r\n");
    assert_eq!(line(stream), "STARTTLS\r\n");
    let _ = stream.write_all(b"220 go\r\n");
}

fn imap(stream: &mut TcpStream) {
    let _ = stream.write_all(b"* OK hello\r\n");
    assert_eq!(line(stream), "a STARTTLS\r\n");
    let _ = stream.write_all(b"* CAPABILITY X\r\na OK go\r\n");
}

fn pop3(stream: &mut TcpStream) {
    let _ = stream.write_all(b"+OK hello\r\n");
    assert_eq!(line(stream), "STLS\r\n");
    let _ = stream.write_all(b"+OK go\r\n");
}

fn with_starttls(mut entry: CertificateEntry, protocol: StartTls) -> CertificateEntry {
    if let CertificateSource::Served { starttls, .. } = &mut entry.source {
        *starttls = Some(protocol);
    }
    entry
}

#[test]
fn mail_servers_are_upgraded_to_tls() {
    let authority = Authority::new();
    let identity = authority.issue("mail.example", -1, 30);
    for protocol in [StartTls::Smtp, StartTls::Imap, StartTls::Pop3] {
        let prologue = match protocol {
            StartTls::Smtp => smtp,
            StartTls::Imap => imap,
            StartTls::Pop3 => pop3,
        };
        let entry = entry(serve(&identity, prologue), "mail.example", Some(authority.file()));
        check(&with_starttls(entry, protocol), "valid", Some(30.0));
    }
    let refusing = server(|mut stream| {
        let _ = stream.write_all(b"-ERR \x1b[31mbusy\r\n");
        hold(stream);
    });
    let samples = measure(&with_starttls(entry(refusing, "mail.example", None), StartTls::Pop3));
    assert_eq!(samples[1].reason.as_deref(), Some("no STARTTLS here: the server said \"-ERR [31mbusy\""));
    let endless = server(|mut stream| while stream.write_all(b"220-more\r\n").is_ok() {});
    let samples = measure(&with_starttls(entry(endless, "mail.example", None), StartTls::Smtp));
    assert_eq!(samples[1].reason.as_deref(), Some("no STARTTLS here: the server's answer has no end"));
}

fn files(path: &std::path::Path) -> CertificateEntry {
    CertificateEntry { source: CertificateSource::Files { path: path.display().to_string() }, ..entry(refusing(), "x", None) }
}

#[test]
fn files_are_read_as_pem_and_as_der() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let der = |days| authority.issue("x.example", -1, days).chain[0].clone();
    let path = dir.path().join("one.pem");
    fs::write(&path, format!("{}\n{}", pem_text(&der(90)), pem_text(&der(20)))).unwrap();
    check(&files(&path), "valid", Some(20.0));
    fs::write(dir.path().join("two.pem"), der(-3)).unwrap();
    let samples = measure(&files(&dir.path().join("*.pem")));
    assert_eq!(samples.len(), 4);
    let statuses: Vec<_> = samples.iter().filter_map(|sample| sample.target.identity.get("path")).collect();
    assert!(statuses[0].ends_with("one.pem") && statuses[2].ends_with("two.pem"));
    assert_eq!(samples[3].value, Some(Value::Text("expired".into())));
    check(&files(&dir.path().join("none.pem")), "unreachable", None);
    for (name, content) in [("key.pem", KeyPair::generate().unwrap().serialize_pem()), ("empty.pem", String::new())] {
        let path = dir.path().join(name);
        fs::write(&path, content).unwrap();
        let samples = measure(&files(&path));
        assert_eq!(sample(&samples, "ssl_status").reason.as_deref(), Some("no certificate in it"), "{name}");
    }
}

#[test]
fn a_file_is_read_again_when_it_has_changed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("one.pem");
    let authority = Authority::new();
    let mut collector = collector(&files(&path), &Shared::new(Exclusions::default()));
    let mut days = |valid: i64, name: &str| {
        fs::write(&path, pem_text(&authority.issue(name, -1, valid).chain[0])).unwrap();
        value(&collector.measure(), "ssl_expires_in_days").ceil()
    };
    assert!(days(20, "a.example") <= 20.0);
    assert!(days(90, "a-longer-name.example") > 80.0);
}

/// PEM, written by hand: 64 letters of base 64 a line.
fn pem_text(der: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in der.chunks(3) {
        let word = chunk.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let letter = LETTERS[usize::try_from(word >> (18 - 6 * place) & 63).unwrap()];
            text.push(if place <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

#[test]
fn the_small_stacks_of_the_pool_suffice() {
    let authority = Authority::new();
    let address = serve(&authority.issue("127.0.0.1", -1, 30), at_once);
    let mut settings = crate::collect::test_rig::settings();
    for ca_file in [None, Some(authority.file())] {
        settings.watch.certificates.push(entry(address, "127.0.0.1", ca_file.clone()));
        let endpoint = crate::collect::test_rig::endpoint("shop", &format!("https://{address}/"));
        settings.watch.endpoints.push(EndpointEntry { ca_file, ..endpoint });
    }
    let samples = crate::collect::measure_once(&settings, Duration::from_secs(20));
    let words: Vec<_> = samples.iter().filter_map(|sample| sample.value.clone()).filter(|value| matches!(value, Value::Text(_))).collect();
    assert_eq!(words, ["untrusted", "valid", "down", "up"].map(|word| Value::Text(word.into())));
    assert!(samples.iter().all(|sample| sample.interval == Duration::from_hours(1)));
}

#[test]
fn https_endpoints_trust_the_same_roots() {
    let authority = Authority::new();
    let address = serve(&authority.issue("127.0.0.1", -1, 30), at_once);
    let endpoint = |ca_file, insecure| EndpointEntry {
        ca_file,
        insecure,
        ..crate::collect::test_rig::endpoint("shop", &format!("https://{address}/"))
    };
    let status = |entry| {
        let samples = crate::collect::latency::Latency::new(entry, Shared::new(Exclusions::default())).measure();
        (text(&samples, "api_status").to_owned(), samples[0].reason.clone().unwrap_or_default())
    };
    assert_eq!(status(endpoint(Some(authority.file()), false)).0, "up");
    assert_eq!(status(endpoint(None, true)).0, "up");
    let (word, why) = status(endpoint(None, false));
    assert!(word == "down" && why == "certificate untrusted: issued by nobody whom this host trusts", "{why}");
}
