//! What to tell a person whose text is no plain command.

use super::answer::{Refusal, RefusalKind};
use super::special::base_name;
use super::token::{Fault, FaultKind, tokenise};

/// Programs that only look: a pipe of them wants a table of processes or of sizes.
const LOOKERS: &[&str] = &["ps", "top", "sort", "head", "tail", "grep", "awk", "wc", "cut", "uniq", "tr", "column", "cat"];

/// The refusal for a text that the tokeniser stopped at.
pub(super) fn refusal(text: &str, fault: &Fault) -> Refusal {
    let found = &text[fault.span.clone()];
    let refusal = |reason: String| Refusal::new(RefusalKind::Syntax, reason).at(fault.span.clone());
    match fault.kind {
        FaultKind::OpenQuote => refusal(format!("the quote {found} is not closed")),
        FaultKind::LastBackslash => refusal("nothing follows the backslash".to_owned()),
        FaultKind::Glob => glob(text, fault),
        FaultKind::Expansion if text[fault.span.start..].starts_with("{}") && text.contains("-exec") => {
            refusal("find -exec runs a program for each file; -delete removes the files itself".to_owned())
        }
        FaultKind::Expansion => refusal(format!(
            "{found} means something to a shell, and no shell is started; put the word in single quotes if it is meant as it stands"
        )),
        FaultKind::Operator => operator(text, fault, found),
    }
}

fn operator(text: &str, fault: &Fault, found: &str) -> Refusal {
    let stages = |separator: &str| split_outside_quotes(text, separator);
    let plain = |parts: &[String]| parts.len() > 1 && parts.iter().all(|part| tokenise(part).is_ok_and(|words| !words.is_empty()));
    let at = |reason: String| Refusal::new(RefusalKind::Syntax, reason).at(fault.span.clone());
    match found {
        "&&" => {
            let parts = stages("&&");
            let whole = plain(&parts);
            let refusal =
                at("&& is a shell operator, and no shell is started: write two actions; the second runs only if the first succeeds"
                    .to_owned());
            Refusal { suggestion: if whole { parts } else { Vec::new() }, ..refusal }
        }
        ";" => {
            let parts = stages(";");
            let refusal = at("; is a shell operator, and no shell is started: write two actions".to_owned());
            Refusal { suggestion: if plain(&parts) { parts } else { Vec::new() }, ..refusal }
        }
        "|" if only_looks(&stages("|")) => {
            at("| is a shell operator, and no shell is started; for a table of the largest processes use an action of type top_processes"
                .to_owned())
        }
        ">" | ">>" | "<" | "<<" => {
            at(format!("{found} is a shell operator, and no shell is started; what the command prints is recorded anyway"))
        }
        _ => at(format!("{found} is a shell operator, and no shell is started; one action is one program with its arguments")),
    }
}

fn only_looks(stages: &[String]) -> bool {
    stages.len() > 1
        && stages.iter().all(|stage| {
            tokenise(stage).is_ok() && stage.split_ascii_whitespace().next().is_some_and(|program| LOOKERS.contains(&base_name(program)))
        })
}

fn glob(text: &str, fault: &Fault) -> Refusal {
    let at = fault.span.start;
    let start = text[..at].rfind([' ', '\t']).map_or(0, |blank| blank + 1);
    let end = text[at..].find([' ', '\t']).map_or(text.len(), |blank| at + blank);
    let word = &text[start..end];
    let found = &text[fault.span.clone()];
    let reason = format!("{found} is a pattern that a shell would expand, and no shell is started");
    let refusal = |advice: &str| Refusal::new(RefusalKind::Syntax, format!("{reason}{advice}")).at(fault.span.clone());
    let program = text.split_ascii_whitespace().next().map_or("", base_name);
    if !matches!(program, "find" | "gfind") {
        let advice = instead_of(program, text).unwrap_or("name one file; quoted, the sign is only a part of a name");
        return refusal(&format!(": {advice}"));
    }
    let quotable = !word.contains(['\'', '"', '\\']);
    let whole = format!("{}'{word}'{}", &text[..start], &text[end..]);
    let quoted = if quotable { format!("'{word}'") } else { "'…'".to_owned() };
    let refusal = refusal(&format!("; quote it, find reads patterns itself: {quoted}"));
    Refusal { suggestion: if quotable && tokenise(&whole).is_ok() { vec![whole] } else { Vec::new() }, ..refusal }
}

