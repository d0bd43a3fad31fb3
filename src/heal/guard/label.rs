//! The types of labels: what a value can look like, by the metric that makes it.

use std::fmt;

use super::slot::Slot;

/// The type of a label or of a fact of the incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LabelKind {
    /// A name that a person or a program gave: no blank, no slash, no sign that a program could read as its own.
    Identifier,
    /// A host name or an address.
    Host,
    /// Digits.
    Integer,
    /// A number or a word such as `stopped`.
    Measurement,
    /// An absolute path without `..`.
    Path,
    /// An http address.
    Url,
    /// A label that no metric knows: whatever the slot takes.
    Any,
}

impl LabelKind {
    /// The type of the label with this name (the table of labels in `metric.rs`, and the facts that every incident has).
    pub(super) fn of(label: &str) -> Self {
        match label {
            "process_name" | "unit" | "check" | "certificate" | "endpoint" | "fstype" | "incident_id" | "playbook" | "metric"
            | "severity" => Self::Identifier,
            "host" | "hostname" => Self::Host,
            "pid" | "port" => Self::Integer,
            "value" | "threshold" => Self::Measurement,
            "mount" | "path" => Self::Path,
            "url" => Self::Url,
            _ => Self::Any,
        }
    }

    /// Whether a value is of this type.
    pub(super) fn accepts(self, value: &str) -> bool {
        let all = |extra: &str| value.chars().all(|c| c.is_ascii_alphanumeric() || extra.contains(c));
        let bounded = |max: usize| (1..=max).contains(&value.len()) && !value.starts_with(['-', '.']);
        match self {
            Self::Identifier => bounded(255) && all("_.:@+\\-"),
            Self::Host => bounded(255) && all("_.:[]%-"),
            Self::Integer => (1..=20).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_digit()),
            Self::Measurement => {
                (1..=64).contains(&value.len()) && all("_.-") && !(value.starts_with('-') && value.parse::<f64>().is_err())
            }
            Self::Path => value.starts_with('/') && value.split('/').all(|part| part != ".." && part != "."),
            Self::Url => (value.starts_with("http://") || value.starts_with("https://")) && all("-._~:/?@!$&'()*+,;=%[]"),
            Self::Any => true,
        }
    }

    /// Values of this type that the slot might take: the template is possible if one of them makes it match.
    pub(super) fn witnesses(self, slot: &Slot) -> Vec<String> {
        let own: &[&str] = match self {
            Self::Identifier | Self::Host => &["web"],
            Self::Integer | Self::Measurement => &["7"],
            Self::Path => &["/x"],
            Self::Url => &[],
            Self::Any => &["web", "7", "/x"],
        };
        let of_slot = slot.witnesses().into_iter().filter(|candidate| match self {
            Self::Any => true,
            // A name is no number, although a number could be a name.
            Self::Identifier | Self::Host => self.accepts(candidate) && !candidate.bytes().all(|byte| byte.is_ascii_digit()),
            _ => self.accepts(candidate),
        });
        own.iter().map(|&text| text.to_owned()).chain(of_slot).collect()
    }
}

impl fmt::Display for LabelKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Identifier => "plain name",
            Self::Host => "host name or address",
            Self::Integer => "whole number",
            Self::Measurement => "number or word",
            Self::Path => "absolute path without .. in it",
            Self::Url => "http address",
            Self::Any => "value",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(label: &str, value: &str, accepted: bool) {
        assert_eq!(LabelKind::of(label).accepts(value), accepted, "{label}={value}");
    }

    #[test]
    fn values_are_typed_by_their_label() {
        check("process_name", "php-fpm8.3", true);
        check("process_name", "web; reboot", false);
        check("process_name", "-rf", false);
        check("process_name", "../x", false);
        check("process_name", "a/b", false);
        check("host", "::1", true);
        check("host", "-oProxyCommand=x", false);
        check("pid", "4711", true);
        check("pid", "-1", false);
        check("value", "96.2", true);
        check("value", "-3.5", true);
        check("value", "--all", false);
        check("value", "stopped", true);
        check("mount", "/srv/my data", true);
        check("mount", "/tmp/../etc", false);
        check("path", "var/log/x", false);
        check("url", "http://localhost:8080/a?b=c", true);
        check("url", "file:///etc/shadow", false);
        check("url", "http://a/ -o/etc/x", false);
        check("anything", "a b", true);
    }
}
