//! What tells that a file may have changed: the kernel's events, and where there are none, looking often.
//!
//! Watched are the directory of the configuration, because editors replace files; the directory of every link on the way, because
//! a link is replaced too; and the files themselves, because what is bind-mounted over one is written somewhere else. An event
//! says only "look again".

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crossbeam_channel::Sender;
use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::super::source::{PLAYBOOKS, SETTINGS};

/// How often the files are looked at all the same: a directory far above may be another one now.
const POLL: Duration = Duration::from_secs(30);
/// The same where events do not come.
pub(super) const POLL_BLIND: Duration = Duration::from_millis(750);
const MAX_HOPS: usize = 40;

/// A file or directory, whatever it is called: device, inode, and when it was made, because the number of one that was deleted
/// is used again.
type Id = (u64, u64, Option<SystemTime>);

/// Makes a watcher that pokes.
pub(super) type Make = fn(Sender<()>) -> notify::Result<RecommendedWatcher>;

/// What is watched.
pub(super) struct Watch {
    /// The directory of the configuration; the embedded files never change.
    dir: Option<PathBuf>,
    make: Make,
    poke: Sender<()>,
    watcher: Option<RecommendedWatcher>,
    watched: BTreeMap<PathBuf, Id>,
    /// Why a change may come without an event, and the log has said so.
    blind: Option<String>,
}

impl Watch {
    pub(super) fn new(dir: Option<&Path>, poke: Sender<()>, make: Make) -> Self {
        let mut state = Self { dir: dir.map(Path::to_owned), make, poke, watcher: None, watched: BTreeMap::new(), blind: None };
        state.refresh();
        state
    }

    /// For how long nothing need be looked at without an event.
    pub(super) fn poll(&self) -> Duration {
        if self.blind.is_some() { POLL_BLIND } else { POLL }
    }

    /// Watches what is on the way to the files now.
    pub(super) fn refresh(&mut self) {
        let Some(dir) = self.dir.clone() else { return };
        let trouble = self.watch(&on_the_way(&dir)).err().or_else(|| remote(&dir));
        match (&self.blind, &trouble) {
            (Some(old), Some(new)) if old == new => {}
            (_, Some(why)) => log::warn!("configuration: looking every {} ms, because {why}", POLL_BLIND.as_millis()),
            (Some(_), None) => log::info!("configuration: watching {} again", dir.display()),
            (None, None) => {}
        }
        self.blind = trouble;
    }

    fn watch(&mut self, wanted: &BTreeMap<PathBuf, Id>) -> Result<(), String> {
        if wanted.is_empty() {
            return Err("its directory is not there".to_owned());
        }
        if self.watcher.is_none() {
            let made = (self.make)(self.poke.clone());
            self.watcher = Some(made.map_err(|error| format!("changes cannot be watched: {error}"))?);
        }
        let Some(watcher) = &mut self.watcher else { return Ok(()) };
        self.watched.retain(|path, id| {
            let keep = wanted.get(path) == Some(id);
            if !keep {
                // It may be gone already.
                let _ = watcher.unwatch(path);
            }
            keep
        });
        for (path, id) in wanted {
            if !self.watched.contains_key(path) {
                let done = watcher.watch(path, RecursiveMode::NonRecursive);
                done.map_err(|error| format!("{} cannot be watched: {error}", path.display()))?;
                self.watched.insert(path.clone(), *id);
            }
        }
        Ok(())
    }
}

/// The watcher of the platform.
pub(super) fn platform(poke: Sender<()>) -> notify::Result<RecommendedWatcher> {
    let mut told = false;
    notify::recommended_watcher(move |event: notify::Result<Event>| {
        if event.as_ref().is_ok_and(Event::need_rescan) && !std::mem::replace(&mut told, true) {
            log::warn!("configuration: events were lost (fs.inotify.max_queued_events); the files are looked at instead");
        }
        if event.map_or(true, |event| matters(event.kind)) {
            // One waiting poke is enough: it says only "look again".
            let _ = poke.try_send(());
        }
    })
}

/// Our own reading makes events too; only the end of somebody's writing matters among those.
fn matters(kind: EventKind) -> bool {
    !matches!(kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write))
}

