use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use rustix::fs::{CWD, Timespec, Timestamps, utimensat};

use super::super::tests::limit;
use super::*;

const DAY: u64 = 24 * 3600;

/// A directory with files of a given age in days and size in bytes.
struct Tree {
    _dir: tempfile::TempDir,
    root: PathBuf,
}

impl Tree {
    fn new(files: &[(&str, u64, usize)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let tree = Self { _dir: dir, root };
        for (name, days, bytes) in files {
            tree.file(name, *days, *bytes);
        }
        tree
    }

    fn file(&self, name: &str, days: u64, bytes: usize) {
        let path = self.root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, vec![b'x'; bytes]).unwrap();
        let changed = Moment::now().wall.as_second() - i64::try_from(days * DAY).unwrap();
        let time = Timespec { tv_sec: changed, tv_nsec: 0 };
        utimensat(CWD, &path, &Timestamps { last_access: time, last_modification: time }, AtFlags::empty()).unwrap();
    }

    fn run(&self, selection: &Selection<'_>) -> Result<String, String> {
        run(&self.root, selection, Moment::now(), &limit(60))
    }

    /// What is left, files and directories, in order of the names.
    fn left(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut dirs = vec![self.root.clone()];
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
                if entry.file_type().unwrap().is_dir() {
                    dirs.push(entry.path());
                }
                found.push(entry.path().strip_prefix(&self.root).unwrap().display().to_string());
            }
        }
        found.sort();
        found
    }
}

fn older_than_days(days: u64) -> Selection<'static> {
    Selection { older_than: Some(Duration::from_secs(days * DAY)), ..Selection::default() }
}

#[track_caller]
fn check(selection: &Selection<'_>, deleted: &[&str]) {
    let files =
        [("old.log", 10, 10), ("new.log", 1, 10), (".hidden", 10, 10), ("sub/old.tmp", 9, 300_000), ("sub/deep/new.tmp", 0, 300_000)];
    let tree = Tree::new(&files);
    let said = tree.run(selection).unwrap();
    let left = tree.left();
    let gone: Vec<&str> = files.iter().map(|file| file.0).filter(|file| !left.contains(&(*file).to_owned())).collect();
    assert_eq!(gone, deleted, "{said}");
    assert!(left.contains(&"sub/deep".to_owned()), "directories stay");
    let count = if deleted.len() == 1 { "deleted 1 file,".to_owned() } else { format!("deleted {} files,", deleted.len()) };
    assert!(said.starts_with(&count), "{said}");
}

#[test]
fn the_selection_decides() {
    check(&older_than_days(7), &["old.log", ".hidden", "sub/old.tmp"]);
    check(&older_than_days(20), &[]);
    check(&Selection { name: Some("*.tmp"), ..Selection::default() }, &["sub/old.tmp", "sub/deep/new.tmp"]);
    check(&Selection { name: Some("*.tmp"), ..older_than_days(7) }, &["sub/old.tmp"]);
    check(&Selection { name: Some("[a-n]*"), ..Selection::default() }, &["new.log", "sub/deep/new.tmp"]);
    check(&Selection { larger_than: Some(1000), ..older_than_days(7) }, &["sub/old.tmp"]);
    check(&Selection { name: Some("*"), ..Selection::default() }, &["old.log", "new.log", ".hidden", "sub/old.tmp", "sub/deep/new.tmp"]);
}

#[test]
fn it_stops_before_freeing_too_much() {
    let tree = Tree::new(&[("a", 9, 400_000), ("b", 9, 400_000), ("c", 9, 400_000)]);
    let said = tree.run(&Selection { max_delete: Some(900_000), ..older_than_days(7) }).unwrap();
    assert_eq!(tree.left().len(), 1, "{said}");
    assert!(said.contains("1 left, because more would pass max_delete_mb"), "{said}");
}

#[test]
fn a_selection_of_everything_by_omission_is_refused() {
    let tree = Tree::new(&[("a", 9, 1)]);
    for selection in [Selection::default(), Selection { larger_than: Some(0), ..Selection::default() }] {
        assert!(tree.run(&selection).unwrap_err().contains("that would delete every file"));
    }
    assert!(tree.run(&Selection { name: Some("[a"), ..Selection::default() }).unwrap_err().contains("is no glob"));
    assert_eq!(tree.left(), ["a"]);
}

