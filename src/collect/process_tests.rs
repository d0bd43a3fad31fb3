use std::fs;
use std::io::Write;
use std::process::Stdio;

use super::*;
use crate::collect::test_rig::{Child, command, process_entry, text, value, wait_until};

fn collector(matcher: ProcessMatch) -> (Process, Shared) {
    let shared = Shared::new(Exclusions::default());
    (Process::new(process_entry("web", matcher), shared.clone()), shared)
}

fn unique_sleep() -> (Child, ProcessMatch) {
    let child = Child::sleeping();
    let pattern = regex::Regex::new(&format!("^sleep {}$", regex::escape(child.argument()))).unwrap();
    (child, ProcessMatch::Pattern(pattern))
}

#[test]
fn a_process_runs_until_it_is_killed_and_reaped_or_not() {
    let (mut child, matcher) = unique_sleep();
    let (mut process, shared) = collector(matcher);
    let samples = process.measure();
    assert_eq!(text(&samples, "process_status"), "running");
    assert_eq!(value(&samples, "process_count"), 1.0);
    assert!(value(&samples, "process_memory_mb") > 0.05 && value(&samples, "process_open_files") >= 3.0);
    assert!((0.0..60.0).contains(&value(&samples, "process_uptime_seconds")));
    assert_eq!(samples[0].target.facts.get("pid"), Some(child.pid().to_string().as_str()));
    child.kill();
    wait_until("the child is a zombie", || host::stat(child.pid()).unwrap().is_some_and(|stat| stat.dead));
    shared.next_turn();
    let samples = process.measure();
    assert_eq!((text(&samples, "process_status"), samples[0].reason.as_deref()), ("stopped", Some("only zombies are left")));
    child.reap();
    shared.next_turn();
    let samples = process.measure();
    assert_eq!((text(&samples, "process_status"), samples[0].reason.as_deref()), ("stopped", None));
    assert_eq!(value(&samples, "process_count"), 0.0);
    let memory = samples.iter().find(|sample| sample.metric.name == "process_memory_mb").unwrap();
    assert_eq!((&memory.value, memory.reason.as_deref()), (&None, Some("no process runs")));
    assert!(samples.iter().any(|sample| sample.metric.name == "process_uptime_seconds" && sample.value.is_none()));
}

#[test]
fn the_same_target_whatever_the_pid() {
    let (child, matcher) = unique_sleep();
    let (mut process, shared) = collector(matcher);
    let before = Arc::clone(&process.measure()[0].target);
    drop(child);
    shared.next_turn();
    let after = Arc::clone(&process.measure()[0].target);
    assert_eq!(before.identity, after.identity);
    assert_eq!(after.facts.get("pid"), None);
}

#[test]
fn a_pid_file_means_its_process_whatever_that_calls_itself() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("web.pid");
    let mut child =
        command("sh").args(["-c", "read go; printf renamed > /proc/self/comm; read end"]).stdin(Stdio::piped()).spawn().unwrap();
    fs::write(&path, child.id().to_string()).unwrap();
    let (mut process, shared) = collector(ProcessMatch::Pidfile(path));
    assert_eq!(text(&process.measure(), "process_status"), "running");
    child.stdin.as_ref().unwrap().write_all(b"go\n").unwrap();
    wait_until("it has another name", || host::comm(child.id()).is_ok_and(|comm| comm == "renamed"));
    shared.next_turn();
    assert_eq!(text(&process.measure(), "process_status"), "running");
    drop(child.stdin.take());
    child.wait().unwrap();
}

#[test]
fn pid_files_are_read_each_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("web.pid");
    let (mut process, _shared) = collector(ProcessMatch::Pidfile(path.clone()));
    let samples = process.measure();
    assert_eq!(text(&samples, "process_status"), "stopped");
    assert!(samples[0].reason.as_ref().unwrap().contains("no pid file"));
    let child = Child::sleeping();
    fs::write(&path, format!("{}\n", child.pid())).unwrap();
    assert_eq!(text(&process.measure(), "process_status"), "running");
    for broken in ["", "zero", "0", "-1", "99999999999", &"1".repeat(100)] {
        fs::write(&path, broken).unwrap();
        let samples = process.measure();
        assert!(samples.len() == 6 && samples.iter().all(|sample| sample.value.is_none() && sample.reason.is_some()), "{broken}");
    }
    fs::write(&path, "4194305").unwrap();
    assert_eq!(text(&process.measure(), "process_status"), "stopped", "there is no such process");
}

