//! Which processes a watch entry means.
//!
//! Never the agent itself, another run of its program, a wrapper around it (`sudo autoheal match …`), or a process of an action
//! that is still running. Zombies are dead. Where we cannot look, the answer is *unknown*, not *stopped*: a service that runs
//! must not be restarted because its executable could not be read.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use nix::unistd::User;

use super::exclusions::Root;
use super::hold::Hold;
use super::host::{self, Stat};
use super::mount_table::Hangs;
use super::pidfile::Pidfile;
use super::process_table::{self, Cursor, Info};
use super::reason;
use super::shared::Shared;
use crate::config::settings::{ProcessEntry, ProcessMatch};
use crate::host::systemd::unit::full_name;

/// Linux cuts the short name after this many bytes.
const COMM_BYTES: usize = 15;

/// Finds the processes of one entry, and remembers who matched, so that a look costs one read for each match.
#[derive(Debug)]
pub(crate) struct Finder {
    entry: ProcessEntry,
    name: Arc<str>,
    pidfile: Option<Pidfile>,
    hangs: Hangs,
    /// Where the path of an executable leads to now.
    program: Option<PathBuf>,
    shared: Shared,
    cursor: Cursor,
    candidates: BTreeMap<u32, Candidate>,
    /// A candidate has ended since all processes were looked at.
    lost: bool,
    uid: Option<u32>,
}

#[derive(Debug)]
struct Candidate {
    /// When it started; `None`: not looked at yet.
    started: Option<Duration>,
    /// Its name when it was judged; `None`: it is meant whatever its name.
    comm: Option<String>,
    verdict: Verdict,
    /// Held on to since it was found to match.
    hold: Option<Hold>,
}

impl Candidate {
    fn new(comm: Option<String>, verdict: Verdict) -> Self {
        Self { started: None, comm, verdict, hold: None }
    }

    /// One look. When the process that is held is gone, its id may be another's already.
    fn stat(&mut self, pid: u32) -> std::io::Result<Option<Stat>> {
        match self.hold.as_ref().map(Hold::stat) {
            Some(Ok(None)) | None => {
                self.hold = None;
                host::stat(pid)
            }
            Some(stat) => stat,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    No,
    Yes(String),
    /// It may be one, but we may not look.
    Unsure(String),
}

/// What a look found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The live matches, oldest first.
    pub(crate) live: Vec<Live>,
    /// Dead ones that nobody has reaped yet.
    pub(crate) zombies: bool,
    /// A remark about why there is none: no pid file, …
    pub(crate) remark: Option<String>,
    /// Why `live` may not be the truth; set only when it is empty.
    pub(crate) unknown: Option<String>,
}

/// A live match.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) pid: u32,
    pub(crate) stat: Stat,
    pub(crate) why: String,
}

impl Finder {
    pub(crate) fn new(entry: ProcessEntry, shared: Shared) -> Self {
        let name = Arc::from(entry.name.as_str());
        let pidfile = if let ProcessMatch::Pidfile(path) = &entry.matcher { Some(Pidfile::new(path.clone())) } else { None };
        Self {
            entry,
            name,
            pidfile,
            hangs: Hangs::default(),
            program: None,
            shared,
            cursor: Cursor::default(),
            candidates: BTreeMap::new(),
            lost: false,
            uid: None,
        }
    }

    /// Whether the entry's file is where a look may never return.
    pub(crate) fn may_hang(&mut self) -> bool {
        match &self.entry.matcher {
            // The executable's path is resolved: it may be a link.
            ProcessMatch::Pidfile(path) | ProcessMatch::Exe(path) => self.hangs.ask(&self.shared.mounts(), path),
            ProcessMatch::Command(_) | ProcessMatch::Pattern(_) | ProcessMatch::Unit(_) => false,
        }
    }

    /// Looks now.
    pub(crate) fn find(&mut self) -> Found {
        let mut found = Found::default();
        // Before anything that others share is locked: this may hang.
        self.program = if let ProcessMatch::Exe(path) = &self.entry.matcher { fs::canonicalize(path).ok() } else { None };
        if let Err(reason) = self.look_up_user().and_then(|()| self.update_candidates(&mut found)) {
            found.unknown = Some(reason);
            return found;
        }
        let roots = self.shared.exclusions().roots();
        let pids: Vec<u32> = self.candidates.keys().copied().collect();
        for pid in pids {
            self.look_at(pid, &roots, &mut found);
        }
        found.live.sort_by_key(|live| (live.stat.started, live.pid));
        if !found.live.is_empty() {
            found.unknown = None;
        } else if found.unknown.is_none() && !matches!(self.entry.matcher, ProcessMatch::Pidfile(_)) {
            found.unknown = self.shared.processes().hidden().map(str::to_owned);
        }
        found
    }

