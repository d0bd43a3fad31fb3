//! Typed slots: one word, or a part of one, that may vary within its type.

mod table;

use std::fmt;

use regex::{Regex, RegexBuilder};

use super::path::{self, Root};
pub use table::{SLOTS, SlotWords};

/// What a slot takes.
#[derive(Clone, Debug)]
pub(super) enum Slot {
    /// 1 to 9 digits.
    Int,
    /// `+N`, as find counts days or minutes.
    Age,
    /// `+100M`
    Size,
    /// `90s`
    Duration,
    /// A systemd service.
    Unit,
    /// The name of a service, container or the like.
    Name,
    /// A Homebrew formula.
    Formula,
    /// A DNS name.
    Domain,
    /// A process name, for `pkill -x`, which reads it as an expression.
    Procname,
    /// A find-style pattern without a slash.
    Glob,
    /// A directory or file below a root.
    Path(Vec<Root>),
    /// A file below a root.
    File(Vec<Root>),
    /// One of these addresses; a query may follow.
    Url(Vec<String>),
    /// One of these words.
    One(Vec<String>),
    /// The whole word matches.
    Expression(Box<Regex>),
}

impl Slot {
    /// Reads what stands between the braces.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (name, argument) = text.split_once(':').map_or((text, None), |(name, argument)| (name, Some(argument)));
        let alternatives = || -> Result<Vec<&str>, String> {
            let list: Vec<&str> = argument.unwrap_or_default().split('|').collect();
            if list.iter().any(|item| item.is_empty()) { Err(format!("{{{text}}} has an empty alternative")) } else { Ok(list) }
        };
        let roots = || alternatives()?.into_iter().map(Root::parse).collect::<Result<Vec<_>, _>>();
        match (name, argument) {
            ("int", None) => Ok(Self::Int),
            ("age", None) => Ok(Self::Age),
            ("size", None) => Ok(Self::Size),
            ("duration", None) => Ok(Self::Duration),
            ("unit", None) => Ok(Self::Unit),
            ("name", None) => Ok(Self::Name),
            ("formula", None) => Ok(Self::Formula),
            ("domain", None) => Ok(Self::Domain),
            ("procname", None) => Ok(Self::Procname),
            ("glob", None) => Ok(Self::Glob),
            ("path", Some(_)) => roots().map(Self::Path),
            ("file", Some(_)) => roots().map(Self::File),
            ("url", Some(_)) => alternatives()?.into_iter().map(parse_url).collect::<Result<_, _>>().map(Self::Url),
            ("one", Some(_)) => Ok(Self::One(alternatives()?.into_iter().map(str::to_owned).collect())),
            ("re", Some(expression)) => parse_expression(expression),
            ("path" | "file" | "url" | "one" | "re", None) => Err(needs_list(name)),
            _ => Err(unknown_slot(name, argument.is_some())),
        }
    }

    /// Whether the text is of this type. Paths are looked up later ([`path::resolve`]).
    pub(super) fn accepts(&self, value: &str) -> bool {
        match self {
            Self::Int => is_digits(value),
            Self::Age => value.strip_prefix('+').is_some_and(is_digits),
            Self::Size => is_digits(strip_unit(value.strip_prefix(['+', '-']).unwrap_or(value), "kMGT")),
            Self::Duration => is_digits(strip_unit(value, "smhdw")),
            Self::Unit => is_unit(value),
            Self::Name => is_identifier(value, 128, "_.@-") && !names_autoheal(value),
            Self::Formula => is_identifier(value, 128, "_.@+-") && !names_autoheal(value) && !is_formula_file(value),
            Self::Domain => is_domain(value),
            Self::Procname => is_process_name(value),
            Self::Glob => is_glob(value),
            Self::Path(roots) => path::is_below(roots, value, true),
            Self::File(roots) => path::is_below(roots, value, false),
            Self::Url(list) => list.iter().any(|url| value.strip_prefix(url.as_str()).is_some_and(|rest| is_query(url, rest))),
            Self::One(list) => list.iter().any(|word| word == value),
            Self::Expression(expression) => expression.is_match(value),
        }
    }

    /// The roots of a path slot, and whether it may be a directory.
    pub(super) fn roots(&self) -> Option<(&[Root], bool)> {
        match self {
            Self::Path(roots) => Some((roots, true)),
            Self::File(roots) => Some((roots, false)),
            _ => None,
        }
    }

    /// Some values that it takes; empty for an expression.
    pub(super) fn witnesses(&self) -> Vec<String> {
        let below = |roots: &[Root]| roots.iter().map(|root| format!("{}/x", root.written)).collect::<Vec<_>>();
        let own = |text: &str| vec![text.to_owned()];
        match self {
            Self::Int => own("7"),
            Self::Age => own("+7"),
            Self::Size => own("+7M"),
            Self::Duration => own("7d"),
            Self::Unit | Self::Name | Self::Formula | Self::Procname | Self::Glob => own("web"),
            Self::Domain => own("web.example"),
            Self::Path(roots) | Self::File(roots) => below(roots),
            Self::Url(list) | Self::One(list) => list.clone(),
            Self::Expression(_) => Vec::new(),
        }
    }

    /// Whether it takes words that somebody could misuse: a wide slot is marked wherever rules are listed.
    pub(super) fn is_wide(&self) -> bool {
        match self {
            Self::Expression(expression) => {
                ["/etc/shadow", "--exec=id", "-x", "a b;c", "../x"].iter().any(|probe| expression.is_match(probe))
            }
            Self::Path(roots) | Self::File(roots) => {
                roots.iter().any(|root| is_system_directory(&root.written) || is_system_directory(&root.real))
            }
            _ => false,
        }
    }
}

