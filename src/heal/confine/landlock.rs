//! The sandbox of a program: Landlock (landlock(7)) rules that hold whoever runs, root included. The kernel refuses every write,
//! removal, creation and move outside some directories, and the execution of every file but the program itself and what it
//! takes to load it. Reading stays free, and so are modes, owners and times of files, for which Landlock has no right.
//!
//! It is a second line: a mistake in the matcher ends as a failed heal. No line of its own is the rule about execution: a
//! loader that may start the program can be told to load another one. Who is held can neither mount nor trace (ptrace(2)) who is not.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr,
    RulesetStatus,
};

use rustix::fd::OwnedFd;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};

use super::{loader, say};

/// What changes a directory or a file: all of Linux 6.2 (ABI 3). Later rights are about devices and sockets.
fn writing() -> BitFlags<AccessFs> {
    AccessFs::from_write(ABI::V3)
}

/// How much of it the running kernel has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Support {
    /// Everything that is asked for.
    Whole,
    /// Linux before 6.2: a file anywhere can be emptied by its name.
    WithoutTruncate,
    /// Linux before 5.19: besides, nothing can be moved from one directory to another; mv copies instead.
    WithoutRefer,
    /// Linux before 5.13, built without it, or not in the list `lsm=` that the kernel was started with.
    None,
}

/// Asks the kernel, by making rule sets that are never used.
pub(super) fn support() -> Support {
    let has = |right: AccessFs| {
        let rules = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
        rules.handle_access(right).and_then(Ruleset::create).is_ok()
    };
    match (has(AccessFs::Execute), has(AccessFs::Refer), has(AccessFs::Truncate)) {
        (false, _, _) => Support::None,
        (true, false, _) => Support::WithoutRefer,
        (true, true, false) => Support::WithoutTruncate,
        (true, true, true) => Support::Whole,
    }
}

/// A directory, if it is there and no link leads to it: the links of a rule's root are resolved when the rule is loaded, and who
/// has put one in its way since must not choose what the program may write.
fn open_plainly(directory: &str) -> Option<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(CWD, directory, flags, Mode::empty(), resolve).ok()
}

/// The rules for one program, whose files are open already: the user that it is going to run as need not reach them.
pub(super) struct Sandbox(RulesetCreated);

impl Sandbox {
    /// Opens the program, its loader and the directories. A directory that cannot be opened is left out.
    pub(super) fn open(program: &Path, writable: &[&str]) -> Result<Self, String> {
        let cannot = |error: &dyn std::fmt::Display| say("sandbox", error);
        let executable = loader::files(program).map_err(|error| say("what starts the program", error))?;
        let mut rules =
            Ruleset::default().handle_access(writing() | AccessFs::Execute).and_then(Ruleset::create).map_err(|error| cannot(&error))?;
        let to_write = std::iter::once((PathBuf::from("/dev/null"), AccessFs::WriteFile));
        for (path, right) in to_write.chain(executable.into_iter().map(|file| (file, AccessFs::Execute))) {
            let file = PathFd::new(&path).map_err(|error| cannot(&error))?;
            rules = rules.add_rule(PathBeneath::new(file, right)).map_err(|error| cannot(&error))?;
        }
        for directory in writable.iter().filter_map(|directory| open_plainly(directory)) {
            rules = rules.add_rule(PathBeneath::new(directory, writing())).map_err(|error| cannot(&error))?;
        }
        Ok(Self(rules))
    }

    /// For good: for this process, for what it becomes, and for all that this starts.
    pub(super) fn enter(self) -> Result<(), String> {
        match self.0.restrict_self() {
            Ok(status) if status.ruleset != RulesetStatus::NotEnforced => Ok(()),
            Ok(_) => Err("sandbox: the kernel has no Landlock".to_owned()),
            Err(error) => Err(say("sandbox", error)),
        }
    }
}
