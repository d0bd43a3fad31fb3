//! `/proc`, read directly: opening and reading one file costs a few microseconds whatever else runs on the host.
//! Formats: proc(5).

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use super::Stat;
use crate::collect::reason;

/// More than any command line that a pattern is meant for.
const COMMAND_LINE_BYTES: u64 = 128 * 1024;

/// The ids of all processes that we can see.
pub(crate) fn pids() -> io::Result<Vec<u32>> {
    let entries = fs::read_dir("/proc")?;
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect())
}

/// One look at a process; `None` if there is none of that id.
pub(crate) fn stat(pid: u32) -> io::Result<Option<Stat>> {
    there(File::open(format!("/proc/{pid}/stat")).and_then(|file| read_stat(&file)))
}

/// A process that is looked at again and again: its file stays open, which is less than half of the work, and never comes to mean
/// another process of the same id.
#[derive(Debug)]
pub(crate) struct Held(File);

impl Held {
    /// Opens the file; `None` where that cannot be.
    pub(crate) fn open(pid: u32) -> Option<Self> {
        File::open(format!("/proc/{pid}/stat")).ok().map(Self)
    }

    /// One look; `None` when the process is gone.
    pub(crate) fn stat(&self) -> io::Result<Option<Stat>> {
        there(read_stat(&self.0))
    }
}

fn read_stat(file: &File) -> io::Result<Option<Stat>> {
    let mut buffer = [0; 1024];
    let length = file.read_at(&mut buffer, 0)?;
    Ok(parse_stat(&buffer[..length]))
}

fn there<T>(look: io::Result<Option<T>>) -> io::Result<Option<T>> {
    match look {
        Err(error) if gone(&error) => Ok(None),
        look => look,
    }
}

/// A process that ends while we look: the file is missing, or its reading fails with ESRCH.
fn gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

/// Reads a line of `/proc/PID/stat`, as far as it is needed: every watched process is looked at in every cycle. The command stands in
/// parentheses and may hold any byte, parentheses and line breaks too.
fn parse_stat(line: &[u8]) -> Option<Stat> {
    let open = line.iter().position(|byte| *byte == b'(')?;
    let close = line.iter().rposition(|byte| *byte == b')')?;
    let comm = String::from_utf8_lossy(line.get(open + 1..close)?).into_owned();
    // The first field after the command is number 3 of the manual.
    let mut fields = line.get(close + 2..)?.split(u8::is_ascii_whitespace);
    let mut next = 3;
    // To be asked for in their order.
    let mut field = |number: usize| {
        let text = fields.nth(number - next)?;
        next = number + 1;
        std::str::from_utf8(text).ok()
    };
    let zombie = matches!(field(3)?, "Z" | "X" | "x");
    let mut id = |number| Some(field(number)?.parse().unwrap_or(0));
    let (parent, group, session) = (id(4)?, id(5)?, id(6)?);
    let mut number = |number| field(number)?.parse::<u64>().ok();
    let cpu = from_ticks(number(14)? + number(15)?);
    // When only the main thread has ended, the others go on under the same id.
    let dead = zombie && number(20)? <= 1;
    Some(Stat { comm, dead, parent, group, session, cpu, started: from_ticks(number(22)?), rss: number(24)? * page_size() })
}

fn from_ticks(ticks: u64) -> Duration {
    static PER_SECOND: OnceLock<u64> = OnceLock::new();
    let per_second = *PER_SECOND.get_or_init(|| rustix::param::clock_ticks_per_second().max(1));
    Duration::from_secs(ticks / per_second) + Duration::from_nanos(ticks % per_second * 1_000_000_000 / per_second)
}

fn page_size() -> u64 {
    u64::try_from(rustix::param::page_size()).unwrap_or(4096)
}

/// The command's short name, at most 15 bytes.
pub(crate) fn comm(pid: u32) -> io::Result<String> {
    let bytes = fs::read(format!("/proc/{pid}/comm"))?;
    Ok(String::from_utf8_lossy(bytes.strip_suffix(b"\n").unwrap_or(&bytes)).into_owned())
}