impl fmt::Display for Slot {
    /// What it takes, in words: `a path below /tmp or /var/log`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let roots = |list: &[Root]| {
            list.iter().map(|root| if root.written.is_empty() { "/" } else { root.written.as_str() }).collect::<Vec<_>>().join(" or ")
        };
        match self {
            Self::Int => out.write_str("a whole number"),
            Self::Age => out.write_str("an age such as +7"),
            Self::Size => out.write_str("a size such as +100M"),
            Self::Duration => out.write_str("a duration such as 90s"),
            Self::Unit => out.write_str("a service (no other unit type, no part of the system itself, not autoheal)"),
            Self::Name => out.write_str("a plain name"),
            Self::Formula => out.write_str("the name of a formula"),
            Self::Domain => out.write_str("a domain name"),
            Self::Procname => out.write_str("a process name"),
            Self::Glob => out.write_str("a pattern without a slash, such as '*.log'"),
            Self::Path(list) => write!(out, "a path below {}", roots(list)),
            Self::File(list) => write!(out, "a file below {}", roots(list)),
            Self::Url(list) => out.write_str(&list.join(" or ")),
            Self::One(list) => out.write_str(&list.join(" or ")),
            Self::Expression(expression) => {
                let text = expression.as_str();
                write!(
                    out,
                    "a word that matches {}",
                    text.strip_prefix(r"\A(?:").and_then(|text| text.strip_suffix(r")\z")).unwrap_or(text)
                )
            }
        }
    }
}

fn needs_list(name: &str) -> String {
    let example = match name {
        "path" | "file" => "/tmp|/var/log",
        "url" => "http://localhost:8080/reset",
        "one" => "restart|reload",
        _ => "[a-z]+",
    };
    format!("{{{name}}} needs a list after a colon, such as {{{name}:{example}}}")
}

fn unknown_slot(name: &str, has_argument: bool) -> String {
    let names = || SLOTS.iter().map(|slot| slot.written);
    let closest = names()
        .map(|known| known.split(':').next().unwrap_or(known))
        .min_by_key(|known| strsim::osa_distance(known, name))
        .filter(|known| strsim::osa_distance(known, name) <= (name.len() / 3).max(1));
    match closest {
        Some(known) if known == name && has_argument => format!("{{{name}}} takes no list"),
        Some(known) => format!("there is no slot {{{name}}}; did you mean {{{known}}}?"),
        None => format!("there is no slot {{{name}}}; there are {}", names().collect::<Vec<_>>().join(", ")),
    }
}

fn parse_expression(text: &str) -> Result<Slot, String> {
    if text.is_empty() || text.len() > 1024 {
        return Err("an expression has 1 to 1,024 characters".to_owned());
    }
    // A text that is no expression by itself could close the group below and escape the anchors.
    Regex::new(text).map_err(|error| format!("the expression {text} is wrong: {error}"))?;
    RegexBuilder::new(&format!(r"\A(?:{text})\z"))
        .size_limit(1 << 20)
        .build()
        .map(|expression| Slot::Expression(Box::new(expression)))
        .map_err(|error| format!("the expression {text} cannot be used: {error}"))
}

fn parse_url(text: &str) -> Result<String, String> {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let Some(rest) = rest else { return Err(format!("{text} is no http address")) };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.is_empty() || authority.contains('@') || text.contains('#') {
        return Err(format!("{text} must name a host, without a user and without a fragment"));
    }
    Ok(text.to_owned())
}

