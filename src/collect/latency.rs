//! HTTP endpoints: how long a whole request takes, and whether the answer is the expected one.

use std::io::{Error as IoError, Read};
use std::sync::Arc;
use std::time::Duration;

use ureq::http::{HeaderValue, Request, Uri};
use ureq::{Agent, Error};

use super::shared::Shared;
use super::stages::Marks;
use super::tls::{self, Trust};
use super::{Collector, https, reason};
use crate::clock::{self, Moment};
use crate::config::settings::EndpointEntry;
use crate::metric::{self, Metric};
use crate::sample::{Labels, Sample, Target, Value};

const LATENCY: &Metric = metric::named("api_latency_ms");
const ANSWERS: &Metric = metric::named("api_status");
const STATUS: &Metric = metric::named("http_status");

/// More of a body is not read.
const BODY_BYTES: u64 = 64 * 1024;

/// Most health checks say less than this.
const USUAL_BODY_BYTES: usize = 512;

/// An answer that takes this long has a remark that says where the time went.
const SLOW: Duration = Duration::from_millis(100);

/// Measures one endpoint.
#[derive(Debug)]
pub(crate) struct Latency {
    entry: EndpointEntry,
    target: Arc<Target>,
    shared: Shared,
    /// What is sent each time, or why it cannot be.
    request: Result<Request<()>, String>,
    /// Who sends it, and whom that trusts.
    agent: Option<(Trust, Agent)>,
    marks: Arc<Marks>,
}

impl Latency {
    pub(crate) fn new(entry: EndpointEntry, shared: Shared) -> Self {
        let target = target(&entry);
        let request = request(&entry).map_err(|error| format!("not a request that can be made: {error}"));
        Self { entry, target, shared, request, agent: None, marks: Arc::default() }
    }

    fn trust(&self) -> Trust {
        let https = self.entry.url.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"));
        if https { Trust::new(self.entry.ca_file.as_deref(), self.entry.insecure) } else { Trust::Plain }
    }

    /// The agent of the last request, if it still trusts whom it should.
    fn agent(&mut self) -> Result<Agent, String> {
        let trust = self.trust();
        match &self.agent {
            Some((same, agent)) if *same == trust => Ok(agent.clone()),
            _ => {
                let tls = self.shared.tls(&trust)?;
                let agent = https::agent(tls, self.entry.keep_alive, Some(self.entry.timeout), &self.marks);
                self.agent = Some((trust, agent.clone()));
                Ok(agent)
            }
        }
    }

    /// One request. A connection that was kept may have been closed by the server meanwhile, which says nothing about the
    /// server: then a new one is tried, in the time that is left. The agent keeps one at most, and none that failed.
    fn ask(&mut self) -> Result<Answer, Failure> {
        let agent = self.agent().map_err(Failure::Ours)?;
        if !self.entry.keep_alive {
            return self.attempt(&agent, None);
        }
        let began = clock::instant();
        let answer = self.attempt(&agent, None);
        let left = self.entry.timeout.saturating_sub(began.elapsed());
        match answer {
            Err(Failure::Target(_)) if !left.is_zero() => self.attempt(&agent, Some(left)),
            answer => answer,
        }
    }

    /// Within `left` or, without it, in the time that the agent gives.
    fn attempt(&self, agent: &Agent, left: Option<Duration>) -> Result<Answer, Failure> {
        let mut request = self.request.clone().map_err(Failure::Ours)?;
        if let Some(left) = left {
            request = agent.configure_request(request).timeout_global(Some(left)).build();
        }
        self.marks.take();
        let began = clock::instant();
        let late = || format!("{}: {}", reason::timed_out(self.entry.timeout), self.marks.take().in_words_until(began));
        let mut response = agent.run(request).map_err(|error| failure(&error, late))?;
        let status = response.status().as_u16();
        let mut body = Vec::with_capacity(USUAL_BODY_BYTES);
        let read = response.body_mut().as_reader().take(BODY_BYTES).read_to_end(&mut body);
        let took = began.elapsed();
        read.map_err(|error| Failure::Body(status, body_failure(error, late)))?;
        let remark = (took >= SLOW).then(|| self.marks.take().in_words(began, took));
        Ok(Answer { status, body, took, remark })
    }

    /// Why the answer is not the expected one.
    fn fault(&self, answer: &Answer) -> Option<String> {
        if !self.entry.expected_status.contains(answer.status) {
            return Some(format!("status {}, expected {}", answer.status, self.entry.expected_status));
        }
        let pattern = self.entry.expected_body.as_ref()?;
        let found = pattern.is_match(&String::from_utf8_lossy(&answer.body));
        (!found).then(|| format!("the body does not match /{pattern}/"))
    }

