//! A TLS handshake in order to look at the chain that a server shows, whatever it is worth; with STARTTLS where asked.

use std::io::{Error, ErrorKind, Read, Result as IoResult, Write};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::bounded;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};

use super::dial::{self, First, Socket};
use super::{reason, tls};
use crate::clock;
use crate::config::settings::StartTls;
use crate::threads;

/// More than any honest server shows.
const MAX_CHAIN_BYTES: usize = 64 * 1024;
const MAX_CHAIN: usize = 10;

/// More addresses of a host are not tried: each is to have its part of the time.
const MAX_ADDRESSES: usize = 16;

/// Lines of a server before TLS begins.
const MAX_LINES: usize = 64;
const MAX_LINE_BYTES: usize = 1024;

/// What a server showed.
#[derive(Debug)]
pub(crate) struct Shown {
    /// Its certificate first, then those above it.
    pub(crate) chain: Vec<CertificateDer<'static>>,
    /// What was wrong with its proof that it holds the key.
    pub(crate) proof: Option<rustls::Error>,
}

/// Connects, upgrades to TLS if `starttls`, and returns the chain. Everything together takes at most `timeout`.
///
/// # Errors
/// Why there is no chain to look at.
pub(crate) fn look(
    (host, port): (&str, u16),
    name: ServerName<'static>,
    starttls: Option<StartTls>,
    timeout: Duration,
) -> Result<Shown, String> {
    let end = clock::instant() + timeout;
    let said = |error: &Error| reason::io(error, timeout);
    let first = if starttls.is_some() { First::They } else { First::We };
    let mut stream = connect(host, port, first, end).map_err(|error| said(&error))?;
    if let Some(protocol) = starttls {
        upgrade(&mut stream, protocol).map_err(|error| said(&error))?;
    }
    let looker = Arc::new(Looker::default());
    let mut config = base_config();
    config.dangerous().set_certificate_verifier(Arc::clone(&looker) as Arc<dyn ServerCertVerifier>);
    let mut connection = ClientConnection::new(Arc::new(config), name).map_err(|error| format!("TLS: {error}"))?;
    let result = handshake(&mut connection, &mut stream);
    let seen = std::mem::take(&mut *looker.0.lock().unwrap_or_else(PoisonError::into_inner));
    match (seen.chain, result) {
        // A server that wants a certificate of ours ends the handshake after it has shown its own.
        (Some(chain), _) => Ok(Shown { chain, proof: seen.proof }),
        (None, Err(error)) => Err(tls_reason(&error, timeout)),
        (None, Ok(())) => Err("TLS: the server showed no certificate".to_owned()),
    }
}

/// Shared by all handshakes but for the verifier, which remembers what one server showed. No resumption: a resumed handshake
/// shows no certificate.
fn base_config() -> ClientConfig {
    use std::sync::OnceLock;
    static BASE: OnceLock<ClientConfig> = OnceLock::new();
    let build = || {
        let mut config = ClientConfig::builder_with_provider(tls::provider())
            .with_safe_default_protocol_versions()
            .expect("ring supports TLS 1.2 and 1.3")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Looker::default()))
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        config
    };
    BASE.get_or_init(build).clone()
}

fn handshake(connection: &mut ClientConnection, stream: &mut Socket) -> IoResult<()> {
    while connection.is_handshaking() {
        connection.complete_io(stream)?;
    }
    Ok(())
}

fn tls_reason(error: &Error, timeout: Duration) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(fault) => tls::reason(fault),
        None => reason::io(error, timeout),
    }
}

fn connect(host: &str, port: u16, first: First, end: Instant) -> IoResult<Socket> {
    let host = host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(host);
    dial::connect(&look_up(host, port, end)?, first, end)
}

/// The addresses of a host, in the order of the resolver. A resolver can take minutes: it works on a thread of its own, which it
/// is left with when the time is over.
fn look_up(host: &str, port: u16, end: Instant) -> IoResult<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let (answer, answered) = bounded(1);
    let host = host.to_owned();
    threads::try_spawn("look-up", move || {
        let found = (host.as_str(), port).to_socket_addrs();
        let _ = answer.send(found.map(|found| found.take(MAX_ADDRESSES).collect::<Vec<_>>()));
    })?;
    let found = answered.recv_timeout(dial::left(end)?).map_err(|_| Error::from(ErrorKind::TimedOut))?;
    found.map_err(|error| Error::other(reason::look_up(&error)))
}

