//! The mounted file systems, and which of them can hang whoever asks.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
#[cfg(target_os = "linux")]
use std::io::Read;
use std::path::{Path, PathBuf};

/// Types whose server is another machine or another program: a call may never return.
const REMOTE: &[&str] = &[
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "ceph",
    "glusterfs",
    "9p",
    "afs",
    "afpfs",
    "webdav",
    "davfs",
    "ncpfs",
    "coda",
    "lustre",
    "gpfs",
    "beegfs",
    "ocfs2",
    "gfs2",
    "orangefs",
    "virtiofs",
    "vboxsf",
    "vmhgfs",
    "autofs",
    "acfs",
];

/// Types without a block device that hold data all the same.
const OWN_STORE: &[&str] = &["zfs", "btrfs", "bcachefs", "ubifs", "apfs", "hfs", "xfs", "ext4", "f2fs"];

/// Types that can never be written to.
const READ_ONLY: &[&str] = &["squashfs", "iso9660", "erofs", "cramfs", "romfs", "udf"];

/// How many links a path may go through, as in the kernel.
const MAX_LINKS: usize = 40;

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    pub(crate) point: PathBuf,
    pub(crate) device: String,
    pub(crate) fstype: String,
    /// Major and minor number: bind mounts share them.
    pub(crate) id: String,
    read_only: bool,
    may_hang: bool,
}

/// Whether asking such a file system for anything may never return.
fn may_hang(fstype: &str) -> bool {
    REMOTE.contains(&fstype) || fstype.starts_with("fuse")
}

impl Mount {
    /// Whether asking for its figures may never return.
    pub(crate) fn may_hang(&self) -> bool {
        self.may_hang
    }

    /// Whether `"auto"` watches it: real and writable. A network file system is somebody else's to watch unless it is listed,
    /// or every host that mounts it would try to heal it.
    fn is_watched(&self) -> bool {
        if self.read_only || READ_ONLY.contains(&self.fstype.as_str()) {
            return false;
        }
        let block = self.device.starts_with("/dev/") && (!self.may_hang() || self.fstype == "fuseblk");
        self.point == Path::new("/") || block || OWN_STORE.contains(&self.fstype.as_str())
    }
}

/// All mounts. A host can have thousands, each of them listed in the settings: none is looked for by going through all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mounts {
    /// In the order in which they were made.
    all: Vec<Mount>,
    /// Which of them is seen at a mount point: the last one covers the others.
    seen: HashMap<PathBuf, usize>,
    /// Those that may hang.
    hanging: Vec<PathBuf>,
}

impl Mounts {
    fn new(all: Vec<Mount>) -> Self {
        let seen = all.iter().enumerate().map(|(index, mount)| (mount.point.clone(), index)).collect();
        let hanging = all.iter().filter(|mount| mount.may_hang()).map(|mount| mount.point.clone()).collect();
        Self { all, seen, hanging }
    }

    /// Reads the table; empty if it cannot be read.
    #[cfg(target_os = "linux")]
    pub(crate) fn read() -> Self {
        let own = Self::parse(&table("/proc/self/mountinfo"));
        if !own.all.iter().any(|mount| mount.read_only) {
            return own;
        }
        own.seen_by_host(&Self::parse(&table("/proc/1/mountinfo")))
    }

