//! Who looks after the schedule: one thread at a time. What mostly comes back soon is measured by that thread itself, because to hand
//! it to another thread and to wait for that one costs more than most measurements do. Should it hang, the thread that stands by takes
//! the schedule over, and the one that hangs is left behind: one thread for each target at most, besides those of the pool.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, TryRecvError, never};

use super::{Own, Scheduler};
use crate::collect::{Order, deaths};
use crate::threads::{self, Role};

/// A schedule that nobody looked after for this long is taken over.
const LATE: Duration = Duration::from_millis(10);

/// What the schedule is woken by before something is due.
pub(super) struct Inbox {
    pub(super) orders: Receiver<Order>,
    /// Names of process entries of which a process died.
    pub(super) died: Receiver<Arc<str>>,
    /// Rings for what came back from the pool.
    pub(super) bell: Receiver<()>,
    /// Disconnected when the agent stops.
    pub(super) shutdown: Receiver<()>,
}

impl Inbox {
    /// Whether neither a death nor a question nor the end waits.
    pub(super) fn is_quiet(&self) -> bool {
        self.orders.is_empty() && self.died.is_empty() && self.shutdown.try_recv() == Err(TryRecvError::Empty)
    }
}

/// The schedule, and what its thread needs for it.
pub(crate) struct Keeper {
    schedule: Scheduler,
    inbox: Inbox,
    /// Behind the schedule: what ends with that has ended when this does.
    _role: Role,
}

impl Keeper {
    /// A schedule with the deaths of watched processes: their entries are measured then, and not only at their next tick.
    pub(crate) fn new(schedule: Scheduler, orders: Receiver<Order>, shutdown: Receiver<()>, role: Role) -> Box<Self> {
        let died = match deaths::watch() {
            Ok((deaths, died)) => {
                schedule.shared.tell_deaths_to(deaths);
                died
            }
            Err(error) => {
                log::info!("deaths of processes are noticed at the next interval only: {error}");
                never()
            }
        };
        let bell = schedule.pool.bell().clone();
        Box::new(Self { schedule, inbox: Inbox { orders, died, bell, shutdown }, _role: role })
    }

    /// Measures on this thread, and on others, until `shutdown` is disconnected or nobody takes samples any more. Returns early when
    /// another thread has taken over.
    pub(crate) fn keep(mut self: Box<Self>) {
        match Relief::start() {
            Ok(relief) => {
                self.schedule.relieved = true;
                relief.keep(self);
            }
            Err(error) => {
                log::debug!("everything that might hang is measured by the pool: {error}");
                // Without relief nothing is left to the caller.
                let _ = self.schedule.turns(&mut self.inbox);
            }
        }
    }
}

impl Scheduler {
    /// Another thread has it from now on: the one that had it hangs. What that was to measure is left to the pool.
    fn taken_over(&mut self, relieved: bool) {
        self.relieved = relieved;
        for own in std::mem::take(&mut self.own) {
            let submitted = self.pool.take_over(own);
            self.submitted(submitted);
        }
    }
}

/// The thread that stands by, and where the schedule lies meanwhile.
struct Relief {
    alarm: system::Alarm,
    schedule: Mutex<Option<Box<Keeper>>>,
}

impl Relief {
    fn start() -> std::io::Result<Arc<Self>> {
        let relief = Arc::new(Self { alarm: system::Alarm::new()?, schedule: Mutex::default() });
        relief.spawn()?;
        Ok(relief)
    }

    fn spawn(self: &Arc<Self>) -> std::io::Result<()> {
        let relief = Arc::clone(self);
        threads::try_spawn("collect:relief", move || relief.stand_by()).map(drop)
    }

    /// Looks after the schedule until it ends or another thread has taken it over.
    fn keep(self: &Arc<Self>, mut keeper: Box<Keeper>) {
        while let Some(own) = keeper.schedule.turns(&mut keeper.inbox) {
            match self.measure(keeper, own) {
                Some(back) => keeper = back,
                None => return,
            }
        }
        self.alarm.end();
    }

