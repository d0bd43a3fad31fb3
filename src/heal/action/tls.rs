//! How actions trust TLS servers: the host's own roots, read once.

use std::sync::{Arc, LazyLock};

use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// The one TLS configuration of requests that actions make. The first call reads the host's roots (some 10 ms).
pub(super) fn client_config() -> TlsConfig {
    static CONFIG: LazyLock<TlsConfig> = LazyLock::new(|| {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            log::warn!("cannot read a root certificate of this host: {error}");
        }
        let roots: Vec<_> = found.certs.iter().map(|root| Certificate::from_der(root).to_owned()).collect();
        trusting(&roots)
    });
    CONFIG.clone()
}

/// A configuration that trusts these roots alone. The provider is named here, because two in one program would panic at first use.
pub(super) fn trusting(roots: &[Certificate<'static>]) -> TlsConfig {
    TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(roots))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build()
}
