use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::bounded;
use flate2::read::MultiGzDecoder;

use super::super::tests::limit;
use super::*;

/// A directory with a log in it.
struct Home {
    _dir: tempfile::TempDir,
    root: PathBuf,
}

impl Home {
    fn new(content: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        fs::write(root.join("app.log"), content).unwrap();
        Self { _dir: dir, root }
    }

    fn log(&self) -> PathBuf {
        self.root.join("app.log")
    }

    fn archive(&self) -> Result<String, String> {
        run(&self.log(), None, None, Moment::now(), &limit(60))
    }

    /// Names of everything but the log.
    fn others(&self) -> Vec<String> {
        let names = fs::read_dir(&self.root).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| name != "app.log").collect();
        names.sort();
        names
    }

    /// The content of the only archive.
    fn archived(&self) -> String {
        let names = self.others();
        assert_eq!(names.len(), 1, "{names:?}");
        unzip(&self.root.join(&names[0]))
    }

    #[track_caller]
    fn refused(&self, reason: &str) {
        let error = self.archive().unwrap_err();
        assert!(error.contains(reason), "{error}");
    }
}

fn unzip(path: &Path) -> String {
    let mut text = String::new();
    MultiGzDecoder::new(fs::File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    text
}

#[test]
fn the_copy_holds_everything_and_the_log_is_empty_in_place() {
    let text = "a line of a log\n".repeat(50_000);
    let home = Home::new(&text);
    fs::set_permissions(home.log(), fs::Permissions::from_mode(0o644)).unwrap();
    let before = fs::metadata(home.log()).unwrap();
    let mut writer = fs::OpenOptions::new().append(true).open(home.log()).unwrap();
    let said = home.archive().unwrap();
    assert!(said.starts_with("archived 0.8 MiB as ") && said.ends_with(" and truncated the log"), "{said}");
    assert_eq!(home.archived(), text);
    let archive = fs::metadata(home.root.join(&home.others()[0])).unwrap();
    assert_eq!((archive.mode() & 0o7777, archive.uid(), archive.gid()), (0o640, before.uid(), before.gid()));
    writer.write_all(b"next\n").unwrap();
    assert_eq!((fs::read_to_string(home.log()).unwrap(), fs::metadata(home.log()).unwrap().ino()), ("next\n".to_owned(), before.ino()));
}

#[test]
fn rights_are_never_wider_than_the_logs() {
    let home = Home::new("secret\n");
    fs::set_permissions(home.log(), fs::Permissions::from_mode(0o600)).unwrap();
    home.archive().unwrap();
    assert_eq!(fs::metadata(home.root.join(&home.others()[0])).unwrap().mode() & 0o7777, 0o600);
}

#[test]
fn a_writer_goes_on_and_loses_nothing_but_the_last_moment() {
    let home = Home::new(&"0123456789abcde\n".repeat(400_000));
    let stop = Arc::new(AtomicBool::new(false));
    let (started, writing) = bounded(1);
    let writer = {
        let (stop, path) = (stop.clone(), home.log());
        crate::threads::spawn("test writer", move || {
            let mut log = fs::OpenOptions::new().append(true).open(path).unwrap();
            for line in 0.. {
                log.write_all(format!("line {line:010}\n").as_bytes()).unwrap();
                if line == 100 {
                    let _ = started.send(());
                }
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                std::thread::yield_now();
            }
        })
    };
    writing.recv_timeout(Duration::from_secs(30)).unwrap();
    home.archive().unwrap();
    let archived = home.archived();
    let after = |text: &str| text.lines().filter_map(|line| line.strip_prefix("line ")?.parse::<u64>().ok()).collect::<Vec<_>>();
    let deadline = limit(30);
    while fs::metadata(home.log()).unwrap().len() < 100 && !deadline.is_over() {
        std::thread::yield_now();
    }
    stop.store(true, Ordering::Relaxed);
    writer.ended().recv_timeout(Duration::from_secs(30)).unwrap();
    let (copied, kept) = (after(&archived), after(&fs::read_to_string(home.log()).unwrap()));
    assert!(copied.iter().copied().eq(0..copied.len() as u64), "the copy has no hole");
    let first = *kept.first().expect("the writer went on");
    assert!(first >= copied.len() as u64, "nothing stands in both");
    assert!(kept.iter().copied().eq(first..first + kept.len() as u64), "the log has no hole");
}

/// What becomes of a log to which something is added at every look.
fn chased(home: &Home) -> (Result<Emptied, GivenUp>, String) {
    let (parent, name) = open_parent(&home.log()).unwrap();
    let (store, limit) = (open_directory(&home.root).unwrap(), limit(60));
    let log = open_log(&parent, &name).unwrap();
    let mut writer = fs::OpenOptions::new().append(true).open(home.log()).unwrap();
    let written = std::cell::RefCell::new(fs::read_to_string(home.log()).unwrap());
    let write = || {
        let mut written = written.borrow_mut();
        let line = format!("a line of {} bytes that the writer added before anybody could look away\n", written.len());
        writer.write_all(line.as_bytes()).unwrap();
        written.push_str(&line);
        true
    };
    let mut copy = Copy::begin(&log, &store, "chased.gz".into(), &limit).unwrap();
    let write = std::cell::RefCell::new(write);
    let end = copy.complete(|| write.borrow_mut()());
    match &end {
        Ok(_) => drop(copy.finish(Emptied::CutOff).unwrap()),
        Err(_) => copy.remove(),
    }
    (end, written.into_inner())
}

#[test]
fn a_writer_that_never_pauses_is_not_chased_for_ever_and_loses_nothing() {
    let home = Home::new(&"0123456789abcde\n".repeat(10_000));
    let (end, written) = chased(&home);
    let kept = fs::read_to_string(home.log()).unwrap();
    match end {
        Ok(Emptied::CutOff) => {
            assert!(kept.len() < 16 * 1024, "{}", kept.len());
            assert_eq!(home.archived() + &kept, written);
        }
        // The file system of this test cannot cut a beginning off (btrfs, tmpfs, not Linux).
        Err(GivenUp::TooFast) => assert_eq!((home.others(), kept), (Vec::new(), written)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn only_a_regular_file_with_one_name_is_archived() {
    let home = Home::new("text\n");
    fs::hard_link(home.log(), home.root.join("other")).unwrap();
    home.refused("has more than one name");
    fs::remove_file(home.log()).unwrap();
    symlink(home.root.join("other"), home.log()).unwrap();
    home.refused("is a symbolic link");
    fs::remove_file(home.log()).unwrap();
    nix::unistd::mkfifo(&home.log(), nix::sys::stat::Mode::S_IRUSR).unwrap();
    home.refused("is no regular file");
    fs::remove_file(home.log()).unwrap();
    fs::create_dir(home.log()).unwrap();
    home.refused("is no regular file");
    fs::remove_dir(home.log()).unwrap();
    home.refused("No such file");
    assert_eq!((home.others(), fs::read_to_string(home.root.join("other")).unwrap()), (vec!["other".to_owned()], "text\n".to_owned()));
}

#[test]
fn the_directory_of_the_copy_may_be_no_link() {
    let (home, outside) = (Home::new("text\n"), tempfile::tempdir().unwrap());
    let to = home.root.join("archive");
    symlink(outside.path(), &to).unwrap();
    let error = run(&home.log(), Some(&to), None, Moment::now(), &limit(60)).unwrap_err();
    assert!(error.contains("symbolic link"), "{error}");
    fs::remove_file(&to).unwrap();
    fs::create_dir(&to).unwrap();
    run(&home.log(), Some(&to), None, Moment::now(), &limit(60)).unwrap();
    assert_eq!((fs::read_dir(&to).unwrap().count(), fs::metadata(home.log()).unwrap().len()), (1, 0));
}

#[test]
fn an_archive_of_the_same_second_is_not_overwritten() {
    let home = Home::new("one\n");
    let now = Moment::now();
    run(&home.log(), None, None, now, &limit(60)).unwrap();
    fs::write(home.log(), "two\n").unwrap();
    let error = run(&home.log(), None, None, now, &limit(60)).unwrap_err();
    assert!(error.contains("cannot name the copy") && error.ends_with("the log is as it was"), "{error}");
    assert_eq!((home.archived().as_str(), fs::read_to_string(home.log()).unwrap().as_str()), ("one\n", "two\n"));
}

#[test]
fn the_newest_archives_are_kept_and_other_files_stay() {
    let home = Home::new("");
    fs::write(home.root.join("app.log.1.gz"), "not ours").unwrap();
    fs::write(home.root.join("app.log-20200101T000000Z.gz.partial"), "left by a crash").unwrap();
    for day in 0..4 {
        fs::write(home.log(), format!("day {day}\n")).unwrap();
        let now = Moment::at_seconds(f64::from(day) * 86_400.0);
        let said = run(&home.log(), None, Some(2), now, &limit(60)).unwrap();
        assert_eq!(said.contains("removed 1 older archives"), day >= 2, "{said}");
    }
    let names = home.others();
    assert_eq!(names.len(), 3, "{names:?}");
    let kept: Vec<String> = names.iter().filter(|name| name.ends_with("Z.gz")).map(|name| unzip(&home.root.join(name))).collect();
    assert_eq!(kept, ["day 2\n", "day 3\n"]);
}

#[test]
fn a_copy_that_is_given_up_leaves_nothing_behind() {
    let home = Home::new("text\n");
    let error = run(&home.log(), None, None, Moment::now(), &limit(0)).unwrap_err();
    assert!(error.contains("not archived, its time was over; the log is as it was"), "{error}");
    assert_eq!((home.others(), fs::read_to_string(home.log()).unwrap()), (Vec::<String>::new(), "text\n".to_owned()));
}

#[test]
fn a_log_that_is_replaced_or_truncated_meanwhile_is_left_alone() {
    let home = Home::new("text\n");
    let (parent, name) = open_parent(&home.log()).unwrap();
    let (store, limit) = (open_directory(&home.root).unwrap(), limit(60));
    let log = open_log(&parent, &name).unwrap();
    let mut copy = Copy::begin(&log, &store, "one.gz".into(), &limit).unwrap();
    fs::rename(home.log(), home.root.join("rotated")).unwrap();
    fs::write(home.log(), "new\n").unwrap();
    assert!(matches!(copy.complete(|| still_there(&parent, &name, &log)), Err(GivenUp::Replaced)));
    copy.remove();
    let mut copy = Copy::begin(&log, &store, "two.gz".into(), &limit).unwrap();
    let truncate = || rustix::fs::ftruncate(&log, 2).is_ok();
    assert!(matches!(copy.complete(truncate), Err(GivenUp::Shrunk)));
    copy.remove();
    assert_eq!((home.others(), fs::read_to_string(home.log()).unwrap()), (vec!["rotated".to_owned()], "new\n".to_owned()));
    assert_eq!(fs::read_to_string(home.root.join("rotated")).unwrap(), "te");
}

#[test]
fn errors_about_room_are_told_as_such() {
    for errno in [Errno::NOSPC, Errno::DQUOT] {
        let reason = GivenUp::from(std::io::Error::from(errno)).for_people(Path::new("/var/log"), &limit(60));
        assert_eq!(reason, "no room for the compressed copy in /var/log");
    }
}
