//! Control groups of actions: whoever is born in one stays in it, whatever becomes of its session and its parents. cgroups(7).
//!
//! A program that the agent runs itself gets a group below the agent's own, where the agent may make one: version 2, with
//! `cgroup.kill` (Linux 5.14). No controller is turned on for it, because a group with controllers for its children may hold no
//! processes itself. What runs as a unit has the unit's group, in whichever version systemd keeps it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::host::systemd::ACTION;

/// The group of an action.
#[derive(Debug)]
pub(crate) struct Group {
    directory: PathBuf,
    ours: bool,
}

impl Group {
    /// Makes a group of this name below the agent's own. Groups of earlier actions are removed, if their last daemon is gone.
    ///
    /// # Errors
    /// Why there can be none.
    pub(crate) fn make(name: &str) -> Result<Self, String> {
        let own = home()?;
        sweep(&own);
        let directory = own.join(name);
        fs::create_dir(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
        let group = Self { directory, ours: true };
        if group.directory.join("cgroup.kill").exists() { Ok(group) } else { Err("the kernel has no cgroup.kill".to_owned()) }
    }

    /// The group of a unit of systemd's in `system.slice`.
    pub(crate) fn of_unit(unit: &str) -> Option<Self> {
        Some(Self { directory: slice()?.join(unit), ours: false })
    }

    /// The group that an earlier life of the agent made for an action whose process this is.
    pub(crate) fn of_action(pid: i32) -> Option<Self> {
        let directory = Hierarchy::unified()?.directory_of(&pid.to_string())?;
        let ours = directory.file_name()?.to_str()?.starts_with(ACTION);
        ours.then_some(Self { directory, ours })
    }

    /// Moves a process into the group.
    ///
    /// # Errors
    /// The kernel's: a group of another kind of threads, no rights.
    pub(crate) fn take(&self, pid: i32) -> io::Result<()> {
        fs::write(self.directory.join("cgroup.procs"), pid.to_string())
    }

    /// Whether it is there. A unit's comes when the unit starts, and goes with its last process.
    pub(crate) fn exists(&self) -> bool {
        self.directory.is_dir()
    }

    /// The processes in it and below it.
    pub(crate) fn pids(&self) -> Vec<i32> {
        let mut found = Vec::new();
        let mut open = vec![self.directory.clone()];
        while let Some(directory) = open.pop() {
            let text = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
            // 0 is a process that this one's name space does not see.
            found.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|pid| *pid > 0));
            open.extend(below(&directory));
        }
        found
    }

    /// Whether the process is in it now, which is worth knowing after its number was read.
    pub(crate) fn holds(&self, pid: i32) -> bool {
        let name = self.directory.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| memberships(&pid.to_string()).iter().any(|(_, path)| path.split('/').any(|part| part == name)))
    }

    /// Kills all in it at once, also who is being forked. Version 1 has no such thing.
    pub(crate) fn kill(&self) {
        let _ = fs::write(self.directory.join("cgroup.kill"), "1");
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.ours {
            // A daemon that lives on keeps it; a later action sweeps it.
            let _ = fs::remove_dir(&self.directory);
        }
    }
}

/// Where the agent's processes get groups of their own.
///
/// # Errors
/// Why they get none.
pub(crate) fn home() -> Result<PathBuf, String> {
    let own = Hierarchy::unified().and_then(|unified| unified.directory_of("self"));
    let own = own.ok_or("control groups of version 2 are not mounted")?;
    let writable = rustix::fs::access(&own, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK);
    writable.map_err(|error| format!("{}: {error}", own.display()))?;
    Ok(own)
}

/// `system.slice`, where systemd keeps the groups of its units; `None` where it is not seen.
pub(crate) fn slice() -> Option<PathBuf> {
    // The unified hierarchy comes first: where both are mounted, a host that runs on the other has no slice in it.
    hierarchies().iter().find_map(|hierarchy| {
        let init = hierarchy.directory_of("1")?;
        let top = if init.ends_with("init.scope") { init.parent()? } else { &init };
        Some(top.join("system.slice")).filter(|slice| slice.is_dir())
    })
}

fn sweep(own: &Path) {
    for directory in below(own) {
        if directory.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(ACTION)) {
            let _ = fs::remove_dir(directory);
        }
    }
}

fn below(directory: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path())
}

