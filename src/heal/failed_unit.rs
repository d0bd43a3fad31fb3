//! A unit in the state `failed` is reset before it is started: else systemd may refuse, because it failed too often.

use std::time::Duration;

use super::executor::{self, Execution};
use super::guard::{Permit, Policy, Request, Values};
use super::outcome::{End, Limit};
use crate::host::systemd::{self, unit};

/// systemd does it at once, or something is wrong.
const PATIENCE: Duration = Duration::from_secs(5);

/// Resets the unit that the permit starts or restarts, if it has failed; what was done, for the record. It is a command like any
/// other: where the rules do not allow it, it is left out, and the start shows whether it was needed.
pub(super) fn reset(permit: &Permit, policy: &Policy, execution: &Execution, limit: &Limit) -> Option<String> {
    let unit = started_unit(permit.argv())?;
    if !systemd::is_here() || unit::state(&unit).ok()?.active != "failed" {
        return None;
    }
    // The guard's own words: no name of a unit holds a quote.
    let command = format!("systemctl reset-failed '{unit}'");
    let said = match policy.review(&Request::Command(&command), &Values::new()) {
        Err(refusal) => format!("left out: {}", refusal.reason),
        Ok(permit) if permit.requires_approval() => "left out: its rule asks for a yes".to_owned(),
        Ok(permit) => run(&permit, execution, limit),
    };
    Some(format!("[systemctl reset-failed {unit}: {said}]\n"))
}

/// It changes a word in systemd's memory and leaves nothing behind: it runs beside the action that waits, as a look does.
fn run(permit: &Permit, execution: &Execution, limit: &Limit) -> String {
    let execution = Execution {
        helper: execution.helper.clone(),
        command_path: execution.command_path.clone(),
        facts: Vec::new(),
        timeout: PATIENCE,
        unit: None,
    };
    let limit = Limit { deadline: limit.deadline.earlier(crate::clock::Moment::now().after(PATIENCE)), stop: limit.stop.clone() };
    let outcome = executor::look(permit, &execution, &limit, |_| ());
    match outcome.end {
        End::Exited(0) => "done".to_owned(),
        End::Exited(code) => format!("exit code {code}: {}", outcome.output.trim()),
        _ => "no answer in time".to_owned(),
    }
}

/// The unit that `systemctl start|restart UNIT` starts.
fn started_unit(argv: &[String]) -> Option<String> {
    match argv {
        [program, verb, unit] if program.ends_with("/systemctl") && matches!(verb.as_str(), "start" | "restart") => {
            Some(unit::full_name(unit))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_start_of_a_unit_is_prepared() {
        let unit = |line: &str| started_unit(&line.split(' ').map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(unit("/usr/bin/systemctl restart web").as_deref(), Some("web.service"));
        assert_eq!(unit("/usr/bin/systemctl start web@1.service").as_deref(), Some("web@1.service"));
        for other in ["/usr/bin/systemctl stop web", "/usr/bin/systemctl reload web", "/usr/local/bin/svc restart web", "/bin/true"] {
            assert_eq!(unit(other), None, "{other}");
        }
    }

    #[test]
    fn the_shipped_rules_allow_it() {
        let settings = crate::config::parse_settings(&crate::config::source::Text::new("s", "{}")).unwrap();
        let (policy, _) = Policy::compile(&settings);
        let ask = |unit: &str| policy.check(&Request::Command(&format!("systemctl reset-failed '{unit}'"))).map(|reviewed| reviewed.argv);
        assert_eq!(ask("web@a\\x2db.service").unwrap(), ["systemctl", "reset-failed", "web@a\\x2db.service"]);
        assert!(ask("dbus.service").is_err());
    }
}