    /// What only the agent may not write to (`ProtectSystem=` of its unit) is no read-only file system.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    fn seen_by_host(mut self, host: &Self) -> Self {
        for mount in self.all.iter_mut().filter(|mount| mount.read_only) {
            mount.read_only = host.at(&mount.point).is_none_or(|there| there.id != mount.id || there.read_only);
        }
        self
    }

    /// Reads the table.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn read() -> Self {
        let disks = sysinfo::Disks::new_with_refreshed_list();
        let Ok(disks) = disks else { return Self::default() };
        let mount = |disk: &sysinfo::Disk| Mount {
            point: disk.mount_point().to_owned(),
            device: disk.name().to_string_lossy().into_owned(),
            fstype: disk.file_system().to_string_lossy().into_owned(),
            id: disk.name().to_string_lossy().into_owned(),
            read_only: disk.is_read_only(),
            may_hang: may_hang(&disk.file_system().to_string_lossy()),
        };
        Self::new(disks.iter().map(mount).collect())
    }

    /// Lines of `/proc/self/mountinfo`, see proc(5):
    /// `36 35 98:0 /root /point rw,noatime master:1 - ext4 /dev/root rw,errors=continue`
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    pub(crate) fn parse(text: &[u8]) -> Self {
        Self::new(text.split(|byte| *byte == b'\n').filter_map(parse_line).collect())
    }

    /// Whether the table could not be read: a host has at least one mount.
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// What is mounted at exactly this point; the last one covers the others.
    pub(crate) fn at(&self, point: &Path) -> Option<&Mount> {
        self.seen.get(point).map(|index| &self.all[*index])
    }

    /// The mount that a path lies on, links not resolved.
    pub(crate) fn holding(&self, path: &Path) -> Option<&Mount> {
        path.ancestors().find_map(|above| self.at(above))
    }

    /// What `"auto"` watches: every real, writable file system once, at its shortest mount point, in order of these.
    pub(crate) fn watched(&self) -> Vec<&Mount> {
        let mut chosen: HashMap<&str, &Mount> = HashMap::new();
        let is_seen = |index: usize, mount: &Mount| self.seen.get(&mount.point) == Some(&index);
        for (_, mount) in self.all.iter().enumerate().filter(|(index, mount)| mount.is_watched() && is_seen(*index, mount)) {
            // Subvolumes of btrfs differ in their numbers and share the device.
            let key = if mount.device.starts_with("/dev/") { &mount.device } else { &mount.id };
            let length = |mount: &Mount| mount.point.as_os_str().len();
            let best = chosen.entry(key).or_insert(mount);
            if length(mount) < length(best) {
                *best = mount;
            }
        }
        // Containers get single files of the host as mounts (/etc/hosts); these are no place to clean up.
        let mut watched: Vec<&Mount> = chosen.into_values().filter(|mount| mount.may_hang() || mount.point.is_dir()).collect();
        watched.sort_by(|one, other| one.point.cmp(&other.point));
        watched
    }

    /// Whether anything is mounted that may hang; mostly nothing is.
    pub(crate) fn can_hang(&self) -> bool {
        !self.hanging.is_empty()
    }

    /// Whether looking at this path, or at something below it, may never return. Links are resolved step by step, and never
    /// through a mount that may hang.
    pub(crate) fn may_hang(&self, path: &Path) -> bool {
        if !self.can_hang() {
            return false;
        }
        let below = self.hanging.iter().any(|point| point.starts_with(path));
        below || self.leads_to_hanging(path)
    }

    fn leads_to_hanging(&self, path: &Path) -> bool {
        let mut rest: Vec<OsString> = path.components().rev().map(|part| part.as_os_str().to_owned()).collect();
        let mut walked = PathBuf::new();
        let mut links = 0;
        while let Some(part) = rest.pop() {
            if part == ".." {
                walked.pop();
                continue;
            }
            walked.push(part);
            if self.holding(&walked).is_some_and(Mount::may_hang) {
                return true;
            }
            if let Ok(target) = fs::read_link(&walked) {
                links += 1;
                if links > MAX_LINKS {
                    return false;
                }
                walked.pop();
                rest.extend(target.components().rev().map(|part| part.as_os_str().to_owned()));
            }
        }
        false
    }
}

/// The kernel gives a page at a time: a large buffer is filled with fewer calls.
#[cfg(target_os = "linux")]
fn table(path: &str) -> Vec<u8> {
    let mut text = Vec::with_capacity(64 * 1024);
    let read = fs::File::open(path).and_then(|mut file| file.read_to_end(&mut text));
    if read.is_ok() { text } else { Vec::new() }
}

#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
fn parse_line(line: &[u8]) -> Option<Mount> {
    let line = String::from_utf8_lossy(line);
    let fields: Vec<&str> = line.split(' ').collect();
    let dash = fields.iter().skip(6).position(|field| *field == "-")? + 6;
    let read_only = |options: &str| options.split(',').any(|option| option == "ro");
    Some(Mount {
        point: PathBuf::from(unescape(fields.get(4)?)),
        device: unescape(fields.get(dash + 2)?),
        fstype: (*fields.get(dash + 1)?).to_owned(),
        id: (*fields.get(2)?).to_owned(),
        may_hang: may_hang(fields.get(dash + 1)?),
        read_only: read_only(fields.get(5)?) || fields.get(dash + 3).is_some_and(|options| read_only(options)),
    })
}

