use std::fs;
use std::os::unix::fs::symlink;

use crossbeam_channel::unbounded;

use super::super::{Trust, load};
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

    fn location(&self) -> Location {
        Location::named(self.dir.path(), Trust::Anyone)
    }

    fn reloader(&self) -> Reloader {
        let config = load(&self.location()).result.unwrap();
        let mut reloader = Reloader::new(self.location(), Arc::new(config));
        assert!(matches!(reloader.look(false), Reloaded::Unchanged));
        reloader
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
    let mut reloader = place.reloader();
    unchanged(&reloader.look(false));
    unchanged(&reloader.look(true));
    place.save(PLAYBOOKS, &books(2));
    loaded(reloader.look(false), "2", 0);
    place.save(PLAYBOOKS, "{\"full\": ");
    rejected(&reloader.look(false), "syntax");
    unchanged(&reloader.look(false));
    rejected(&reloader.look(true), "syntax");
    place.save(PLAYBOOKS, "");
    rejected(&reloader.look(false), "file_empty");
    fs::remove_file(place.path(PLAYBOOKS)).unwrap();
    rejected(&reloader.look(false), "file_missing");
    assert_eq!(threshold(&reloader.in_force), "2");
    place.save(PLAYBOOKS, &books(2));
    loaded(reloader.look(false), "2", 0);
    place.save(PLAYBOOKS, &books(3));
    loaded(reloader.look(false), "3", 0);
}

#[test]
fn if_one_file_is_bad_the_other_is_loaded() {
    let place = Place::new();
    let mut reloader = place.reloader();
    place.save(PLAYBOOKS, "{");
    rejected(&reloader.look(false), "syntax");
    place.save(SETTINGS, "{\"dry_run\": true}");
    assert!(loaded(reloader.look(false), "1", 2).settings.dry_run);
    place.save(PLAYBOOKS, &books(2));
    assert!(loaded(reloader.look(false), "2", 0).settings.dry_run);
    place.save(SETTINGS, "{\"dry_rum\": false}");
    rejected(&reloader.look(false), "unknown_key");
    place.save(PLAYBOOKS, &books(3));
    assert!(loaded(reloader.look(false), "3", 2).settings.dry_run);
    place.save(PLAYBOOKS, "[]");
    rejected(&reloader.look(false), "wrong_type");
    fs::remove_file(place.path(SETTINGS)).unwrap();
    rejected(&reloader.look(false), "file_missing");
    assert_eq!(threshold(&reloader.in_force), "3");
}

#[test]
fn settings_that_appear_take_the_place_of_the_embedded_ones() {
    let place = Place::new();
    fs::remove_file(place.path(SETTINGS)).unwrap();
    let mut reloader = place.reloader();
    assert!(reloader.in_force.settings.dry_run && reloader.in_force.origin.built_in_settings);
    place.save(SETTINGS, "{}");
    let config = loaded(reloader.look(false), "1", 0);
    assert!(!config.settings.dry_run && !config.origin.built_in_settings);
}

#[test]
fn a_change_before_the_first_look_is_not_lost() {
    let place = Place::new();
    let config = load(&place.location()).result.unwrap();
    place.save(PLAYBOOKS, &books(2));
    loaded(Reloader::new(place.location(), Arc::new(config)).look(false), "2", 0);
}

/// Saves in one of the ways in which programs save.
type Save = fn(&Place, &str);

#[test]
fn every_way_of_saving_is_seen() {
    let ways: [(&str, Save); 6] = [
        ("in place", |place, text| place.save(PLAYBOOKS, text)),
        ("new and rename", |place, text| {
            place.save("new", text);
            fs::rename(place.path("new"), place.path(PLAYBOOKS)).unwrap();
        }),
        ("backup and rename", |place, text| {
            fs::rename(place.path(PLAYBOOKS), place.path("old")).unwrap();
            place.save(PLAYBOOKS, text);
        }),
        ("delete and create", |place, text| {
            fs::remove_file(place.path(PLAYBOOKS)).unwrap();
            place.save(PLAYBOOKS, text);
        }),
        ("link elsewhere", |place, text| {
            let other = place.path("other");
            fs::create_dir_all(&other).unwrap();
            fs::write(other.join("file"), text).unwrap();
            fs::remove_file(place.path(PLAYBOOKS)).unwrap();
            symlink("other/file", place.path(PLAYBOOKS)).unwrap();
        }),
        ("through the link", |place, text| fs::write(place.path("other/file"), text).unwrap()),
    ];
    let place = Place::new();
    let config = Arc::new(load(&place.location()).result.unwrap());
    let (changes, results) = unbounded();
    let (_asks, requests) = unbounded();
    let (shutdown, stopped) = bounded(0);
    let worker = start(place.location(), config, changes, requests, stopped);
    for (index, (way, save)) in ways.into_iter().enumerate() {
        let wanted = 10 + u32::try_from(index).unwrap();
        save(&place, &books(wanted));
        loop {
            let result = results.recv_timeout(LIMIT).unwrap_or_else(|_| panic!("{way} was not seen"));
            match result {
                Reloaded::Loaded { config, .. } if threshold(&config) == wanted.to_string() => break,
                // The file may have been looked at half-way.
                _ => {}
            }
        }
    }
    drop(shutdown);
    assert_eq!(worker.ended().recv_timeout(LIMIT), Ok(true));
}

#[test]
fn a_request_is_answered_about_the_bytes_on_disk() {
    let place = Place::new();
    let config = Arc::new(load(&place.location()).result.unwrap());
    let (changes, _results) = unbounded();
    let (asks, requests) = unbounded();
    let (_shutdown, stopped) = bounded(0);
    let _worker = start(place.location(), config, changes, requests, stopped);
    place.save(PLAYBOOKS, "{\"full\": {}}");
    let (reply, answer) = bounded(1);
    asks.send(Now { reply: Some(reply) }).unwrap();
    rejected(&answer.recv_timeout(LIMIT).unwrap(), "missing_key");
}

#[test]
fn the_log_says_what_changed() {
    let place = Place::new();
    let old = load(&place.location()).result.unwrap();
    place.save(PLAYBOOKS, &books(2).replace("full", "fuller"));
    place.save(SETTINGS, "{\"dry_run\": true}");
    let new = load(&place.location()).result.unwrap();
    assert_eq!(changes(&old, &new), "added=fuller removed=full settings=changed dry_run=true");
    assert!(changes(&new, &old).ends_with("dry_run=false"), "turning it off is news");
    assert_eq!(changes(&old, &old), "nothing that matters changed");
}
