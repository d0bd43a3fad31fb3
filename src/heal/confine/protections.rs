//! Which protections of actions this host has, and what that comes to for one program. What is missing is said wherever people
//! look: by `status`, by `allow test`, and in the log when the agent starts.

use std::borrow::Cow;
use std::path::Path;
use std::sync::OnceLock;

use serde::Serialize;

use crate::heal::guard::Confinement;
use crate::heal::transient;

/// How much of a protection there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// All of it.
    InForce,
    /// Some of it; the detail says what is not.
    Partial,
    /// Nothing; the detail says why.
    Missing,
}

/// One protection; an element of `protections` in the JSON of `status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Protection {
    /// A word that stays the same.
    pub name: &'static str,
    /// How much of it there is here.
    pub state: State,
    /// For people: what it does, or what is missing and why.
    pub detail: Cow<'static, str>,
}

/// Every protection that not all platforms have.
#[must_use]
pub fn all() -> Vec<Protection> {
    let linux_has = |name, detail: Cow<'static, str>, without: &'static str| match cfg!(target_os = "linux") {
        true => Protection { name, state: State::InForce, detail },
        false => Protection { name, state: State::Missing, detail: without.into() },
    };
    let ends = "at the deadline everything ends that an action started, also what left its session";
    let groups = match cfg!(target_os = "macos") {
        false => (State::InForce, "a program that runs as another user has that user's groups and no others"),
        true => (State::Partial, "a program that runs as another user has that user's main group only"),
    };
    vec![
        landlock().clone(),
        linux_has(
            "no_new_privileges",
            "no action gains rights by set-user-ID programs, but for those that start services".into(),
            "this platform has nothing like it: set-user-ID programs work in actions",
        ),
        linux_has(
            "orphans",
            format!("{ends}; actions run as {}", transient::supervision()).into(),
            "this platform cannot follow orphans: what left its process group outlives the deadline",
        ),
        Protection { name: "groups", state: groups.0, detail: groups.1.into() },
    ]
}

/// The sandbox, asked of the kernel once.
pub(crate) fn landlock() -> &'static Protection {
    static FOUND: OnceLock<Protection> = OnceLock::new();
    FOUND.get_or_init(|| {
        let (state, detail) = ask_the_kernel();
        Protection { name: "landlock", state, detail: detail.into() }
    })
}

#[cfg(target_os = "linux")]
fn ask_the_kernel() -> (State, &'static str) {
    use super::landlock::{Support, support};
    match support() {
        Support::Whole => (State::InForce, "programs that need no more write only below the paths of their rule, and start no other"),
        Support::WithoutTruncate => (State::Partial, "this kernel is older than 6.2: a confined program can empty files anywhere"),
        Support::WithoutRefer => {
            (State::Partial, "this kernel is older than 5.19: a confined program can empty files anywhere, and mv copies instead of moving")
        }
        Support::None => (State::Missing, "this kernel has no Landlock, or was started without it (Linux 5.13, and landlock in lsm=)"),
    }
}

#[cfg(not(target_os = "linux"))]
fn ask_the_kernel() -> (State, &'static str) {
    (State::Missing, "this platform has no Landlock: no program is confined to the paths of its rule")
}

/// What this host holds a program to, for people: `confined: writes only below /tmp; starts no other program; no new privileges`.
#[must_use]
pub fn describe(confinement: &Confinement, program: Option<&Path>) -> String {
    let privileges = if cfg!(target_os = "linux") { "no new privileges" } else { "nothing keeps new privileges away on this platform" };
    let sandbox = landlock();
    match confinement {
        Confinement::Free(reason) => format!("not confined: {reason}"),
        Confinement::NoNewPrivileges(reason) => format!("{privileges}; it may write and start anything: {reason}"),
        Confinement::Sandboxed { .. } if sandbox.state == State::Missing => format!("not confined: {}; {privileges}", sandbox.detail),
        Confinement::Sandboxed { writable, .. } => {
            let places =
                if writable.is_empty() { "writes nothing".to_owned() } else { format!("writes only below {}", writable.join(", ")) };
            let others = match program.and_then(other_name) {
                Some(name) => format!("starts no program but what {name} can be"),
                None => "starts no other program".to_owned(),
            };
            let lack = if sandbox.state == State::Partial { format!(" ({})", sandbox.detail) } else { String::new() };
            format!("confined: {places}; {others}; {privileges}{lack}")
        }
    }
}

/// The name of the file that a program's link leads to, if that goes by many names (busybox, coreutils): it can then start itself
/// as something else.
fn other_name(program: &Path) -> Option<String> {
    let real = program.canonicalize().ok()?;
    let name = real.file_name()?.to_str()?;
    ["busybox", "coreutils", "toybox"].contains(&name).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_protection_is_named_with_what_it_means() {
        let all = all();
        assert_eq!(all.iter().map(|one| one.name).collect::<Vec<_>>(), ["landlock", "no_new_privileges", "orphans", "groups"]);
        let linux = all.iter().filter(|one| one.name != "landlock");
        assert_eq!(linux.filter(|one| one.state == State::InForce).count(), if cfg!(target_os = "linux") { 3 } else { 0 });
        assert_eq!(serde_json::to_value(State::InForce).unwrap(), "in_force");
    }

    #[test]
    fn people_are_told_what_holds() {
        let check = |confinement: &Confinement, begin: &str| {
            let text = describe(confinement, None);
            assert!(text.starts_with(begin), "{text}");
        };
        check(&Confinement::Free("because"), "not confined: because");
        if cfg!(target_os = "linux") {
            check(&Confinement::NoNewPrivileges("because"), "no new privileges; it may write and start anything: because");
        }
        let sandboxed = |writable: &[&str]| {
            let writable = writable.iter().map(|&directory| directory.to_owned()).collect();
            Confinement::Sandboxed { writable, asked: true }
        };
        let missing = landlock().state == State::Missing;
        for (directories, text) in [(&["/tmp", "/var/log"][..], "writes only below /tmp, /var/log"), (&[], "writes nothing")] {
            let whole = format!("confined: {text}; starts no other program; no new privileges");
            check(&sandboxed(directories), if missing { "not confined: this " } else { &whole });
        }
    }

    #[test]
    fn who_goes_by_many_names_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let (many, link, plain) = (dir.path().join("busybox"), dir.path().join("find"), dir.path().join("gzip"));
        std::fs::write(&many, "").unwrap();
        std::fs::write(&plain, "").unwrap();
        std::os::unix::fs::symlink(&many, &link).unwrap();
        assert_eq!(other_name(&link).as_deref(), Some("busybox"));
        assert_eq!(other_name(&plain), None);
        assert_eq!(other_name(&dir.path().join("nothing")), None);
    }
}
