//! Certificates, from files and from servers: read, dated and judged as the collector does it.

use std::sync::LazyLock;

use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, ServerName};

use super::assert_harmless;
use crate::collect::certificate::is_for;
use crate::collect::chain::{Dates, judge};
use crate::collect::tls::{Roots, Trust, certificates, roots};

/// Between the certificates of a chain, as DER.
const SEPARATOR: &[u8] = b"\n---\n";

/// The content of a file, and the same bytes as a chain that a server shows.
///
/// # Panics
/// A parser panics (the collector's cage does not hide it here), or a date or a word is none.
pub fn certificate(data: &[u8]) {
    match certificates(data.to_vec()) {
        Ok(chain) => look(&chain),
        Err(reason) => assert!(!reason.is_empty()),
    }
    let mut chain = Vec::new();
    let mut rest = data;
    while let Some(at) = rest.windows(SEPARATOR.len()).position(|bytes| bytes == SEPARATOR).filter(|_| chain.len() < 9) {
        chain.push(CertificateDer::from(rest[..at].to_vec()));
        rest = &rest[at + SEPARATOR.len()..];
    }
    chain.push(CertificateDer::from(rest.to_vec()));
    look(&chain);
}

fn look(chain: &[CertificateDer<'static>]) {
    static HOST: LazyLock<Roots> = LazyLock::new(|| roots(&Trust::Host).expect("the host's roots need no file of ours"));
    static NAME: LazyLock<ServerName<'static>> = LazyLock::new(|| ServerName::try_from("web.example").expect("it is a name"));
    let now = Timestamp::from_second(1_800_000_000).expect("it is in range");
    if let Ok(dates) = Dates::of_chain(chain) {
        assert!(dates.days_left(now).is_finite());
        word(dates.verdict(now));
    }
    word(judge(chain, None, &NAME, &HOST, now));
    // A chain that is trusted as it is: nothing but its name counts.
    word(judge(chain, None, &NAME, &Roots { own: chain.to_vec(), ..HOST.clone() }, now));
    if let Some(leaf) = chain.first() {
        is_for(leaf, "web.example");
        is_for(leaf, "[::1]");
    }
}

fn word((word, reason): (&str, Option<String>)) {
    let known = ["valid", "expired", "not_yet_valid", "name_mismatch", "untrusted", "unsupported", "unreachable"];
    assert!(known.contains(&word) && (word == "valid") == reason.is_none(), "{word}: {reason:?}");
    assert_harmless(&crate::record::escape::terminal(&reason.unwrap_or_default()));
}
