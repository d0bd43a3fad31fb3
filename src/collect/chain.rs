//! What a certificate chain is worth: its dates, and what a strict client would say of it.
//!
//! Certificates come from strangers: parsing runs in a cage that may panic.

use std::panic::catch_unwind;
use std::time::Duration;

use jiff::Timestamp;
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error, OtherError};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::tls::{self, Roots};

/// As many names of a certificate stand in a reason, and as much of each.
const SHOWN_NAMES: usize = 5;
const SHOWN_LETTERS: usize = 80;

/// A parser panicked.
const PANICKED: &str = "a certificate that cannot be parsed";

/// The word of `ssl_status` and, where it is not `valid`, the reason.
pub(crate) type Verdict = (&'static str, Option<String>);

/// From when to when a certificate is valid, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dates {
    pub(crate) not_before: i64,
    pub(crate) not_after: i64,
}

impl Dates {
    /// Reads them from a certificate.
    ///
    /// # Errors
    /// When it cannot be understood.
    pub(crate) fn of(certificate: &CertificateDer<'_>) -> Result<Self, String> {
        catch_unwind(|| Self::read(certificate)).unwrap_or_else(|_| Err(PANICKED.to_owned()))
    }

    fn read(certificate: &CertificateDer<'_>) -> Result<Self, String> {
        let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| "not a certificate".to_owned())?;
        let validity = parsed.validity();
        Ok(Self { not_before: validity.not_before.timestamp(), not_after: validity.not_after.timestamp() })
    }

    /// The span in which all of them are valid: `not_after` is the earliest one.
    ///
    /// # Errors
    /// When the first cannot be understood; others are passed over.
    pub(crate) fn of_chain(chain: &[CertificateDer<'_>]) -> Result<Self, String> {
        let (leaf, rest) = chain.split_first().ok_or_else(|| "no certificate was shown".to_owned())?;
        let both = |one: Self, other: Self| Self {
            not_before: one.not_before.max(other.not_before),
            not_after: one.not_after.min(other.not_after),
        };
        Ok(rest.iter().filter_map(|certificate| Self::of(certificate).ok()).fold(Self::of(leaf)?, both))
    }

    /// Days until the end, with a fraction; negative when it is past.
    #[expect(clippy::cast_precision_loss, reason = "the year 9999 needs 38 bits")]
    pub(crate) fn days_left(self, now: Timestamp) -> f64 {
        (self.not_after as f64 - now.as_millisecond() as f64 / 1000.0) / 86_400.0
    }

    /// What the dates alone say.
    pub(crate) fn verdict(self, now: Timestamp) -> Verdict {
        if now.as_second() > self.not_after {
            ("expired", Some(format!("expired on {}", date(self.not_after))))
        } else if now.as_second() < self.not_before {
            ("not_yet_valid", Some(format!("valid from {}", date(self.not_before))))
        } else {
            ("valid", None)
        }
    }
}

fn date(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(|_| format!("{seconds} s after 1970"), |at| at.strftime("%Y-%m-%d").to_string())
}

/// What a strict client would say of a chain that a server showed. `proof` is the fault in the server's proof that it holds the
/// key, if there was one.
pub(crate) fn judge(chain: &[CertificateDer<'_>], proof: Option<&Error>, name: &ServerName<'_>, roots: &Roots, now: Timestamp) -> Verdict {
    let Some((leaf, intermediates)) = chain.split_first() else { return ("unreachable", Some("no certificate was shown".to_owned())) };
    match Dates::of(leaf) {
        Err(reason) => return ("unsupported", Some(reason)),
        Ok(dates) => match dates.verdict(now) {
            ("valid", _) => {}
            past => return past,
        },
    }
    if let Some(fault) = proof {
        return word_for(fault);
    }
    let verify = || {
        let parsed = ParsedCertificate::try_from(leaf)?;
        // A certificate that the operator named himself is trusted as it is, also when it is its own authority.
        if !roots.own.iter().any(|own| own == leaf) {
            let seconds = u64::try_from(now.as_second()).unwrap_or(0);
            let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
            let algorithms = tls::provider().signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(&parsed, &roots.store, intermediates, now, algorithms)?;
        }
        verify_server_name(&parsed, name)
    };
    match catch_unwind(std::panic::AssertUnwindSafe(verify)) {
        Ok(Ok(())) => ("valid", None),
        Ok(Err(error)) => word_for(&error),
        Err(_) => ("unsupported", Some(PANICKED.to_owned())),
    }
}

fn word_for(error: &Error) -> Verdict {
    let Error::InvalidCertificate(fault) = error else { return ("untrusted", Some(error.to_string())) };
    let word = match fault {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "not_yet_valid",
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => "name_mismatch",
        CertificateError::BadEncoding
        | CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => "unsupported",
        CertificateError::Other(other) if is_webpki(other, "UnsupportedCertVersion") => "unsupported",
        _ => "untrusted",
    };
    let reason = match (word, fault) {
        ("expired", _) => "a certificate above it has expired".to_owned(),
        ("not_yet_valid", _) => "a certificate above it is not valid yet".to_owned(),
        (_, CertificateError::Other(other)) if is_webpki(other, "UnsupportedCertVersion") => {
            "a certificate of another version than 3".to_owned()
        }
        (_, CertificateError::Other(other)) if is_webpki(other, "CaUsedAsEndEntity") => {
            "it is an authority's own certificate, and nobody named it as trusted".to_owned()
        }
        ("unsupported", _) => "a key or signature of a type that autoheal cannot judge".to_owned(),
        (_, CertificateError::UnknownIssuer) => "issued by nobody whom this host trusts".to_owned(),
        (_, CertificateError::NotValidForNameContext { presented, .. }) if !presented.is_empty() => {
            // A stranger's certificate can be for thousands of names.
            let more = if presented.len() > SHOWN_NAMES { ", …" } else { "" };
            format!("it is for {}{more}", presented.iter().take(SHOWN_NAMES).map(|name| shown(name)).collect::<Vec<_>>().join(", "))
        }
        ("name_mismatch", _) => "it is for another name".to_owned(),
        _ => fault.to_string(),
    };
    (word, Some(reason))
}

/// Whether webpki says this. rustls hands on what it has no name of its own for.
fn is_webpki(other: &OtherError, name: &str) -> bool {
    other.0.to_string() == name
}

/// The name in rustls' `DnsName("x.example")` or `IpAddress(192.0.2.1)`, cut.
fn shown(presented: &str) -> String {
    let inner = presented.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(presented);
    let name = inner.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(inner);
    let cut = if name.chars().nth(SHOWN_LETTERS).is_some() { "…" } else { "" };
    name.chars().take(SHOWN_LETTERS).collect::<String>() + cut
}

#[cfg(test)]
#[path = "chain_tests.rs"]
mod tests;
