//! HTTP answers: through the real client over a connection that plays the bytes, for the latency collector and the `http` action.

use std::sync::{Arc, LazyLock};

use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport};
use ureq::{Agent, Error};

use crate::collect::Exclusions;
use crate::collect::https;
use crate::collect::latency::Latency;
use crate::collect::shared::Shared;
use crate::config::settings::EndpointEntry;
use crate::config::source::Text;
use crate::config::{parse_settings, settings};
use crate::heal::action::http::said_by;
use crate::sample::{Sample, Value};

const SETTINGS: &str = r#"{"watch": {"endpoints": [{"name": "shop", "url": "http://shop.invalid/", "expected_body": "ok"}]}}"#;

/// What a server sends before it closes the connection.
///
/// # Panics
/// The samples are not what the collector promises, or depend on how the bytes arrive.
pub fn http_response(data: &[u8]) {
    let whole = measure(data, usize::MAX);
    let trickled = measure(data, 1);
    assert_eq!(without_time(&whole), without_time(&trickled));
    let said = said_by(&playing(&agent(), data, 7), "http://shop.invalid/");
    let text = said.unwrap_or_else(|reason| reason);
    assert!(!text.is_empty() && text.len() < 64 * 1024, "{} bytes are shown", text.len());
}

fn measure(data: &[u8], piece: usize) -> Vec<Sample> {
    static ENTRY: LazyLock<EndpointEntry> = LazyLock::new(|| {
        let settings: settings::Settings = parse_settings(&Text::new("settings", SETTINGS)).expect("they are a constant");
        settings.watch.endpoints[0].clone()
    });
    Latency::new(ENTRY.clone(), Shared::new(Exclusions::default())).measure_by(&playing(&agent(), data, piece))
}

/// Three samples; what is down is infinite and says why, and a status is one.
fn without_time(samples: &[Sample]) -> (String, Option<f64>) {
    let [latency, status, code] = samples else { panic!("{samples:?}") };
    let word = status.value.as_ref().expect("a target that fails is data").to_string();
    match (&latency.value, &*word) {
        (Some(Value::Number(took)), "up") => assert!(*took >= 0.0),
        (Some(Value::Infinite), "down") => assert!(latency.reason.as_ref().is_some_and(|reason| !reason.is_empty())),
        other => panic!("{other:?}"),
    }
    let code = match code.value {
        Some(Value::Number(code)) => Some(code),
        _ => None,
    };
    assert!(code.is_none_or(|code| (100.0..1000.0).contains(&code)), "{code:?}");
    assert!(word == "down" || code.is_some());
    (word, code)
}

fn agent() -> Agent {
    static AGENT: LazyLock<Agent> = LazyLock::new(|| https::agent(None, false, None, &Arc::default()));
    AGENT.clone()
}

/// The same client on connections that play these bytes, so many at a time.
fn playing(agent: &Agent, data: &[u8], piece: usize) -> Agent {
    Agent::with_parts(agent.config().clone(), Player { data: data.into(), piece }, Nowhere)
}

#[derive(Debug)]
struct Player {
    data: Arc<[u8]>,
    piece: usize,
}

impl Connector for Player {
    type Out = Played;

    fn connect(&self, details: &ConnectionDetails<'_>, _: Option<()>) -> Result<Option<Played>, Error> {
        let buffers = LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(Played { data: Arc::clone(&self.data), piece: self.piece, at: 0, buffers }))
    }
}

/// A connection: what is sent is lost, what is received was there before.
struct Played {
    data: Arc<[u8]>,
    piece: usize,
    at: usize,
    buffers: LazyBuffers,
}

impl std::fmt::Debug for Played {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Played at {}", self.at)
    }
}

impl Transport for Played {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, _: usize, _: NextTimeout) -> Result<(), Error> {
        Ok(())
    }

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, Error> {
        let input = self.buffers.input_append_buf();
        let length = (self.data.len() - self.at).min(self.piece).min(input.len());
        input[..length].copy_from_slice(&self.data[self.at..self.at + length]);
        self.buffers.input_appended(length);
        self.at += length;
        Ok(length > 0)
    }

    fn is_open(&mut self) -> bool {
        self.at < self.data.len()
    }
}

/// Every name has an address that is not used.
#[derive(Debug)]
struct Nowhere;

impl Resolver for Nowhere {
    fn resolve(&self, _: &Uri, _: &ureq::config::Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let mut addresses = self.empty();
        addresses.push(([127, 0, 0, 1], 1).into());
        Ok(addresses)
    }
}
