#![cfg(target_os = "linux")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

use super::*;
use crate::collect::mounts::Mounts;
use crate::collect::test_rig::command;
use crate::heal::action::tests::limit;

/// The mount that a directory lies on, as if it had this size.
fn place(dir: &Path, bytes: u64) -> Place {
    let mounts = Mounts::read();
    let mount = mounts.holding(dir).unwrap();
    Place { mount: mount.point.clone(), device: mount.id.clone(), bytes }
}

/// A child that has opened files, written this many MiB to each, and deleted them.
struct Holding(Child);

impl Holding {
    fn new(dir: &Path, sizes: &[(&str, u32)]) -> Self {
        let mut script = String::new();
        for (number, (name, size)) in sizes.iter().enumerate() {
            let descriptor = number + 3;
            script.push_str(&format!(
                "exec {descriptor}>'{name}'; head -c {} /dev/zero >&{descriptor}; sync '{name}'; rm '{name}'; ",
                u64::from(*size) << 20
            ));
        }
        // Until the end of its input, which comes with the end of the test.
        script.push_str("echo ready; read x");
        let mut command = command("/bin/sh");
        command.args(["-c", &script, "--password=hunter2"]).current_dir(dir).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Self(child)
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The line of a process.
fn line_of(evidence: &Evidence, pid: u32) -> Option<&str> {
    let lines = evidence.sections.iter().flat_map(|section| &section.lines);
    lines.map(String::as_str).find(|line| line.starts_with(&format!("pid {pid}, ")))
}

#[test]
fn who_holds_a_deleted_file_must_be_restarted() {
    let dir = tempfile::tempdir().unwrap();
    let child = Holding::new(dir.path(), &[("small.log", 1), ("large.log", 24)]);
    let pid = child.0.id();
    let found = gather(&place(dir.path(), 100 << 20), &limit(60)).unwrap();
    let line = line_of(&found, pid).unwrap_or_else(|| panic!("{found:?}"));
    assert!(line.starts_with(&format!("pid {pid}, 25.0 MiB: sh: ")) && line.ends_with("/large.log and 1 more"), "{line}");
    let hint = format!("deleting files will not help: sh (pid {pid}) holds 25.0 MiB of deleted files; restart sh");
    assert!(found.hints.contains(&hint), "{found:?}");
    assert!(!format!("{found:?}").contains("hunter2"), "{found:?}");
}

#[test]
fn little_is_shown_without_a_conclusion() {
    let dir = tempfile::tempdir().unwrap();
    let child = Holding::new(dir.path(), &[("a.log", 24)]);
    let found = gather(&place(dir.path(), 1 << 40), &limit(60)).unwrap();
    assert!(line_of(&found, child.0.id()).is_some(), "{found:?}");
    assert!(!found.hints.iter().any(|hint| hint.contains(&child.0.id().to_string())), "{found:?}");
}

#[test]
fn files_of_another_file_system_do_not_count() {
    let dir = tempfile::tempdir().unwrap();
    let child = Holding::new(dir.path(), &[("a.log", 24)]);
    let elsewhere = Place { device: "0:4711".to_owned(), ..place(dir.path(), 1 << 20) };
    let found = gather(&elsewhere, &limit(60)).unwrap();
    assert!(line_of(&found, child.0.id()).is_none() && found.hints.is_empty(), "{found:?}");
}

#[test]
fn a_file_that_is_only_called_deleted_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("here (deleted)");
    let open = fs::File::create(&path).unwrap();
    let own = |pid| deleted_files(pid, &place(dir.path(), 1).device, &limit(60)).unwrap();
    let called = |file: &File| file.path.ends_with("/here");
    assert!(!own(std::process::id()).iter().any(called));
    fs::remove_file(&path).unwrap();
    assert!(own(std::process::id()).iter().any(|file| file.path.ends_with("here (deleted)")));
    drop(open);
}

#[test]
fn a_hostile_name_stays_on_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let child = Holding::new(dir.path(), &[("a\nb\u{1b}[31m", 24)]);
    let found = gather(&place(dir.path(), 1), &limit(60)).unwrap();
    assert!(line_of(&found, child.0.id()).unwrap().ends_with("/a\u{fffd}b\u{fffd}[31m"), "{found:?}");
}

#[test]
fn the_limit_is_said() {
    let found = gather(&place(Path::new("/"), 1 << 40), &limit(0)).unwrap();
    assert!(found.sections[0].note.as_ref().unwrap().starts_with("only 0 of "), "{found:?}");
}

#[test]
fn who_shares_a_file_is_not_accused_as_well() {
    let file = |inode, bytes| File { inode, bytes, path: "/x".to_owned() };
    let holder = |pid, files: Vec<File>| Holder { pid, name: "web".to_owned(), bytes: files.iter().map(|f| f.bytes).sum(), files };
    let holders = [
        holder(1, vec![file(7, 600), file(8, 300)]),
        holder(2, vec![file(7, 600)]),
        holder(3, vec![file(9, 100)]),
        holder(4, vec![file(10, 49)]),
    ];
    let hints = hints(&holders, 1000);
    assert_eq!(hints.len(), 2, "{hints:?}");
    assert!(hints[0].contains("(pid 1)") && hints[1].contains("(pid 3)"), "{hints:?}");
    let large = [holder(5, vec![file(11, MUCH)])];
    assert_eq!(super::hints(&large, u64::MAX).len(), 1, "a GiB is much on any disk");
}