/// The clear-text part. Answers are read byte by byte, so that nothing of what follows is swallowed.
fn upgrade(stream: &mut Socket, protocol: StartTls) -> IoResult<()> {
    match protocol {
        StartTls::Smtp => {
            smtp_answer(stream, "220")?;
            stream.write_all(b"EHLO autoheal.invalid\r\n")?;
            smtp_answer(stream, "250")?;
            stream.write_all(b"STARTTLS\r\n")?;
            smtp_answer(stream, "220")
        }
        StartTls::Imap => {
            answer(stream, |line| line.starts_with("* "), |line| line.starts_with("* OK"))?;
            stream.write_all(b"a STARTTLS\r\n")?;
            answer(stream, |line| line.starts_with("a "), |line| line.starts_with("a OK"))
        }
        StartTls::Pop3 => {
            answer(stream, |_| true, |line| line.starts_with("+OK"))?;
            stream.write_all(b"STLS\r\n")?;
            answer(stream, |_| true, |line| line.starts_with("+OK"))
        }
    }
}

/// The last line of an SMTP answer has a blank after the code, the others a dash.
fn smtp_answer(stream: &mut Socket, code: &str) -> IoResult<()> {
    answer(stream, |line| line.as_bytes().get(3) != Some(&b'-'), |line| line.starts_with(code))
}

/// Reads lines up to the last one of an answer, which must be good.
fn answer(stream: &mut Socket, is_last: impl Fn(&str) -> bool, is_good: impl Fn(&str) -> bool) -> IoResult<()> {
    for _ in 0..MAX_LINES {
        let line = read_line(stream)?;
        if is_last(&line) {
            let shown: String = line.chars().filter(|letter| !letter.is_control()).take(80).collect();
            return if is_good(&line) { Ok(()) } else { Err(Error::other(format!("no STARTTLS here: the server said \"{shown}\""))) };
        }
    }
    Err(Error::other("no STARTTLS here: the server's answer has no end"))
}

fn read_line(stream: &mut Socket) -> IoResult<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    while line.len() < MAX_LINE_BYTES {
        stream.read_exact(&mut byte)?;
        match byte[0] {
            b'\n' => return Ok(String::from_utf8_lossy(&line).trim_end().to_owned()),
            other => line.push(other),
        }
    }
    Err(Error::other("no STARTTLS here: the server's line has no end"))
}

/// Accepts any chain and remembers it.
#[derive(Debug, Default)]
struct Looker(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    chain: Option<Vec<CertificateDer<'static>>>,
    proof: Option<rustls::Error>,
}

impl Looker {
    /// A proof that is wrong, or of a type that ring does not know, is a fact about the server; the handshake goes on.
    fn note(&self, scheme: SignatureScheme, proof: Result<HandshakeSignatureValid, rustls::Error>) -> HandshakeSignatureValid {
        proof.unwrap_or_else(|fault| {
            // To us a signature that we cannot read is what a certificate is that we cannot read: unsupported.
            let fault = if known_schemes().contains(&scheme) { fault } else { CertificateError::BadEncoding.into() };
            self.0.lock().unwrap_or_else(PoisonError::into_inner).proof = Some(fault);
            HandshakeSignatureValid::assertion()
        })
    }
}

fn known_schemes() -> Vec<SignatureScheme> {
    tls::provider().signature_verification_algorithms.supported_schemes()
}

impl ServerCertVerifier for Looker {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let chain: Vec<_> = std::iter::once(end_entity).chain(intermediates).map(|certificate| certificate.clone().into_owned()).collect();
        if chain.len() > MAX_CHAIN || chain.iter().map(|certificate| certificate.len()).sum::<usize>() > MAX_CHAIN_BYTES {
            return Err(rustls::Error::General("the chain is longer than 10 certificates or 64 KiB".to_owned()));
        }
        self.0.lock().unwrap_or_else(PoisonError::into_inner).chain = Some(chain);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(self.note(dss.scheme, verify_tls12_signature(message, cert, dss, &tls::provider().signature_verification_algorithms)))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(self.note(dss.scheme, verify_tls13_signature(message, cert, dss, &tls::provider().signature_verification_algorithms)))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        // More than ring can verify, so that a server with another key shows its certificate too.
        let more = [SignatureScheme::ECDSA_NISTP521_SHA512, SignatureScheme::ED448];
        known_schemes().into_iter().chain(more).collect()
    }
}
