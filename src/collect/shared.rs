//! What the collectors share, so that nothing is read twice in one turn of the schedule.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::deaths::Deaths;
use super::hold::{Hold, Holds};
use super::https::{self, Tls};
use super::interest::Interest;
use super::mount_table::MountTable;
use super::mounts::Mounts;
use super::near::Near;
use super::process_table::Table;
use super::tls::Trust;
use super::{Exclusions, Units};

/// Handle on the shared state; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Shared(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    turn: AtomicU64,
    processes: Mutex<Table>,
    mounts: Mutex<MountTable>,
    near: Mutex<Near>,
    tls: Mutex<HashMap<Trust, Tls>>,
    exclusions: Exclusions,
    interest: Interest,
    units: Units,
    /// Missing where nobody waits for deaths: in a single look, and where the system has no such watch.
    deaths: OnceLock<Deaths>,
    holds: Holds,
}

impl Shared {
    pub(crate) fn new(exclusions: Exclusions) -> Self {
        Self(Arc::new(Inner {
            turn: AtomicU64::new(1),
            processes: Mutex::default(),
            mounts: Mutex::default(),
            near: Mutex::default(),
            tls: Mutex::default(),
            exclusions,
            interest: Interest::default(),
            units: Units::default(),
            deaths: OnceLock::new(),
            holds: Holds::default(),
        }))
    }

    /// A new turn begins: what is shared is read anew when it is next needed. A fresh measurement begins with one.
    pub(crate) fn next_turn(&self) {
        self.0.turn.fetch_add(1, Ordering::Relaxed);
    }

    fn turn(&self) -> u64 {
        self.0.turn.load(Ordering::Relaxed)
    }

    /// The processes of the host, looked up at most once a turn.
    pub(crate) fn processes(&self) -> MutexGuard<'_, Table> {
        let mut table = self.0.processes.lock().unwrap_or_else(PoisonError::into_inner);
        table.refresh(self.turn());
        table
    }

    /// The mounted file systems, looked at once a turn at most. None at all if they cannot be read.
    pub(crate) fn mounts(&self) -> Arc<Mounts> {
        self.0.mounts.lock().unwrap_or_else(PoisonError::into_inner).look(self.turn())
    }

    /// Where the last file was looked at. For looks that cannot hang: nobody waits for a turn here.
    pub(crate) fn near(&self) -> MutexGuard<'_, Near> {
        self.0.near.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How clients of this trust make TLS; built once for each.
    ///
    /// # Errors
    /// When the file of the roots cannot be used; the message names it.
    pub(crate) fn tls(&self, trust: &Trust) -> Result<Tls, String> {
        let mut known = self.0.tls.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tls) = known.get(trust) {
            return Ok(tls.clone());
        }
        let tls = https::tls(trust)?;
        // What was made of an older version of the same file is of no use any more.
        known.retain(|other, _| !other.is_older_version_of(trust));
        known.insert(trust.clone(), tls.clone());
        Ok(tls)
    }

    /// From now on the deaths of watched processes are told of there.
    pub(crate) fn tell_deaths_to(&self, deaths: Deaths) {
        let _ = self.0.deaths.set(deaths);
    }

    /// Holds on to a process of the entry called `process_name`; `None` where that cannot be.
    pub(crate) fn hold(&self, pid: u32, process_name: &Arc<str>) -> Option<Hold> {
        self.0.holds.open(pid, |pid| self.0.deaths.get()?.watch(pid, process_name))
    }

    /// In which unit each watched process was last seen.
    pub(crate) fn units(&self) -> &Units {
        &self.0.units
    }

    /// The metrics that somebody waits for.
    pub(crate) fn interest(&self) -> &Interest {
        &self.0.interest
    }

    /// Processes that are no watched ones.
    pub(crate) fn exclusions(&self) -> &Exclusions {
        &self.0.exclusions
    }
}
