//! HTTP clients for strangers: bounded, never redirected, and judging a server's certificate as the certificate collector does, in the same words. ureq's own verifier
//! refuses a certificate that the operator named himself if it is its own authority, and its reasons have no bounds.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error as TlsError, OtherError, SignatureScheme};
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;
use ureq::{Agent, Error};

use super::chain::judge;
use super::stages::Marks;
use super::tls::{self, Roots, Trust};
use super::wire::Wires;

/// A longer header is a fault.
const HEADER_BYTES: usize = 16 * 1024;

/// Who autoheal says it is.
pub(crate) const USER_AGENT: &str = concat!("autoheal/", env!("CARGO_PKG_VERSION"));

/// Any kind of answer will do.
pub(crate) const ACCEPT: &str = "*/*";

/// How a client makes TLS; `None` where it makes none.
pub(crate) type Tls = Option<Arc<ClientConfig>>;

/// What this trust means for TLS.
///
/// # Errors
/// When the file of the roots cannot be used; the message names it.
pub(crate) fn tls(trust: &Trust) -> Result<Tls, String> {
    let roots = match trust {
        Trust::Plain => return Ok(None),
        Trust::Anybody => None,
        Trust::Host | Trust::File { .. } => Some(tls::roots(trust)?),
    };
    Ok(Some(Arc::new(client(Judge { roots }))))
}

/// A client that does what it is told and no more: it connects directly, whatever the environment says of proxies, takes every
/// status and every redirect as an answer, and trusts whom it is told to. A request takes at most `timeout`, unless it has a
/// deadline of its own. With `keep_alive` the last connection is used again. How far a request comes is marked.
pub(crate) fn agent(tls: Tls, keep_alive: bool, timeout: Option<Duration>, marks: &Arc<Marks>) -> Agent {
    let idle = usize::from(keep_alive);
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .allow_non_standard_methods(true)
        .user_agent(USER_AGENT)
        .accept(ACCEPT)
        .input_buffer_size(HEADER_BYTES)
        // A buffer that is full is over the limit: else ureq would say that the server went away.
        .max_response_header_size(HEADER_BYTES - 1)
        .output_buffer_size(4 * 1024)
        .max_idle_connections(idle)
        .max_idle_connections_per_host(idle)
        .timeout_global(timeout)
        .build();
    Agent::with_parts(config, Wires { tls, marks: Arc::clone(marks) }, Addresses::default())
}

/// Why there is no answer, in words that an operator knows.
pub(crate) fn reason(error: &Error) -> String {
    match error {
        Error::Rustls(fault) => tls::reason(fault),
        Error::Io(error) => match error.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(fault) => tls::reason(fault),
            None if error.kind() == ErrorKind::UnexpectedEof => "connection closed early".to_owned(),
            None => super::reason::plain(error),
        },
        Error::LargeResponseHeader(..) => format!("the header is longer than {} KiB", HEADER_BYTES / 1024),
        Error::Protocol(fault) => format!("not an answer in HTTP: {fault}"),
        other => other.to_string(),
    }
}

fn client(judge: Judge) -> ClientConfig {
    let mut config = ClientConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()
        .expect("ring supports TLS 1.2 and 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(judge))
        .with_no_client_auth();
    // A resumed handshake shows no certificate, and the one that is measured is the one that is served now.
    config.resumption = Resumption::disabled();
    config
}

/// Looks up names as ureq does, on a thread of its own for each: a resolver can take minutes. An address needs neither.
#[derive(Debug, Default)]
struct Addresses(DefaultResolver);

impl Resolver for Addresses {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let port = uri.port_u16().or_else(|| Some(if uri.scheme_str()? == "https" { 443 } else { 80 }));
        match (host.parse::<IpAddr>(), port) {
            (Ok(address), Some(port)) => {
                let mut found = self.empty();
                found.push(SocketAddr::new(address, port));
                Ok(found)
            }
            _ => self.0.resolve(uri, config, timeout),
        }
    }
}

/// Judges by these roots; `None` trusts anybody, whatever he proves.
#[derive(Debug)]
struct Judge {
    roots: Option<Roots>,
}

impl Judge {
    fn proof(&self, verified: impl FnOnce() -> Result<HandshakeSignatureValid, TlsError>) -> Result<HandshakeSignatureValid, TlsError> {
        if self.roots.is_some() { verified() } else { Ok(HandshakeSignatureValid::assertion()) }
    }
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let Some(roots) = &self.roots else { return Ok(ServerCertVerified::assertion()) };
        let chain: Vec<_> = std::iter::once(end_entity).chain(intermediates).cloned().collect();
        let now = i64::try_from(now.as_secs()).ok().and_then(|seconds| Timestamp::from_second(seconds).ok()).unwrap_or(Timestamp::MAX);
        match judge(&chain, None, server_name, roots, now) {
            ("valid", _) => Ok(ServerCertVerified::assertion()),
            (word, why) => {
                let why = why.map_or_else(String::new, |why| format!(": {why}"));
                Err(TlsError::Other(OtherError(Arc::new(std::io::Error::other(format!("certificate {word}{why}"))))))
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.proof(|| verify_tls12_signature(message, cert, dss, &tls::provider().signature_verification_algorithms))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.proof(|| verify_tls13_signature(message, cert, dss, &tls::provider().signature_verification_algorithms))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        tls::provider().signature_verification_algorithms.supported_schemes()
    }
}
