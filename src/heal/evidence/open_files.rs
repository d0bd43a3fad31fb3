//! A full disk: files that were deleted and are still open. They take up room until who holds them ends, and no clean-up finds
//! them. From `/proc`, see proc(5); where there is none nothing is said.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use super::disk::Place;
use super::{Evidence, within};
use crate::collect::host;
use crate::heal::action::mebibytes;
use crate::heal::action::top_processes::visible;
use crate::heal::outcome::Limit;

/// What is looked for.
pub(super) const TITLE: &str = "Deleted files that are still open";

/// How many processes are shown.
const SHOWN: usize = 5;
/// How long the search takes.
const MOST_TIME: Duration = Duration::from_secs(1);
/// From here on a process holds enough to be the trouble; so does a twentieth of the file system.
const MUCH: u64 = 1 << 30;
/// What Linux shows after the name of a file that has none any more.
const DELETED: &str = " (deleted)";

/// A deleted file.
#[derive(Debug)]
struct File {
    inode: u64,
    bytes: u64,
    path: String,
}

/// Who holds deleted files.
#[derive(Debug)]
struct Holder {
    pid: u32,
    name: String,
    bytes: u64,
    /// Each once, the largest first.
    files: Vec<File>,
}

/// The processes that hold the most, and whether deleting files helps at all.
///
/// # Errors
/// The processes cannot be listed.
pub(super) fn gather(place: &Place, limit: &Limit) -> Result<Evidence, String> {
    if !cfg!(target_os = "linux") {
        return Ok(Evidence::default());
    }
    let pids = host::pids().map_err(|error| format!("cannot list the processes: {error}"))?;
    let limit = within(limit, MOST_TIME);
    let (mut holders, mut closed, mut cut) = (Vec::new(), 0, None);
    for (index, pid) in pids.iter().copied().enumerate() {
        if limit.is_over() {
            cut = Some(format!("only {index} of {} processes were looked at, because the time was over", pids.len()));
            break;
        }
        match deleted_files(pid, &place.device, &limit) {
            Some(files) => holders.extend(Holder::new(pid, files)),
            None => closed += 1,
        }
    }
    // Processes that share a file hold the same: of these the eldest, mostly the parent, stands first.
    holders.sort_by_key(|holder| (std::cmp::Reverse(holder.bytes), holder.pid));
    let closed = (closed > 0).then(|| format!("the open files of {closed} processes are hidden from autoheal"));
    let notes: Vec<String> = cut.into_iter().chain(closed).collect();
    let lines = holders.iter().take(SHOWN).map(Holder::line).collect();
    let evidence = Evidence::of(TITLE, lines, (!notes.is_empty()).then(|| notes.join("; ")));
    Ok(Evidence { hints: hints(&holders, place.bytes), ..evidence })
}

impl Holder {
    /// `None` if there are no files.
    fn new(pid: u32, mut files: Vec<File>) -> Option<Self> {
        files.sort_by_key(|file| (std::cmp::Reverse(file.bytes), file.inode));
        files.dedup_by_key(|file| file.inode);
        let bytes = files.iter().map(|file| file.bytes).sum();
        let name = visible(&host::comm(pid).unwrap_or_default());
        (bytes > 0).then_some(Self { pid, name, bytes, files })
    }

    fn line(&self) -> String {
        let more = if self.files.len() > 1 { format!(" and {} more", self.files.len() - 1) } else { String::new() };
        let largest = self.files.first().map(|file| visible(&file.path)).unwrap_or_default();
        format!("pid {}, {}: {}: {largest}{more}", self.pid, mebibytes(self.bytes), self.name)
    }
}

/// Who is worth a restart: counted without the files that another one named before holds as well.
fn hints(holders: &[Holder], size: u64) -> Vec<String> {
    let mut counted = HashSet::new();
    let much = MUCH.min(size / 20).max(1);
    let hint = |holder: &Holder| {
        let own: u64 = holder.files.iter().filter(|file| counted.insert(file.inode)).map(|file| file.bytes).sum();
        let Holder { pid, name, bytes, .. } = holder;
        (own >= much).then(|| {
            format!("deleting files will not help: {name} (pid {pid}) holds {} of deleted files; restart {name}", mebibytes(*bytes))
        })
    };
    holders.iter().filter_map(hint).take(SHOWN).collect()
}

/// The deleted files of a device that a process has open; `None` if we may not look. Only what lies on the device is touched: a
/// look at a file on a network file system could hang.
fn deleted_files(pid: u32, device: &str, limit: &Limit) -> Option<Vec<File>> {
    let entries = match fs::read_dir(format!("/proc/{pid}/fd")) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => return None,
        // It has ended.
        Err(_) => return Some(Vec::new()),
    };
    let (mut files, mut mounts) = (Vec::new(), None);
    for entry in entries.flatten() {
        if limit.is_over() {
            break;
        }
        let link = entry.path();
        let target = fs::read_link(&link).map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
        // Sockets, pipes and the like have no path.
        let Some(path) = target.strip_suffix(DELETED).filter(|path| path.starts_with('/')) else { continue };
        let mounts = mounts.get_or_insert_with(|| mounts_of(pid, device));
        if !mount_of(pid, &entry.file_name().to_string_lossy()).is_some_and(|mount| mounts.contains(&mount)) {
            continue;
        }
        // A file that has a name can be called so.
        if let Some(meta) = fs::metadata(&link).ok().filter(|meta| meta.is_file() && meta.nlink() == 0) {
            files.push(File { inode: meta.ino(), bytes: meta.blocks().saturating_mul(512), path: path.to_owned() });
        }
    }
    Some(files)
}

/// The numbers of the mounts of a device, as the process sees them: a container has mounts of its own.
fn mounts_of(pid: u32, device: &str) -> HashSet<u64> {
    let table = fs::read(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
    // `36 35 98:0 /root /point …`: number, parent, device.
    let line = |line: &str| {
        let mut fields = line.split(' ');
        let number = fields.next()?.parse().ok()?;
        (fields.nth(1)? == device).then_some(number)
    };
    String::from_utf8_lossy(&table).lines().filter_map(line).collect()
}

/// The number of the mount through which a descriptor was opened.
fn mount_of(pid: u32, descriptor: &str) -> Option<u64> {
    let path: PathBuf = ["/proc", &pid.to_string(), "fdinfo", descriptor].iter().collect();
    fs::read_to_string(path).ok()?.lines().find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok())
}

#[cfg(test)]
#[path = "open_files_tests.rs"]
mod tests;
