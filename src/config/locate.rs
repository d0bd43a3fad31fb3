//! Where the configuration and the state are.

use std::path::{Path, PathBuf};

use super::problem::{Draft, Problem};
use super::source::{PLAYBOOKS, SETTINGS, Sources};
use super::trust::{self, Trust};

/// Where the configuration is looked for when nobody says where it is.
#[cfg(not(target_os = "macos"))]
const SYSTEM: &[&str] = &["/etc/autoheal"];
/// Where the configuration is looked for when nobody says where it is: Homebrew's prefixes first.
#[cfg(target_os = "macos")]
const SYSTEM: &[&str] = &["/opt/homebrew/etc/autoheal", "/usr/local/etc/autoheal", "/etc/autoheal"];

const STATE: &str = "/var/lib/autoheal";

/// Everything on which the choice of the directories depends.
#[derive(Clone, Debug)]
pub struct Places {
    /// `--config-dir`
    pub config_dir: Option<PathBuf>,
    /// `--data-dir`
    pub data_dir: Option<PathBuf>,
    /// `$AUTOHEAL_CONFIG_DIR`
    pub config_variable: Option<PathBuf>,
    /// `$AUTOHEAL_DATA_DIR`
    pub data_variable: Option<PathBuf>,
    /// `$STATE_DIRECTORY`, which systemd sets.
    pub state_directory: Option<PathBuf>,
    /// The working directory.
    pub here: PathBuf,
    /// `/etc/autoheal` and its like.
    pub system: Vec<PathBuf>,
    /// How much it matters who can write the files.
    pub trust: Trust,
}

impl Places {
    /// The flags, with the rest from the environment.
    #[must_use]
    pub fn from_environment(config_dir: Option<PathBuf>, data_dir: Option<PathBuf>, insecure_config: bool) -> Self {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        Self {
            config_dir,
            data_dir,
            config_variable: variable("AUTOHEAL_CONFIG_DIR"),
            data_variable: variable("AUTOHEAL_DATA_DIR"),
            state_directory: variable("STATE_DIRECTORY"),
            here: std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/")),
            system: SYSTEM.iter().map(PathBuf::from).collect(),
            trust: Trust::for_this_process(insecure_config),
        }
    }

    /// Where the configuration is.
    #[must_use]
    pub fn locate(&self) -> Location {
        let found = |dir: PathBuf| Location { dir: Some(dir), local: false, trust: self.trust, remarks: Vec::new() };
        if let Some(dir) = self.config_dir.as_ref().or(self.config_variable.as_ref()) {
            // Without the dots of `--config-dir .`, which would stand in every message.
            return found(self.here.join(dir).components().collect());
        }
        let mut remarks = Vec::new();
        let local = self.here.join("config");
        if local.join(PLAYBOOKS).is_file() {
            match self.passed_over(&local) {
                None => return Location { local: true, ..found(local) },
                Some(remark) => remarks.push(remark),
            }
        }
        let system = self.system.iter().find(|dir| [PLAYBOOKS, SETTINGS].iter().any(|name| dir.join(name).exists()));
        Location { dir: system.cloned(), local: false, trust: self.trust, remarks }
    }

    /// As root a directory that happens to be here is used only if nobody else could have put it here.
    fn passed_over(&self, local: &Path) -> Option<Problem> {
        if self.trust != Trust::Refuse {
            return None;
        }
        let reason = [PLAYBOOKS, SETTINGS]
            .iter()
            .map(|name| local.join(name))
            .filter(|path| path.exists())
            .find_map(|path| trust::passes(&path).err())?;
        let draft = Draft::warning("not_trusted", format!("passed over: {reason}"));
        Some(draft.suggest("name the directory with --config-dir").at(&local.join(PLAYBOOKS).display().to_string(), "$", 0..0))
    }

    /// Whether nobody said where the state is.
    #[must_use]
    pub fn state_is_default(&self) -> bool {
        self.data_dir.is_none() && self.data_variable.is_none() && self.state_directory.is_none()
    }

    /// Where the state is kept.
    #[must_use]
    pub fn data_dir(&self, location: &Location) -> PathBuf {
        let given = self.data_dir.as_ref().or(self.data_variable.as_ref()).map(|dir| self.here.join(dir));
        let systemd = || {
            // Several directories are separated by colons; the first is meant.
            let text = self.state_directory.as_ref()?.to_str()?;
            text.split(':').next().filter(|dir| !dir.is_empty()).map(PathBuf::from)
        };
        given.or_else(systemd).unwrap_or_else(|| if location.local { self.here.join("incidents") } else { PathBuf::from(STATE) })
    }
}

