//! Every code of a problem: what it means, an example that has it, and the same example mended.
//!
//! Tests hold that the table has each code that the loader uses and no other, and that each example is what it is said to be.

mod files;
mod playbooks;
mod remarks;
mod settings;

use serde::Serialize;

use super::problem::Level;

/// What a code means.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Code {
    /// As it stands in [`Problem::code`](super::problem::Problem::code).
    pub code: &'static str,
    /// How bad such a problem is. A few are milder where they do no harm.
    pub severity: Level,
    /// One line, lower case, without a full stop.
    pub summary: &'static str,
    /// Why it is a problem and what to do, in a few sentences.
    pub explanation: &'static str,
    /// `None`: it depends on the host, not on what is written.
    pub example: Option<Example>,
}

/// Something wrong, and the same mended.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Example {
    /// Where it stands.
    pub place: Place,
    /// What has the problem.
    pub bad: &'static str,
    /// What has it no more.
    pub good: &'static str,
}

/// Where an example stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// The whole of `autoheal-playbooks.json`.
    Playbooks,
    /// The value of one playbook.
    Playbook,
    /// The value of `condition`.
    Condition,
    /// One of `actions`.
    Action,
    /// The whole of `autoheal.json`.
    Settings,
}

impl Place {
    /// In words.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Playbooks => "autoheal-playbooks.json",
            Self::Playbook => "a playbook",
            Self::Condition => "the condition of a playbook",
            Self::Action => "an action of a playbook",
            Self::Settings => "autoheal.json",
        }
    }
}

/// All of them, in the order in which a load meets them.
pub fn all() -> impl Iterator<Item = &'static Code> {
    [files::CODES, playbooks::CODES, settings::CODES, remarks::CODES].into_iter().flatten()
}

/// The code of that name.
#[must_use]
pub fn find(code: &str) -> Option<&'static Code> {
    all().find(|known| known.code == code)
}

/// The code that was probably meant.
#[must_use]
pub fn nearest(code: &str) -> Option<&'static str> {
    super::problem::nearest(code, &all().map(|known| known.code).collect::<Vec<_>>())
}

/// Declares the codes of one kind; an example is `place: bad => good`.
macro_rules! codes {
    ($($severity:ident $code:ident: $summary:literal, $explanation:literal $(, $place:ident: $bad:literal => $good:literal)?;)*) => {
        pub(super) const CODES: &[$crate::config::codes::Code] = &[$($crate::config::codes::Code {
            code: stringify!($code),
            severity: $crate::config::problem::Level::$severity,
            summary: $summary,
            explanation: $explanation,
            example: $crate::config::codes::codes!(@example $($place $bad $good)?),
        }),*];
    };
    (@example) => { None };
    (@example $place:ident $bad:literal $good:literal) => {
        Some($crate::config::codes::Example { place: $crate::config::codes::Place::$place, bad: $bad, good: $good })
    };
}
use codes;

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
