//! The slots in words, for messages and for the reference of the configuration.

/// A slot as people read of it.
#[derive(Clone, Copy, Debug)]
pub struct SlotWords {
    /// As a rule writes it between braces, with a word in capitals for what must be filled in: `path:ROOTS`.
    pub written: &'static str,
    /// What it takes: one word, or a part of one.
    pub meaning: &'static str,
    /// An example of it.
    pub example: &'static str,
    /// What the example takes.
    pub takes: &'static str,
    /// What the example refuses.
    pub refuses: &'static str,
}

const fn slot(written: &'static str, meaning: &'static str, [example, takes, refuses]: [&'static str; 3]) -> SlotWords {
    SlotWords { written, meaning, example, takes, refuses }
}

/// Every slot.
pub const SLOTS: &[SlotWords] = &[
    slot("int", "1 to 9 digits", ["int", "168", "-1"]),
    slot("age", "days or minutes, as find counts them", ["age", "+7", "7"]),
    slot("size", "a size, as find and others write it", ["size", "+100M", "100MB"]),
    slot("duration", "a number and one of s, m, h, d, w, or none", ["duration", "7d", "1h30m"]),
    slot(
        "unit",
        "a systemd service; no other type of unit, no part of the system itself, not autoheal",
        ["unit", "nginx.service", "sshd.socket"],
    ),
    slot("name", "a plain name, such as that of a container; not autoheal", ["name", "web-1", "-f"]),
    slot("formula", "the name of a formula of Homebrew", ["formula", "postgresql@16", "./mine.rb"]),
    slot("domain", "a domain name", ["domain", "shop.example", "*.example"]),
    slot("procname", "the name of a process, with no signs of an expression; not autoheal", ["procname", "node", ".*"]),
    slot("glob", "a pattern without a slash, as find reads it; in a command it stands in quotes", ["glob", "*.log", "../*"]),
    slot(
        "path:ROOTS",
        "an absolute path at or below one of the roots, without .. and through no link",
        ["path:/tmp|/var/log", "/var/log/nginx", "/var/lib"],
    ),
    slot("file:ROOTS", "the same, but never a directory", ["file:/var/log", "/var/log/syslog", "/var/log/nginx/"]),
    slot(
        "url:LIST",
        "one of these addresses; a query may follow",
        ["url:http://localhost:8080/reset", "http://localhost:8080/reset?pool=2", "http://localhost:8080/"],
    ),
    slot("one:a|b", "one of these words", ["one:restart|reload", "reload", "stop"]),
    slot("re:…", "a word that the regular expression matches as a whole; a blank is \\x20 in it", ["re:[0-9]+[KMGT]", "500M", "500MB"]),
];