    fn samples(&self, outcome: Result<Answer, (Option<u16>, String)>) -> Vec<Sample> {
        let now = Moment::now();
        let known = |metric, value, reason| Sample { reason, ..Sample::known(metric, &self.target, value, now) };
        let (latency, remark, word, status, reason) = match outcome {
            Ok(Answer { status, took, remark, .. }) => (Value::Number(took.as_secs_f64() * 1000.0), remark, "up", Some(status), None),
            Err((status, reason)) => (Value::Infinite, Some(reason.clone()), "down", status, Some(reason)),
        };
        let code = status.map(f64::from).ok_or_else(|| reason.clone().unwrap_or_default());
        vec![
            known(LATENCY, latency, remark),
            known(ANSWERS, Value::Text(word.into()), reason),
            Sample::number(STATUS, &self.target, code, now),
        ]
    }

    /// What came of a request, as samples.
    fn judge(&self, answer: Result<Answer, Failure>) -> Vec<Sample> {
        self.samples(match answer {
            Ok(answer) => match self.fault(&answer) {
                None => Ok(answer),
                Some(reason) => Err((Some(answer.status), reason)),
            },
            Err(Failure::Target(reason) | Failure::Late(reason)) => Err((None, reason)),
            Err(Failure::Body(status, reason)) => Err((Some(status), reason)),
            Err(Failure::Ours(reason)) => {
                let now = Moment::now();
                return [LATENCY, ANSWERS, STATUS].map(|metric| Sample::unknown(metric, &self.target, reason.clone(), now)).into();
            }
        })
    }

    /// Measures with a client whose connections somebody else has made.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn measure_by(&self, agent: &Agent) -> Vec<Sample> {
        self.judge(self.attempt(agent, Some(self.entry.timeout)))
    }
}

impl Collector for Latency {
    fn may_hang(&mut self) -> bool {
        true
    }

    fn measure(&mut self) -> Vec<Sample> {
        let answer = self.ask();
        self.judge(answer)
    }
}

/// What an entry asks for. The headers that are the same each time are made here, and only once.
fn request(entry: &EndpointEntry) -> Result<Request<()>, ureq::http::Error> {
    let mut request = Request::builder().method(entry.method.as_str()).uri(&entry.url);
    for (name, value) in &entry.headers {
        request = request.header(name, value);
    }
    let ours = [("user-agent", https::USER_AGENT), ("accept", https::ACCEPT), ("connection", "close")];
    for (name, value) in &ours[..if entry.keep_alive { 2 } else { 3 }] {
        if !entry.headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) {
            request = request.header(*name, HeaderValue::from_static(value));
        }
    }
    request.body(())
}

struct Answer {
    status: u16,
    body: Vec<u8>,
    took: Duration,
    /// What took how long, of a slow one.
    remark: Option<String>,
}

enum Failure {
    /// The target failed: infinite.
    Target(String),
    /// It did not answer in time, which is the same.
    Late(String),
    /// It failed after the status.
    Body(u16, String),
    /// Autoheal or the host failed, which says nothing about the target: unknown.
    Ours(String),
}

/// The target of an entry.
pub(crate) fn target(entry: &EndpointEntry) -> Arc<Target> {
    let host = entry.url.parse::<Uri>().ok().and_then(|uri| uri.host().map(str::to_owned)).unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Target::new(Labels::from([("endpoint", entry.name.as_str()), ("host", host)]), Labels::from([("url", entry.url.as_str())]))
}

fn failure(error: &Error, late: impl FnOnce() -> String) -> Failure {
    Failure::Target(match error {
        Error::Timeout(_) => return Failure::Late(late()),
        Error::Io(error) if reason::is_our_own(error) => return Failure::Ours(reason::plain(error)),
        Error::Io(error) => io_reason(error),
        Error::HostNotFound => "host not found".to_owned(),
        Error::ConnectionFailed => "connection failed".to_owned(),
        Error::BadUri(why) => return Failure::Ours(format!("not a URL that can be requested: {why}")),
        other => https::reason(other),
    })
}

/// Never that the time is over: connections say that as ureq does.
fn io_reason(error: &IoError) -> String {
    let inner = error.get_ref();
    match inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(fault) => tls::reason(fault),
        None if error.to_string().contains("failed to lookup address") => reason::look_up(error),
        None => reason::io(error, Duration::ZERO),
    }
}

fn body_failure(error: IoError, late: impl FnOnce() -> String) -> String {
    match error.downcast::<Error>() {
        Ok(Error::Timeout(_)) => late(),
        Ok(Error::Io(error)) | Err(error) => io_reason(&error),
        Ok(other) => https::reason(&other),
    }
}

#[cfg(test)]
#[path = "latency_tests.rs"]
mod tests;
