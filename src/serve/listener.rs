//! The control socket as a file: where it lies, who may connect, and that it goes when the agent goes.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// The socket's name.
pub const NAME: &str = "control.sock";

/// The longest path of a socket in bytes; the system has no room for more.
const LONGEST: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// Connections that wait while one is taken; more get an error from the system.
const WAITING: i32 = 32;

/// The socket on which the agent listens. The file is removed when this is dropped.
#[derive(Debug)]
pub struct Listener {
    pub(super) socket: UnixListener,
    path: PathBuf,
    shared: bool,
    stop: Option<UnixStream>,
    /// Closed, and so ready to be read, when it is time to stop.
    stopped: UnixStream,
}

impl Listener {
    /// The socket of the agent that holds the lock of this data directory: in `$RUNTIME_DIRECTORY` for its group (0660), else
    /// in the data directory for its user alone (0600). A socket that an earlier agent left there is replaced.
    ///
    /// # Errors
    /// A sentence that says which path and why; the agent can go on without a socket.
    pub fn open(data_dir: &Path) -> Result<Self, String> {
        Self::bind(data_dir, std::env::var_os("RUNTIME_DIRECTORY").as_deref())
    }

    /// [`open`](Self::open) with the value of `$RUNTIME_DIRECTORY`.
    ///
    /// # Errors
    /// As there.
    pub fn bind(data_dir: &Path, runtime: Option<&OsStr>) -> Result<Self, String> {
        let runtime = runtime.and_then(first_of);
        let (dir, mode) = runtime.as_deref().map_or((data_dir, 0o600), |dir| (dir, 0o660));
        let path = dir.join(NAME);
        if path.as_os_str().len() > LONGEST {
            let shown = path.display();
            return Err(format!("{shown}: the path of a socket has at most {LONGEST} bytes; choose a shorter --data-dir"));
        }
        let failed = |error: io::Error| format!("{}: {error}", path.display());
        let (stop, stopped) = UnixStream::pair().map_err(failed)?;
        let socket = bound(&path, mode).map_err(failed)?;
        Ok(Self { socket, path, shared: runtime.is_some(), stop: Some(stop), stopped })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The other end of what [`wait`](Self::wait) waits for beside connections: dropping it means to stop.
    pub(super) fn take_stop(&mut self) -> Option<UnixStream> {
        self.stop.take()
    }

    /// Waits for a connection. `false` when it is time to stop.
    pub(super) fn wait(&self) -> bool {
        let mut looked = [&self.stopped.as_fd(), &self.socket.as_fd()].map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN));
        // Interrupted or out of memory: the caller tries to take a connection and comes back.
        let _ = poll(&mut looked, None);
        looked[0].revents().is_empty()
    }

    /// Waits without looking at connections. `true` when it is time to stop.
    pub(super) fn stops_within(&self, limit: Duration) -> bool {
        let time = Timespec { tv_sec: i64::try_from(limit.as_secs()).unwrap_or(1), tv_nsec: i64::from(limit.subsec_nanos()) };
        poll(&mut [PollFd::from_borrowed_fd(self.stopped.as_fd(), PollFlags::IN)], Some(&time)).is_ok_and(|ready| ready > 0)
    }

    /// Whether it is meant for a group, and not for the agent's user alone.
    pub(super) fn is_shared(&self) -> bool {
        self.shared
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // The lock is still held, so it is ours. The next agent would replace it anyway.
        let _ = fs::remove_file(&self.path);
    }
}

/// Several directories are separated by colons; the first is meant.
fn first_of(variable: &OsStr) -> Option<PathBuf> {
    let first = std::env::split_paths(variable).next()?;
    Some(first).filter(|dir| !dir.as_os_str().is_empty())
}

/// Nobody can connect before `listen`, and by then the mode is set.
fn bound(path: &Path, mode: u32) -> io::Result<UnixListener> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => fs::remove_file(path)?,
        Ok(_) => return Err(io::Error::other("something that is no socket is in its place; remove it")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let flags = SockFlag::empty();
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
    bind(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    let made = fs::set_permissions(path, Permissions::from_mode(mode)).and_then(|()| Ok(listen(&socket, Backlog::new(WAITING)?)?));
    if let Err(error) = made {
        let _ = fs::remove_file(path);
        return Err(error);
    }
    let listener = UnixListener::from(socket);
    // A client can hang up between the look and the taking.
    listener.set_nonblocking(true)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_socket_is_the_users_or_the_groups_and_goes_with_the_agent() {
        let (data, runtime) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let own = Listener::bind(data.path(), None).unwrap();
        assert_eq!((own.path(), mode(own.path()), own.is_shared()), (data.path().join(NAME).as_path(), 0o600, false));
        let variable = format!("{}:/somewhere/else", runtime.path().display());
        let shared = Listener::bind(data.path(), Some(OsStr::new(&variable))).unwrap();
        assert_eq!((shared.path(), mode(shared.path()), shared.is_shared()), (runtime.path().join(NAME).as_path(), 0o660, true));
        UnixStream::connect(own.path()).unwrap();
        drop((own, shared));
        assert_eq!(fs::read_dir(data.path()).unwrap().count() + fs::read_dir(runtime.path()).unwrap().count(), 0);
        let empty = Listener::bind(data.path(), Some(OsStr::new(""))).unwrap();
        assert_eq!(empty.path(), data.path().join(NAME), "an empty variable says nothing");
    }

    #[test]
    fn a_stale_socket_is_replaced_and_nothing_else_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(NAME);
        drop(UnixListener::bind(&path).unwrap());
        assert!(UnixStream::connect(&path).is_err(), "the socket of an agent that was killed");
        drop(Listener::bind(dir.path(), None).unwrap());
        fs::write(&path, "precious").unwrap();
        assert!(Listener::bind(dir.path(), None).unwrap_err().contains("no socket"));
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
        assert!(Listener::bind(dir.path(), None).unwrap_err().contains("no socket"));
        assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
    }

    #[test]
    fn a_path_that_the_system_has_no_room_for_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let long = dir.path().join("x".repeat(LONGEST));
        fs::create_dir(&long).unwrap();
        let said = Listener::bind(&long, None).unwrap_err();
        assert!(said.contains("xxx") && said.contains("choose a shorter --data-dir"), "{said}");
        assert!(Listener::bind(&dir.path().join("none"), None).unwrap_err().contains("No such file"));
    }
}
