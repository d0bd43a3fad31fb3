//! Who is at the other end of a connection: what the kernel says, never what a message says.

use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::unistd::{Gid, Group, Uid, User, geteuid};

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The user's number at the time of connecting.
    pub uid: u32,
    /// The process, where the system tells. It may be gone by now: for the record only.
    pub pid: Option<i32>,
    /// The user's name, or its number where it has none.
    pub user: String,
}

/// The peer and the group that it connected with.
pub(super) fn of(stream: &UnixStream) -> nix::Result<(Peer, u32)> {
    let (uid, gid, pid) = credentials(stream)?;
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name);
    Ok((Peer { uid, pid, user }, gid))
}

#[cfg(target_os = "linux")]
fn credentials(stream: &UnixStream) -> nix::Result<(u32, u32, Option<i32>)> {
    let found = nix::sys::socket::getsockopt(stream, nix::sys::socket::sockopt::PeerCredentials)?;
    Ok((found.uid(), found.gid(), Some(found.pid())))
}

#[cfg(not(target_os = "linux"))]
fn credentials(stream: &UnixStream) -> nix::Result<(u32, u32, Option<i32>)> {
    let (uid, gid) = nix::unistd::getpeereid(stream)?;
    Ok((uid.as_raw(), gid.as_raw(), None))
}

/// Who may change what the agent does, beside root and the agent's own user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Admitted {
    /// The members of this group.
    pub(super) group: Option<u32>,
}

impl Admitted {
    /// The group of a socket that is meant for a group.
    pub(super) fn by(socket: &Path, shared: bool) -> Self {
        let group = std::fs::metadata(socket).map(|found| found.gid()).ok();
        Self { group: group.filter(|_| shared) }
    }

    /// Whether this peer, which connected with the group `gid`, may.
    pub(super) fn admits(self, peer: &Peer, gid: u32) -> bool {
        let own = peer.uid == 0 || peer.uid == geteuid().as_raw();
        own || self.group.is_some_and(|group| gid == group || is_member(peer, group))
    }
}

/// Whether the user database says so. It is asked each time: who has left the group may no longer.
fn is_member(peer: &Peer, group: u32) -> bool {
    let primary = User::from_uid(Uid::from_raw(peer.uid)).ok().flatten().is_some_and(|user| user.gid.as_raw() == group);
    let listed = || Group::from_gid(Gid::from_raw(group)).ok().flatten().is_some_and(|group| group.mem.contains(&peer.user));
    primary || listed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_who_it_is() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let (peer, gid) = of(&ours).unwrap();
        assert_eq!((peer.uid, gid), (geteuid().as_raw(), nix::unistd::getegid().as_raw()));
        assert!(!peer.user.is_empty());
        if cfg!(target_os = "linux") {
            assert_eq!(peer.pid, i32::try_from(std::process::id()).ok());
        }
    }

    #[test]
    fn only_root_the_agent_and_the_group_may_change_something() {
        let peer = |uid, user: &str| Peer { uid, pid: None, user: user.to_owned() };
        let own = geteuid().as_raw();
        let (nobody, group) = (4_000_000_001, 4_000_000_002);
        let (closed, open) = (Admitted { group: None }, Admitted { group: Some(group) });
        for (who, uid, gid, closed_says, open_says) in [
            ("root", 0, 0, true, true),
            ("the agent's user", own, 0, true, true),
            ("a stranger", nobody, 100, false, false),
            ("a member", nobody, group, false, true),
        ] {
            let peer = peer(uid, "somebody");
            assert_eq!((closed.admits(&peer, gid), open.admits(&peer, gid)), (closed_says, open_says), "{who}");
        }
    }

    #[test]
    fn the_group_counts_only_where_the_socket_is_meant_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let own = std::fs::metadata(dir.path()).unwrap().gid();
        assert_eq!(Admitted::by(dir.path(), true).group, Some(own));
        assert_eq!(Admitted::by(dir.path(), false).group, None);
        assert_eq!(Admitted::by(&dir.path().join("none"), true).group, None);
    }
}
