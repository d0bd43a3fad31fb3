//! TLS configurations: the one place that knows the crypto provider and the trusted roots. Built once and shared.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{InvalidMessage, RootCertStore};

use super::reason as why;

/// A bundle of roots is smaller.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// The crypto provider: ring. It knows no P-521.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(rustls::crypto::ring::default_provider())))
}

/// The host's roots.
fn native_roots() -> Vec<CertificateDer<'static>> {
    let loaded = rustls_native_certs::load_native_certs();
    if loaded.certs.is_empty() {
        let why = loaded.errors.first().map_or_else(|| "none are installed".to_owned(), ToString::to_string);
        log::warn!("no trusted root certificates on this host ({why}); install ca-certificates, or name a ca_file");
    }
    loaded.certs
}

/// Whom a client trusts. Equal ones share their configuration; a file that was changed is another one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Trust {
    /// No TLS at all.
    Plain,
    /// Any certificate will do.
    Anybody,
    /// The host's roots.
    Host,
    /// The host's roots and those in this file, as it was then.
    File {
        /// The file.
        path: PathBuf,
        /// Its time of change and size.
        version: (Option<SystemTime>, u64),
    },
}

impl Trust {
    /// What the settings of a client mean now.
    #[must_use]
    pub fn new(ca_file: Option<&Path>, insecure: bool) -> Self {
        match (insecure, ca_file) {
            (true, _) => Self::Anybody,
            (false, None) => Self::Host,
            (false, Some(path)) => {
                let meta = fs::metadata(path).ok();
                let version = meta.map_or((None, 0), |meta| (meta.modified().ok(), meta.len()));
                Self::File { path: path.to_owned(), version }
            }
        }
    }

    /// Whether this is the same file as `newer`, before it was changed.
    pub(crate) fn is_older_version_of(&self, newer: &Self) -> bool {
        matches!((self, newer), (Self::File { path, .. }, Self::File { path: same, .. }) if path == same) && self != newer
    }

    fn extra(&self) -> Result<Vec<CertificateDer<'static>>, String> {
        match self {
            Self::File { path, .. } => certificates_in(path).map_err(|reason| format!("ca_file {}: {reason}", path.display())),
            _ => Ok(Vec::new()),
        }
    }
}

/// What a fault of TLS means, without the innards of a library: those have no bounds.
#[must_use]
pub fn reason(fault: &rustls::Error) -> String {
    match fault {
        rustls::Error::InvalidMessage(InvalidMessage::HandshakePayloadTooLarge) => {
            "TLS: what the server shows is longer than 64 KiB".to_owned()
        }
        rustls::Error::InvalidMessage(_) => "the server does not speak TLS here".to_owned(),
        rustls::Error::Other(why) => why.0.to_string(),
        fault => format!("TLS: {fault}"),
    }
}

/// Roots to judge a certificate by.
#[derive(Clone, Debug)]
pub(crate) struct Roots {
    /// The trust anchors.
    pub(crate) store: Arc<RootCertStore>,
    /// The certificates of the file. One that a server shows itself is trusted as it is.
    pub(crate) own: Vec<CertificateDer<'static>>,
}

/// The roots for this trust; the host's are loaded when they are first needed, and shared.
///
/// # Errors
/// When the file of the roots cannot be used; the message names it.
pub(crate) fn roots(trust: &Trust) -> Result<Roots, String> {
    static HOST: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let host = HOST.get_or_init(|| {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(native_roots());
        Arc::new(store)
    });
    let own = trust.extra()?;
    if own.is_empty() {
        return Ok(Roots { store: Arc::clone(host), own });
    }
    let mut store = RootCertStore::clone(host);
    store.add_parsable_certificates(own.iter().cloned());
    Ok(Roots { store: Arc::new(store), own })
}

/// The certificates in a PEM or DER file. Never opens what is no regular file.
///
/// # Errors
/// Why there is none.
pub(crate) fn certificates_in(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let plain = |error: std::io::Error| why::io(&error, std::time::Duration::ZERO);
    let meta = fs::metadata(path).map_err(plain)?;
    if !meta.is_file() {
        return Err("not a regular file".to_owned());
    }
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(|error| why::plain(&error))?;
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(|error| why::plain(&error))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_FILE_BYTES) {
        return Err("larger than 4 MiB".to_owned());
    }
    certificates(bytes)
}

/// The certificates in the content of a file: PEM, whatever stands between them, or one as DER.
///
/// # Errors
/// Why there is none.
pub(crate) fn certificates(bytes: Vec<u8>) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut found = Vec::new();
    for item in CertificateDer::pem_slice_iter(&bytes) {
        found.push(item.map_err(|_| "broken PEM".to_owned())?);
    }
    // DER begins with the tag of a sequence.
    if found.is_empty() && bytes.first() == Some(&0x30) {
        found.push(CertificateDer::from(bytes));
    }
    if found.is_empty() { Err("no certificate in it".to_owned()) } else { Ok(found) }
}
