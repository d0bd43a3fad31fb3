//! The processes of the host in one incremental pass: only new ones are read, and all of them again once a minute.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use super::host;
use crate::clock::Moment;

/// After this all processes are read again: some replace their program late in their life, and a process id may have been
/// given to another process between two looks.
const FULL: Duration = Duration::from_mins(1);

/// A process that is known for less than this may still replace its program (a shell that execs, a daemon that was just
/// started): it is read again at each look.
const YOUNG: Duration = Duration::from_secs(2);

/// What a match is made of.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Info {
    /// The command's short name.
    pub(crate) comm: String,
    /// The base name of the first argument, without the dash of a login shell.
    pub(crate) argv0: String,
    /// All arguments, with blanks between them.
    pub(crate) line: String,
}

/// All processes, as they were at the last look.
#[derive(Debug, Default)]
pub(crate) struct Table {
    known: HashMap<u32, Known>,
    /// Processes that are new or another than before, in the order in which they were read since the last full pass; an entry
    /// reads on where it stopped.
    log: Vec<u32>,
    /// The end of the log that the last full pass began anew.
    before: Cursor,
    epoch: u64,
    epoch_began: Option<Moment>,
    turn: u64,
    hidden: Option<String>,
}

#[derive(Debug)]
struct Known {
    info: Info,
    first_seen: Moment,
    /// It was read when it was no longer young.
    settled: bool,
    turn: u64,
}

/// Where an entry stopped reading [`Table::news`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cursor {
    epoch: u64,
    read: usize,
}

impl Table {
    /// Looks at the processes unless that was done in this turn.
    pub(crate) fn refresh(&mut self, turn: u64) {
        if self.turn == turn {
            return;
        }
        self.turn = turn;
        let now = Moment::now();
        let pids = match host::pids() {
            Ok(pids) => pids,
            Err(error) => {
                self.hidden = Some(format!("cannot list the processes: {}", super::reason::plain(&error)));
                return;
            }
        };
        // Process 1 is in every list, unless /proc is mounted with hidepid and we are not root.
        let seen = pids.contains(&1) && host::comm(1).is_ok();
        self.hidden = (!seen).then(|| "the processes of other users are hidden from autoheal (/proc has hidepid)".to_owned());
        let full = self.epoch_began.is_none_or(|began| now.since(began) >= FULL);
        if full {
            self.before = self.end();
            self.epoch += 1;
            self.epoch_began = Some(now);
            self.log.clear();
        }
        for pid in pids {
            self.look_at(pid, full, now);
        }
        self.known.retain(|_, known| known.turn == turn);
    }

    fn look_at(&mut self, pid: u32, full: bool, now: Moment) {
        let turn = self.turn;
        match self.known.get_mut(&pid) {
            Some(known) if known.settled && !full => known.turn = turn,
            Some(known) => {
                let info = read(pid);
                if info != known.info {
                    self.log.push(pid);
                }
                let settled = now.since(known.first_seen) >= YOUNG;
                *known = Known { info, first_seen: known.first_seen, settled, turn };
            }
            None => {
                self.known.insert(pid, Known { info: read(pid), first_seen: now, settled: false, turn });
                self.log.push(pid);
            }
        }
    }

    fn end(&self) -> Cursor {
        Cursor { epoch: self.epoch, read: self.log.len() }
    }

    /// The processes that are new or another since `cursor`, which is moved to the end; `true`: these are all processes, forget the
    /// matches. That is so after each full pass, unless `changes` will do because nothing but [`Info`] matters: a thousand entries
    /// need not ask ten thousand processes again.
    pub(crate) fn news(&self, cursor: &mut Cursor, changes: bool) -> (bool, impl Iterator<Item = (u32, &Info)>) {
        let from = match *cursor {
            Cursor { epoch, read } if epoch == self.epoch => Some(read),
            seen => (changes && seen == self.before && seen.epoch > 0).then_some(0),
        };
        *cursor = self.end();
        let changed = from.map(|from| self.log[from..].iter().filter_map(|pid| Some((*pid, &self.known.get(pid)?.info))));
        let all = from.is_none().then(|| self.known.iter().map(|(pid, known)| (*pid, &known.info)));
        (from.is_none(), changed.into_iter().flatten().chain(all.into_iter().flatten()))
    }