/// A mounted hierarchy of groups.
#[derive(Debug, PartialEq, Eq)]
struct Hierarchy {
    /// How the lines of `/proc/PID/cgroup` call it: empty for version 2.
    name: &'static str,
    /// Which group is mounted: `/`, or in a container another.
    root: String,
    point: PathBuf,
}

impl Hierarchy {
    fn unified() -> Option<Self> {
        hierarchies().into_iter().find(|hierarchy| hierarchy.name.is_empty())
    }

    /// A line of mountinfo, proc(5): `42 32 0:29 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup rw`.
    fn parse(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split(' ').collect();
        let dash = fields.iter().skip(6).position(|field| *field == "-")? + 6;
        let name = match *fields.get(dash + 1)? {
            "cgroup2" => "",
            "cgroup" if fields.get(dash + 3)?.split(',').any(|option| option == "name=systemd") => "name=systemd",
            _ => return None,
        };
        Some(Self { name, root: (*fields.get(3)?).to_owned(), point: PathBuf::from(fields.get(4)?) })
    }

    /// The directory of a process' group (`self`, or a number).
    fn directory_of(&self, process: &str) -> Option<PathBuf> {
        let (_, path) = memberships(process).into_iter().find(|(name, _)| name == self.name)?;
        // What lies outside of the mounted part, or of the name space (`/../…`), cannot be reached.
        let inside = Path::new(&path).strip_prefix(&self.root).ok()?;
        inside.components().all(|part| matches!(part, std::path::Component::Normal(_))).then(|| self.point.join(inside))
    }
}

/// The hierarchies in which systemd could keep its units, version 2 first.
fn hierarchies() -> Vec<Hierarchy> {
    let table = fs::read("/proc/self/mountinfo").unwrap_or_default();
    let mut found: Vec<Hierarchy> = String::from_utf8_lossy(&table).lines().filter_map(Hierarchy::parse).collect();
    found.sort_by_key(|hierarchy| !hierarchy.name.is_empty());
    found
}

/// Lines of `/proc/PID/cgroup`, cgroups(7): `0::/system.slice/x.service`, `9:name=systemd:/…`. Controllers and path.
fn memberships(process: &str) -> Vec<(String, String)> {
    let text = fs::read(format!("/proc/{process}/cgroup")).unwrap_or_default();
    let fields = |line: &str| {
        let mut fields = line.splitn(3, ':').skip(1);
        Some((fields.next()?.to_owned(), fields.next()?.to_owned()))
    };
    String::from_utf8_lossy(&text).lines().filter_map(fields).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: Option<(&str, &str, &str)>) {
        let found = Hierarchy::parse(line);
        let found = found.as_ref().map(|found| (found.name, found.root.as_str(), found.point.to_str().unwrap()));
        assert_eq!(found, expected, "{line}");
    }

    #[test]
    fn systemds_hierarchies_are_found_among_the_mounts() {
        check("42 32 0:29 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup rw", Some(("", "/", "/sys/fs/cgroup")));
        check("42 32 0:29 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate", Some(("", "/", "/sys/fs/cgroup")));
        let old = "35 25 0:30 /docker/x /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd";
        check(old, Some(("name=systemd", "/docker/x", "/sys/fs/cgroup/systemd")));
        check("36 25 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory", None);
        check("36 25 0:31 / / rw - ext4 /dev/vda rw", None);
        check("", None);
    }

    #[test]
    fn a_group_outside_of_the_mounted_part_cannot_be_reached() {
        let hierarchy = |root: &str| Hierarchy { name: "", root: root.to_owned(), point: PathBuf::from("/sys/fs/cgroup") };
        assert!(hierarchy("/no/such/part").directory_of("self").is_none());
        assert!(hierarchy("/").directory_of("no process").is_none());
    }

    #[test]
    fn the_group_holds_its_processes_and_goes_when_it_is_empty() {
        // A group can be made by root where version 2 is mounted, and by others where it was delegated.
        let Ok(group) = Group::make(&format!("{ACTION}test-{}", std::process::id())) else { return };
        #[expect(clippy::disallowed_methods, reason = "a test's own process")]
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        assert!(!group.holds(pid));
        group.take(pid).unwrap();
        assert!(group.holds(pid));
        assert_eq!(group.pids(), [pid]);
        assert_eq!(Group::of_action(pid).map(|found| found.directory.clone()).as_ref(), Some(&group.directory));
        group.kill();
        let status = child.wait().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
        let directory = group.directory.clone();
        drop(group);
        assert!(!directory.exists());
    }
}
