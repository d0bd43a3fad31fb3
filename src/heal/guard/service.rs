//! Services: which one belongs to a process, who manages it, and the command that this comes to.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use super::answer::{Refusal, RefusalKind};
use super::quoted;
use super::slot::{Slot, names_autoheal};
use crate::config::playbook::Verb;
use crate::config::settings::{ProcessMatch, ServiceCommand, Settings, VerbKey};

/// Who starts and stops the services of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manager {
    /// Linux.
    Systemd,
    /// macOS.
    Launchd,
    /// Homebrew's own services.
    Brew,
}

impl Manager {
    /// The host's: systemd where it runs, launchd on a Mac, where a bare name that is no label goes to Homebrew.
    #[must_use]
    pub fn of_this_host() -> Option<Self> {
        if Path::new("/run/systemd/system").is_dir() {
            Some(Self::Systemd)
        } else if cfg!(target_os = "macos") {
            Some(Self::Launchd)
        } else {
            None
        }
    }

    /// The one with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "systemd" => Some(Self::Systemd),
            "launchd" => Some(Self::Launchd),
            "brew" => Some(Self::Brew),
            _ => None,
        }
    }

    /// The words that do it. A manager that cannot is a refusal.
    fn argv(self, verb: Verb, service: &str) -> Result<Vec<String>, Refusal> {
        let words = |words: &[&str]| Ok(words.iter().map(|&word| word.to_owned()).collect());
        match (self, verb) {
            (Self::Systemd, _) => words(&["systemctl", verb.name(), service]),
            (Self::Brew, Verb::Reload) => {
                Err(Refusal::new(RefusalKind::UnknownService, "Homebrew cannot reload a service: use service_restart"))
            }
            (Self::Brew, _) => words(&["brew", "services", verb.name(), service]),
            (Self::Launchd, _) => {
                let target = if service.contains('/') { service.to_owned() } else { format!("{}/{service}", launchd_domain()) };
                match verb {
                    Verb::Restart => words(&["launchctl", "kickstart", "-k", &target]),
                    Verb::Start => words(&["launchctl", "kickstart", &target]),
                    Verb::Stop => words(&["launchctl", "kill", "TERM", &target]),
                    Verb::Reload => words(&["launchctl", "kill", "HUP", &target]),
                }
            }
        }
    }

    /// Names that this manager could never take, and autoheal itself.
    fn takes(self, service: &str) -> bool {
        match self {
            Self::Systemd => Slot::Unit.accepts(service),
            Self::Brew => Slot::Formula.accepts(service),
            Self::Launchd => service.rsplit('/').next().is_some_and(|label| Slot::Name.accepts(label)) && !service.starts_with(['/', '-']),
        }
    }
}

impl fmt::Display for Manager {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Systemd => "systemd",
            Self::Launchd => "launchd",
            Self::Brew => "Homebrew",
        })
    }
}

fn launchd_domain() -> String {
    let uid = nix::unistd::Uid::effective();
    if uid.is_root() { "system".to_owned() } else { format!("gui/{uid}") }
}

/// What a service action comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A command of the settings' `services`: its own rule.
    Own {
        /// As written.
        command: String,
        /// `$.services.web.restart`
        source: String,
    },
    /// The manager's words.
    Managed {
        /// Whose.
        manager: Manager,
        /// The name that it is given.
        service: String,
        /// The words.
        argv: Vec<String>,
    },
}

/// What the settings say about services, and the host's manager.
#[derive(Clone, Debug, Default)]
pub(super) struct Services {
    commands: BTreeMap<String, BTreeMap<ServiceCommand, String>>,
    /// Process name to service: the watch entry's `service`, else its unit.
    processes: BTreeMap<String, Option<String>>,
    pub(super) manager: Option<Manager>,
}

impl Services {
    pub(super) fn new(settings: &Settings) -> Self {
        let processes = settings
            .watch
            .processes
            .iter()
            .map(|entry| {
                let unit = if let ProcessMatch::Unit(unit) = &entry.matcher { Some(unit.clone()) } else { None };
                let own_command = settings.services.contains_key(&entry.name).then(|| entry.name.clone());
                (entry.name.clone(), entry.service.clone().or(own_command).or(unit))
            })
            .collect();
        Self { commands: settings.services.clone(), processes, manager: Manager::of_this_host() }
    }

    /// Every command of the settings, with its place.
    pub(super) fn commands(&self) -> impl Iterator<Item = (String, &str)> {
        self.commands
            .iter()
            .flat_map(|(service, commands)| commands.iter().map(|(kind, command)| (source(service, *kind), command.as_str())))
    }

    /// The names of the watched processes.
    pub(super) fn processes(&self) -> impl Iterator<Item = &str> {
        self.processes.keys().map(String::as_str)
    }

    /// The service that belongs to a process, or the name itself.
    pub(super) fn of<'n>(&'n self, name: &'n str) -> &'n str {
        match self.processes.get(name) {
            Some(Some(service)) => service,
            _ => name,
        }
    }

    /// The line for a service or a process name. Without a manager, systemd's stands for it unless something is to run.
    pub(super) fn line(&self, verb: Verb, name: &str, run: bool) -> Result<Line, Refusal> {
        let service = self.of(name);
        if names_autoheal(service) {
            return Err(Refusal::new(RefusalKind::NoRule, "autoheal never acts on itself"));
        }
        let known = self.commands.get_key_value(service).or_else(|| self.commands.get_key_value(service.strip_suffix(".service")?));
        if let Some((key, commands)) = known {
            let kind = ServiceCommand::Verb(verb.into());
            return match commands.get(&kind) {
                Some(command) => Ok(Line::Own { command: command.clone(), source: source(key, kind) }),
                None => Err(Refusal::new(
                    RefusalKind::UnknownService,
                    format!("the settings have no {} command for the service {}", verb.name(), quoted(key)),
                )),
            };
        }
        let manager = self.manager_of(service, run)?;
        if !manager.takes(service) {
            return Err(Refusal::new(
                RefusalKind::UnknownService,
                format!("{} is no service that {manager} may be asked for", quoted(service)),
            ));
        }
        Ok(Line::Managed { manager, service: service.to_owned(), argv: manager.argv(verb, service)? })
    }

