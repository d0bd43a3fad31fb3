//! `top_processes`: a table of the largest processes, for the report. Names only: arguments hold passwords.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::time::Duration;

use comfy_table::{CellAlignment, Table};
use crossbeam_channel::never;
use sysinfo::{Process, ProcessRefreshKind, ProcessesToUpdate, System, UpdateKind};

use super::{ended_early, mebibytes};
use crate::config::playbook::Order;
use crate::heal::outcome::Limit;

/// More rows help nobody.
const MOST_ROWS: u32 = 100;
/// Processor time is what was used between two looks this far apart.
const BETWEEN_LOOKS: Duration = Duration::from_millis(250);

/// The `count` largest processes by resident memory or by processor time: process number, user, name, resident memory, and
/// processor time of the last quarter second in percent of one core.
///
/// # Errors
/// The limit was reached, or the host tells nothing of its processes.
pub fn table(by: Order, count: u32, limit: &Limit) -> Result<String, String> {
    let mut system = System::new().map_err(|error| format!("this host tells nothing of its processes: {error}"))?;
    look(&mut system);
    let _ = never::<()>().recv_timeout(BETWEEN_LOOKS.min(limit.left()));
    if limit.is_over() {
        return Err(format!("the processes were not looked at, {}", ended_early(limit)));
    }
    look(&mut system);
    if system.processes().is_empty() {
        return Err("this host tells nothing of its processes".to_owned());
    }
    let mut processes: Vec<&Process> = system.processes().values().collect();
    processes.sort_unstable_by(|one, other| descending(by, one, other));
    processes.truncate(usize::try_from(count.min(MOST_ROWS)).unwrap_or(usize::MAX));
    Ok(rows(&processes))
}

fn look(system: &mut System) {
    let what = ProcessRefreshKind::nothing().with_memory().with_cpu().with_user(UpdateKind::OnlyIfNotSet).without_tasks();
    system.refresh_processes_specifics(ProcessesToUpdate::All, true, what);
}

fn descending(by: Order, one: &Process, other: &Process) -> Ordering {
    let memory = other.memory().cmp(&one.memory());
    let cpu = other.cpu_usage().total_cmp(&one.cpu_usage());
    let order = match by {
        Order::Memory => memory.then(cpu),
        Order::Cpu => cpu.then(memory),
    };
    order.then(one.pid().cmp(&other.pid()))
}

fn rows(processes: &[&Process]) -> String {
    let users = user_names();
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(["PID", "USER", "MEMORY", "CPU", "NAME"]);
    for process in processes {
        let user = process.user_id().map(|id| (**id).to_string()).unwrap_or_default();
        table.add_row([
            process.pid().to_string(),
            users.get(&user).map_or(user.as_str(), String::as_str).to_owned(),
            mebibytes(process.memory()),
            format!("{:.0} %", process.cpu_usage()),
            visible(&process.name().to_string_lossy()),
        ]);
    }
    for right in [0, 2, 3] {
        if let Some(column) = table.column_mut(right) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}

/// A process can call itself anything; a line break would make a row of its own.
pub(in crate::heal) fn visible(name: &str) -> String {
    name.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}

/// Names of the users of `/etc/passwd`, by number. The system's look-up could ask a directory server that does not answer.
pub(in crate::heal) fn user_names() -> HashMap<String, String> {
    let text = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let users = text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        Some((fields.nth(1)?.to_owned(), visible(name)))
    });
    users.collect()
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    use super::super::tests::limit;
    use super::*;

    /// A child that holds 300 MiB and has a secret among its arguments; the table while it lives.
    #[expect(clippy::disallowed_methods, reason = "a test needs a large process")]
    fn table_with_a_large_process(by: Order) -> (u32, String) {
        let script = "x=$(head -c 300000000 /dev/zero | tr '\\0' x); echo ready; while :; do :; done";
        let mut child = Command::new("/bin/sh").args(["-c", script, "--password=hunter2"]).stdout(Stdio::piped()).spawn().unwrap();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut String::new()).unwrap();
        // All of them: what else this host does must not push the child out of the table.
        let said = table(by, 100_000, &limit(60)).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        (child.id(), said)
    }

    #[test]
    fn the_largest_stand_first_with_names_and_without_arguments() {
        let (pid, said) = table_with_a_large_process(Order::Memory);
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines[0].split_whitespace().collect::<Vec<_>>(), ["PID", "USER", "MEMORY", "CPU", "NAME"]);
        assert!(lines.len() > 2, "{said}");
        let row = lines.iter().find(|line| line.split_whitespace().next() == Some(&pid.to_string())).unwrap_or_else(|| panic!("{said}"));
        let user = user_names().get(&nix::unistd::getuid().to_string()).cloned().unwrap();
        assert!(row.contains(&user) && row.ends_with("sh") && row.contains("MiB"), "{row}");
        let sizes: Vec<f64> = lines[1..].iter().map(|line| line.split_whitespace().nth(2).unwrap().parse().unwrap()).collect();
        assert!(sizes.is_sorted_by(|one, next| one >= next) && sizes[0] > 250.0, "{said}");
        assert!(!said.contains("hunter2") && !said.contains("password"), "{said}");
    }

    #[test]
    fn the_busiest_stand_first_when_asked_for() {
        let (pid, said) = table_with_a_large_process(Order::Cpu);
        let shares: Vec<f64> = said.lines().skip(1).map(|line| line.split_whitespace().nth(4).unwrap().parse().unwrap()).collect();
        assert!(shares.is_sorted_by(|one, next| one >= next), "{said}");
        assert!(said.lines().any(|line| line.split_whitespace().next() == Some(&pid.to_string())), "{said}");
    }

    #[test]
    fn the_count_and_the_limit_hold() {
        assert_eq!(table(Order::Memory, 1, &limit(60)).unwrap().lines().count(), 2);
        assert!(table(Order::Memory, 1, &limit(0)).unwrap_err().contains("its time was over"));
        assert_eq!(visible("a\nb\u{1b}[31m"), "a\u{fffd}b\u{fffd}[31m");
    }
}
