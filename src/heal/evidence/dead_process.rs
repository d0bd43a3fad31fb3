//! A dead process: what systemd says of its unit, and the last lines that it wrote to the journal.

use std::collections::HashMap;
use std::time::Duration;

use super::{Evidence, Section, Subject, within};
use crate::heal::action::top_processes::visible;
use crate::heal::executor::{self, Execution};
use crate::heal::guard::{Look, RefusalKind};
use crate::heal::outcome::{End, Limit, Outcome};

/// Stands where nothing could be found out.
pub(super) const TITLE: &str = "The unit in systemd";

/// The time of one look.
const LOOK_TIME: Duration = Duration::from_secs(2);
/// How many lines of the journal are shown, and how many characters of each.
const JOURNAL_LINES: usize = 20;
const LINE_LENGTH: usize = 400;

/// What the service manager knows, where there is one and a unit.
///
/// # Errors
/// Never; what fails is a note of its section.
pub(super) fn gather(subject: &Subject<'_>, limit: &Limit) -> Result<Evidence, String> {
    let Some(unit) = subject.unit else { return Ok(Evidence::default()) };
    let mut evidence = Evidence::default();
    if let Some(said) = look(subject, Look::UnitState(unit), limit) {
        let (section, hint) = match said {
            Ok(text) => state(&text, unit),
            Err(reason) => (Section { note: Some(reason), ..Section::default() }, None),
        };
        evidence.sections.push(Section { title: format!("{unit} in systemd"), ..section });
        evidence.hints.extend(hint);
    }
    if let Some(said) = look(subject, Look::UnitJournal(unit), limit) {
        let section = said.map_or_else(|reason| Section { note: Some(reason), ..Section::default() }, |text| journal(&text));
        evidence.sections.push(Section { title: format!("Last lines of {unit} in the journal"), ..section });
    }
    Ok(evidence)
}

/// What the program printed, or why that says nothing; `None` where the host has no systemd.
fn look(subject: &Subject<'_>, look: Look<'_>, limit: &Limit) -> Option<Result<String, String>> {
    let permit = match subject.policy.look(look) {
        Err(refusal) if refusal.kind == RefusalKind::UnknownService => return None,
        Err(refusal) => return Some(Err(refusal.reason)),
        Ok(permit) => permit,
    };
    let command_path = subject.settings.command_path.clone();
    let execution = Execution { helper: subject.helper.to_owned(), command_path, facts: Vec::new(), timeout: LOOK_TIME, unit: None };
    let mut excluded = None;
    let outcome = executor::look(&permit, &execution, &within(limit, LOOK_TIME), |pid| {
        // A pattern on command lines would take the words of the look for the process that is looked for.
        excluded = u32::try_from(pid).ok().map(|pid| subject.exclusions.exclude(pid));
    });
    Some(said(outcome))
}

fn said(outcome: Outcome) -> Result<String, String> {
    let first = || visible(outcome.output.lines().next().unwrap_or_default());
    match outcome.end {
        End::Exited(0) => Ok(outcome.output),
        End::Exited(code) => Err(format!("exit code {code}: {}", first())),
        End::Killed(signal) => Err(format!("killed by {signal}")),
        End::TimedOut(_) | End::Stopped => Err("no answer in time".to_owned()),
        End::Failed(reason) => Err(reason),
        End::Done => Err("nothing was run".to_owned()),
    }
}

/// What `systemctl show` says, in words: `KEY=VALUE` lines in any order.
fn state(text: &str, unit: &str) -> (Section, Option<String>) {
    let values: HashMap<&str, &str> = text.lines().filter_map(|line| line.split_once('=')).collect();
    let value = |key: &str| values.get(key).copied().unwrap_or_default();
    let mut lines = vec![visible(&format!("{} ({}), result: {}", value("ActiveState"), value("SubState"), value("Result")))];
    let status = value("ExecMainStatus");
    // The codes of waitid(2).
    lines.extend(match value("ExecMainCode") {
        "1" => Some(format!("its main process exited with code {status}")),
        "2" => Some(format!("its main process was killed by {}", signal(status))),
        "3" => Some(format!("its main process was killed by {} and dumped core", signal(status))),
        _ => None,
    });
    lines.extend(match value("NRestarts") {
        "" | "0" => None,
        "1" => Some("restarted once by systemd".to_owned()),
        count => Some(format!("restarted {count} times by systemd")),
    });
    let hint = match value("Result") {
        "oom-kill" => Some("the kernel killed it for lack of memory".to_owned()),
        "start-limit-hit" => Some(format!("systemd starts it no more, because it failed too often: systemctl reset-failed {unit}")),
        _ => None,
    };
    let note = value("ActiveState").is_empty().then(|| "systemctl says nothing of it".to_owned());
    let lines = if note.is_some() { Vec::new() } else { lines };
    (Section { lines, note, ..Section::default() }, hint)
}

