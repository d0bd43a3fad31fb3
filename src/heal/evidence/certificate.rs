//! A certificate that runs out: whether a newer one lies on disk already. Then the server needs a reload and no renewal.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

use super::{Evidence, Subject, within};
use crate::clock::Moment;
use crate::collect::certificate::{Fit, files_of};
use crate::config::settings::{CertificateEntry, CertificateSource};
use crate::heal::action::top_processes::visible;
use crate::heal::outcome::Limit;
use crate::sample::Value;

/// What is looked for.
pub(super) const TITLE: &str = "Certificate files for the served name";

/// Where certbot keeps what is in use.
pub(super) const LIVE: &str = "/etc/letsencrypt/live";

/// How many files are looked at.
const MOST_FILES: usize = 200;
/// A larger file is no certificate with its chain.
const MOST_BYTES: u64 = 64 * 1024;
/// How long the search takes.
const MOST_TIME: Duration = Duration::from_secs(1);
/// Between the measurement of the served one and this look the clock may be set.
const MARGIN: f64 = 3600.0;

/// Files for the served name, and whether one of them lasts longer than what is served.
///
/// # Errors
/// Never now; what is incomplete is said in a note.
pub(super) fn gather(subject: &Subject<'_>, live: &str, now: Moment, limit: &Limit) -> Result<Evidence, String> {
    let Some(name) = served_name(subject) else { return Ok(Evidence::default()) };
    let until = served_until(subject, now);
    let limit = within(limit, MOST_TIME);
    let (mut lines, mut hints, mut note) = (Vec::new(), Vec::new(), None);
    for (index, path) in candidates(subject, live).into_iter().enumerate() {
        if index >= MOST_FILES || limit.is_over() {
            note = Some(format!("only {index} files were looked at"));
            break;
        }
        let Some(end) = Fit::of(&path, &name, MOST_BYTES).and_then(|fit| Timestamp::from_second(fit.not_after).ok()) else { continue };
        let (path, date) = (visible(&path.to_string_lossy()), end.strftime("%Y-%m-%d"));
        lines.push(format!("{path} is valid until {date}"));
        if until.is_some_and(|until| seconds(end) > until + MARGIN) {
            hints.push(format!("{path} on disk is valid until {date}, later than the one served: a reload is enough"));
        }
    }
    if until.is_none() && note.is_none() && !lines.is_empty() {
        note = Some("until when the served one is valid is not known".to_owned());
    }
    Ok(Evidence { hints, ..Evidence::of(TITLE, lines, note) })
}

/// The watch entry of the target.
fn entry<'s>(subject: &Subject<'s>) -> Option<&'s CertificateEntry> {
    let label = subject.target.label("certificate")?;
    subject.settings.watch.certificates.iter().find(|entry| entry.name == label)
}

/// The name that the certificate must be for; `None` if it is one in a file.
fn served_name(subject: &Subject<'_>) -> Option<String> {
    let host = subject.target.label("host")?;
    let asked = entry(subject).and_then(|entry| match &entry.source {
        CertificateSource::Served { server_name, .. } => server_name.clone(),
        CertificateSource::Files { .. } => None,
    });
    Some(asked.unwrap_or_else(|| host.to_owned()))
}

/// Until when the served one is valid, in seconds since 1970, as far as the samples tell.
fn served_until(subject: &Subject<'_>, now: Moment) -> Option<f64> {
    let days = subject.sample("ssl_expires_in_days");
    let measured = days.and_then(|sample| match sample.value {
        Some(Value::Number(days)) => Some(seconds(sample.at.wall) + days * 86_400.0),
        _ => None,
    });
    measured.or_else(|| subject.says("ssl_status", "expired").then(|| seconds(now.wall)))
}

#[expect(clippy::cast_precision_loss, reason = "the year 9999 needs 38 bits")]
fn seconds(at: Timestamp) -> f64 {
    at.as_second() as f64
}

/// The files of watched certificates, and certbot's.
fn candidates(subject: &Subject<'_>, live: &str) -> Vec<PathBuf> {
    let watched = subject.settings.watch.certificates.iter().filter_map(|entry| match &entry.source {
        CertificateSource::Files { path } => Some(path.clone()),
        CertificateSource::Served { .. } => None,
    });
    let certbot = ["fullchain.pem", "cert.pem"].map(|file| format!("{live}/*/{file}"));
    let mut found: Vec<PathBuf> = Vec::new();
    for path in watched.chain(certbot).flat_map(|glob| files_of(&glob)) {
        // One more than are looked at, so that it is noticed that there are more.
        if found.len() <= MOST_FILES && !found.contains(&path) {
            found.push(path);
        }
    }
    found
}

#[cfg(test)]
#[path = "certificate_tests.rs"]
mod tests;