    fn look_up_user(&mut self) -> Result<(), String> {
        if let (None, Some(name)) = (self.uid, &self.entry.user) {
            let user = User::from_name(name).map_err(|error| format!("cannot look up the user {name}: {}", error.desc()))?;
            self.uid = Some(user.ok_or_else(|| format!("no user is called {name}"))?.uid.as_raw());
        }
        Ok(())
    }

    fn update_candidates(&mut self, found: &mut Found) -> Result<(), String> {
        if let Some(pidfile) = &mut self.pidfile {
            let pid = pidfile.read()?;
            self.candidates.retain(|known, _| Some(*known) == pid);
            match pid {
                Some(pid) => {
                    let says = || Candidate::new(None, Verdict::Yes(format!("{} says {pid}", pidfile.path().display())));
                    self.candidates.entry(pid).or_insert_with(says);
                }
                None => found.remark = Some(format!("no pid file {}", pidfile.path().display())),
            }
            return Ok(());
        }
        // What these ask for is what was read; a match that is gone may have given its id to another just like it.
        let by_text = matches!(self.entry.matcher, ProcessMatch::Command(_) | ProcessMatch::Pattern(_));
        let table = self.shared.processes();
        let (anew, news) = table.news(&mut self.cursor, by_text && !self.lost);
        self.lost &= !anew;
        if anew {
            // A zombie has no command line any more: what matched while it lived is kept.
            self.candidates.retain(|_, candidate| candidate.started.is_some());
        }
        for (pid, info) in news {
            match judge(&self.entry.matcher, self.program.as_deref(), pid, info) {
                Verdict::No if info.line.is_empty() => {}
                Verdict::No => drop(self.candidates.remove(&pid)),
                verdict => drop(self.candidates.insert(pid, Candidate::new(Some(info.comm.clone()), verdict))),
            }
        }
        Ok(())
    }

    fn look_at(&mut self, pid: u32, roots: &[Root], found: &mut Found) {
        let stat = match self.candidates.get_mut(&pid).map_or(Ok(None), |candidate| candidate.stat(pid)) {
            Ok(Some(stat)) => stat,
            Ok(None) => {
                self.candidates.remove(&pid);
                self.lost = true;
                return;
            }
            Err(error) => {
                found.unknown = Some(format!("cannot look at process {pid}: {}", reason::plain(&error)));
                return;
            }
        };
        if !self.still_meant(pid, &stat) {
            self.candidates.remove(&pid);
            return;
        }
        if self.uid.is_some() && host::user(pid) != self.uid || belongs_to(pid, &stat, roots) {
            return;
        }
        let Some(candidate) = self.candidates.get_mut(&pid) else { return };
        match &candidate.verdict {
            Verdict::Yes(_) if stat.dead => found.zombies = true,
            Verdict::Yes(why) => {
                if candidate.hold.is_none() {
                    candidate.hold = self.shared.hold(pid, &self.name);
                }
                found.live.push(Live { pid, stat, why: why.clone() });
            }
            Verdict::Unsure(reason) if !stat.dead => found.unknown = Some(reason.clone()),
            _ => {}
        }
    }

    /// Whether the candidate is still the process that was judged; if not, it is judged again. One that was judged as what it was
    /// before its exec is another since.
    fn still_meant(&mut self, pid: u32, stat: &Stat) -> bool {
        let Some(candidate) = self.candidates.get_mut(&pid) else { return false };
        if self.pidfile.is_some() {
            // Whatever it is by now, the file says that it is meant.
            return candidate.started.replace(stat.started) == Some(stat.started) || !is_own(pid);
        }
        let same_start = candidate.started.is_none_or(|started| started == stat.started);
        let same = same_start && candidate.comm.as_ref().is_none_or(|comm| *comm == stat.comm);
        if same && candidate.started.is_some() {
            return true;
        }
        if !same {
            let mut table = self.shared.processes();
            candidate.verdict = judge(&self.entry.matcher, self.program.as_deref(), pid, table.read_again(pid));
        }
        (candidate.started, candidate.comm) = (Some(stat.started), Some(stat.comm.clone()));
        candidate.verdict != Verdict::No && !is_own(pid)
    }
}