fn signal(number: &str) -> String {
    let known = number.parse().ok().and_then(|number: i32| nix::sys::signal::Signal::try_from(number).ok());
    known.map_or_else(|| format!("signal {number}"), |signal| signal.to_string())
}

fn journal(text: &str) -> Section {
    // journalctl puts lines of its own between dashes: `-- No entries --`, `-- Boot … --`.
    let all: Vec<&str> = text.lines().filter(|line| !line.starts_with("-- ")).collect();
    let last = all.iter().skip(all.len().saturating_sub(JOURNAL_LINES));
    let lines: Vec<String> = last.map(|line| cut(&visible(line))).collect();
    let note = lines.is_empty().then(|| "the journal has no lines of it that autoheal may read".to_owned());
    Section { lines, note, ..Section::default() }
}

fn cut(line: &str) -> String {
    match line.char_indices().nth(LINE_LENGTH) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, lines: &[&str], hint: Option<&str>) {
        let (section, found) = state(text, "web.service");
        assert_eq!((section.lines, section.note), (lines.iter().map(|&line| line.to_owned()).collect(), None));
        assert_eq!(found.as_deref(), hint);
    }

    #[test]
    fn what_systemctl_shows_reads_as_sentences() {
        let clean = "Result=success\nNRestarts=0\nExecMainCode=1\nExecMainStatus=0\nActiveState=inactive\nSubState=dead";
        check(clean, &["inactive (dead), result: success", "its main process exited with code 0"], None);
        let failed = "Result=exit-code\nNRestarts=0\nExecMainCode=1\nExecMainStatus=203\nActiveState=failed\nSubState=failed";
        check(failed, &["failed (failed), result: exit-code", "its main process exited with code 203"], None);
        let killed = "Result=signal\nNRestarts=1\nExecMainCode=2\nExecMainStatus=9\nActiveState=activating\nSubState=auto-restart";
        let said = ["activating (auto-restart), result: signal", "its main process was killed by SIGKILL", "restarted once by systemd"];
        check(killed, &said, None);
        let limit = "Result=start-limit-hit\nNRestarts=5\nExecMainCode=3\nExecMainStatus=11\nActiveState=failed\nSubState=failed";
        let dumped = "its main process was killed by SIGSEGV and dumped core";
        let hint = "systemd starts it no more, because it failed too often: systemctl reset-failed web.service";
        check(limit, &["failed (failed), result: start-limit-hit", dumped, "restarted 5 times by systemd"], Some(hint));
        let oom = "Result=oom-kill\nNRestarts=0\nExecMainCode=2\nExecMainStatus=9\nActiveState=failed\nSubState=failed";
        let said = ["failed (failed), result: oom-kill", "its main process was killed by SIGKILL"];
        check(oom, &said, Some("the kernel killed it for lack of memory"));
        let unknown = "Result=success\nNRestarts=0\nExecMainCode=0\nExecMainStatus=0\nActiveState=inactive\nSubState=dead";
        check(unknown, &["inactive (dead), result: success"], None);
        assert_eq!(state("", "web").0.note.as_deref(), Some("systemctl says nothing of it"));
        assert_eq!(signal("4711"), "signal 4711");
    }

    #[test]
    fn the_last_lines_of_the_journal_are_bounded() {
        let text = "-- Boot 3f1b --\n2026-03-01T10:00:00+0000 web app[7]: ready\n2026-03-01T10:00:01+0000 web app[7]: \u{1b}[31mred";
        let section = journal(text);
        assert_eq!(section.lines, ["2026-03-01T10:00:00+0000 web app[7]: ready", "2026-03-01T10:00:01+0000 web app[7]: \u{fffd}[31mred"]);
        assert!(journal("-- No entries --").note.is_some_and(|note| note.contains("no lines")));
        let many: Vec<String> = (0..50).map(|number| format!("{number} {}", "ä".repeat(1000))).collect();
        let section = journal(&many.join("\n"));
        assert_eq!((section.lines.len(), section.lines[0].chars().count()), (JOURNAL_LINES, LINE_LENGTH + 1));
        assert!(section.lines[0].starts_with("30 ") && section.lines[19].ends_with('…'));
    }

    #[test]
    fn a_look_that_fails_says_why() {
        let outcome = |end, output: &str| Outcome { end, duration: LOOK_TIME, output: output.to_owned(), output_truncated: false };
        assert_eq!(said(outcome(End::Exited(0), "a=b")), Ok("a=b".to_owned()));
        assert_eq!(said(outcome(End::Exited(1), "Access\u{7} denied\nmore")), Err("exit code 1: Access\u{fffd} denied".to_owned()));
        assert_eq!(said(outcome(End::TimedOut(LOOK_TIME), "a=b")), Err("no answer in time".to_owned()));
    }
}
