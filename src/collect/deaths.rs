//! Who died: on Linux one thread waits for all watched processes at once, through descriptors of them (pidfd_open(2)). It hears of a
//! death within a tenth of a millisecond, so a repair need not wait for the next tick of the schedule. What cannot be watched so,
//! is noticed at the next tick.

use std::sync::Arc;

use crossbeam_channel::Receiver;

/// Where processes are put on watch; cheap to clone. When the last one is dropped, the watch ends.
#[derive(Clone, Debug)]
pub(crate) struct Deaths(Arc<system::Epoll>);

/// One process on watch, until this is dropped.
#[derive(Debug)]
pub(crate) struct Vigil {
    /// Removes itself from the watch when it is closed.
    _process: system::Process,
}

/// Starts the watch. The receiver gets the name of the watch entry of each process that dies.
///
/// # Errors
/// When the system has no descriptors or no thread for it, or no such watch at all.
pub(crate) fn watch() -> std::io::Result<(Deaths, Receiver<Arc<str>>)> {
    let (epoll, died) = system::Epoll::start()?;
    Ok((Deaths(Arc::new(epoll)), died))
}

impl Deaths {
    /// Watches over a process of the entry called `process_name`. One that is dead already is told of at once; `None`: that process
    /// cannot be watched.
    pub(crate) fn watch(&self, pid: u32, process_name: &Arc<str>) -> Option<Vigil> {
        Some(Vigil { _process: self.0.add(pid, process_name)? })
    }
}

#[cfg(target_os = "linux")]
mod system {
    use std::collections::HashMap;
    use std::io::{self, PipeReader, PipeWriter};
    use std::os::fd::OwnedFd;
    use std::sync::{Arc, Mutex, PoisonError, Weak};

    use crossbeam_channel::{Receiver, Sender, unbounded};
    use rustix::buffer::spare_capacity;
    use rustix::event::epoll::{CreateFlags, EventData, EventFlags, add, create, wait};
    use rustix::process::{Pid, PidfdFlags, pidfd_open};

    use crate::threads;

    /// Says that the watch ends: the other end of the pipe was closed.
    const END: u64 = 0;
    /// So many deaths are taken at once; the rest is there at the next look.
    const AT_ONCE: usize = 64;

    /// The names of the entries of those on watch, by the tokens of the epoll set. The last token was given last.
    #[derive(Debug, Default)]
    struct Names {
        last: u64,
        by_token: HashMap<u64, Arc<str>>,
    }

    #[derive(Debug)]
    pub(super) struct Epoll {
        epoll: Arc<OwnedFd>,
        names: Arc<Mutex<Names>>,
        _end: PipeWriter,
    }

    #[derive(Debug)]
    pub(super) struct Process {
        token: u64,
        /// Closing it takes it out of the epoll set (epoll(7)).
        _pidfd: OwnedFd,
        names: Weak<Mutex<Names>>,
    }

    impl Drop for Process {
        fn drop(&mut self) {
            if let Some(names) = self.names.upgrade() {
                names.lock().unwrap_or_else(PoisonError::into_inner).by_token.remove(&self.token);
            }
        }
    }

    impl Epoll {
        pub(super) fn start() -> io::Result<(Self, Receiver<Arc<str>>)> {
            let epoll = Arc::new(create(CreateFlags::CLOEXEC)?);
            let (ended, end) = io::pipe()?;
            add(&epoll, &ended, EventData::new_u64(END), EventFlags::IN)?;
            let names = Arc::new(Mutex::<Names>::default());
            let (deaths, died) = unbounded();
            let (set, known) = (Arc::clone(&epoll), Arc::clone(&names));
            threads::try_spawn("collect:deaths", move || hear(&set, &known, &ended, &deaths))?;
            Ok((Self { epoll, names, _end: end }, died))
        }

        pub(super) fn add(&self, pid: u32, process_name: &Arc<str>) -> Option<Process> {
            let pid = Pid::from_raw(i32::try_from(pid).ok()?)?;
            let pidfd = pidfd_open(pid, PidfdFlags::empty()).ok()?;
            let token = {
                let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
                names.last += 1;
                let token = names.last;
                names.by_token.insert(token, Arc::clone(process_name));
                token
            };
            let process = Process { token, _pidfd: pidfd, names: Arc::downgrade(&self.names) };
            // A dead process stays readable until it is let go: it is told of once.
            add(&self.epoll, &process._pidfd, EventData::new_u64(token), EventFlags::IN | EventFlags::ONESHOT).ok()?;
            Some(process)
        }
    }

    fn hear(epoll: &OwnedFd, names: &Mutex<Names>, _ended: &PipeReader, deaths: &Sender<Arc<str>>) {
        let mut events = Vec::with_capacity(AT_ONCE);
        loop {
            events.clear();
            match wait(epoll, spare_capacity(&mut events), None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => {
                    log::error!("deaths of processes are noticed at the next interval only: epoll_wait: {error}");
                    return;
                }
            }
            for event in &events {
                let token = event.data.u64();
                let name = names.lock().unwrap_or_else(PoisonError::into_inner).by_token.get(&token).cloned();
                if token == END || name.is_some_and(|name| deaths.send(name).is_err()) {
                    return;
                }
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::io;
    use std::sync::Arc;

    use crossbeam_channel::Receiver;

    #[derive(Debug)]
    pub(super) struct Epoll;

    #[derive(Debug)]
    pub(super) struct Process;

    impl Epoll {
        pub(super) fn start() -> io::Result<(Self, Receiver<Arc<str>>)> {
            Err(io::ErrorKind::Unsupported.into())
        }

        pub(super) fn add(&self, _pid: u32, _process_name: &Arc<str>) -> Option<Process> {
            None
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::collect::test_rig::Child;

    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn a_death_is_told_once_and_by_the_name_of_its_entry() {
        let (deaths, died) = watch().unwrap();
        let (mut first, mut second) = (Child::sleeping(), Child::sleeping());
        let (web, db) = (Arc::from("web"), Arc::from("db"));
        let vigils = [deaths.watch(first.pid(), &web).unwrap(), deaths.watch(second.pid(), &db).unwrap()];
        first.kill();
        assert_eq!(died.recv_timeout(PATIENCE), Ok(web));
        second.kill();
        assert_eq!(died.recv_timeout(PATIENCE), Ok(db), "the first is still a zombie, and not told of again");
        drop(vigils);
        first.reap();
        assert!(deaths.watch(first.pid(), &Arc::from("gone")).is_none());
    }

    #[test]
    fn nothing_is_told_of_a_process_that_is_watched_no_more() {
        let (deaths, died) = watch().unwrap();
        let (mut let_go, mut watched) = (Child::sleeping(), Child::sleeping());
        drop(deaths.watch(let_go.pid(), &Arc::from("let go")).unwrap());
        let _vigil = deaths.watch(watched.pid(), &Arc::from("watched")).unwrap();
        let_go.kill();
        let_go.reap();
        watched.kill();
        assert_eq!(died.recv_timeout(PATIENCE).as_deref(), Ok("watched"));
    }

    #[test]
    fn the_thread_ends_with_the_watch() {
        let (deaths, died) = watch().unwrap();
        drop(deaths);
        assert!(died.recv_timeout(PATIENCE).is_err_and(|error| error.is_disconnected()));
    }
}
