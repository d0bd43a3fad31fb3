use std::fs;
use std::io::Write;

use rustix::fs::{CWD, Timespec, Timestamps, utimensat};

use super::*;
use crate::heal::action::tests::limit;

/// A directory, with a file for each name, age in seconds and size in KiB.
fn tree(files: &[(&str, i64, usize)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, age, size) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut file = fs::File::create(&path).unwrap();
        file.write_all(&vec![b'x'; size * 1024]).unwrap();
        // Some file systems give blocks to a file only when it is written out.
        file.sync_all().unwrap();
        let time = Timespec { tv_sec: Moment::now().wall.as_second() - age, tv_nsec: 0 };
        utimensat(CWD, &path, &Timestamps { last_access: time, last_modification: time }, AtFlags::empty()).unwrap();
    }
    dir
}

fn walk(dir: &Path, most_entries: usize, seconds: u64) -> Walk {
    Walk::run(dir, Moment::now(), most_entries, &limit(seconds)).unwrap()
}

fn names(walk: &Walk) -> Vec<String> {
    walk.largest.iter().map(|file| file.path.to_string_lossy().into_owned()).collect()
}

#[test]
fn the_largest_that_were_written_lately_are_found() {
    let files = [
        ("a.log", 60, 64),
        ("sub/b.log", 7200, 1024),
        ("sub/deep/c.log", 10, 128),
        ("old.log", 90_000, 2048),
        ("d", 1, 32),
        ("e", 1, 16),
        ("f", 1, 8),
    ];
    let dir = tree(&files);
    let place = Place { mount: dir.path().to_owned(), device: String::new(), bytes: 0 };
    let found = gather(&place, Moment::now(), &limit(60)).unwrap();
    let [section] = found.sections.as_slice() else { panic!("{found:?}") };
    assert!(section.title == TITLE && section.note.is_none() && section.lines.len() == SHOWN, "{section:?}");
    assert_eq!(names(&walk(dir.path(), 100, 60)), ["sub/b.log", "sub/deep/c.log", "a.log", "d", "e"]);
    let first = format!("ago: {}/sub/b.log", dir.path().display());
    assert!(section.lines[0].starts_with("1.0 MiB, written 2 h") && section.lines[0].ends_with(&first), "{section:?}");
}

#[test]
fn a_sparse_file_counts_what_it_takes_up() {
    let dir = tree(&[("small", 1, 64)]);
    fs::File::create(dir.path().join("sparse")).unwrap().set_len(1 << 40).unwrap();
    assert_eq!(names(&walk(dir.path(), 100, 60)), ["small"]);
}

#[test]
fn links_are_not_followed_and_a_file_counts_once() {
    let dir = tree(&[("sub/a", 1, 64)]);
    let elsewhere = tree(&[("b", 1, 128)]);
    std::os::unix::fs::symlink(elsewhere.path(), dir.path().join("link")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path().join("b"), dir.path().join("file")).unwrap();
    std::os::unix::fs::symlink("..", dir.path().join("sub/circle")).unwrap();
    nix::unistd::mkfifo(&dir.path().join("pipe"), nix::sys::stat::Mode::S_IRUSR).unwrap();
    fs::hard_link(dir.path().join("sub/a"), dir.path().join("sub/again")).unwrap();
    let found = walk(dir.path(), 100, 60);
    assert_eq!((found.largest.len(), found.note()), (1, None));
    assert!(found.largest[0].path.starts_with("sub"));
}

#[test]
fn what_the_limits_leave_out_is_said() {
    let dir = tree(&[("a", 1, 8), ("b", 1, 8), ("c", 1, 8), ("d/e", 1, 8)]);
    assert_eq!(walk(dir.path(), 3, 60).note().as_deref(), Some("only 3 entries were looked at, because there are more"));
    assert_eq!(walk(dir.path(), 5, 60).note(), None);
    let late = walk(dir.path(), 100, 0);
    assert_eq!((late.note().as_deref(), late.largest.len()), (Some("only 0 entries were looked at, because the time was over"), 0));
}

#[test]
fn a_hostile_name_stays_on_its_line() {
    let dir = tree(&[("a\nb\u{1b}[31m", 1, 8)]);
    let place = Place { mount: dir.path().to_owned(), device: String::new(), bytes: 0 };
    let found = gather(&place, Moment::now(), &limit(60)).unwrap();
    assert!(found.sections[0].lines[0].ends_with("/a\u{fffd}b\u{fffd}[31m"), "{found:?}");
}

#[test]
fn other_file_systems_are_left_alone() {
    // /proc is one on every Linux host.
    if Path::new("/proc/self").exists() {
        let found = walk(Path::new("/"), 2000, 60);
        assert!(found.largest.iter().all(|file| !file.path.starts_with("proc") && !file.path.starts_with("sys")));
        assert!(found.open(Path::new("proc")).map_or_else(|error| error == Errno::XDEV, |dir| dir.is_none()));
    }
}

#[test]
fn a_place_is_a_mount_that_cannot_hang() {
    let of = |mount: &str| Place::of(&Target { identity: crate::sample::Labels::from([("mount", mount)]), ..Target::default() });
    let root = of("/").unwrap();
    assert!(root.bytes > 0 && !root.device.is_empty());
    assert_eq!(of("/no/such/mount").unwrap_err(), "nothing is mounted there");
    assert_eq!(Place::of(&Target::default()).unwrap_err(), "the target has no mount");
}