    fn manager_of(&self, service: &str, run: bool) -> Result<Manager, Refusal> {
        match self.manager {
            // launchd's labels are domain names turned round; a bare name on a Mac is a formula.
            Some(Manager::Launchd) if !service.contains(['.', '/']) && Slot::Formula.accepts(service) && has_homebrew() => {
                Ok(Manager::Brew)
            }
            Some(manager) => Ok(manager),
            None if run => Err(Refusal::new(
                RefusalKind::UnknownService,
                format!("this host has no service manager for {}: give it a command under services in the settings", quoted(service)),
            )),
            None => Ok(Manager::Systemd),
        }
    }

    /// The manager's words for any service, to ask whether the rules would let one through.
    pub(super) fn template(&self, verb: Verb) -> Result<Vec<String>, Refusal> {
        self.manager.unwrap_or(Manager::Systemd).argv(verb, "{service}")
    }
}

fn has_homebrew() -> bool {
    ["/opt/homebrew/bin/brew", "/usr/local/bin/brew"].iter().any(|brew| Path::new(brew).exists())
}

fn source(service: &str, kind: ServiceCommand) -> String {
    let command = match kind {
        ServiceCommand::Verb(VerbKey::Restart) => "restart",
        ServiceCommand::Verb(VerbKey::Start) => "start",
        ServiceCommand::Verb(VerbKey::Stop) => "stop",
        ServiceCommand::Verb(VerbKey::Reload) => "reload",
        ServiceCommand::Status => "status",
    };
    let plain = service.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && service.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if plain { format!("$.services.{service}.{command}") } else { format!("$.services[{service:?}].{command}") }
}

/// Whether systemd has a file for a service: the directories of systemd.unit(5). What was only ever made by hand at run
/// time has one too, in a transient directory.
pub(super) fn systemd_knows(service: &str) -> bool {
    const DIRECTORIES: &[&str] = &[
        "/etc/systemd/system",
        "/run/systemd/system",
        "/usr/lib/systemd/system",
        "/lib/systemd/system",
        "/usr/local/lib/systemd/system",
        "/run/systemd/transient",
        "/run/systemd/generator",
        "/run/systemd/generator.early",
        "/run/systemd/generator.late",
        "/etc/systemd/system.control",
        "/run/systemd/system.control",
        "/etc/systemd/system.attached",
        "/run/systemd/system.attached",
    ];
    let stem = service.strip_suffix(".service").unwrap_or(service);
    let template = stem.split_once('@').map(|(base, _)| format!("{base}@.service"));
    let names = [Some(format!("{stem}.service")), template];
    names.iter().flatten().any(|name| DIRECTORIES.iter().any(|directory| Path::new(directory).join(name).symlink_metadata().is_ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(manager: Manager, verb: Verb, service: &str, expected: &str) {
        assert_eq!(manager.argv(verb, service).unwrap().join(" "), expected);
    }

    #[test]
    fn each_manager_has_its_words() {
        check(Manager::Systemd, Verb::Restart, "nginx", "systemctl restart nginx");
        check(Manager::Systemd, Verb::Reload, "nginx", "systemctl reload nginx");
        check(Manager::Brew, Verb::Stop, "redis", "brew services stop redis");
        check(Manager::Launchd, Verb::Restart, "gui/501/org.x", "launchctl kickstart -k gui/501/org.x");
        check(Manager::Launchd, Verb::Start, "system/org.x", "launchctl kickstart system/org.x");
        check(Manager::Launchd, Verb::Stop, "system/org.x", "launchctl kill TERM system/org.x");
        check(Manager::Launchd, Verb::Reload, "system/org.x", "launchctl kill HUP system/org.x");
        assert_eq!(Manager::Brew.argv(Verb::Reload, "x").unwrap_err().kind, RefusalKind::UnknownService);
    }

    #[test]
    fn names_that_could_mean_more_are_refused() {
        for (manager, service) in [
            (Manager::Systemd, "--all"),
            (Manager::Systemd, "a b"),
            (Manager::Systemd, "x.target"),
            (Manager::Systemd, "dbus"),
            (Manager::Brew, "--all"),
            (Manager::Brew, "user/tap/x"),
            (Manager::Launchd, "-k"),
            (Manager::Launchd, "system/"),
        ] {
            assert!(!manager.takes(service), "{manager} {service}");
        }
    }

    #[test]
    fn no_manager_is_an_unknown_service_only_when_something_is_to_run() {
        let services = Services::default();
        assert_eq!(services.line(Verb::Restart, "x", true).unwrap_err().kind, RefusalKind::UnknownService);
        assert!(matches!(services.line(Verb::Restart, "x", false), Ok(Line::Managed { manager: Manager::Systemd, .. })));
        assert_eq!(services.line(Verb::Restart, "autoheal", false).unwrap_err().reason, "autoheal never acts on itself");
        assert_eq!(source("a b", ServiceCommand::Status), r#"$.services["a b"].status"#);
        assert!(!systemd_knows("no-such-service-here"));
    }
}