/// Where the configuration is, and how far it is trusted.
#[derive(Clone, Debug)]
pub struct Location {
    /// The directory; `None`: the embedded files.
    pub dir: Option<PathBuf>,
    /// It is `./config`.
    pub local: bool,
    /// How much it matters who can write the files.
    pub trust: Trust,
    /// A directory that was passed over.
    pub remarks: Vec<Problem>,
}

impl Location {
    /// A directory that was named.
    #[must_use]
    pub fn named(dir: impl Into<PathBuf>, trust: Trust) -> Self {
        Self { dir: Some(dir.into()), local: false, trust, remarks: Vec::new() }
    }

    /// The files that are there now.
    #[must_use]
    pub fn sources(&self) -> Sources {
        self.dir.as_deref().map_or_else(Sources::built_in, Sources::in_directory)
    }
}

#[cfg(test)]
mod tests {
    use super::super::source::Source;
    use super::*;
    use std::fs::{Permissions, create_dir, set_permissions, write};
    use std::os::unix::fs::PermissionsExt;

    fn places(here: &Path) -> Places {
        Places {
            config_dir: None,
            data_dir: None,
            config_variable: None,
            data_variable: None,
            state_directory: None,
            here: here.to_owned(),
            system: vec![here.join("etc")],
            trust: Trust::Anyone,
        }
    }

    fn with_file(dir: &Path, name: &str) {
        if !dir.exists() {
            create_dir(dir).unwrap();
        }
        write(dir.join(name), "{}").unwrap();
    }

    #[test]
    fn the_first_place_that_has_a_configuration_is_used() {
        let temp = tempfile::tempdir().unwrap();
        let here = temp.path();
        let mut places = places(here);
        assert_eq!(places.locate().dir, None);
        assert_eq!(places.locate().sources(), Sources::built_in());
        assert_eq!(places.data_dir(&places.locate()), Path::new(STATE));
        with_file(&here.join("etc"), SETTINGS);
        assert_eq!(places.locate().dir, Some(here.join("etc")));
        with_file(&here.join("config"), SETTINGS);
        assert_eq!(places.locate().dir, Some(here.join("etc")), "./config without playbooks is somebody else's");
        with_file(&here.join("config"), PLAYBOOKS);
        assert_eq!(places.locate().dir, Some(here.join("config")));
        assert_eq!(places.data_dir(&places.locate()), here.join("incidents"));
        places.state_directory = Some("/var/lib/a:/var/lib/b".into());
        assert_eq!(places.data_dir(&places.locate()), Path::new("/var/lib/a"));
        places.config_variable = Some("variable".into());
        assert_eq!(places.locate().dir, Some(here.join("variable")));
        places.config_dir = Some("/flag".into());
        assert_eq!(places.locate().dir, Some("/flag".into()));
        places.config_dir = Some(".".into());
        assert_eq!(places.locate().dir.map(PathBuf::into_os_string), Some(here.into()), "no dot is left in messages");
        places.data_variable = Some("/data".into());
        assert_eq!(places.data_dir(&places.locate()), Path::new("/data"));
    }

    #[test]
    fn as_root_a_local_directory_that_others_could_write_is_passed_over() {
        let temp = tempfile::tempdir().unwrap();
        let here = temp.path();
        with_file(&here.join("config"), PLAYBOOKS);
        set_permissions(here.join("config"), Permissions::from_mode(0o777)).unwrap();
        let places = Places { trust: Trust::Refuse, ..places(here) };
        let location = places.locate();
        assert_eq!((location.dir, location.remarks.len()), (None, 1));
        set_permissions(here.join("config"), Permissions::from_mode(0o755)).unwrap();
        set_permissions(here.join("config").join(PLAYBOOKS), Permissions::from_mode(0o644)).unwrap();
        assert_eq!(places.locate().dir, Some(here.join("config")));
    }

    #[test]
    fn without_settings_the_embedded_ones_are_meant() {
        let temp = tempfile::tempdir().unwrap();
        with_file(temp.path(), PLAYBOOKS);
        assert_eq!(Sources::in_directory(temp.path()).settings, Source::BuiltIn);
        with_file(temp.path(), SETTINGS);
        assert_eq!(Sources::in_directory(temp.path()).settings, Source::File(temp.path().join(SETTINGS)));
    }
}