/// The arguments; none for a kernel thread or a zombie.
pub(crate) fn command_line(pid: u32) -> io::Result<Vec<String>> {
    let mut bytes = Vec::new();
    File::open(format!("/proc/{pid}/cmdline"))?.take(COMMAND_LINE_BYTES).read_to_end(&mut bytes)?;
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    Ok(bytes.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect())
}

/// The executable's path, also when the file was replaced since. `None` for a kernel thread or a zombie.
pub(crate) fn exe(pid: u32) -> io::Result<Option<PathBuf>> {
    match fs::read_link(format!("/proc/{pid}/exe")) {
        Ok(path) => Ok(Some(path.to_str().and_then(|text| text.strip_suffix(" (deleted)")).map(PathBuf::from).unwrap_or(path))),
        Err(error) if gone(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The effective user id.
pub(crate) fn user(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// The components of its control groups' paths: with systemd the units it belongs to, from the outermost.
pub(crate) fn units(pid: u32) -> Vec<String> {
    let text = fs::read(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    // `hierarchy:controllers:path`, one line for each hierarchy.
    let paths = text.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    paths.flat_map(|path| path.split('/')).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// How many descriptors it has open.
///
/// # Errors
/// The reason, mostly that we may not look.
pub(crate) fn open_files(pid: u32) -> Result<u64, String> {
    let path = format!("/proc/{pid}/fd");
    // Since Linux 6.2 the directory's size is the number of descriptors; before it was 0.
    match fs::metadata(&path).map(|meta| meta.len()) {
        Ok(count) if count > 0 => return Ok(count),
        Ok(_) => {}
        Err(error) => return Err(reason::plain(&error)),
    }
    let entries = fs::read_dir(&path).map_err(|error| reason::plain(&error))?;
    Ok(u64::try_from(entries.count()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_lines_with_hostile_names_are_read() {
        let tail = "S 7 42 43 0 -1 4194560 1 2 3 4 150 50 5 6 20 0 1 0 200 1000000 3 18446744073709551615";
        for name in ["sh", "a) S 1 1", "((", ")", "x\ny", "\u{fffd}"] {
            let stat = parse_stat(format!("1234 ({name}) {tail}\n").as_bytes()).unwrap();
            assert_eq!(stat.comm, name);
            assert_eq!((stat.parent, stat.group, stat.session, stat.dead), (7, 42, 43, false));
            assert_eq!((stat.cpu, stat.started), (Duration::from_secs(2), Duration::from_secs(2)));
            assert_eq!(stat.rss, 3 * page_size());
        }
    }

    #[test]
    fn a_zombie_with_live_threads_is_alive() {
        let line = |threads: u32| format!("1 (x) Z 7 42 43 0 -1 0 0 0 0 0 0 0 0 0 20 0 {threads} 0 200 0 0");
        assert!(parse_stat(line(1).as_bytes()).unwrap().dead);
        assert!(!parse_stat(line(2).as_bytes()).unwrap().dead);
    }

    #[test]
    fn broken_lines_are_no_process() {
        for line in ["", "1", "1 (x", "1 (x)", "1 (x) S", "1 (x) S 1 1 1", ")(", "1 (x) S a b c d e f g h i j k l m n o p q r s t u v"] {
            assert_eq!(parse_stat(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn this_process_is_found() {
        let pid = std::process::id();
        assert!(pids().unwrap().contains(&pid));
        let stat = stat(pid).unwrap().unwrap();
        assert!(!stat.dead && stat.rss > 0);
        assert!(open_files(pid).unwrap() >= 3);
        assert_eq!(exe(pid).unwrap(), Some(std::env::current_exe().unwrap()));
        assert_eq!(command_line(pid).unwrap(), std::env::args().collect::<Vec<_>>());
        assert!(super::stat(u32::MAX - 1).unwrap().is_none());
        let held = Held::open(pid).unwrap();
        assert_eq!(held.stat().unwrap().unwrap().started, stat.started);
    }
}
