//! Every way in which programs save a file, with the real watcher: one reload each, the new content in force, and not a word
//! about what a file looks like while it is being saved.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use autoheal::clock::Moment;
use autoheal::config::reload::{Beginning, Now, Reloaded, start};
use autoheal::config::{Config, Location, Trust};
use autoheal::threads::Worker;
use crossbeam_channel::{Receiver, Sender, after, bounded, unbounded};

use crate::lab::command;

const BOOKS: &str = "autoheal-playbooks.json";
const SETTINGS: &str = "autoheal.json";
/// A save is loaded within a second of its last write; a loaded machine gets more before the test gives up.
const PATIENCE: Duration = Duration::from_secs(30);

fn books(threshold: usize) -> String {
    let condition = format!(r#"{{"metric": "disk_usage", "operator": ">", "threshold": {threshold}}}"#);
    format!("{{\n  \"full\": {{\n    \"condition\": {condition},\n    \"actions\": []\n  }}\n}}\n")
}

fn threshold(config: &Config) -> usize {
    config.playbooks[0].condition.leading().operand.to_string().parse().unwrap()
}

/// Some programs take their time.
fn pause(milliseconds: u64) {
    let _ = after(Duration::from_millis(milliseconds)).recv();
}

/// A configuration, and the thread that reloads it.
struct Place {
    dir: tempfile::TempDir,
    results: Receiver<Reloaded>,
    requests: Sender<Now>,
    _shutdown: Sender<()>,
    _worker: Worker,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("config")).unwrap();
        fs::create_dir(dir.path().join("data")).unwrap();
        fs::write(dir.path().join("config").join(BOOKS), books(1)).unwrap();
        fs::write(dir.path().join("config").join(SETTINGS), "{}").unwrap();
        let location = Location::named(dir.path().join("config"), Trust::Anyone);
        let beginning = Beginning::read(location, &dir.path().join("data")).unwrap();
        let (changes, results) = unbounded();
        let (requests, asked) = unbounded();
        let (shutdown, stopped) = bounded(0);
        let worker = start(beginning, changes, asked, stopped);
        Self { dir, results, requests, _shutdown: shutdown, _worker: worker }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("config").join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
    }

    /// Runs a line of shell in the directory of the configuration; `$NEW` is the new text.
    fn shell(&self, line: &str, text: &str) {
        let mut shell = command("sh");
        shell.args(["-ec", line]).current_dir(self.path("")).env("NEW", text);
        assert!(shell.status().unwrap().success(), "{line}");
    }

    /// Writes in pieces, with pauses: `dd`, or an upload.
    fn slowly(&self, pieces: usize, milliseconds: u64, text: &str) {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(self.path(BOOKS)).unwrap();
        // Without the last line break, before which the file would be whole.
        let text = text.trim_end().as_bytes();
        for piece in text.chunks(text.len().div_ceil(pieces)) {
            file.write_all(piece).unwrap();
            pause(milliseconds);
        }
    }

    /// The next result.
    fn next(&self, what: &str) -> Reloaded {
        self.results.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("nothing was heard after: {what}"))
    }

    /// The next result is this configuration, as a whole.
    #[track_caller]
    fn loads(&self, what: &str, wanted: usize) -> Arc<Config> {
        match self.next(what) {
            Reloaded::Loaded { config, problems } if problems.is_empty() => {
                assert_eq!(threshold(&config), wanted, "{what}");
                config
            }
            other => panic!("{what}: expected a reload, found {other:?}"),
        }
    }

    #[track_caller]
    fn rejects(&self, what: &str, code: &str) {
        match self.next(what) {
            Reloaded::Rejected(problems) => assert!(problems.iter().any(|problem| problem.code == code), "{what}: {problems:?}"),
            other => panic!("{what}: expected {code}, found {other:?}"),
        }
    }
}

/// Saves in one of the ways in which programs save.
type Save = fn(&Place, &str);