/// Blanks, tabs, line breaks and backslashes stand as `\040` and so on.
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
fn unescape(field: &str) -> String {
    let mut pieces = field.split('\\');
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        match piece.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(code) if code.is_ascii() => {
                text.push(char::from(code));
                text.push_str(&piece[3..]);
            }
            _ => {
                text.push('\\');
                text.push_str(piece);
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
28 27 0:25 / /run rw,nosuid shared:2 - tmpfs tmpfs rw,size=4k
29 27 254:1 / /data rw - xfs /dev/vdb rw
30 27 254:1 /sub /mnt/bound\\040one rw - xfs /dev/vdb rw
31 27 7:0 / /snap/core/1 ro - squashfs /dev/loop0 ro
32 27 254:2 / /backup ro - ext4 /dev/vdc ro
33 27 0:40 / /srv/share rw master:1 - nfs4 server:/share rw,addr=10.0.0.1
34 27 0:41 / /mnt/usb rw - fuseblk /dev/sdb1 rw
35 27 0:42 / /home/me/.gvfs rw - fuse.gvfsd-fuse gvfsd rw
36 27 0:43 / /tank rw - zfs tank rw
37 27 0:44 / /var/lib/docker/overlay2/x/merged rw - overlay overlay rw
38 29 254:3 / /data rw - ext4 /dev/vdd rw
39 27 254:1 / / rw - ext4 /dev/covered rw
";

    #[test]
    fn auto_watches_what_is_real_and_writable_once() {
        let (table, _) = TABLE.trim_end().rsplit_once('\n').unwrap();
        let mounts = Mounts::parse(table.as_bytes());
        // The mount points of the table do not exist here; whether they are directories is not what is tested.
        let points: Vec<&Path> = mounts.all.iter().filter(|m| m.is_watched()).map(|m| m.point.as_path()).collect();
        let expected = ["/", "/data", "/mnt/bound one", "/mnt/usb", "/tank", "/data"];
        assert_eq!(points, expected.map(Path::new));
        assert!(mounts.watched().iter().any(|mount| mount.point == Path::new("/")));
    }

    #[test]
    fn what_only_the_agent_may_not_write_to_is_watched() {
        let host = "27 1 254:0 / / rw - ext4 /dev/vda rw\n28 27 254:1 / /boot rw - ext4 /dev/vdb rw\n\
                    29 27 254:2 / /backup ro - ext4 /dev/vdc ro\n";
        // Its unit's view: /usr is a part of the first file system.
        let own = host.replace("/boot rw", "/boot ro") + "30 27 254:0 /usr /usr ro - ext4 /dev/vda rw\n";
        let mounts = Mounts::parse(own.as_bytes()).seen_by_host(&Mounts::parse(host.as_bytes()));
        let points: Vec<&Path> = mounts.all.iter().filter(|mount| mount.is_watched()).map(|mount| mount.point.as_path()).collect();
        assert_eq!(points, ["/", "/boot"].map(Path::new));
    }

    #[test]
    fn the_last_mount_covers_the_others() {
        let mounts = Mounts::parse(TABLE.as_bytes());
        assert_eq!(mounts.at(Path::new("/data/")).unwrap().device, "/dev/vdd");
        assert_eq!(mounts.holding(Path::new("/data/x/y")).unwrap().device, "/dev/vdd");
        assert_eq!(mounts.holding(Path::new("/database")).unwrap().device, "/dev/covered");
        assert!(mounts.at(Path::new("/nowhere")).is_none());
    }

    #[test]
    fn paths_that_lead_to_the_network_may_hang() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("/srv/share/logs", &link).unwrap();
        let relative = dir.path().join("relative");
        std::os::unix::fs::symlink("link/deeper", &relative).unwrap();
        let circle = dir.path().join("circle");
        std::os::unix::fs::symlink("circle", &circle).unwrap();
        let mounts = Mounts::parse(TABLE.as_bytes());
        for (path, hangs) in [
            (Path::new("/srv/share/a.log"), true),
            (Path::new("/srv"), true),
            (Path::new("/home/me/.gvfs/x"), true),
            (&link, true),
            (&relative, true),
            (&link.join("below"), true),
            (&circle, false),
            (Path::new("/data/x"), false),
            (Path::new("/srv/sharepoint"), false),
        ] {
            assert_eq!(mounts.may_hang(path), hangs, "{}", path.display());
        }
    }

    #[test]
    fn odd_lines_are_passed_over() {
        for line in ["", "1 2 3", "- - - - - - -", "1 2 3:4 / /x rw - ", "1 2 3:4 / /x rw"] {
            assert!(Mounts::parse(line.as_bytes()).all.len() <= 1, "{line}");
        }
        assert_eq!(unescape("a\\040b\\134c\\9zz\\"), "a b\\c\\9zz\\");
    }
}
