//! The rules that come with autoheal, and the seven expressions of older configurations that stand for some of them.

use crate::config::settings::AllowedCommand;

/// A rule, whether it asks for a yes, and a note.
const RULES: &[(&str, bool, &str)] = &[
    (
        "find {path:/tmp|/var/log} [-xdev] [-type {one:f|d}] [-name {glob}] [-size {size}] [-mtime {age}] [-mmin {age}] [-empty] -delete",
        false,
        "needs an age, a name or -empty before -delete",
    ),
    ("docker system prune -f [--filter until={int}h]", false, ""),
    ("docker system prune -f --volumes", true, "volumes hold data"),
    ("docker {one:container|image|network|builder} prune -f [--filter until={int}h]", false, "a part of system prune"),
    ("docker volume prune -f", true, "volumes hold data"),
    ("podman system prune -f [--filter until={int}h]", false, ""),
    ("npm cache clean --force", false, ""),
    ("npm cache verify", false, ""),
    ("yarn cache clean [--all]", false, ""),
    ("pnpm store prune", false, ""),
    ("pip cache purge", false, ""),
    ("pip3 cache purge", false, ""),
    ("apt-get {one:clean|autoclean}", false, ""),
    ("apt {one:clean|autoclean}", false, ""),
    ("dnf clean all", false, ""),
    ("yum clean all", false, ""),
    ("brew cleanup [-s] [--prune={int}]", false, "runs as the owner of the Homebrew prefix"),
    ("brew services {one:restart|start|stop} {formula}", false, "runs as the owner of the Homebrew prefix"),
    ("openclaw gateway {one:start|stop|restart}", false, ""),
    ("pkill -x {procname}", true, ""),
    ("pkill -f openclaw", true, "ends every process whose command line holds the word"),
    ("nginx -s {one:reload|reopen}", false, ""),
    ("nginx -t [-q]", false, "looks at the configuration in force, as a step before a reload"),
    ("certbot renew [--quiet] [--non-interactive] [--no-random-sleep-on-renew] [--cert-name {domain}]", false, ""),
    ("logrotate -f /etc/logrotate.conf", false, ""),
    ("logrotate -f /etc/logrotate.d/{name}", false, "one log's configuration; logrotate takes only files of root there"),
    ("journalctl [--rotate] --vacuum-size={re:[0-9]+[KMGT]}", false, "removes archived journals only"),
    ("journalctl [--rotate] --vacuum-time={duration}", false, "removes archived journals only"),
    ("redis-cli FLUSHALL", true, "empties every database"),
    ("gzip {file:/var/log}", false, ""),
    ("mv {file:/var/log} {path:/var/log/archive}", false, ""),
    ("curl [-fsS] [-m {int}] -X POST {url:http://localhost:8080/admin/reset-pool}", false, ""),
    ("exact: ps aux | sort -nrk 4 | head -5", false, "the action type top_processes does the same without a shell"),
    ("systemctl {one:restart|start|stop|reload} {unit}", false, ""),
    ("systemctl {one:try-restart|reload-or-restart|reset-failed} {unit}", false, ""),
    ("launchctl kickstart [-k] system/{name}", false, ""),
    ("launchctl kickstart [-k] gui/{int}/{name}", false, ""),
    ("launchctl kill {one:TERM|HUP} system/{name}", false, ""),
    ("launchctl kill {one:TERM|HUP} gui/{int}/{name}", false, ""),
    ("delete_files {path:/tmp|/var/log|/var/tmp}", false, ""),
    ("archive_log {file:/var/log} [{path:/var/log}]", false, ""),
    ("http POST {url:http://localhost:8080/admin/reset-pool}", false, ""),
    ("signal_process {procname} {one:TERM|HUP}", true, ""),
];

/// The shipped list: what `@shipped` in the settings stands for.
#[must_use]
pub fn shipped() -> Vec<AllowedCommand> {
    RULES
        .iter()
        .map(|&(rule, requires_approval, note)| AllowedCommand {
            rule: rule.to_owned(),
            run_as: None,
            requires_approval,
            timeout: None,
            sandbox: None,
            note: (!note.is_empty()).then(|| note.to_owned()),
            source: "shipped".to_owned(),
        })
        .collect()
}

