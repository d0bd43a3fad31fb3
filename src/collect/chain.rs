//! What a certificate chain is worth: its dates, and what a strict client would say of it.
//!
//! Certificates come from strangers: parsing runs in a cage that may panic.

use std::panic::catch_unwind;
use std::time::Duration;

use jiff::Timestamp;
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::tls::{self, Roots};

/// As many names of a certificate stand in a reason.
const SHOWN_NAMES: usize = 5;

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
        let parse = || {
            let (_, parsed) = X509Certificate::from_der(certificate).map_err(|error| format!("not a certificate: {error}"))?;
            let validity = parsed.validity();
            Ok(Self { not_before: validity.not_before.timestamp(), not_after: validity.not_after.timestamp() })
        };
        catch_unwind(parse).unwrap_or_else(|_| Err("a certificate that cannot be parsed".to_owned()))
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
        Err(_) => ("unsupported", Some("a certificate that cannot be parsed".to_owned())),
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
        _ => "untrusted",
    };
    let reason = match (word, fault) {
        ("expired", _) => "a certificate above it has expired".to_owned(),
        ("not_yet_valid", _) => "a certificate above it is not valid yet".to_owned(),
        ("unsupported", _) => "a key or signature of a type that autoheal cannot judge".to_owned(),
        (_, CertificateError::UnknownIssuer) => "issued by nobody whom this host trusts".to_owned(),
        (_, CertificateError::NotValidForNameContext { presented, .. }) if !presented.is_empty() => {
            // A stranger's certificate can be for thousands of names.
            let more = if presented.len() > SHOWN_NAMES { ", …" } else { "" };
            format!("it is for {}{more}", presented.iter().take(SHOWN_NAMES).map(String::as_str).collect::<Vec<_>>().join(", "))
        }
        ("name_mismatch", _) => "it is for another name".to_owned(),
        _ => fault.to_string(),
    };
    (word, Some(reason))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dates_say_what_they_say() {
        let now = Timestamp::from_second(1_000_000_000).unwrap();
        let dates = |before: i64, after: i64| Dates { not_before: 1_000_000_000 + before, not_after: 1_000_000_000 + after };
        assert_eq!(dates(-5, 86_400 * 3).verdict(now).0, "valid");
        assert_eq!(dates(-5, -1).verdict(now).0, "expired");
        assert_eq!(dates(5, 10).verdict(now).0, "not_yet_valid");
        assert_eq!(dates(-5, 86_400 * 3).days_left(now), 3.0);
        assert_eq!(dates(-5, -43_200).days_left(now), -0.5);
    }

    #[test]
    fn faults_have_their_words() {
        for (fault, word) in [
            (CertificateError::Expired, "expired"),
            (CertificateError::NotValidYet, "not_yet_valid"),
            (CertificateError::NotValidForName, "name_mismatch"),
            (CertificateError::UnknownIssuer, "untrusted"),
            (CertificateError::BadSignature, "untrusted"),
            (CertificateError::BadEncoding, "unsupported"),
        ] {
            let (found, reason) = word_for(&fault.into());
            assert!(found == word && reason.is_some(), "{found} is not {word}");
        }
        assert_eq!(word_for(&Error::DecryptError).0, "untrusted");
    }

    #[test]
    fn a_certificate_for_thousands_of_names_makes_a_short_reason() {
        let expected = ServerName::try_from("x.example").unwrap();
        let presented = (0..3000).map(|number| format!("{number}.example")).collect();
        let (word, reason) = word_for(&CertificateError::NotValidForNameContext { expected, presented }.into());
        assert_eq!(
            (word, reason.unwrap().len()),
            ("name_mismatch", "it is for 0.example, 1.example, 2.example, 3.example, 4.example, …".len())
        );
    }

    #[test]
    fn the_year_9999_has_days_too() {
        let mut params = rcgen::CertificateParams::new(vec!["x.example".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(1951, 1, 1);
        params.not_after = rcgen::date_time_ymd(9999, 12, 31);
        let certificate = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        let days = Dates::of(certificate.der()).unwrap().days_left(Timestamp::UNIX_EPOCH);
        assert!((2_932_000.0..2_933_000.0).contains(&days), "{days}");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Dates::of(&CertificateDer::from(bytes));
        }

        #[test]
        fn no_damage_to_a_certificate_makes_it_panic(place in 0_usize..400, byte: u8, cut in 0_usize..500) {
            let whole = rcgen::generate_simple_self_signed(vec!["x.example".to_owned()]).unwrap();
            let mut bytes = whole.cert.der().to_vec();
            let place = place % bytes.len();
            bytes[place] = byte;
            bytes.truncate(cut.max(1));
            let chain = [CertificateDer::from(bytes)];
            let roots = Roots { store: std::sync::Arc::new(rustls::RootCertStore::empty()), own: chain.to_vec() };
            let name = ServerName::try_from("x.example").unwrap();
            let _ = judge(&chain, None, &name, &roots, Timestamp::now());
        }
    }
}
