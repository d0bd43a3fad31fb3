//! `allow test --batch`: JSON lines in, as many JSON lines out.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::action_fault;
use crate::config::playbook::Verb;
use crate::heal::guard::{Policy, Refusal, Request, Reviewed, Values};
use crate::record::escape::terminal;

/// One line of the input. What else stands in it says nothing.
#[derive(Deserialize)]
struct Line {
    command: Option<String>,
    action: Option<Action>,
    #[serde(default)]
    labels: BTreeMap<String, Value>,
}

/// The fields of an action that the guard looks at.
#[derive(Deserialize)]
struct Action {
    r#type: String,
    command: Option<String>,
    service: Option<String>,
    method: Option<String>,
    url: Option<String>,
    directory: Option<String>,
    path: Option<String>,
    to: Option<String>,
    process: Option<String>,
    signal: Option<String>,
}

/// One line of the output, and the answer of `allow test --json`.
#[derive(Debug, Default, Serialize)]
pub(super) struct Reply {
    verdict: &'static str,
    argv: Option<Vec<String>>,
    shell: bool,
    rule: Option<String>,
    reason: Option<String>,
    requires_approval: bool,
    program: Option<String>,
    run_as: Option<String>,
    timeout_seconds: Option<f64>,
    missing_program: Option<String>,
    unknown_service: Option<String>,
    nearest_rule: Option<String>,
    suggestion: Option<Vec<String>>,
    span: Option<[usize; 2]>,
}

impl Reply {
    /// The guard's answer.
    pub(super) fn of(answer: Result<Reviewed, Refusal>) -> Self {
        match answer {
            Ok(reviewed) => Self {
                verdict: "allow",
                argv: Some(reviewed.argv),
                shell: reviewed.shell,
                rule: Some(reviewed.rule),
                requires_approval: reviewed.requires_approval,
                program: reviewed.program.map(|program| program.display().to_string()),
                run_as: reviewed.run_as,
                timeout_seconds: reviewed.timeout.map(|timeout| timeout.as_secs_f64()),
                missing_program: reviewed.missing_program,
                unknown_service: reviewed.unknown_service,
                ..Self::default()
            },
            Err(refusal) => Self {
                verdict: "refuse",
                reason: Some(refusal.reason),
                nearest_rule: refusal.nearest_rule,
                suggestion: (!refusal.suggestion.is_empty()).then_some(refusal.suggestion),
                span: refusal.span.map(|span| [span.start, span.end]),
                ..Self::default()
            },
        }
    }

    fn refuse(reason: String) -> Self {
        Self { verdict: "refuse", reason: Some(reason), ..Self::default() }
    }

    fn native(name: &str) -> Self {
        Self { verdict: "allow", argv: Some(vec![name.to_owned()]), ..Self::default() }
    }
}

/// Answers every line of the input with one line, in order, and writes it out at once.
pub(super) fn run(policy: &Policy, input: &mut dyn BufRead, out: &mut dyn Write) -> io::Result<()> {
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line)? > 0 {
        write(&answer(policy, &line), out)?;
        out.flush()?;
        line.clear();
    }
    Ok(())
}

/// One JSON line.
pub(super) fn write(reply: &Reply, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, reply)?;
    writeln!(out)
}

fn answer(policy: &Policy, line: &[u8]) -> Reply {
    let value: Value = match serde_json::from_slice(line) {
        Ok(value) => value,
        Err(error) => return Reply::refuse(format!("not JSON: {}", terminal(&error.to_string()))),
    };
    // A key that stands twice, or that no action has, could mean something else to another reader of the line.
    if let Some(reason) = std::str::from_utf8(line).ok().and_then(action_fault) {
        return Reply::refuse(format!("not a request: {}", terminal(&reason)));
    }
    let line: Line = match serde_json::from_value(value) {
        Ok(line) => line,
        Err(error) => return Reply::refuse(format!("not a request: {}", terminal(&error.to_string()))),
    };
    let mut values = Values::new();
    for (name, value) in line.labels {
        let text = match value {
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            _ => return Reply::refuse(format!("not a request: the label {} is no text", terminal(&name))),
        };
        values.insert(name, text);
    }
    match (&line.command, &line.action) {
        (Some(command), None) => Reply::of(policy.test(&Request::Command(command), &values)),
        (None, Some(action)) => action_reply(policy, action, &values),
        _ => Reply::refuse("not a request: a line has either command or action".to_owned()),
    }
}

fn action_reply(policy: &Policy, action: &Action, values: &Values) -> Reply {
    match request(action) {
        Ok(Some(request)) => Reply::of(policy.test(&request, values)),
        // These change nothing on the host and need no rule.
        Ok(None) => Reply::native(&action.r#type),
        Err(reason) => Reply::refuse(reason),
    }
}

fn request(action: &Action) -> Result<Option<Request<'_>>, String> {
    let kind = action.r#type.as_str();
    let need = |field: &'static str, value: &'static str| format!("not a request: {value} needs {field}");
    if let Some(&verb) = Verb::ALL.iter().find(|verb| verb.action_name() == kind) {
        let service = action.service.as_deref().ok_or_else(|| need("service", verb.action_name()))?;
        return Ok(Some(Request::Service { verb, service }));
    }
    let request = match kind {
        "shell" => Request::Command(action.command.as_deref().ok_or_else(|| need("command", "shell"))?),
        "http" => Request::Http {
            method: action.method.as_deref().unwrap_or("POST"),
            url: action.url.as_deref().ok_or_else(|| need("url", "http"))?,
        },
        "delete_files" => Request::DeleteFiles { directory: action.directory.as_deref().ok_or_else(|| need("directory", "delete_files"))? },
        "archive_log" => {
            Request::ArchiveLog { path: action.path.as_deref().ok_or_else(|| need("path", "archive_log"))?, to: action.to.as_deref() }
        }
        "signal_process" => Request::SignalProcess {
            process: action.process.as_deref().ok_or_else(|| need("process", "signal_process"))?,
            signal: action.signal.as_deref().unwrap_or("TERM"),
        },
        "top_processes" | "notify" => return Ok(None),
        other => return Err(format!("not a request: there is no action type {:?}", terminal(other))),
    };
    Ok(Some(request))
}