#[test]
fn links_pipes_and_sockets_are_left_alone() {
    let outside = Tree::new(&[("precious", 100, 10)]);
    let tree = Tree::new(&[("old", 9, 10)]);
    symlink(&outside.root, tree.root.join("linked directory")).unwrap();
    symlink(outside.root.join("precious"), tree.root.join("linked file")).unwrap();
    nix::unistd::mkfifo(&tree.root.join("pipe"), nix::sys::stat::Mode::S_IRUSR).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(tree.root.join("socket")).unwrap();
    tree.run(&Selection { name: Some("*"), ..Selection::default() }).unwrap();
    assert_eq!(tree.left(), ["linked directory", "linked file", "pipe", "socket"]);
    assert_eq!(outside.left(), ["precious"]);
}

#[test]
fn a_link_in_the_place_of_the_directory_is_refused() {
    let outside = Tree::new(&[("precious", 100, 10)]);
    let tree = Tree::new(&[]);
    symlink(&outside.root, tree.root.join("cache")).unwrap();
    for directory in [tree.root.join("cache"), tree.root.join("cache/")] {
        let error = run(&directory, &older_than_days(7), Moment::now(), &limit(60)).unwrap_err();
        assert!(error.contains("symbolic link"), "{error}");
    }
    assert_eq!(outside.left(), ["precious"]);
}

#[test]
fn another_name_of_a_file_frees_nothing_and_keeps_the_content() {
    let outside = Tree::new(&[("precious", 100, 3_000_000)]);
    let tree = Tree::new(&[]);
    fs::hard_link(outside.root.join("precious"), tree.root.join("name")).unwrap();
    let said = tree.run(&older_than_days(7)).unwrap();
    assert_eq!(said, "deleted 1 file, freed 0.0 MiB");
    assert_eq!(fs::metadata(outside.root.join("precious")).unwrap().len(), 3_000_000);
}

#[test]
fn a_directory_that_turns_into_a_link_is_not_entered() {
    let outside = Tree::new(&[("precious", 100, 10)]);
    let tree = Tree::new(&[("real/old", 9, 10)]);
    let mut sweep = Sweep::new(&older_than_days(7), Moment::now()).unwrap();
    let top = open_directory(&tree.root).unwrap();
    let found = look(&top, c"real").unwrap();
    sweep.device = device(&found);
    fs::rename(tree.root.join("real"), tree.root.join("moved")).unwrap();
    symlink(&outside.root, tree.root.join("real")).unwrap();
    assert!(sweep.descend(&top, c"real", &found).is_none(), "swapped between the look and the opening");
    assert!(sweep.entry(&top, c"real", FileType::Directory).is_none(), "swapped between the listing and the look");
    assert_eq!((sweep.failures, outside.left().len()), (0, 1));
}

#[test]
fn another_file_system_is_not_entered() {
    let tree = Tree::new(&[("sub/old", 9, 10)]);
    let mut sweep = Sweep::new(&older_than_days(7), Moment::now()).unwrap();
    let top = open_directory(&tree.root).unwrap();
    sweep.device = device(&look(&top, c"sub").unwrap()) + 1;
    assert!(sweep.entry(&top, c"sub", FileType::Directory).is_none());
    assert_eq!(sweep.elsewhere, 1);
}

#[test]
fn depth_is_bounded() {
    let tree = Tree::new(&[("file", 9, 10)]);
    let deep = vec!["d"; DEEPEST].join("/");
    tree.file(&format!("{deep}/old"), 9, 10);
    tree.file(&format!("{}/old", vec!["e"; DEEPEST - 1].join("/")), 9, 10);
    let said = tree.run(&older_than_days(7)).unwrap();
    assert!(said.starts_with("deleted 2 files") && said.contains("1 not entered, because they lie too deep"), "{said}");
    assert!(tree.root.join(deep).join("old").exists());
}

#[test]
fn it_ends_when_its_time_is_over_or_the_agent_stops() {
    let tree = Tree::new(&[("old", 9, 10)]);
    let over = run(&tree.root, &older_than_days(7), Moment::now(), &limit(0)).unwrap_err();
    assert!(over.contains("its time was over; until then deleted 0 files"), "{over}");
    let stopping = limit(60);
    stopping.stop.store(true, Ordering::Relaxed);
    let stopped = run(&tree.root, &older_than_days(7), Moment::now(), &stopping).unwrap_err();
    assert!(stopped.contains("the agent stops"), "{stopped}");
    assert_eq!(tree.left(), ["old"]);
}

#[test]
fn a_directory_that_is_not_there_is_an_error() {
    let tree = Tree::new(&[]);
    let error = run(&tree.root.join("absent"), &older_than_days(7), Moment::now(), &limit(60)).unwrap_err();
    assert!(error.contains("\"absent\" does not exist"), "{error}");
}
