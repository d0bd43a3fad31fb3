//! What holds for single programs, beyond their rules: find, pkill, and whoever starts other programs.

use super::rule::{Form, Part, Pattern};

/// Programs that run what they are given: a slot in their rule can be anything.
const INTERPRETERS: &[&str] = &[
    "sh",
    "bash",
    "dash",
    "zsh",
    "ksh",
    "fish",
    "env",
    "sudo",
    "doas",
    "su",
    "xargs",
    "python",
    "python3",
    "perl",
    "ruby",
    "node",
    "php",
    "lua",
    "awk",
    "gawk",
    "sed",
    "ssh",
    "nohup",
    "nice",
    "timeout",
    "setsid",
    "systemd-run",
    "watch",
    "eval",
    "exec",
    "busybox",
    "make",
    "vim",
    "vi",
    "tar",
    "rsync",
];

/// The name of a program without its directory.
pub(super) fn base_name(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

/// What is wrong with a rule that is well formed.
pub(super) fn check_rule(form: &Form) -> Result<(), String> {
    let program = base_name(form.program().unwrap_or_default());
    if !matches!(program, "pkill" | "pgrep" | "killall") {
        return Ok(());
    }
    let patterns = form.patterns();
    let has_slot = |pattern: &&Pattern| pattern.slots().next().is_some();
    let is_full = |pattern: &&Pattern| match pattern.parts.first() {
        Some(Part::Literal(text)) => text == "--full" || (text.starts_with('-') && !text.starts_with("--") && text.contains('f')),
        _ => false,
    };
    if program != "killall" && patterns.iter().any(has_slot) {
        if patterns.iter().any(is_full) {
            return Err(format!("{program} -f takes only a literal: it looks at whole command lines, which anybody can make up"));
        }
        if !patterns.iter().any(|pattern| pattern.literal() == Some("-x")) {
            return Err(format!("{program} needs -x before a slot: {program} -x {{procname}}"));
        }
    }
    Ok(())
}

/// Whether a rule allows more than somebody who writes it would think.
pub(super) fn is_wide(form: &Form) -> bool {
    let patterns = form.patterns();
    let slots = || patterns.iter().flat_map(|pattern| pattern.slots());
    let runs_others = INTERPRETERS.contains(&base_name(form.program().unwrap_or_default()))
        || patterns.iter().any(|pattern| pattern.literal().is_some_and(|word| matches!(word, "-exec" | "-execdir" | "-ok" | "-okdir")));
    slots().any(super::slot::Slot::is_wide) || (runs_others && slots().next().is_some())
}

/// What is wrong with an argv although its rule matches.
pub(super) fn check_argv(argv: &[String]) -> Result<(), String> {
    let program = argv.first().map_or("", |program| base_name(program));
    if matches!(program, "find" | "gfind") && argv.iter().any(|word| word == "-delete") && !delete_is_bounded(&argv[1..]) {
        return Err("find … -delete needs a test before it: an age (-mtime +7), a name (-name '*.log') or -empty".to_owned());
    }
    Ok(())
}

/// find evaluates from left to right: a test of age, name or emptiness must stand before `-delete`, with no "or" between. A
/// name that is only excluded bounds nothing.
fn delete_is_bounded(words: &[String]) -> bool {
    let mut bounded = false;
    let mut negated = false;
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        match word {
            "-delete" if !bounded => return false,
            "-o" | "-or" | "," => bounded = false,
            "-empty" => bounded |= !negated,
            "-mtime" | "-mmin" | "-atime" | "-amin" | "-ctime" | "-cmin" => bounded |= words.next().is_some(),
            "-name" | "-iname" => bounded |= words.next().is_some_and(names_something) && !negated,
            "-size" | "-type" | "-maxdepth" | "-mindepth" | "-path" | "-user" | "-group" | "-perm" => {
                words.next();
            }
            _ if word.starts_with("-newer") => bounded |= words.next().is_some(),
            _ => {}
        }
        negated = matches!(word, "!" | "-not");
    }
    true
}

/// Whether a pattern leaves enough out to be a name: `*`, `?*` and `[a-z]*` do not. (A placeholder's value is looked at before
/// the run.)
fn names_something(pattern: &str) -> bool {
    let mut rest = pattern;
    while let Some(character) = rest.chars().next() {
        rest = &rest[character.len_utf8()..];
        let Some((set, after)) = rest.split_once(']').filter(|_| character == '[') else {
            if character.is_ascii_alphanumeric() || "_~$".contains(character) {
                return true;
            }
            continue;
        };
        // A range of letters is any name's beginning; digits are those of a rotated log.
        let letters = set.as_bytes().windows(2).any(|pair| pair[0].is_ascii_alphabetic() && pair[1] == b'-');
        if !letters && set.chars().any(|character| character.is_ascii_alphanumeric()) {
            return true;
        }
        rest = after;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn rule(text: &str, good: bool, wide: bool) {
        let form = Form::parse(text).unwrap();
        assert_eq!((check_rule(&form).is_ok(), is_wide(&form)), (good, wide), "{text}");
    }

    #[test]
    fn rules_of_single_programs() {
        rule("pkill -x {procname}", true, false);
        rule("pkill -f openclaw", true, false);
        rule("pkill -f {procname}", false, false);
        rule("pkill -xf {procname}", false, false);
        rule("pkill --full {name}", false, false);
        rule("/usr/bin/pkill {name}", false, false);
        rule("pkill {name}", false, false);
        rule("bash {file:/opt/x}", true, true);
        rule("bash /opt/x.sh", true, false);
        rule("tool {re:.*}", true, true);
        rule("find {path:/} -mtime {age} -delete", true, true);
        rule("find {path:/tmp} -exec {name} +", true, true);
        rule("tool {name}", true, false);
        rule("exact: sh -c x", true, false);
    }

    #[track_caller]
    fn deletes(words: &str, good: bool) {
        let argv: Vec<String> = words.split(' ').map(str::to_owned).collect();
        assert_eq!(check_argv(&argv).is_ok(), good, "{words}");
    }

    #[test]
    fn a_delete_needs_a_test_before_it() {
        deletes("find /tmp -type f -mtime +7 -delete", true);
        deletes("find /tmp -name *.log -delete", true);
        deletes("find /tmp -empty -delete", true);
        deletes("/usr/bin/find /tmp -mmin +5 -delete", true);
        deletes("find /tmp -delete", false);
        deletes("find /tmp -type f -delete", false);
        deletes("find /tmp -size +1M -delete", false);
        deletes("find /tmp -delete -mtime +7", false);
        deletes("/usr/bin/find /tmp -delete", false);
        deletes("find /tmp -name * -delete", false);
        deletes("find /tmp -name ?* -delete", false);
        deletes("find /tmp -name [a-z]* -delete", false);
        deletes("find /tmp -name *[a-zA-Z0-9]? -delete", false);
        deletes("find /tmp -name [ -delete", false);
        deletes("find /tmp -name *.[0-9] -delete", true);
        deletes("find /tmp -name [abc]* -delete", true);
        deletes("find /tmp -name tmp[a-z]* -delete", true);
        deletes("find /tmp -mtime +7 -o -delete", false);
        deletes("find /tmp -mtime +7 -delete -o -delete", false);
        deletes("find /tmp ! -name *.keep -delete", false);
        deletes("find /tmp ! -name *.keep -mtime +7 -delete", true);
        deletes("find /tmp -not -mtime -7 -delete", true);
        deletes("find /tmp -not -newer x -delete", true);
        deletes("find /tmp -user -mtime -delete", false);
        deletes("find /tmp -type f -print", true);
        deletes("tool -delete", true);
    }
}
