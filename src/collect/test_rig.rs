//! Real processes, servers and certificates for the tests of the collectors.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child as StdChild, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crossbeam_channel::{after, bounded};

use crate::clock::Moment;
use crate::config::playbook::StatusSet;
use crate::config::settings::{Disks, EndpointEntry, ProcessEntry, ProcessMatch, Settings, Watch};
use crate::sample::{Sample, Value};
use crate::threads;

/// A child process that ends with the test.
pub(crate) struct Child {
    child: StdChild,
    argument: String,
}

impl Child {
    /// `sleep` with an argument that no other process has.
    pub(crate) fn sleeping() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let argument = format!("600.{:06}{:04}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        Self::start(command("sleep").arg(&argument), argument.clone())
    }

    /// Uses a whole core.
    pub(crate) fn busy() -> Self {
        Self::start(command("sh").args(["-c", "while :; do :; done"]), String::new())
    }

    fn start(command: &mut Command, argument: String) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        let child = Self { child, argument };
        // Until the exec is over the child still is a copy of this test, or has no arguments yet.
        let own = super::host::exe(std::process::id()).unwrap();
        wait_until("the child runs its program", || {
            let words = super::host::command_line(child.pid()).unwrap_or_default();
            super::host::exe(child.pid()).is_ok_and(|exe| exe != own) && words.iter().any(|word| word.contains(&child.argument))
        });
        child
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn argument(&self) -> &str {
        &self.argument
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
    }

    pub(crate) fn reap(&mut self) {
        self.child.wait().unwrap();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program, run by a test.
#[expect(clippy::disallowed_methods, reason = "tests start the processes that they watch")]
pub(crate) fn command(program: &str) -> Command {
    Command::new(program)
}

/// Waits for a condition, at most 20 s.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Moment::now().after(Duration::from_secs(20));
    while !holds() {
        assert!(Moment::now() < end, "waited in vain: {what}");
        let _ = after(Duration::from_millis(5)).recv();
    }
}

/// A watch entry with an interval of an hour.
pub(crate) fn process_entry(name: &str, matcher: ProcessMatch) -> ProcessEntry {
    ProcessEntry {
        name: name.to_owned(),
        matcher,
        service: None,
        restartable: false,
        respect_manual_stop: true,
        user: None,
        interval: Duration::from_hours(1),
    }
}

/// An endpoint with an interval of an hour and a timeout of 5 s.
pub(crate) fn endpoint(name: &str, url: &str) -> EndpointEntry {
    EndpointEntry {
        name: name.to_owned(),
        url: url.to_owned(),
        method: "GET".to_owned(),
        headers: Vec::new(),
        timeout: Duration::from_secs(5),
        expected_status: StatusSet(vec![(200, 399)]),
        expected_body: None,
        ca_file: None,
        insecure: false,
        keep_alive: false,
        interval: Duration::from_hours(1),
    }
}

/// Settings that watch nothing.
pub(crate) fn settings() -> Settings {
    Settings {
        dry_run: true,
        interval: Duration::from_secs(30),
        watch: Watch { disks: Disks::List(Vec::new()), ..Watch::default() },
        allowed_commands: Vec::new(),
        command_path: Vec::new(),
        services: Default::default(),
        max_actions_per_hour: 60,
        silences: Vec::new(),
        history: Default::default(),
    }
}

/// The sample of a metric, which must be there once.
#[track_caller]
pub(crate) fn sample<'a>(samples: &'a [Sample], metric: &str) -> &'a Sample {
    let mut found = samples.iter().filter(|sample| sample.metric.name == metric);
    let first = found.next().unwrap_or_else(|| panic!("no sample of {metric} among {samples:?}"));
    assert!(found.next().is_none(), "{metric} stands twice");
    first
}

/// Its number.
#[track_caller]
pub(crate) fn value(samples: &[Sample], metric: &str) -> f64 {
    match sample(samples, metric) {
        Sample { value: Some(Value::Number(number)), .. } => *number,
        other => panic!("{metric} has no number: {other:?}"),
    }
}

/// Its word.
#[track_caller]
pub(crate) fn text<'a>(samples: &'a [Sample], metric: &str) -> &'a str {
    match sample(samples, metric) {
        Sample { value: Some(Value::Text(word)), .. } => word,
        other => panic!("{metric} has no word: {other:?}"),
    }
}

/// A server on loopback that treats every connection as `serve` says, each in a thread.
pub(crate) fn server(serve: impl Fn(TcpStream) + Send + Sync + Clone + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let _ = threads::spawn("test:server", move || {
        for stream in listener.incoming() {
            let (Ok(stream), serve) = (stream, serve.clone()) else { return };
            let _ = threads::spawn("test:connection", move || serve(stream));
        }
    });
    address
}

/// A server that reads a request's head and answers with these bytes.
pub(crate) fn answering(answer: &'static str) -> SocketAddr {
    server(move |mut stream| {
        read_head(&mut stream);
        let _ = stream.write_all(answer.as_bytes());
    })
}

/// A server that accepts and says nothing, for ever.
pub(crate) fn silent() -> SocketAddr {
    server(hold)
}

/// Keeps a connection open until the other side ends it.
pub(crate) fn hold(mut stream: TcpStream) {
    let mut buffer = [0; 1024];
    while matches!(stream.read(&mut buffer), Ok(1..)) {}
}

/// Reads until the empty line.
pub(crate) fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// An address on loopback where nobody listens.
pub(crate) fn refusing() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Waits for the interval between two bytes of a slow server.
pub(crate) fn pause(span: Duration) {
    let (_keep, never) = bounded::<()>(0);
    let _ = never.recv_timeout(span);
}
