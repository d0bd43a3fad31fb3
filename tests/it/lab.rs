//! A throw-away configuration, and the program run on it from outside.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::time::Duration;

use crossbeam_channel::{Receiver, unbounded};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

/// Everything here answers within a second or two; a loaded machine gets more.
const PATIENCE: Duration = Duration::from_secs(30);

#[expect(clippy::disallowed_methods, reason = "the program under test is started as a user starts it")]
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_remove("AUTOHEAL_CONFIG_DIR").env_remove("AUTOHEAL_DATA_DIR").env_remove("STATE_DIRECTORY");
    command.env_remove("JOURNAL_STREAM").env_remove("NOTIFY_SOCKET");
    command
}

/// A configuration in a directory of its own, which goes with it.
pub(crate) struct Lab {
    pub(crate) dir: tempfile::TempDir,
}

impl Lab {
    /// A log file of 2 MiB is watched, and a process that does not exist.
    pub(crate) fn new(playbooks: &Value) -> Self {
        let lab = Self { dir: tempfile::tempdir().unwrap() };
        fs::File::create(lab.path("big.log")).unwrap().set_len(2 << 20).unwrap();
        lab.settings(&json!({}));
        lab.write("autoheal-playbooks.json", &playbooks.to_string());
        lab
    }

    pub(crate) fn settings(&self, more: &Value) {
        let mut settings = json!({
            "interval_seconds": 0.1,
            "watch": {
                "disks": [],
                "memory": false,
                "logs": [{"path": self.path("big.log")}, {"path": self.path("never.log")}],
                "processes": [{"name": "autoheal-test-no-such-process"}],
            },
            "allowed_commands": ["true", "false", "sleep {int}", "truncate -s 0 {re:.*big\\.log}", "grep -h Sig {re:.*}"],
        });
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.write("autoheal.json", &settings.to_string());
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn autoheal(&self, arguments: &[&str]) -> Command {
        let mut command = command(env!("CARGO_BIN_EXE_autoheal"));
        command.arg("--config-dir").arg(self.dir.path()).arg("--data-dir").arg(self.path("data")).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    #[track_caller]
    pub(crate) fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        said(self.autoheal(arguments).output().unwrap())
    }

    /// Runs it with `--json` and reads the one object that it prints.
    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str]) -> (i32, Value) {
        let (code, out, _) = self.run(&[&["--json"], arguments].concat());
        (code, serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error} in {out:?}")))
    }

    /// Starts the agent and reads its log up to the line that it is ready. What is waited for may stand before it: trouble that is
    /// there from the start.
    pub(crate) fn agent(&self) -> Agent {
        let mut child = self.autoheal(&["run"]).spawn().unwrap();
        let log = lines_of(child.stderr.take().unwrap());
        let mut agent = Agent { child, log, ready: String::new(), seen: Vec::new(), next: 0 };
        agent.ready = agent.wait_for("ready ");
        agent.next = 0;
        agent
    }
}

#[track_caller]
pub(crate) fn said(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().expect("it was not killed"), text(output.stdout), text(output.stderr))
}

/// A running agent; ended with the test, however that ends.
pub(crate) struct Agent {
    pub(crate) child: Child,
    log: Receiver<String>,
    /// The line that says so.
    pub(crate) ready: String,
    /// Every line of the log that was read.
    pub(crate) seen: Vec<String>,
    /// Where among them the next wait begins.
    next: usize,
}

impl Agent {
    /// The next line of the log with this text, after the one that was waited for before.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        loop {
            if let Some(ahead) = self.seen[self.next..].iter().position(|line| line.contains(text)) {
                self.next += ahead + 1;
                return self.seen[self.next - 1].clone();
            }
            match self.log.recv_timeout(PATIENCE) {
                Ok(line) => self.seen.push(line),
                Err(error) => panic!("no {text:?} in the log ({error}):\n{}", self.seen.join("\n")),
            }
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// SIGTERM, and how it ended.
    pub(crate) fn stop(&mut self) -> i32 {
        self.signal(Signal::SIGTERM);
        // The end of the log is the end of the process; whoever holds it open is a child that was left.
        while let Ok(line) = self.log.recv_timeout(PATIENCE).map_err(|error| assert!(error.is_disconnected(), "it does not end")) {
            self.seen.push(line);
        }
        self.child.wait().unwrap().code().unwrap()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The log, line by line, on a thread of its own: waiting for one has a deadline.
fn lines_of(stream: ChildStderr) -> Receiver<String> {
    let (send, lines) = unbounded();
    autoheal::threads::spawn("test:log", move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                return;
            }
        }
    });
    lines
}