    /// Reads one process again: it runs another program than when it was read.
    pub(crate) fn read_again(&mut self, pid: u32) -> &Info {
        let turn = self.turn;
        let new = || Known { info: Info::default(), first_seen: Moment::now(), settled: false, turn };
        let known = self.known.entry(pid).or_insert_with(new);
        known.info = read(pid);
        // The other entries must see it too.
        self.log.push(pid);
        &known.info
    }

    /// The short names of all programs that run, each once; kernel threads are none.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        self.known.values().filter(|known| !known.info.line.is_empty()).map(|known| known.info.comm.clone()).collect()
    }

    /// Lets a minute pass: all processes are read again at the next look.
    #[cfg(test)]
    pub(crate) fn expire(&mut self) {
        self.epoch_began = None;
    }

    /// Why a process that is not found may be there all the same.
    pub(crate) fn hidden(&self) -> Option<&str> {
        self.hidden.as_deref()
    }
}

/// What there is to match of a process. One that ends meanwhile has nothing.
pub(crate) fn read(pid: u32) -> Info {
    let words = host::command_line(pid).unwrap_or_default();
    let argv0 = words.first().map(String::as_str).unwrap_or_default();
    let argv0 = argv0.rsplit('/').next().unwrap_or_default();
    Info { comm: host::comm(pid).unwrap_or_default(), argv0: argv0.strip_prefix('-').unwrap_or(argv0).to_owned(), line: words.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::test_rig::Child;

    #[test]
    fn each_process_is_news_once() {
        let mut table = Table::default();
        let mut cursor = Cursor::default();
        table.refresh(1);
        let (anew, news) = table.news(&mut cursor, true);
        assert!(anew && news.count() > 0);
        let child = Child::sleeping();
        table.refresh(2);
        let (anew, news) = table.news(&mut cursor, true);
        let news: Vec<u32> = news.map(|(pid, _)| pid).collect();
        assert!(!anew && news.contains(&child.pid()));
        table.refresh(2);
        assert_eq!(table.news(&mut cursor, true).1.count(), 0, "nothing is read twice in a turn");
        let pid = child.pid();
        drop(child);
        table.refresh(3);
        assert!(!table.known.contains_key(&pid));
    }

    #[test]
    fn a_full_pass_is_news_only_to_those_who_ask_for_more_than_what_was_read() {
        let mut table = Table::default();
        table.refresh(1);
        let (mut early, mut by_text, mut by_more) = (Cursor::default(), Cursor::default(), Cursor::default());
        let all = table.news(&mut early, true).1.count();
        let children: Vec<Child> = std::iter::repeat_with(Child::sleeping).take(3).collect();
        let own = |news: (bool, Vec<u32>)| (news.0, children.iter().filter(|child| news.1.contains(&child.pid())).count());
        let look = |table: &Table, cursor: &mut Cursor, changes| {
            let (anew, news) = table.news(cursor, changes);
            own((anew, news.map(|(pid, _)| pid).collect()))
        };
        table.refresh(2);
        assert_eq!(look(&table, &mut by_text, true), (true, 3), "its first look is at all of {all} and more");
        assert_eq!(look(&table, &mut by_more, false), (true, 3));
        table.expire();
        table.refresh(3);
        assert_eq!(look(&table, &mut by_text, true), (false, 0), "they are what they were");
        assert_eq!(look(&table, &mut by_more, false), (true, 3));
        assert_eq!(look(&table, &mut early, true), (true, 3), "the log that it did not read to its end is gone");
    }
}