/// Directories and files that a save may change, each once: two names of one thing would share a watch.
fn on_the_way(dir: &Path) -> BTreeMap<PathBuf, Id> {
    let mut found: BTreeMap<PathBuf, Id> = BTreeMap::new();
    let mut add = |path: &Path| {
        let Ok(facts) = path.metadata() else { return };
        let id = (facts.dev(), facts.ino(), facts.created().ok());
        if (facts.is_dir() || facts.is_file()) && !found.values().any(|known| *known == id) {
            found.insert(path.to_owned(), id);
        }
    };
    add(dir);
    for name in [PLAYBOOKS, SETTINGS] {
        let mut path = dir.join(name);
        for _ in 0..MAX_HOPS {
            // A link may also be in the middle of the target: `..data/file`, where `..data` is one.
            for ancestor in path.clone().ancestors().skip(1).filter(|ancestor| ancestor.is_symlink()) {
                ancestor.parent().into_iter().for_each(&mut add);
            }
            let parent = path.parent().unwrap_or(dir).to_owned();
            add(&parent);
            match path.read_link() {
                Ok(target) => path = parent.join(target),
                Err(_) => {
                    add(&path);
                    break;
                }
            }
        }
    }
    found
}

/// Why others can change the files without this kernel knowing.
#[cfg(target_os = "linux")]
fn remote(dir: &Path) -> Option<String> {
    /// Magic numbers of statfs(2) and linux/magic.h: what is served by another host or by a program.
    const REMOTE: [(u32, &str); 9] = [
        (0x6969, "NFS"),
        (0x517b, "SMB"),
        (0xff53_4d42, "CIFS"),
        (0xfe53_4d42, "SMB"),
        (0x6573_5546, "FUSE"),
        (0x0102_1997, "9p"),
        (0x00c3_6400, "Ceph"),
        (0x5346_414f, "AFS"),
        (0x0bd0_0bd0, "Lustre"),
    ];
    [dir.to_owned(), dir.join(PLAYBOOKS), dir.join(SETTINGS)].iter().find_map(|path| {
        // The field is signed on some platforms, and the number a 32-bit one on all.
        let kind = u32::try_from(rustix::fs::statfs(path).ok()?.f_type & 0xffff_ffff).ok()?;
        let (_, name) = REMOTE.iter().find(|(magic, _)| *magic == kind)?;
        Some(format!("{} is on {name}, where others write without an event here", path.display()))
    })
}

/// Why others can change the files without this kernel knowing: elsewhere that cannot be told.
#[cfg(not(target_os = "linux"))]
fn remote(_: &Path) -> Option<String> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use notify::event::{CreateKind, ModifyKind};
    use std::os::unix::fs::symlink;

    #[test]
    fn lost_events_are_a_reason_to_look_and_reading_is_none() {
        for (kind, expected) in [
            (EventKind::Other, true),
            (EventKind::Create(CreateKind::File), true),
            (EventKind::Modify(ModifyKind::Any), true),
            (EventKind::Access(AccessKind::Close(AccessMode::Write)), true),
            (EventKind::Access(AccessKind::Close(AccessMode::Read)), false),
            (EventKind::Access(AccessKind::Open(AccessMode::Any)), false),
        ] {
            assert_eq!(matters(kind), expected, "{kind:?}");
        }
    }

    #[test]
    fn everything_on_the_way_is_watched_once() {
        let temp = tempfile::tempdir().unwrap();
        let path = |name: &str| temp.path().join(name);
        for name in ["config", "config/..1", "elsewhere"] {
            std::fs::create_dir(path(name)).unwrap();
        }
        std::fs::write(path("config/..1/books"), "").unwrap();
        symlink("..1", path("config/..data")).unwrap();
        symlink("..data/books", path("config").join(PLAYBOOKS)).unwrap();
        std::fs::write(path("elsewhere/settings"), "").unwrap();
        symlink(path("elsewhere/settings"), path("config").join(SETTINGS)).unwrap();
        let found = on_the_way(&path("config"));
        let inodes: std::collections::HashSet<u64> = found.values().map(|id| id.1).collect();
        let wanted = ["config", "config/..1", "config/..1/books", "elsewhere", "elsewhere/settings"];
        let wanted: std::collections::HashSet<u64> = wanted.iter().map(|name| path(name).metadata().unwrap().ino()).collect();
        assert_eq!((&inodes, found.len()), (&wanted, wanted.len()), "{found:?}");
        assert!(on_the_way(&path("none")).is_empty());
    }

    /// The log says why, and events come as soon as they can.
    #[test]
    fn a_directory_that_is_not_there_is_looked_for_often() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("config");
        let (poke, events) = crossbeam_channel::bounded(1);
        let mut watch = Watch::new(Some(&dir), poke, platform);
        assert_eq!(watch.poll(), POLL_BLIND);
        std::fs::create_dir(&dir).unwrap();
        watch.refresh();
        // Where the temporary directory is on a network file system, looking goes on.
        if remote(&dir).is_none() {
            assert_eq!(watch.poll(), POLL);
        }
        std::fs::write(dir.join(SETTINGS), "{}").unwrap();
        assert_eq!(events.recv_timeout(Duration::from_secs(20)), Ok(()));
    }
}