    /// Measures with the schedule out of hand; `None`: it was taken over.
    fn measure(&self, keeper: Box<Keeper>, own: Own) -> Option<Box<Keeper>> {
        self.put_down(keeper);
        own.make();
        let back = self.take();
        // The alarm is that of who has the schedule.
        if back.is_some() {
            self.alarm.unset();
        }
        back
    }

    fn put_down(&self, keeper: Box<Keeper>) {
        let mut place = self.schedule.lock().unwrap_or_else(PoisonError::into_inner);
        // Whom it wakes finds the schedule here, however long this thread is kept from its work meanwhile.
        self.alarm.set(LATE);
        *place = Some(keeper);
    }

    fn take(&self) -> Option<Box<Keeper>> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn stand_by(self: &Arc<Self>) {
        while self.alarm.wait() {
            // The alarm may come as the measurement does.
            if let Some(mut keeper) = self.take() {
                log::debug!("a measurement hangs: another thread looks after the schedule");
                system::is_named(c"collect");
                let successor = self.spawn();
                if let Err(error) = &successor {
                    log::info!("from now on everything that might hang is measured by the pool: cannot start a thread: {error}");
                }
                keeper.schedule.taken_over(successor.is_ok());
                return self.keep(keeper);
            }
        }
    }
}

#[cfg(target_os = "linux")]
mod system {
    use std::ffi::CStr;
    use std::io;
    use std::os::fd::OwnedFd;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use rustix::io::Errno;
    use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime};

    const NEVER: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

    /// Wakes a thread after a time that others set: a timer as a descriptor (timerfd_create(2)), because to change how long a thread
    /// waits for anything else takes a wake-up.
    #[derive(Debug)]
    pub(super) struct Alarm {
        timer: OwnedFd,
        ended: AtomicBool,
    }

    impl Alarm {
        pub(super) fn new() -> io::Result<Self> {
            let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC)?;
            Ok(Self { timer, ended: AtomicBool::new(false) })
        }

        pub(super) fn set(&self, after: Duration) {
            self.change(after.try_into().unwrap_or(NEVER));
        }

        pub(super) fn unset(&self) {
            self.change(NEVER);
        }

        fn change(&self, once: Timespec) {
            // It refuses nothing but times that are none.
            let _ = timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &Itimerspec { it_interval: NEVER, it_value: once });
        }

        /// Nobody need wait any more.
        pub(super) fn end(&self) {
            self.ended.store(true, Ordering::Release);
            self.set(Duration::from_nanos(1));
        }

        /// Until it rings; `false`: nobody need wait any more.
        pub(super) fn wait(&self) -> bool {
            loop {
                match rustix::io::read(&self.timer, &mut [0_u8; 8]) {
                    Ok(_) => return !self.ended.load(Ordering::Acquire),
                    Err(Errno::INTR) => {}
                    Err(error) => {
                        log::error!("nobody stands by for a measurement that hangs: timerfd: {error}");
                        return false;
                    }
                }
            }
        }
    }

    /// The name of this thread, for those who list threads.
    pub(super) fn is_named(name: &CStr) {
        let _ = rustix::thread::set_name(name);
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::ffi::CStr;
    use std::io;
    use std::time::Duration;

    /// There is none.
    #[derive(Debug)]
    pub(super) enum Alarm {}

    impl Alarm {
        pub(super) fn new() -> io::Result<Self> {
            Err(io::ErrorKind::Unsupported.into())
        }

        pub(super) fn set(&self, _after: Duration) {}

        pub(super) fn unset(&self) {}

        pub(super) fn end(&self) {}

        pub(super) fn wait(&self) -> bool {
            false
        }
    }

    pub(super) fn is_named(_name: &CStr) {}
}

#[cfg(test)]
#[cfg(target_os = "linux")]
#[path = "keeper_tests.rs"]
mod tests;