/// A query after the listed address. No braces and brackets: curl would expand them.
fn is_query(url: &str, rest: &str) -> bool {
    let query = rest.strip_prefix(if url.contains('?') { '&' } else { '?' });
    rest.is_empty()
        || query.is_some_and(|query| {
            query.len() <= 1024 && query.chars().all(|c| c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@/?%".contains(c))
        })
}

fn is_digits(text: &str) -> bool {
    (1..=9).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn strip_unit<'t>(text: &'t str, units: &str) -> &'t str {
    text.strip_suffix(|unit| units.contains(unit)).unwrap_or(text)
}

fn is_identifier(text: &str, max: usize, extra: &str) -> bool {
    text.len() <= max
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || extra.contains(c))
}

/// Whether a name means autoheal itself: one part of it, between dots and `@`, is its name.
pub(super) fn names_autoheal(name: &str) -> bool {
    name.split(['.', '@']).any(|part| part.eq_ignore_ascii_case("autoheal"))
}

/// What Homebrew would take for a file with a formula in it (Formulary's loaders by path and by bottle), and run as Ruby.
fn is_formula_file(text: &str) -> bool {
    [".rb", ".json", ".tar.gz"].iter().any(|suffix| text.ends_with(suffix))
}

/// A systemd service name (systemd.unit(5)), without those that would take the host down or lock everybody out.
fn is_unit(text: &str) -> bool {
    const OTHER_TYPES: &[&str] =
        &["socket", "device", "mount", "automount", "swap", "target", "path", "timer", "slice", "scope", "snapshot"];
    const SYSTEM: &[&str] = &["debug-shell", "emergency", "rescue", "autovt"];
    let plain = text.len() <= 255 && text.starts_with(|c: char| c.is_ascii_alphanumeric());
    // An escape is no way to say a name that may not be said.
    let Some(name) = unescape_unit(text).filter(|_| plain) else { return false };
    let stem = name.strip_suffix(".service").unwrap_or(&name);
    let base = stem.split('@').next().unwrap_or(stem);
    !stem.rsplit_once('.').is_some_and(|(_, suffix)| OTHER_TYPES.contains(&suffix))
        && !SYSTEM.contains(&base)
        && !["systemd-", "dbus", "initrd-"].iter().any(|prefix| stem.starts_with(prefix))
        && !stem.contains("getty")
        && !names_autoheal(stem)
}

/// `[A-Za-z0-9:_.@-]`, and what `\xHH` stands for, by bytes; systemd-escape(1) never makes one for a control or a slash.
fn unescape_unit(text: &str) -> Option<String> {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some(digits) = rest.strip_prefix("\\x") {
            let byte = digits.get(..2).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
            let byte = u8::from_str_radix(byte, 16).ok().filter(|byte| !byte.is_ascii_control() && *byte != b'/')?;
            plain.push(char::from(byte));
            rest = &rest[4..];
        } else if first.is_ascii_alphanumeric() || ":_.@-".contains(first) {
            plain.push(first);
            rest = &rest[1..];
        } else {
            return None;
        }
    }
    Some(plain)
}

fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    text.len() <= 253 && text.split('.').all(label) && !text.eq_ignore_ascii_case("autoheal")
}

/// pkill reads the name as an extended expression, where a dot is any character: it must not be able to mean autoheal.
fn is_process_name(text: &str) -> bool {
    let could_be_autoheal = text.len() == 8 && text.bytes().zip(b"autoheal").all(|(is, name)| is == b'.' || is.eq_ignore_ascii_case(name));
    let first = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    first
        && text.len() <= 64
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_.:@-".contains(c))
        && !text.contains("..")
        && !could_be_autoheal
}

fn is_glob(text: &str) -> bool {
    (1..=64).contains(&text.len()) && !text.starts_with('-') && text.chars().all(|c| c.is_ascii_alphanumeric() || "_.*?[]~$-".contains(c))
}

/// The root, and directories where a file decides what the host does.
fn is_system_directory(path: &str) -> bool {
    const SYSTEM: &[&str] = &[
        "",
        "/bin",
        "/boot",
        "/dev",
        "/etc",
        "/home",
        "/lib",
        "/lib64",
        "/opt",
        "/private",
        "/proc",
        "/root",
        "/run",
        "/sbin",
        "/srv",
        "/sys",
        "/usr",
        "/var",
        "/Users",
        "/Library",
        "/System",
        "/Applications",
    ];
    SYSTEM.contains(&path) || ["/etc/", "/usr/", "/boot/", "/dev/", "/proc/", "/sys/", "/System/"].iter().any(|tree| path.starts_with(tree))
}

#[cfg(test)]
mod tests;