/// Prefix expressions that configurations in use hold, without their backslashes, and the program whose rules they stand for.
const LEGACY: &[(&str, &str)] = &[
    ("^find /tmp", "find"),
    ("^find /var/log", "find"),
    ("^docker system prune", "docker"),
    ("^brew (services restart|cleanup)", "brew"),
    ("^openclaw gateway (start|stop|restart)", "openclaw"),
    ("^nginx -s reload", "nginx"),
    ("^certbot renew", "certbot"),
];

/// The shipped rules that one of the seven expressions stands for; `None` for any other text.
pub(super) fn legacy(text: &str) -> Option<Vec<AllowedCommand>> {
    let plain = text.trim().replace("\\/", "/");
    let (_, program) = LEGACY.iter().find(|(expression, _)| *expression == plain)?;
    Some(shipped().into_iter().filter(|command| command.rule.split(' ').next() == Some(program)).collect())
}

/// Whether a text was meant as a regular expression on the whole command. A rule with quotes or slots can hold the same
/// signs and mean them.
pub(super) fn is_expression(text: &str) -> bool {
    const SIGNS: &[&str] = &["\\/", ".*", ".+", "\\s", "\\d", "\\b", "(?"];
    let text = text.trim();
    let anchored = text.starts_with('^') || text.ends_with('$');
    let choice = text.split_once('(').is_some_and(|(_, inside)| inside.contains('|') && inside.contains(')'));
    let plain = !text.contains(['{', '\'', '"']);
    !text.starts_with("exact:") && (anchored || plain && (choice || SIGNS.iter().any(|sign| text.contains(sign))))
}

/// The rule that an expression probably means: anchors and escapes gone, choices and wildcards as slots.
pub(super) fn propose(text: &str) -> String {
    let plain = text.trim().trim_start_matches('^').trim_end_matches('$').replace("\\s+", " ").replace("\\d+", "{int}").replace('\\', "");
    let mut rule = String::new();
    let mut rest = plain.as_str();
    while let Some(open) = rest.find('(') {
        let Some(end) = rest[open..].find(')') else { break };
        let inside = rest[open + 1..open + end].trim_start_matches("?:");
        rule.push_str(&rest[..open]);
        if inside.contains(' ') {
            rule.push_str(inside.split('|').next().unwrap_or_default());
        } else {
            rule.push_str(&format!("{{one:{inside}}}"));
        }
        rest = &rest[open + end + 1..];
    }
    rule.push_str(rest);
    rule.replace(".*", "{name}").replace(".+", "{name}").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seven_expressions_stand_for_rules() {
        for (text, count) in [
            ("^find \\/tmp", 1),
            ("^find /tmp", 1),
            ("^find \\/var\\/log", 1),
            ("^docker system prune", 4),
            ("^brew (services restart|cleanup)", 2),
            ("^openclaw gateway (start|stop|restart)", 1),
            ("^nginx -s reload", 2),
            ("^certbot renew", 1),
        ] {
            assert_eq!(legacy(text).map(|rules| rules.len()), Some(count), "{text}");
        }
        for other in ["^find", "^find /", "find /tmp", "^nginx", "^certbot renew.*", "^docker", "^find \\/tmp$"] {
            assert_eq!(legacy(other), None, "{other}");
        }
    }

    #[test]
    fn other_expressions_get_a_proposal() {
        for (text, proposal) in [
            ("^systemctl restart nginx$", "systemctl restart nginx"),
            ("^svc (start|stop) .*", "svc {one:start|stop} {name}"),
            ("^tool -n \\d+", "tool -n {int}"),
            ("nginx -s (reload|reopen)", "nginx -s {one:reload|reopen}"),
        ] {
            assert!(is_expression(text));
            assert_eq!(propose(text), proposal);
        }
        assert!(!is_expression("nginx -s reload"));
        assert!(!is_expression("tool {re:.*}"));
        assert!(!is_expression("find /x -regex '.*\\.log' -delete"));
        assert!(!is_expression("a && b"));
    }
}
