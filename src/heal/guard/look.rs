//! The fixed looks: programs that only read, which the agent runs to record what it saw before a cure. No rule of the settings
//! speaks of them; what may vary in their words is the name of a service, of the same type as in a rule.

use super::answer::{Permit, Refusal, RefusalKind};
use super::confinement::Confinement;
use super::program;
use super::service::Manager;
use super::slot::Slot;
use super::{Policy, quoted};

/// Where the programs of looks lie. The settings' `command_path` may name other directories, and a look is no matter of theirs.
const SYSTEM: [&str; 4] = ["/usr/bin", "/bin", "/usr/sbin", "/sbin"];

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look<'a> {
    /// What systemd says of a service.
    UnitState(&'a str),
    /// The last lines of a service in the journal.
    UnitJournal(&'a str),
    /// What systemd last did with a service because somebody asked for it, in the journal.
    LastJob(&'a str),
}

impl Look<'_> {
    fn unit(&self) -> &str {
        match self {
            Self::UnitState(unit) | Self::UnitJournal(unit) | Self::LastJob(unit) => unit,
        }
    }

    fn words(&self) -> Vec<String> {
        let words = |words: &[&str], last: &str| words.iter().copied().chain([last]).map(str::to_owned).collect();
        match self {
            Self::UnitState(unit) => {
                words(&["systemctl", "show", "-p", "ActiveState,SubState,Result,ExecMainCode,ExecMainStatus,NRestarts"], unit)
            }
            Self::UnitJournal(unit) => ["journalctl", "-u", unit, "-n", "20", "--no-pager", "-o", "short-iso"].map(str::to_owned).to_vec(),
            // Of one field any value will do, of different fields all must be there: journalctl(1).
            Self::LastJob(unit) => {
                let fixed = ["journalctl", "-q", "-n", "1", "--no-pager", "-o", "json", "--output-fields=JOB_TYPE", "_PID=1"];
                let jobs = ["JOB_TYPE=start", "JOB_TYPE=stop", "JOB_TYPE=restart", "JOB_TYPE=try-restart"];
                words(&[fixed.as_slice(), &jobs].concat(), &format!("UNIT={unit}"))
            }
        }
    }
}

impl Policy {
    /// A permit for one of the fixed looks. It runs as the agent.
    ///
    /// # Errors
    /// The host is not run by systemd ([`RefusalKind::UnknownService`]), the name is no service's, or the program is missing or
    /// could be changed by others.
    pub fn look(&self, look: Look<'_>) -> Result<Permit, Refusal> {
        if self.services.manager != Some(Manager::Systemd) {
            return Err(Refusal::new(RefusalKind::UnknownService, "this host is not run by systemd"));
        }
        if !Slot::Unit.accepts(look.unit()) {
            return Err(Refusal::new(RefusalKind::Placeholder, format!("{} is not {}", quoted(look.unit()), Slot::Unit)));
        }
        let mut argv = look.words();
        let missing = || Refusal::new(RefusalKind::MissingProgram, format!("program not found: {}", quoted(&argv[0])));
        let found = program::resolve(&SYSTEM.map(Into::into), &argv[0], None)?.ok_or_else(missing)?;
        argv[0] = found.path.to_string_lossy().into_owned();
        Ok(Permit {
            argv,
            program: found.path,
            identity: Some(found.identity),
            rule: "a fixed look".to_owned(),
            shell: false,
            native: false,
            run_as: None,
            requires_approval: false,
            timeout: None,
            confinement: Confinement::NoNewPrivileges("it only looks"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> Policy {
        Policy::default().with_manager(Manager::Systemd)
    }

    #[test]
    fn the_words_are_these_and_no_others() {
        let state = ["show", "-p", "ActiveState,SubState,Result,ExecMainCode,ExecMainStatus,NRestarts", "nginx.service"];
        let journal = ["-u", "postgresql@15-main", "-n", "20", "--no-pager", "-o", "short-iso"];
        for (look, program, words) in [
            (Look::UnitState("nginx.service"), "systemctl", state.as_slice()),
            (Look::UnitJournal("postgresql@15-main"), "journalctl", journal.as_slice()),
        ] {
            assert_eq!(look.words()[0], program);
            assert_eq!(look.words()[1..], *words);
            // A host without systemd's programs has none to look with.
            let found = SYSTEM.iter().any(|directory| std::path::Path::new(directory).join(program).exists());
            match policy().look(look) {
                Ok(permit) => {
                    assert!(permit.program().is_absolute() && permit.program().ends_with(program));
                    assert_eq!(permit.argv()[0], permit.program().to_str().unwrap());
                    assert_eq!(permit.argv()[1..], *words);
                    assert!(!permit.shell() && !permit.native() && permit.run_as().is_none());
                }
                Err(refusal) => assert!(!found && refusal.kind == RefusalKind::MissingProgram, "{refusal}"),
            }
        }
    }

    #[test]
    fn what_is_no_service_is_refused() {
        let long = "x".repeat(256);
        for unit in
            ["", "-h", "--root=/x", "a b", "a;b", "a\nb", "../x", "*", "nginx*", "x.socket", "dbus", "systemd-logind", "autoheal", &long]
        {
            for look in [Look::UnitState(unit), Look::UnitJournal(unit)] {
                assert_eq!(policy().look(look).unwrap_err().kind, RefusalKind::Placeholder, "{unit:?}");
            }
        }
    }

    #[test]
    fn without_systemd_nothing_is_looked_at() {
        for manager in [Manager::Launchd, Manager::Brew] {
            let policy = Policy::default().with_manager(manager);
            assert_eq!(policy.look(Look::UnitState("nginx")).unwrap_err().kind, RefusalKind::UnknownService);
        }
        assert_eq!(Policy::default().look(Look::UnitJournal("nginx")).unwrap_err().kind, RefusalKind::UnknownService);
    }
}
