use super::*;
use crate::collect::test_rig::{Child, command};
use crate::heal::action::tests::limit;

fn stat(cpu: u64, started: Duration) -> host::Stat {
    let cpu = Duration::from_secs(cpu);
    host::Stat { comm: "web".to_owned(), dead: false, parent: 1, group: 1, session: 1, cpu, started, rss: 1 << 20 }
}

#[test]
fn how_busy_one_is_comes_from_the_last_look_or_from_its_start() {
    let now = Moment::at_seconds(1000.0);
    let started = now.uptime().saturating_sub(Duration::from_secs(100));
    let before = |pid, seconds| {
        let at = Moment::at_seconds(1000.0 - seconds);
        Look { at, used: HashMap::from([((pid, started), Duration::from_secs(5))]) }
    };
    assert_eq!(busy(&stat(20, started), 7, None, now).round(), 20.0, "20 s of the 100 since it began");
    assert_eq!(busy(&stat(20, started), 7, Some(&before(7, 60.0)), now).round(), 25.0, "15 s of the 60 since the look");
    assert_eq!(busy(&stat(20, started), 7, Some(&before(8, 60.0)), now).round(), 20.0, "it was not there");
    let later = started + Duration::from_secs(1);
    assert_eq!(busy(&stat(20, later), 7, Some(&before(7, 60.0)), now).round(), 20.0, "another one had its number");
    assert_eq!(busy(&stat(0, now.uptime()), 7, None, now), 0.0);
}

#[test]
fn the_largest_and_the_busiest_stand_first() {
    let seen = |pid, memory: u64, busy| Seen { pid, name: format!("p{pid}"), memory: memory << 20, busy };
    let all = vec![seen(1, 1, 6.0), seen(2, 2, 5.0), seen(3, 3, 4.0), seen(4, 4, 3.0), seen(5, 5, 2.0), seen(6, 6, 1.0), seen(7, 6, 0.4)];
    let [memory, cpu] = <[Section; 2]>::try_from(sections(all, "CPU somehow", Some("not all".to_owned()))).unwrap();
    let names = |section: &Section| section.lines.iter().map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(
        (names(&memory), names(&cpu)),
        (["p6", "p7", "p5", "p4", "p3"].map(str::to_owned).to_vec(), ["p1", "p2", "p3", "p4", "p5"].map(str::to_owned).to_vec())
    );
    assert!(memory.lines[0].ends_with("6.0 MiB, 1 % CPU: p6"), "{memory:?}");
    assert_eq!((cpu.title.as_str(), cpu.note.as_deref()), ("Busiest processes (CPU somehow)", Some("not all")));
}

/// What a look says of one process.
#[track_caller]
fn line_of(pid: u32) -> String {
    let (seen, _) = Processes::default().look(&[pid], None, Moment::now(), &limit(60));
    line(&seen[0], &user_names())
}

#[test]
fn names_are_shown_and_arguments_never() {
    let child = Child::sleeping();
    let line = line_of(child.pid());
    let user = user_names().get(&nix::unistd::geteuid().to_string()).cloned().unwrap();
    assert!(line.starts_with(&format!("pid {}, {user}, ", child.pid())) && line.ends_with("% CPU: sleep"), "{line}");
    assert!(!line.contains(child.argument()), "{line}");
}

#[test]
fn a_hostile_name_stays_on_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("a\nb\u{1b}[31mc");
    std::fs::copy("/bin/sleep", &program).unwrap();
    let mut child = command(program.to_str().unwrap()).arg("600").spawn().unwrap();
    crate::collect::test_rig::wait_until("the child has its name", || host::comm(child.id()).is_ok_and(|name| name.starts_with("a\n")));
    let line = std::panic::catch_unwind(|| line_of(child.id()));
    child.kill().unwrap();
    child.wait().unwrap();
    let line = line.unwrap();
    assert!(line.ends_with(": a\u{fffd}b\u{fffd}[31mc"), "{line:?}");
}

#[test]
fn a_young_look_is_shared_and_an_old_one_forgotten() {
    let mut processes = Processes::default();
    let start = Moment::now();
    let first = processes.gather(start, &limit(60)).unwrap();
    assert_eq!(first.sections.len(), 2);
    assert!(first.sections[0].title.ends_with("(CPU on average since each began)") && first.sections[0].lines.len() == SHOWN);
    assert_eq!(processes.gather(start.after(Duration::from_millis(1900)), &limit(60)).unwrap(), first);
    let second = processes.gather(start.after(Duration::from_secs(180)), &limit(60)).unwrap();
    assert_eq!(second.sections[1].title, "Busiest processes (CPU since the look 3 min before)");
    let late = processes.gather(start.after(Duration::from_secs(781)), &limit(60)).unwrap();
    assert!(late.sections[1].title.contains("on average"), "{late:?}");
}

#[test]
fn a_look_that_is_cut_says_so_and_is_not_shared() {
    let mut processes = Processes::default();
    let cut = processes.gather(Moment::now(), &limit(0)).unwrap();
    assert!(cut.sections[0].note.as_ref().unwrap().starts_with("only 0 of "), "{cut:?}");
    assert!(processes.shared.is_none());
}