const WAYS: &[(&str, Save)] = &[
    ("in place (VS Code, `>`)", |place, text| place.write(BOOKS, text)),
    ("new file and rename (emacs, gedit)", |place, text| {
        place.write(".new", text);
        place.rename(".new", BOOKS);
    }),
    ("vim, backupcopy=no: the old one becomes the backup", |place, text| {
        place.write("4913", "");
        place.remove("4913");
        place.rename(BOOKS, "autoheal-playbooks.json~");
        place.write(BOOKS, text);
        place.remove("autoheal-playbooks.json~");
    }),
    ("vim, backupcopy=yes: a copy is the backup", |place, text| {
        fs::copy(place.path(BOOKS), place.path("autoheal-playbooks.json~")).unwrap();
        place.write(BOOKS, text);
        place.remove("autoheal-playbooks.json~");
    }),
    ("nano with a backup", |place, text| {
        place.rename(BOOKS, "autoheal-playbooks.json.save");
        place.write(BOOKS, text);
    }),
    ("emacs with a lock and a number", |place, text| {
        symlink("user@host.4711:1", place.path(".#autoheal-playbooks.json")).unwrap();
        place.rename(BOOKS, "autoheal-playbooks.json.~1~");
        place.write(BOOKS, text);
        place.remove(".#autoheal-playbooks.json");
    }),
    ("delete and create (git checkout)", |place, text| {
        place.remove(BOOKS);
        place.write(BOOKS, text);
    }),
    ("delete, and create 300 ms later", |place, text| {
        place.remove(BOOKS);
        pause(300);
        place.write(BOOKS, text);
    }),
    ("truncate, and write 300 ms later", |place, text| {
        place.write(BOOKS, "");
        pause(300);
        place.write(BOOKS, text);
    }),
    ("thirty pieces in three seconds (dd)", |place, text| place.slowly(30, 100, text)),
    ("four pieces in two seconds", |place, text| place.slowly(4, 500, text)),
    ("cp", |place, text| place.shell("printf %s \"$NEW\" > ../new; cp ../new autoheal-playbooks.json", text)),
    ("tee", |place, text| place.shell("printf %s \"$NEW\" | tee autoheal-playbooks.json > /dev/null", text)),
    ("install", |place, text| place.shell("printf %s \"$NEW\" > ../new; install -m 640 ../new autoheal-playbooks.json", text)),
    ("sed -i", |place, text| {
        let line = "n=$(printf %s \"$NEW\" | sed -n 's/.*threshold\": \\([0-9]*\\).*/\\1/p'); \
                    sed -i.bak \"s/threshold\\\": [0-9]*/threshold\\\": $n/\" autoheal-playbooks.json";
        place.shell(line, text);
    }),
    ("written elsewhere and moved here (ansible)", |place, text| {
        place.shell("printf %s \"$NEW\" > ../new; chmod 600 ../new; chmod 644 ../new; mv -f ../new autoheal-playbooks.json", text);
    }),
    ("rsync", |place, text| {
        place.write(".autoheal-playbooks.json.X4fQz1", text);
        let newer = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        File::set_modified(&File::options().write(true).open(place.path(".autoheal-playbooks.json.X4fQz1")).unwrap(), newer).unwrap();
        place.rename(".autoheal-playbooks.json.X4fQz1", BOOKS);
    }),
    ("a link to elsewhere", |place, text| {
        fs::create_dir(place.path("../elsewhere")).unwrap();
        fs::write(place.path("../elsewhere/books.json"), text).unwrap();
        symlink("../elsewhere/books.json", place.path(".link")).unwrap();
        place.rename(".link", BOOKS);
    }),
    ("in place, through that link", |place, text| fs::write(place.path("../elsewhere/books.json"), text).unwrap()),
    ("new file and rename, behind that link", |place, text| {
        fs::write(place.path("../elsewhere/new"), text).unwrap();
        fs::rename(place.path("../elsewhere/new"), place.path("../elsewhere/books.json")).unwrap();
    }),
    ("a Kubernetes volume begins", |place, text| {
        fs::create_dir(place.path("..2026_01")).unwrap();
        place.write("..2026_01/autoheal-playbooks.json", text);
        symlink("..2026_01", place.path("..data")).unwrap();
        symlink("..data/autoheal-playbooks.json", place.path(".link")).unwrap();
        place.rename(".link", BOOKS);
    }),
    ("a Kubernetes volume changes: ..data is swapped", |place, text| {
        fs::create_dir(place.path("..2026_02")).unwrap();
        place.write("..2026_02/autoheal-playbooks.json", text);
        symlink("..2026_02", place.path("..data_tmp")).unwrap();
        place.rename("..data_tmp", "..data");
        fs::remove_dir_all(place.path("..2026_01")).unwrap();
    }),
    ("a file again", |place, text| {
        place.remove(BOOKS);
        place.write(BOOKS, text);
    }),
    ("the whole directory is another one", |place, text| {
        fs::create_dir(place.path("../config.new")).unwrap();
        fs::write(place.path("../config.new").join(BOOKS), text).unwrap();
        fs::write(place.path("../config.new").join(SETTINGS), "{}").unwrap();
        fs::rename(place.path(""), place.path("../config.old")).unwrap();
        fs::rename(place.dir.path().join("config.new"), place.path("")).unwrap();
    }),
    ("in place, in the new directory", |place, text| place.write(BOOKS, text)),
];

