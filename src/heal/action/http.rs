//! `http`: one request, under one deadline for everything from the look-up of the name to the body.

use std::io::Read;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use ureq::http;
use ureq::{Agent, Body};

use super::ended_early;
use crate::collect::https;
use crate::collect::tls::Trust;
use crate::config::playbook::StatusSet;
use crate::heal::outcome::Limit;
use crate::threads;

/// How much of the answer's body is shown.
const SHOWN_BODY: u64 = 4096;
/// How much of it stands in the reason of a failure.
const QUOTED_BODY: usize = 200;
/// Headers that no playbook may set, because the guard has allowed a method and an address and nothing else: those that say where a
/// request ends could hide a second one in the body of the first, and others make servers take another host, path or method.
const OURS: &[&str] = &[
    "connection",
    "content-length",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "host",
    "forwarded",
    "x-forwarded-host",
    "x-host",
    "x-original-url",
    "x-rewrite-url",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
];

/// Whether a header is autoheal's to set.
#[must_use]
pub fn is_ours(header: &str) -> bool {
    OURS.iter().any(|ours| header.eq_ignore_ascii_case(ours))
}
/// How often the stop flag is looked at while the request runs.
const LOOK: Duration = Duration::from_millis(50);

/// Makes the request; the answer's status decides whether it worked. Redirects are answers and are not followed, the
/// environment's proxy is not used.
///
/// What it says: the status line and at most 4 KiB of the body.
///
/// # Errors
/// The request cannot be made, gets no answer in time, or an answer whose status is not expected.
pub fn request(
    method: &str,
    url: &str,
    headers: &[(String, String)],
    body: Option<&str>,
    expect_status: &StatusSet,
    limit: &Limit,
) -> Result<String, String> {
    request_by(agent(), method, url, headers, body, expect_status, limit)
}

fn request_by(
    agent: &'static Agent,
    method: &str,
    url: &str,
    headers: &[(String, String)],
    body: Option<&str>,
    expect_status: &StatusSet,
    limit: &Limit,
) -> Result<String, String> {
    let line = format!("{method} {url}");
    let mut request = http::Request::builder().method(method).uri(url);
    if let Some((name, _)) = headers.iter().find(|(name, _)| is_ours(name)) {
        return Err(format!("{line}: the header {name} is autoheal's to set: remove it"));
    }
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let left = limit.left();
    if left.is_zero() {
        return Err(format!("{line}: not sent, {}", ended_early(limit)));
    }
    let request = request.body(body.unwrap_or_default().to_owned()).map_err(|error| format!("{line}: cannot be sent: {error}"))?;
    let bodiless = body.is_none();
    // A thread of its own, because the agent must be able to stop while a server is silent. It ends at the same deadline.
    let (answer, answered) = bounded(1);
    threads::try_spawn("http action", move || {
        let _ = answer.send(exchange(agent, request, bodiless, left));
    })
    .map_err(|error| format!("{line}: cannot start a thread for it: {error}"))?;
    let answer = wait(&answered, limit).map_err(|reason| format!("{line}: {reason}"))?;
    let answer = answer.map_err(|error| format!("{line}: {}", explain(&error, left)))?;
    if expect_status.contains(answer.status) { Ok(answer.shown()) } else { Err(answer.unexpected(&line, expect_status)) }
}

/// What a GET says through a client whose connections somebody else has made.
#[cfg(any(test, fuzzing))]
pub(crate) fn said_by(agent: &Agent, url: &str) -> Result<String, String> {
    let request = http::Request::builder().uri(url).body(String::new()).map_err(|error| error.to_string())?;
    let answer = exchange(agent, request, true, Duration::from_secs(60)).map_err(|error| explain(&error, Duration::from_secs(60)))?;
    Ok(answer.shown())
}

/// Waits for the thread's answer, not longer than the limit and a little: at the deadline its own error is the better one.
fn wait<T>(answered: &Receiver<T>, limit: &Limit) -> Result<T, String> {
    loop {
        let over = limit.is_over();
        match answered.recv_timeout(if over { LOOK * 4 } else { LOOK }) {
            Ok(answer) => return Ok(answer),
            Err(RecvTimeoutError::Timeout) if over => return Err(format!("no answer, {}", ended_early(limit))),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err("the request ended unexpectedly".to_owned()),
        }
    }
}

/// What came back.
struct Answer {
    status: u16,
    status_line: String,
    body: String,
    note: Option<String>,
}

impl Answer {
    fn shown(&self) -> String {
        let mut text = self.status_line.clone();
        for part in [Some(self.body.as_str()).filter(|body| !body.is_empty()), self.note.as_deref()].into_iter().flatten() {
            text.push('\n');
            text.push_str(part);
        }
        text
    }

    fn unexpected(&self, line: &str, expected: &StatusSet) -> String {
        let said: String = self.body.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(QUOTED_BODY).collect();
        let said = if said.is_empty() { String::new() } else { format!("; it said: {said}") };
        format!("{line}: answered {}, expected {expected}{said}", self.status_line)
    }
}

/// Sends and reads. A body that breaks off after a status changes nothing: the status says whether the request worked.
fn exchange(agent: &Agent, request: http::Request<String>, bodiless: bool, left: Duration) -> Result<Answer, ureq::Error> {
    let response = if bodiless && !matches!(request.method().as_str(), "POST" | "PUT" | "PATCH") {
        let request = agent.configure_request(request.map(|_| ())).timeout_global(Some(left)).build();
        agent.run(request)?
    } else {
        let request = agent.configure_request(request).timeout_global(Some(left)).allow_non_standard_methods(true).build();
        agent.run(request)?
    };
    let status = response.status();
    let reason = status.canonical_reason().unwrap_or_default();
    let status_line = format!("{:?} {} {reason}", response.version(), status.as_u16()).trim_end().to_owned();
    let (body, note) = read_body(response.into_body());
    Ok(Answer { status: status.as_u16(), status_line, body, note })
}

fn read_body(mut body: Body) -> (String, Option<String>) {
    let mut bytes = Vec::new();
    let result = body.as_reader().take(SHOWN_BODY + 1).read_to_end(&mut bytes);
    let shown = usize::try_from(SHOWN_BODY).unwrap_or(usize::MAX);
    let note = match result {
        Err(error) => Some(format!("(the body broke off: {})", body_fault(error))),
        Ok(read) if read > shown => Some("(the body goes on)".to_owned()),
        Ok(_) => None,
    };
    bytes.truncate(shown);
    (String::from_utf8_lossy(&bytes).into_owned(), note)
}

fn body_fault(error: std::io::Error) -> String {
    match error.downcast() {
        Ok(ureq::Error::Timeout(_)) => "its time was over".to_owned(),
        Ok(other) => https::reason(&other),
        Err(error) => https::reason(&error.into()),
    }
}

fn explain(error: &ureq::Error, limit: Duration) -> String {
    match error {
        ureq::Error::Timeout(_) => format!("no answer within {}", crate::clock::in_words(limit)),
        other => https::reason(other),
    }
}

/// One agent for all requests: it holds the TLS configuration and no connections, because one that was kept and that the server
/// has closed meanwhile would fail the next request.
fn agent() -> &'static Agent {
    // The host's own roots need no file that could be unreadable.
    static AGENT: LazyLock<Agent> = LazyLock::new(|| trusting(&Trust::Host).expect("only a ca_file can fail"));
    &AGENT
}

fn trusting(trust: &Trust) -> Result<Agent, String> {
    Ok(https::agent(https::tls(trust)?, false, None, &Arc::default()))
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
