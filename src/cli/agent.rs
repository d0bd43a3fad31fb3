//! Asking the agent; and the two commands that do nothing else: `reset` and `reload`.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;

use super::fields::{list, print, scope, text};
use super::{Answer, Failure, exit};
use crate::clock::Moment;
use crate::config::problem::what_is_allowed;
use crate::record::escape::terminal;
use crate::serve::client::{Client, RUNTIME};
use crate::serve::protocol::{Refusal, Request};
use crate::serve::recorded;

/// Where an agent may be, and how its answer is wanted.
#[derive(Debug)]
pub struct Desk {
    /// The data directory.
    pub data_dir: PathBuf,
    /// Where the service manager would have put its socket.
    pub runtime: PathBuf,
    /// `--json`.
    pub json: bool,
}

impl Desk {
    /// For this data directory.
    #[must_use]
    pub fn new(data_dir: PathBuf, json: bool) -> Self {
        Self { data_dir, runtime: Path::new(RUNTIME).to_owned(), json }
    }

    pub(super) fn client(&self) -> Result<Client, Refusal> {
        Client::connect(&self.data_dir, &self.runtime)
    }

    /// The agent's answer.
    pub(super) fn ask(&self, request: &Request) -> Result<Value, Failure> {
        Ok(self.client()?.ask(request)?)
    }

    /// The agent's answer, or where none is running the history's, and then with a remark that says where that is.
    pub(super) fn ask_or_read(&self, request: &Request) -> Result<(Value, Option<String>), Failure> {
        match self.client() {
            Ok(client) => Ok((client.ask(request)?, None)),
            Err(refusal) if refusal.exit == exit::NO_AGENT => {
                let answer = recorded::answer(&self.data_dir, request, Moment::now().wall);
                answer.map(|answer| (answer, Some(self.whence()))).map_err(|refusal| match refusal.code.as_str() {
                    "no_incident" => Refusal { message: format!("{} {}", refusal.message, self.whence()), ..refusal }.into(),
                    _ => refusal.into(),
                })
            }
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// Where an answer without an agent comes from: whoever misses something may have asked in the wrong place.
    fn whence(&self) -> String {
        let dir = self.data_dir.display();
        if recorded::has_history(&self.data_dir) {
            format!("(no agent is running; from the history in {dir})")
        } else {
            format!("(no agent is running, and {dir} has no history)")
        }
    }
}

/// The remark of [`Desk::ask_or_read`], below what it is about.
pub(super) fn remark(whence: Option<&String>, out: &mut dyn Write) -> std::io::Result<()> {
    whence.map_or(Ok(()), |whence| writeln!(out, "{}", terminal(whence)))
}

/// Options of `reset`.
#[derive(Args, Debug)]
pub struct ResetArgs {
    /// The playbook's id.
    playbook: String,
    /// Only targets with this label; may be repeated.
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = super::label)]
    labels: Vec<(String, String)>,
}

/// Closes breakers and ends cooldowns.
///
/// # Errors
/// When no agent is running or it refuses.
pub fn reset(args: &ResetArgs, desk: &Desk, out: &mut dyn Write) -> Answer {
    let request = Request::Reset { playbook: args.playbook.clone(), labels: args.labels.iter().cloned().collect() };
    let answer = desk.ask(&request)?;
    if desk.json {
        print(&answer, out)?;
        return Ok(exit::DONE);
    }
    let done = list(&answer["reset"]);
    if done.is_empty() {
        writeln!(out, "nothing was held back: no breaker was open, and no cooldown lasted")?;
    }
    for one in done {
        writeln!(out, "reset {}", terminal(&scope(one)))?;
    }
    Ok(exit::DONE)
}

/// Asks for a reload and prints its result. The exit code is 1 when the files are refused.
///
/// # Errors
/// When no agent is running or it refuses.
pub fn reload(desk: &Desk, out: &mut dyn Write) -> Answer {
    let answer = desk.ask(&Request::Reload)?;
    let fine = answer["ok"] == true;
    if desk.json {
        print(&answer, out)?;
    } else {
        let what = if fine { "the configuration on disk is in force" } else { "refused: the old configuration stays in force" };
        writeln!(out, "{what} (generation {})", terminal(&text(&answer["generation"])))?;
        problems(&answer["problems"], out)?;
    }
    Ok(if fine { exit::DONE } else { exit::FAILED })
}

