//! In which systemd unit each watched process was last seen: its service, where the settings name none.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::host;
use crate::host::systemd::ACTION;

/// A shared note of units by `process_name`. It outlives the process: that is when it is needed.
#[derive(Clone, Debug, Default)]
pub struct Units(Arc<Mutex<HashMap<String, String>>>);

impl Units {
    /// The unit in which the process of that name was last seen.
    #[must_use]
    pub fn of(&self, process_name: &str) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(process_name).cloned()
    }

    /// The process of that name runs under this number now.
    pub(crate) fn saw(&self, process_name: &str, pid: u32) {
        if let Some(unit) = unit_in(&host::units(pid)).filter(|unit| unit_in(&host::units(std::process::id())).as_ref() != Some(unit)) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(process_name.to_owned(), unit);
        }
    }
}

/// The innermost service among the components of control group paths. A user's own services are out of the system
/// manager's reach; and what lives in the agent's unit, or in that of an action, was started by a heal and is nobody's service.
fn unit_in(components: &[String]) -> Option<String> {
    if components.iter().any(|component| component.starts_with("user@")) {
        return None;
    }
    components.iter().rev().find(|component| component.ends_with(".service")).filter(|unit| !unit.starts_with(ACTION)).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, unit: Option<&str>) {
        let components: Vec<String> = path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        assert_eq!(unit_in(&components).as_deref(), unit);
    }

    #[test]
    fn the_innermost_system_service_is_the_unit() {
        check("/system.slice/nginx.service", Some("nginx.service"));
        check("/system.slice/system-postgresql.slice/postgresql@15-main.service", Some("postgresql@15-main.service"));
        check("/system.slice/docker.service/payload", Some("docker.service"));
        check("/user.slice/user-1000.slice/user@1000.service/app.slice/x.service", None);
        check("/user.slice/user-1000.slice/session-1.scope", None);
        check("/system.slice/autoheal-action-7f3kq9zd-1772359200123.service", None);
        check("/", None);
    }
}