#[test]
fn a_running_action_matches_nothing_and_what_it_leaves_matches() {
    let (child, matcher) = unique_sleep();
    let (mut process, shared) = collector(matcher);
    let excluded = shared.exclusions().exclude(child.pid());
    assert_eq!(text(&process.measure(), "process_status"), "stopped");
    drop(excluded);
    shared.next_turn();
    assert_eq!(text(&process.measure(), "process_status"), "running");
    let excluded = shared.exclusions().exclude(std::process::id());
    shared.next_turn();
    assert_eq!(text(&process.measure(), "process_status"), "stopped", "children of the root are excluded too");
    drop(excluded);
}

#[test]
fn the_agent_never_matches_itself() {
    let me = std::env::current_exe().unwrap();
    let name = me.file_name().unwrap().to_str().unwrap().to_owned();
    for matcher in [ProcessMatch::Exe(me.clone()), ProcessMatch::Command(name)] {
        // Tests of another checkout may run at the same time: their program has the same name, and another path.
        let found = matches(&process_entry("web", matcher)).unwrap();
        assert!(found.iter().all(|found| found.pid != std::process::id() && found.exe.as_ref() != Some(&me)), "{found:?}");
    }
}

#[test]
fn every_way_to_match_says_why() {
    let child = Child::sleeping();
    let exe = host::exe(child.pid()).unwrap().unwrap();
    let name = host::comm(child.pid()).unwrap();
    for (matcher, words) in [
        (ProcessMatch::Exe(exe), "executable"),
        (ProcessMatch::Command(name), "name"),
        (ProcessMatch::Pattern(regex::Regex::new(child.argument()).unwrap()), "command line"),
    ] {
        let matches = matches(&process_entry("web", matcher)).unwrap();
        let found = matches.iter().find(|found| found.pid == child.pid()).unwrap();
        assert!(found.why.contains(words), "{}", found.why);
        assert!(found.command_line.contains(child.argument()) && found.user.is_some());
    }
}

#[test]
fn only_processes_of_the_user() {
    let (_child, matcher) = unique_sleep();
    let with = |user: &str| {
        let shared = Shared::new(Exclusions::default());
        let entry = ProcessEntry { user: Some(user.to_owned()), ..process_entry("web", matcher.clone()) };
        Process::new(entry, shared).measure().remove(0)
    };
    let me = nix::unistd::User::from_uid(nix::unistd::geteuid()).unwrap().unwrap().name;
    let other = if me == "daemon" { "root" } else { "daemon" };
    assert_eq!(with(&me).value, Some(Value::Text("running".into())));
    assert_eq!(with(other).value, Some(Value::Text("stopped".into())));
    assert!(with("nobody-is-called-so").reason.unwrap().contains("no user is called"));
}

#[test]
fn processor_time_needs_two_looks() {
    let child = Child::busy();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pid");
    fs::write(&path, child.pid().to_string()).unwrap();
    let (mut process, _shared) = collector(ProcessMatch::Pidfile(path));
    let cpu = |samples: &[Sample]| samples.iter().find(|sample| sample.metric.name == "process_cpu").cloned().unwrap();
    assert_eq!(cpu(&process.measure()).reason.as_deref(), Some("needs a second look"));
    wait_until("the busy child has used time", || matches!(cpu(&process.measure()).value, Some(Value::Number(percent)) if percent > 1.0));
}

#[test]
fn open_files_are_not_those_of_another_state() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("web.pid");
    let mut child = Child::sleeping();
    let write = |text: String| fs::write(&path, text).unwrap();
    write(child.pid().to_string());
    let (mut process, shared) = collector(ProcessMatch::Pidfile(path.clone()));
    shared.interest().set(&[]);
    let open_files = |samples: &[Sample]| samples.iter().find(|sample| sample.metric.name == "process_open_files").cloned();
    let looks: Vec<bool> = (0..3).map(|_| open_files(&process.measure()).is_some()).collect();
    assert_eq!(looks, [true, true, false]);
    write("broken".to_owned());
    assert!(open_files(&process.measure()).is_some_and(|sample| sample.value.is_none()));
    write(child.pid().to_string());
    let again = process.measure();
    assert_eq!(text(&again, "process_status"), "running");
    assert!(open_files(&again).is_some(), "it runs, and its open files stay unknown for ten seconds: broken pid file");
    child.kill();
    child.reap();
    shared.next_turn();
    let stopped = process.measure();
    assert_eq!(text(&stopped, "process_status"), "stopped");
    assert!(open_files(&stopped).is_some(), "nobody runs, and the open files of the dead stay known for ten seconds");
}