/// One line for each problem, as in the log: `FILE:LINE:COLUMN: error: PATH: message (suggestion, or what is allowed) code=CODE`.
pub(super) fn problems(of: &Value, out: &mut dyn Write) -> std::io::Result<()> {
    for problem in list(of) {
        let field = |name: &str| terminal(&text(&problem[name]));
        let allowed: Vec<String> = list(&problem["allowed"]).iter().map(text).collect();
        let next = Some(text(&problem["suggestion"])).filter(|next| !next.is_empty());
        let next = next.or_else(|| what_is_allowed(&text(&problem["code"]), &text(&problem["message"]), &allowed));
        let next = next.map(|next| format!(" ({})", terminal(&next))).unwrap_or_default();
        let (file, line, column) = (field("file"), field("line"), field("column"));
        let (severity, path, message, code) = (field("severity"), field("path"), field("message"), field("code"));
        writeln!(out, "{file}:{line}:{column}: {severity}: {path}: {message}{next} code={code}")?;
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
    use serde_json::json;

    use super::*;
    use crate::serve::control::{self, Call};
    use crate::serve::listener::Listener;
    use crate::threads;

    /// A desk at which the agent says what the test says, on a real socket.
    pub(in super::super) struct Played {
        pub(in super::super) dir: tempfile::TempDir,
        asked: Receiver<Request>,
        _shutdown: Sender<()>,
    }

    impl Played {
        pub(in super::super) fn by(mut answer: impl FnMut(Call) + Send + 'static) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let (send, calls) = unbounded();
            let (shutdown, stop) = bounded(0);
            let _worker = control::start(Listener::bind(dir.path(), None).unwrap(), send, dir.path().to_owned(), stop);
            let (note, asked) = unbounded();
            threads::spawn("test:agent", move || {
                for call in calls {
                    let _ = note.send(call.request.clone());
                    answer(call);
                }
            });
            Self { dir, asked, _shutdown: shutdown }
        }

        /// An agent that has one answer.
        pub(in super::super) fn saying(answer: Value) -> Self {
            Self::by(move |call| call.reply.ok(answer.clone()))
        }

        /// An agent that has one excuse.
        pub(in super::super) fn refusing(refusal: Refusal) -> Self {
            Self::by(move |call| call.reply.refuse(refusal.clone()))
        }

        pub(in super::super) fn desk(&self, json: bool) -> Desk {
            desk(self.dir.path(), json)
        }

        /// What reached the agent.
        pub(in super::super) fn asked(&self) -> Request {
            self.asked.recv_timeout(Duration::from_secs(20)).unwrap()
        }

        pub(in super::super) fn was_not_asked(&self) -> bool {
            self.asked.is_empty()
        }
    }

    pub(in super::super) fn desk(dir: &Path, json: bool) -> Desk {
        Desk { data_dir: dir.to_owned(), runtime: dir.join("no-runtime"), json }
    }

    /// The exit code and what was printed, without colours.
    #[track_caller]
    pub(in super::super) fn printed(run: impl FnOnce(&mut dyn Write) -> Answer) -> (u8, String) {
        let mut out = Vec::new();
        let code = run(&mut out).unwrap_or_else(|failure| panic!("{failure}"));
        (code, anstream::adapter::strip_str(std::str::from_utf8(&out).unwrap()).to_string())
    }

    /// The exit code, word and sentence of a failure.
    #[track_caller]
    pub(in super::super) fn failed(answer: Answer) -> (u8, String, String) {
        let failure = answer.unwrap_err();
        (failure.exit, failure.code.to_string(), failure.message)
    }

    #[test]
    fn a_reset_says_what_was_held_back() {
        let agent = Played::saying(json!({"reset": [{"playbook": "disk", "labels": {"mount": "/da\u{1b}ta"}}]}));
        let args = ResetArgs { playbook: "disk".to_owned(), labels: vec![("mount".to_owned(), "/data".to_owned())] };
        assert_eq!(printed(|out| reset(&args, &agent.desk(false), out)), (0, "reset disk mount=/da\\u{1b}ta\n".to_owned()));
        let labels = std::collections::BTreeMap::from([("mount".to_owned(), "/data".to_owned())]);
        assert_eq!(agent.asked(), Request::Reset { playbook: "disk".to_owned(), labels });
        let (_, text) = printed(|out| reset(&args, &agent.desk(true), out));
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["reset"][0]["playbook"], "disk");
        let agent = Played::saying(json!({"reset": []}));
        assert!(printed(|out| reset(&args, &agent.desk(false), out)).1.contains("nothing was held back"));
    }

    #[test]
    fn a_reload_that_is_refused_fails_and_says_why() {
        let agent = Played::saying(json!({"ok": true, "generation": 4, "problems": []}));
        assert_eq!(
            printed(|out| reload(&agent.desk(false), out)),
            (0, "the configuration on disk is in force (generation 4)\n".to_owned())
        );
        let problem = json!({"severity": "error", "file": "/etc/a.json", "line": 3, "column": 5, "path": "$.web", "code": "unknown_key",
            "message": "unknown key", "found": null, "allowed": [], "suggestion": "did you mean \"x\"?"});
        let agent = Played::saying(json!({"ok": false, "generation": 3, "problems": [problem]}));
        let (code, text) = printed(|out| reload(&agent.desk(false), out));
        assert!(code == 1 && text.contains("/etc/a.json:3:5: error: $.web: unknown key (did you mean \"x\"?) code=unknown_key"), "{text}");
        assert_eq!(printed(|out| reload(&agent.desk(true), out)).0, 1);
    }

    #[test]
    fn without_an_agent_the_exit_code_is_three_and_a_refusal_keeps_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let (code, word, text) = failed(reload(&desk(dir.path(), false), &mut Vec::new()));
        assert!((code, word.as_str()) == (3, "no_agent") && text.contains(&dir.path().display().to_string()), "{text}");
        let agent = Played::refusing(Refusal::refused("not_permitted", "no:\n\u{1b}[2J"));
        let (code, word, text) = failed(reload(&agent.desk(false), &mut Vec::new()));
        assert_eq!(
            (code, word.as_str(), text.as_str()),
            (4, "not_permitted", "no:\n\u{1b}[2J"),
            "what is printed is made harmless by the screen"
        );
    }
}
