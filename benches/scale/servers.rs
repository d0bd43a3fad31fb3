//! What the collectors ask: a plain HTTP server and one with TLS, on loopback. Their processor time is counted apart.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use autoheal::threads;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustix::time::ClockId;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::look::clock;

/// So many connections are served at a time.
const THREADS: usize = 2;

static USED: AtomicU64 = AtomicU64::new(0);

/// Processor time of all servers so far.
pub(crate) fn used() -> Duration {
    Duration::from_nanos(USED.load(Ordering::SeqCst))
}

/// The HTTP server, which answers every request at once.
pub(crate) fn http() -> SocketAddr {
    static ADDRESS: OnceLock<SocketAddr> = OnceLock::new();
    *ADDRESS.get_or_init(|| {
        start(|mut stream| {
            read_head(&mut stream);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\nok\n");
        })
    })
}

/// The server with TLS and a certificate for `localhost`, whose authority goes to `ca_file`.
pub(crate) fn tls(ca_file: &Path) -> SocketAddr {
    static SERVER: OnceLock<(SocketAddr, String)> = OnceLock::new();
    let (address, authority) = SERVER.get_or_init(|| {
        let (config, authority) = tls_config();
        let address = start(move |stream| {
            let connection = ServerConnection::new(Arc::clone(&config)).expect("the configuration is complete");
            let mut tls = StreamOwned::new(connection, stream);
            while matches!(tls.read(&mut [0; 64]), Ok(1..)) {}
        });
        (address, authority)
    });
    std::fs::write(ca_file, authority).expect("a file can be written");
    *address
}

fn tls_config() -> (Arc<ServerConfig>, String) {
    let key = || KeyPair::generate().expect("a key can be made");
    let mut params = CertificateParams::new(Vec::new()).expect("no name is wrong");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, key()).expect("an authority can be made");
    let own = key();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("it is a name");
    let chain = vec![params.signed_by(&own, &issuer).expect("it can be signed").der().clone()];
    let builder = ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into());
    let builder = builder.with_safe_default_protocol_versions().expect("the provider has them").with_no_client_auth();
    let key = rustls::pki_types::PrivateKeyDer::try_from(own.serialize_der()).expect("it is a key");
    (Arc::new(builder.with_single_cert(chain, key).expect("the key is the certificate's")), issuer.pem())
}

fn start(serve: impl Fn(TcpStream) + Send + Clone + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a port");
    let address = listener.local_addr().expect("it has an address");
    for _ in 0..THREADS {
        let (listener, serve) = (listener.try_clone().expect("a descriptor is left"), serve.clone());
        let _ = threads::spawn("bench:server", move || {
            let mut counted = Duration::ZERO;
            for stream in listener.incoming().flatten() {
                serve(stream);
                let used = clock(ClockId::ThreadCPUTime);
                USED.fetch_add(u64::try_from((used - counted).as_nanos()).unwrap_or(0), Ordering::SeqCst);
                counted = used;
            }
        });
    }
    address
}

fn read_head(stream: &mut TcpStream) {
    let mut head = Vec::new();
    let mut buffer = [0; 1024];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer) {
            Ok(length @ 1..) => head.extend_from_slice(&buffer[..length]),
            _ => return,
        }
    }
}