#[test]
fn every_way_of_saving_is_one_reload() {
    let place = Place::new();
    let mut slowest = Duration::ZERO;
    for (index, (way, save)) in WAYS.iter().enumerate() {
        save(&place, &books(10 + index));
        let saved = Moment::now();
        place.loads(way, 10 + index);
        slowest = slowest.max(Moment::now().since(saved));
    }
    println!("{} ways of saving; the slowest was in force {slowest:?} after its last write", WAYS.len());
    // What comes later would be a second reload of a save; an answer shows that the thread is done with all that happened.
    let (reply, answer) = bounded(1);
    place.requests.send(Now { reply: Some(reply) }).unwrap();
    assert!(matches!(answer.recv_timeout(PATIENCE).unwrap(), Reloaded::Unchanged));
    assert!(place.results.is_empty(), "{:?}", place.results.try_recv());
}

#[test]
fn what_stays_bad_is_refused_once() {
    let place = Place::new();
    let bad: [(&str, Save, &str); 6] = [
        ("emptied", |place, _| place.write(BOOKS, ""), "file_empty"),
        ("half a file", |place, text| place.write(BOOKS, &text[..text.len() / 2]), "syntax"),
        ("a misspelt key", |place, text| place.write(BOOKS, &text.replace("actions", "acitons")), "unknown_key"),
        ("no text", |place, _| fs::write(place.path(BOOKS), [0xff, 0xfe, 0]).unwrap(), "not_utf8"),
        ("too large", |place, _| File::create(place.path(BOOKS)).unwrap().set_len(64 << 20).unwrap(), "file_too_large"),
        ("gone", |place, _| place.remove(BOOKS), "file_missing"),
    ];
    for (index, (what, save, code)) in bad.iter().enumerate() {
        save(&place, &books(10 + index));
        place.rejects(what, code);
        // The next good one is taken, which shows as well that there was no second refusal.
        place.write(BOOKS, &books(100 + index));
        place.loads(what, 100 + index);
    }
}

#[test]
fn two_files_that_fit_only_together_are_one_save() {
    let place = Place::new();
    let asks = |command: &str| books(7).replace("[]", &format!(r#"[{{"type": "shell", "command": "{command}"}}]"#));
    let allows = r#"{"allowed_commands": ["true"]}"#;
    for pause_between in [100, 600] {
        place.write(BOOKS, &asks("true"));
        pause(pause_between);
        place.write(SETTINGS, allows);
        assert_eq!(place.loads("the playbooks first", 7).settings.allowed_commands.len(), 1);
        place.write(SETTINGS, "{}");
        pause(pause_between);
        place.write(BOOKS, &books(8));
        assert!(place.loads("the settings first", 8).settings.allowed_commands.len() > 1);
    }
    place.write(BOOKS, &asks("true"));
    place.rejects("playbooks that these settings never allow", "command_refused");
}

#[test]
fn a_thousand_saves_are_few_reloads() {
    let place = Place::new();
    let began = Moment::now();
    for count in 1..=1000 {
        place.write(BOOKS, &books(1000 + count));
        pause(10);
    }
    let took = Moment::now().since(began);
    let mut reloads = 0;
    loop {
        match place.next("a thousand saves") {
            Reloaded::Loaded { config, problems } => {
                assert!(problems.is_empty(), "{problems:?}");
                reloads += 1;
                if threshold(&config) == 2000 {
                    break;
                }
            }
            other => panic!("half of a save was called bad: {other:?}"),
        }
    }
    // One for each 0.85 s of writing, the first at once, the last at the end.
    let most = took.as_millis() / 850 + 2;
    println!("1000 saves in {took:?}: {reloads} reloads, at most {most}");
    assert!(reloads <= most, "{reloads} reloads in {took:?}");
}
