//! The data directory of a command that acts: made, and held by nobody else.

use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::Failure;
use crate::config::{Location, Places};
use crate::host::lock::{Lock, Taken};

/// Makes the data directory (0750) and takes its lock.
///
/// # Errors
/// When it cannot be made, or another agent holds it.
pub(super) fn claim(places: &Places, location: &Location) -> Result<(PathBuf, Lock), Failure> {
    let wanted = places.data_dir(location);
    let dir = match make(&wanted) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied && location.dir.is_none() && places.state_is_default() => {
            own_state(&wanted)?
        }
        Err(error) => return Err(unusable(&wanted, &error)),
        Ok(()) => wanted,
    };
    if let Some(reason) = whose(&dir) {
        return Err(Failure::new("data_dir", reason));
    }
    let lock = Lock::take(&dir).map_err(|taken| match taken {
        Taken::By(pid) => Failure::refused(
            "agent_running",
            format!(
                "{} uses {}: actions run one at a time; stop it, or name another --data-dir",
                pid.map_or_else(|| "another agent".to_owned(), |pid| format!("an agent with pid {pid}")),
                dir.display()
            ),
        ),
        Taken::Failed(error) => unusable(&dir, &error),
    })?;
    Ok((dir, lock))
}

/// Where an agent that runs, or ran, keeps its state: for commands that only ask.
pub(super) fn kept(places: &Places, location: &Location) -> PathBuf {
    let wanted = places.data_dir(location);
    let elsewhere = location.dir.is_none() && places.state_is_default() && !nix::unistd::geteuid().is_root();
    own_place().filter(|own| elsewhere && own.is_dir()).unwrap_or(wanted)
}

fn make(dir: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o750).create(dir)
}

/// Why root must not keep its state there: whoever owns the directory could swap what is in it, and so could everybody where
/// everybody can write.
fn whose(dir: &Path) -> Option<String> {
    let found = std::fs::metadata(dir).ok()?;
    let (owner, mode) = (found.uid(), found.mode() & 0o7777);
    let root = nix::unistd::geteuid().is_root();
    let shown = dir.display();
    if root && owner != 0 {
        Some(format!("{shown} belongs to user {owner}, who could swap reports and state; chown root {shown}, or name another --data-dir"))
    } else if root && mode & 0o002 != 0 {
        Some(format!("{shown} can be written by everybody (mode {mode:04o}); chmod o-w {shown}, or name another --data-dir"))
    } else {
        None
    }
}

/// Somebody who tries autoheal without being root and without any configuration gets a place of their own.
fn own_state(wanted: &Path) -> Result<PathBuf, Failure> {
    let dir = own_place().ok_or_else(|| unusable(wanted, &"permission denied"))?;
    make(&dir).map_err(|error| unusable(&dir, &error))?;
    log::warn!("{} is for root; reports go to {}", wanted.display(), dir.display());
    Ok(dir)
}

fn own_place() -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let state = variable("XDG_STATE_HOME").or_else(|| variable("HOME").map(|home| home.join(".local/state")));
    state.map(|state| state.join("autoheal"))
}

fn unusable(dir: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::new("data_dir", format!("{}: {error}; choose another with --data-dir", dir.display()))
}
