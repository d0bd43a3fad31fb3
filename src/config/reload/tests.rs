use std::fs;
use std::path::PathBuf;

use crossbeam_channel::unbounded;

use super::super::source::{PLAYBOOKS, SETTINGS};
use super::super::{Location, Trust};
use super::reloader::UNFINISHED;
use super::*;

const LIMIT: Duration = Duration::from_secs(20);

fn books(threshold: u32) -> String {
    format!(r#"{{"full": {{"condition": {{"metric": "disk_usage", "operator": ">", "threshold": {threshold}}}, "actions": []}}}}"#)
}

/// The threshold of the one playbook.
fn threshold(config: &Config) -> String {
    config.playbooks[0].condition.leading().operand.to_string()
}

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { dir: tempfile::tempdir().unwrap() };
        place.save(PLAYBOOKS, &books(1));
        place.save(SETTINGS, "{}");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn save(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn beginning(&self) -> Beginning {
        Beginning::read(Location::named(self.dir.path(), Trust::Anyone), &self.path("data")).unwrap()
    }

    fn looks(&self) -> Looks {
        let mut looks = Looks { reloader: Reloader::new(self.beginning(), Moment::at_seconds(0.0)), seconds: 0.0 };
        unchanged(&looks.look());
        looks
    }
}

/// Looks at the files, at times that the test names.
struct Looks {
    reloader: Reloader,
    seconds: f64,
}

impl Looks {
    fn now(&self) -> Moment {
        Moment::at_seconds(self.seconds)
    }

    fn look(&mut self) -> Reloaded {
        let result = self.reloader.look(false, self.now());
        self.reloader.keep();
        result
    }

    fn asked(&mut self) -> Reloaded {
        self.reloader.look(true, self.now())
    }

    /// A look now comes to nothing, and one a second later to what is returned.
    fn settled(&mut self) -> Reloaded {
        unchanged(&self.look());
        let wait = self.reloader.look_again_in(self.now()).expect("something waits to be judged");
        assert!(wait <= UNFINISHED, "{wait:?}");
        self.seconds += wait.as_secs_f64();
        self.look()
    }
}

#[track_caller]
fn loaded(result: Reloaded, expected: &str, problems: usize) -> Arc<Config> {
    match result {
        Reloaded::Loaded { config, problems: found } => {
            assert_eq!((threshold(&config).as_str(), found.len()), (expected, problems), "{found:?}");
            config
        }
        other => panic!("expected a configuration, found {other:?}"),
    }
}

#[track_caller]
fn rejected(result: &Reloaded, code: &str) {
    match result {
        Reloaded::Rejected(problems) => assert!(problems.iter().any(|problem| problem.code == code), "{problems:?}"),
        other => panic!("expected {code}, found {other:?}"),
    }
}

#[track_caller]
fn unchanged(result: &Reloaded) {
    assert!(matches!(result, Reloaded::Unchanged), "{result:?}");
}

#[test]
fn a_bad_file_changes_nothing_and_a_good_one_is_taken_again() {
    let place = Place::new();
    let mut looks = place.looks();
    unchanged(&looks.asked());
    place.save(PLAYBOOKS, &books(2));
    loaded(looks.look(), "2", 0);
    place.save(PLAYBOOKS, "{\"full\": ");
    rejected(&looks.settled(), "syntax");
    unchanged(&looks.look());
    rejected(&looks.asked(), "syntax");
    place.save(PLAYBOOKS, "");
    rejected(&looks.settled(), "file_empty");
    fs::remove_file(place.path(PLAYBOOKS)).unwrap();
    rejected(&looks.settled(), "file_missing");
    assert_eq!(threshold(&looks.reloader.in_force), "2");
    place.save(PLAYBOOKS, &books(2));
    loaded(looks.look(), "2", 0);
    place.save(PLAYBOOKS, &books(3));
    loaded(looks.look(), "3", 0);
}

#[test]
fn a_save_in_progress_is_not_called_bad() {
    let place = Place::new();
    let mut looks = place.looks();
    for length in 0..books(2).len() {
        place.save(PLAYBOOKS, &books(2)[..length]);
        unchanged(&looks.look());
        looks.seconds += 0.9;
    }
    place.save(PLAYBOOKS, &books(2));
    loaded(looks.look(), "2", 0);
    assert_eq!(looks.reloader.look_again_in(looks.now()), None);
    // What was there before comes back without a word: nothing had been said.
    place.save(PLAYBOOKS, "");
    unchanged(&looks.look());
    place.save(PLAYBOOKS, &books(2));
    unchanged(&looks.look());
    // A whole file is no save in progress.
    place.save(PLAYBOOKS, &books(3).replace("actions", "acitons"));
    rejected(&looks.look(), "unknown_key");
    // Who asks is told about the bytes on disk, and that is the end of it.
    place.save(PLAYBOOKS, "{");
    rejected(&looks.asked(), "syntax");
    looks.seconds += 2.0;
    unchanged(&looks.look());
}

/// Many saves empty the file first, and each look may come just then.
#[test]
fn a_file_that_is_saved_again_and_again_is_not_called_empty() {
    let place = Place::new();
    let mut looks = place.looks();
    place.save(PLAYBOOKS, "");
    for count in 1..10 {
        let file = fs::File::options().write(true).open(place.path(PLAYBOOKS)).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(count)).unwrap();
        unchanged(&looks.look());
        looks.seconds += 0.85;
    }
    looks.seconds += 0.5;
    rejected(&looks.look(), "file_empty");
}