/// What to write in place of a program that people reach for, and that rules seldom allow; `line` is the whole command.
pub(super) fn instead_of(program: &str, line: &str) -> Option<&'static str> {
    Some(match program {
        "sudo" | "doas" | "su" | "runuser" => "an action runs as the agent's user, or as the run_as of its rule: leave it out",
        "sh" | "bash" | "dash" | "zsh" | "eval" | "exec" => "no shell is started: write the command itself",
        "env" | "export" => "a command runs in an environment of its own",
        "cd" => "a command runs in /: write absolute paths",
        "rm" => "use an action of type delete_files",
        "gzip" | "mv" | "truncate" => "use an action of type archive_log, which takes one log",
        "kill" | "killall" => "use an action of type signal_process",
        "service" | "rc-service" => match line.split_ascii_whitespace().nth(2) {
            Some("reload" | "force-reload") => "use an action of type service_reload",
            Some("start") => "use an action of type service_start",
            Some("stop") => "use an action of type service_stop",
            _ => "use an action of type service_restart",
        },
        "ps" | "top" => "for a table of the largest processes use an action of type top_processes",
        _ => return None,
    })
}

/// The parts between separators that stand outside quotes, without blanks around them.
fn split_outside_quotes(text: &str, separator: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let (mut start, mut at) = (0, 0);
    let mut quote: Option<u8> = None;
    let bytes = text.as_bytes();
    while at < bytes.len() {
        match (quote, bytes[at]) {
            (None, b'\\') | (Some(b'"'), b'\\') => at += 1,
            (None, found @ (b'\'' | b'"')) => quote = Some(found),
            (Some(open), found) if open == found => quote = None,
            (None, _) if bytes[at..].starts_with(separator.as_bytes()) => {
                parts.push(text[start..at].trim().to_owned());
                at += separator.len() - 1;
                start = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    parts.push(text[start..].trim().to_owned());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, says: &str, suggestion: &[&str]) {
        let fault = tokenise(text).unwrap_err();
        let refusal = refusal(text, &fault);
        assert!(refusal.reason.contains(says), "{text}: {}", refusal.reason);
        assert_eq!(refusal.suggestion, suggestion, "{text}");
    }

    #[test]
    fn advice_fits_the_text() {
        check(
            "pkill -f 'node.*openclaw' && openclaw gateway start",
            "write two actions",
            &["pkill -f 'node.*openclaw'", "openclaw gateway start"],
        );
        check("a 'x && y' && b", "write two actions", &["a 'x && y'", "b"]);
        check("a && b && c", "write two actions", &["a", "b", "c"]);
        check("a && b | c", "write two actions", &[]);
        check("a; b", "write two actions", &["a", "b"]);
        check("ps aux | sort -nrk 3 | head -5", "top_processes", &[]);
        check("ps aux | sh", "one action is one program", &[]);
        check("a > /dev/null", "recorded anyway", &[]);
        check("find /tmp -name *.log -delete", "'*.log'", &["find /tmp -name '*.log' -delete"]);
        check("rm -rf /tmp/*", "delete_files", &[]);
        check("gzip /var/log/*.log", "archive_log", &[]);
        check("tool a?", "name one file", &[]);
        check("find /tmp -exec rm {} \\;", "-delete removes", &[]);
        check("a $HOME", "single quotes", &[]);
        check("a 'b", "not closed", &[]);
        check("é && \\é b", "write two actions", &["é", "\\é b"]);
    }
}
