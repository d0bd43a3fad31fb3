//! The shape of `watch.certificates`.

use std::time::Duration;

use jsonc_parser::ast::Value;
use schemars::json_schema;

use super::node::{Cx, Fields, FromNode, record};
use super::raw_watch::{Glob, HasName, Label};
use super::schema::{joined, schema};
use super::settings::{self, CertificateSource, StartTls};
use super::shape::{AbsolutePath, Interval, Named, PositiveSeconds};

/// One element of `watch.certificates`.
#[derive(Debug)]
pub(crate) struct Certificate {
    common: CertificateCommon,
    source: CertificateSource,
}

record! {
    /// Keys of every certificate.
    CertificateCommon {
        /// What it is called: the label `certificate`.
        name: Label,
        /// A file with root certificates, in PEM. Without it: the host's.
        ca_file: Option<AbsolutePath>,
        /// After this many seconds the look has failed.
        timeout_seconds: PositiveSeconds = 5,
        /// How many seconds lie between two measurements. Without it: `interval_seconds` of the settings.
        interval_seconds: Option<Interval>,
    }
}

record! {
    /// A certificate that a server shows.
    Served {
        /// The server: a name or an address.
        host: Named,
        /// Its port.
        #[schemars(range(min = 1))]
        port: u16 = 443,
        /// The name that is asked for and must be in the certificate. Without it: `host`.
        server_name: Option<Named>,
        /// The protocol that is spoken before encryption begins. Without it: none.
        starttls: Option<StartTls>,
    }
}

record! {
    /// A certificate in files.
    Filed {
        /// An absolute path, which may be a glob.
        path: Glob,
    }
}

schema! {
    Certificate = |generator| {
        let common = CertificateCommon::json_schema(generator);
        let served = joined("A certificate that a server shows.", [common.clone(), Served::json_schema(generator)]);
        let filed = joined("A certificate in files.", [common, Filed::json_schema(generator)]);
        json_schema!({"oneOf": [served, filed]})
    };
}

impl FromNode for Certificate {
    fn from_node(node: &Value<'_>, cx: &mut Cx<'_>) -> Option<Self> {
        let mut fields = Fields::open(node, cx)?;
        let common = CertificateCommon::read(&mut fields);
        let source = if fields.has("path") {
            Filed::read(&mut fields).map(|raw| CertificateSource::Files { path: raw.path.0 })
        } else {
            Served::read(&mut fields).map(|raw| CertificateSource::Served {
                host: raw.host.0,
                port: raw.port,
                server_name: raw.server_name.map(|name| name.0),
                starttls: raw.starttls,
            })
        };
        fields.close();
        Some(Self { common: common?, source: source? })
    }
}

impl HasName for Certificate {
    fn name(&self) -> &str {
        &self.common.name.0
    }
}

impl Certificate {
    /// What is looked at; without an interval of its own, as `or` says.
    pub(crate) fn entry(self, or: impl Fn(Option<Interval>) -> Duration) -> settings::CertificateEntry {
        let Self { common, source } = self;
        settings::CertificateEntry {
            name: common.name.0,
            source,
            ca_file: common.ca_file.map(|path| path.0),
            timeout: common.timeout_seconds.0,
            interval: or(common.interval_seconds),
        }
    }
}