#[test]
fn if_one_file_is_bad_the_other_is_loaded() {
    let place = Place::new();
    let mut looks = place.looks();
    place.save(PLAYBOOKS, "{");
    rejected(&looks.settled(), "syntax");
    place.save(SETTINGS, "{\"dry_run\": true}");
    assert!(loaded(looks.look(), "1", 2).settings.dry_run, "at once: the other file is long known to be bad");
    place.save(PLAYBOOKS, &books(2));
    assert!(loaded(looks.look(), "2", 0).settings.dry_run);
    place.save(SETTINGS, "{\"dry_rum\": false}");
    rejected(&looks.look(), "unknown_key");
    place.save(PLAYBOOKS, &books(3));
    assert!(loaded(looks.look(), "3", 2).settings.dry_run);
    place.save(PLAYBOOKS, "[]");
    rejected(&looks.look(), "wrong_type");
    fs::remove_file(place.path(SETTINGS)).unwrap();
    rejected(&looks.settled(), "file_missing");
    assert_eq!(threshold(&looks.reloader.in_force), "3");
}

#[test]
fn files_that_are_bad_only_together_wait_for_each_other() {
    let place = Place::new();
    let mut looks = place.looks();
    place.save(PLAYBOOKS, &books(2).replace("[]", r#"[{"type": "shell", "command": "true"}]"#));
    unchanged(&looks.look());
    looks.seconds += 0.5;
    place.save(SETTINGS, r#"{"allowed_commands": ["true"]}"#);
    loaded(looks.look(), "2", 0);
}

#[test]
fn settings_that_appear_take_the_place_of_the_embedded_ones() {
    let place = Place::new();
    fs::remove_file(place.path(SETTINGS)).unwrap();
    let mut looks = place.looks();
    assert!(looks.reloader.in_force.settings.dry_run && looks.reloader.in_force.origin.built_in_settings);
    place.save(SETTINGS, "{}");
    let config = loaded(looks.look(), "1", 0);
    assert!(!config.settings.dry_run && !config.origin.built_in_settings);
}

#[test]
fn a_change_before_the_first_look_is_not_lost() {
    let place = Place::new();
    let beginning = place.beginning();
    place.save(PLAYBOOKS, &books(2));
    loaded(Reloader::new(beginning, Moment::at_seconds(0.0)).look(false, Moment::at_seconds(0.0)), "2", 0);
}

#[test]
fn a_start_on_copies_ends_with_the_next_good_save() {
    let place = Place::new();
    drop(place.looks());
    place.save(PLAYBOOKS, "{");
    let beginning = place.beginning();
    assert_eq!((beginning.state(), threshold(&beginning.config).as_str(), beginning.problems[0].code), ("last_good", "1", "syntax"));
    let mut looks = Looks { reloader: Reloader::new(beginning, Moment::at_seconds(0.0)), seconds: 0.0 };
    unchanged(&looks.look());
    // The same content as the copy's is news: now it is the file's.
    place.save(PLAYBOOKS, &books(1));
    loaded(looks.look(), "1", 0);
    unchanged(&looks.look());
    place.save(SETTINGS, "{\"wacht\": 1}");
    place.save(PLAYBOOKS, "{}");
    let beginning = place.beginning();
    assert!(beginning.config.playbooks.is_empty(), "good playbooks go with the copy of the settings");
}

#[test]
fn a_request_is_answered_about_the_bytes_on_disk() {
    let place = Place::new();
    let (changes, _results) = unbounded();
    let (asks, requests) = unbounded();
    let (_shutdown, stopped) = bounded(0);
    let _worker = start(place.beginning(), changes, requests, stopped);
    place.save(PLAYBOOKS, "{\"full\": {");
    let (reply, answer) = bounded(1);
    asks.send(Now { reply: Some(reply) }).unwrap();
    rejected(&answer.recv_timeout(LIMIT).unwrap(), "syntax");
}

/// Without events, as where no watch is left or on a network file system, looking often finds every change.
#[test]
fn without_events_changes_are_found_by_looking() {
    let place = Place::new();
    let (changes, results) = unbounded();
    let (_asks, requests) = unbounded();
    let (shutdown, stopped) = bounded(0);
    let beginning = place.beginning();
    let none: watch::Make = |_| Err(notify::Error::new(notify::ErrorKind::MaxFilesWatch));
    let worker = start_with(none, beginning, changes, requests, stopped);
    for count in 2..5 {
        place.save(PLAYBOOKS, &books(count));
        loaded(results.recv_timeout(LIMIT).unwrap(), &count.to_string(), 0);
    }
    drop(shutdown);
    assert_eq!(worker.ended().recv_timeout(LIMIT), Ok(true));
}