/// `program`: where the path of an executable leads to.
fn judge(matcher: &ProcessMatch, program: Option<&Path>, pid: u32, info: &Info) -> Verdict {
    let yes = |hit: bool, why: &dyn Fn() -> String| if hit { Verdict::Yes(why()) } else { Verdict::No };
    match matcher {
        ProcessMatch::Command(name) => {
            let by_comm = info.comm == *name;
            // A longer name is cut in comm; a kernel thread or zombie has nothing else.
            let by_cut = name.len() > COMM_BYTES && info.line.is_empty() && name.as_bytes().get(..COMM_BYTES) == Some(info.comm.as_bytes());
            match (by_comm || by_cut, info.argv0 == *name) {
                (true, _) => Verdict::Yes(format!("its name is {}", info.comm)),
                (false, true) => Verdict::Yes(format!("its first argument is {name}")),
                (false, false) => Verdict::No,
            }
        }
        ProcessMatch::Pattern(pattern) => yes(pattern.is_match(&info.line), &|| format!("/{pattern}/ matches its command line")),
        ProcessMatch::Unit(unit) => yes(host::units(pid).contains(&full_name(unit)), &|| format!("it is in the control group of {unit}")),
        ProcessMatch::Exe(path) => judge_exe(path, program, pid, info),
        ProcessMatch::Pidfile(_) => Verdict::No,
    }
}

fn judge_exe(path: &Path, program: Option<&Path>, pid: u32, info: &Info) -> Verdict {
    match host::exe(pid) {
        Ok(Some(exe)) if exe == path => Verdict::Yes(format!("its executable is {}", path.display())),
        // The entry may name a link: /usr/bin/python3.
        Ok(Some(exe)) if program == Some(&*exe) => {
            Verdict::Yes(format!("its executable is {}, which {} leads to", exe.display(), path.display()))
        }
        Ok(_) => Verdict::No,
        Err(error) => {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let alike = info.argv0 == name || name.as_bytes().iter().take(COMM_BYTES).eq(info.comm.as_bytes());
            let reason = || format!("cannot read the executable of process {pid}: {}", reason::plain(&error));
            if alike && !info.line.is_empty() { Verdict::Unsure(reason()) } else { Verdict::No }
        }
    }
}

/// Whether the process is the agent, another run of the agent's program, or a wrapper that started this one.
fn is_own(pid: u32) -> bool {
    static OWN: OnceLock<(Option<PathBuf>, Vec<u32>)> = OnceLock::new();
    let (own_exe, own) = OWN.get_or_init(|| (host::exe(std::process::id()).ok().flatten(), own_wrappers()));
    own.contains(&pid) || own_exe.is_some() && host::exe(pid).ok().flatten() == *own_exe
}

/// This process, and those above it whose command line holds its own: `sudo autoheal …`, `sh -c 'autoheal …'`.
fn own_wrappers() -> Vec<u32> {
    let mut pid = std::process::id();
    let mut wrappers = vec![pid];
    let own = process_table::read(pid);
    let own_words = own.line.find(' ').map_or(own.argv0.clone(), |blank| format!("{}{}", own.argv0, &own.line[blank..]));
    while let Ok(Some(stat)) = host::stat(pid) {
        pid = stat.parent;
        if pid <= 1 || wrappers.len() > 64 {
            break;
        }
        if process_table::read(pid).line.contains(&own_words) {
            wrappers.push(pid);
        }
    }
    wrappers
}

/// Whether the process belongs to one of these roots: by descent, session or process group, or by its unit.
fn belongs_to(pid: u32, stat: &Stat, roots: &[Root]) -> bool {
    if roots.is_empty() {
        return false;
    }
    let among = |id: u32| roots.contains(&Root::Process(id));
    let units: Vec<String> = if roots.iter().any(|root| matches!(root, Root::Unit(_))) { host::units(pid) } else { Vec::new() };
    if units.into_iter().any(|unit| roots.contains(&Root::Unit(unit))) {
        return true;
    }
    if among(pid) || among(stat.session) || among(stat.group) {
        return true;
    }
    let mut parent = stat.parent;
    for _ in 0..64 {
        if among(parent) {
            return true;
        }
        match host::stat(parent) {
            Ok(Some(above)) if above.parent > 1 => parent = above.parent,
            _ => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::Exclusions;
    use crate::collect::test_rig::{Child, process_entry};

    #[test]
    fn an_entry_looks_at_all_processes_again_once_a_match_of_it_has_ended() {
        let (mut ends, stays) = (Child::sleeping(), Child::sleeping());
        let shared = Shared::new(Exclusions::default());
        let finder = |child: &Child| {
            let pattern = regex::Regex::new(&child.argument().replace('.', "\\.")).unwrap();
            Finder::new(process_entry("web", ProcessMatch::Pattern(pattern)), shared.clone())
        };
        let (mut one, mut other) = (finder(&ends), finder(&stays));
        assert_eq!((one.find().live.len(), other.find().live.len()), (1, 1));
        ends.kill();
        ends.reap();
        shared.next_turn();
        assert_eq!((one.find().live.len(), other.find().live.len()), (0, 1));
        // Its id may by now be that of another process with the same arguments, which is no change to be told of.
        assert!(one.lost && !other.lost);
        shared.processes().expire();
        shared.next_turn();
        assert_eq!((one.find().live.len(), other.find().live.len()), (0, 1));
        assert!(!one.lost, "it has looked at all");
    }
}
