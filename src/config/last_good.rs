//! Copies of the files in force, kept in the data directory: a start on bad files runs them.
//!
//! `last-good/` holds each text under its SHA-256, and `pair.json`, which names the two that were in force together and the
//! directory that they came from. That file is replaced as a whole, so a crash leaves the old pair or the new one, never half of
//! each. All of them are for the owner only.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::source::{self, PLAYBOOKS, SETTINGS, Source};
use super::{Digests, Half, Halves, Trust};

const PAIR: &str = "pair.json";

/// What `pair.json` says.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Pair {
    /// The directory of the configuration: copies of another one are not meant.
    config_dir: String,
    /// The SHA-256 of the playbooks, in hexadecimal.
    playbooks: String,
    /// That of the settings; `None` where the embedded ones are in force.
    settings: Option<String>,
}

/// The directory of the copies.
#[derive(Debug)]
pub(super) struct LastGood {
    dir: PathBuf,
    config_dir: PathBuf,
    /// The pair that is known to be kept.
    kept: Option<Digests>,
    /// That it could not be kept was said.
    told: bool,
}

impl LastGood {
    pub(super) fn new(data_dir: &Path, config_dir: &Path) -> Self {
        Self { dir: data_dir.join("last-good"), config_dir: config_dir.to_owned(), kept: None, told: false }
    }

    /// Keeps the files in force, unless they are kept. What cannot be written now is tried again at the next call.
    pub(super) fn keep(&mut self, halves: &Halves) {
        let digests = Digests::of(&halves.playbooks.text(), &halves.settings.text());
        if self.kept.as_ref() == Some(&digests) {
            return;
        }
        match self.write(halves, &digests) {
            Ok(()) => (self.kept, self.told) = (Some(digests), false),
            Err(error) if !self.told => {
                self.told = true;
                log::warn!("configuration: no copy of it can be kept in {}: {error}", self.dir.display());
            }
            Err(_) => {}
        }
    }

    fn write(&self, halves: &Halves, digests: &Digests) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
        let has_settings = halves.settings.source != Source::BuiltIn;
        let pair = Pair {
            config_dir: self.config_dir.display().to_string(),
            playbooks: digests.playbooks.clone(),
            settings: has_settings.then(|| digests.settings.clone()),
        };
        let mut names = vec![PAIR.to_owned()];
        for (half, name, hash) in
            [(&halves.playbooks, PLAYBOOKS, Some(&pair.playbooks)), (&halves.settings, SETTINGS, pair.settings.as_ref())]
        {
            let Some(hash) = hash else { continue };
            let file = copy_name(name, hash);
            replace(&self.dir, &file, half.text().text.as_bytes())?;
            names.push(file);
        }
        replace(&self.dir, PAIR, serde_json::to_string_pretty(&pair)?.as_bytes())?;
        self.tidy(&names);
        Ok(())
    }

    /// Removes the copies of earlier pairs. One that stays does no harm.
    fn tidy(&self, keep: &[String]) {
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let ours = name.to_str().is_some_and(|name| [PLAYBOOKS, SETTINGS].iter().any(|file| name.ends_with(&format!("-{file}"))));
            if ours && !keep.iter().any(|kept| name == kept.as_str()) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// The pair that was in force last, as if read from the directory of the configuration; `None` if there is none of it.
    ///
    /// # Errors
    /// A copy is missing, could have been changed by somebody else, or is not what was kept.
    pub(super) fn read(&self, trust: Trust) -> Result<Option<Halves>, String> {
        let Some(pair) = self.pair(trust)? else { return Ok(None) };
        let playbooks = self.copy(PLAYBOOKS, &pair.playbooks, trust)?;
        let settings = match &pair.settings {
            Some(hash) => self.copy(SETTINGS, hash, trust)?,
            None => Half::read(&Source::BuiltIn, source::shipped_settings, trust),
        };
        Ok(Some(Halves { playbooks, settings }))
    }

    /// Whether the pair that was in force last had settings of its own.
    pub(super) fn had_settings(&self, trust: Trust) -> bool {
        self.pair(trust).is_ok_and(|pair| pair.is_some_and(|pair| pair.settings.is_some()))
    }

    fn pair(&self, trust: Trust) -> Result<Option<Pair>, String> {
        let path = self.dir.join(PAIR);
        let (text, _) = match source::read(&path, trust) {
            Ok(read) => read,
            Err(problem) if problem.code == "file_missing" => return Ok(None),
            Err(problem) => return Err(problem.to_string()),
        };
        let pair: Pair = serde_json::from_str(&text.text).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Some(pair).filter(|pair| pair.config_dir == self.config_dir.display().to_string()))
    }

    fn copy(&self, name: &str, hash: &str, trust: Trust) -> Result<Half, String> {
        let path = self.dir.join(copy_name(name, hash));
        let (text, warnings) = source::read(&path, trust).map_err(|problem| problem.to_string())?;
        if Digests::sha256(&text) != hash {
            return Err(format!("{}: this is not what was kept, its SHA-256 is another", path.display()));
        }
        Ok(Half { source: Source::File(self.config_dir.join(name)), read: Ok((text, warnings)) })
    }
}

fn copy_name(name: &str, hash: &str) -> String {
    format!("{hash}-{name}")
}

/// On the disk when it returns.
fn replace(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    crate::host::replace(&dir.join(name), &dir.join(format!(".{name}.new")), 0o600, bytes, true)
}

#[cfg(test)]
mod tests {
    use super::super::source::{Sources, Text};
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    struct Place {
        dir: tempfile::TempDir,
    }

    impl Place {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir(dir.path().join("config")).unwrap();
            fs::create_dir(dir.path().join("data")).unwrap();
            Self { dir }
        }

        fn last_good(&self) -> LastGood {
            LastGood::new(&self.dir.path().join("data"), &self.dir.path().join("config"))
        }

        fn halves(&self, playbooks: &str, settings: Option<&str>) -> Halves {
            let config = self.dir.path().join("config");
            let _ = fs::remove_file(config.join(SETTINGS));
            fs::write(config.join(PLAYBOOKS), playbooks).unwrap();
            settings.into_iter().for_each(|text| fs::write(config.join(SETTINGS), text).unwrap());
            Halves::read(&Sources::in_directory(&config), Trust::Anyone)
        }

        fn copies(&self) -> Vec<PathBuf> {
            let mut found: Vec<_> = fs::read_dir(self.last_good().dir).unwrap().map(|entry| entry.unwrap().path()).collect();
            found.sort();
            found
        }
    }

    fn texts(halves: &Halves) -> (Text, Text) {
        (halves.playbooks.text(), halves.settings.text())
    }

    #[test]
    fn the_last_pair_comes_back() {
        let place = Place::new();
        assert_eq!(place.last_good().read(Trust::Anyone), Ok(None));
        for (playbooks, settings) in [("{\"a\": 1}", Some("{}")), ("{\"a\": 2}", Some("{\"b\": 1}")), ("{\"a\": 3}", None)] {
            let halves = place.halves(playbooks, settings);
            place.last_good().keep(&halves);
            let back = place.last_good().read(Trust::Anyone).unwrap().unwrap();
            let ((books, set), (kept_books, kept_set)) = (texts(&halves), texts(&back));
            assert_eq!((&books.text, &set.text), (&kept_books.text, &kept_set.text));
            assert_eq!(back.settings.source, halves.settings.source, "as if read from its own directory");
            assert_eq!(place.last_good().had_settings(Trust::Anyone), settings.is_some());
            assert_eq!(place.copies().len(), if settings.is_some() { 3 } else { 2 }, "nothing older is left: {:?}", place.copies());
        }
        for path in place.copies() {
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
        }
    }

    #[test]
    fn what_was_changed_is_not_used() {
        let place = Place::new();
        place.last_good().keep(&place.halves("{\"a\": 1}", Some("{}")));
        let copy = place.copies().into_iter().find(|path| path.ends_with(copy_name(PLAYBOOKS, &hash("{\"a\": 1}")))).unwrap();
        fs::write(&copy, "{\"a\": 2}").unwrap();
        assert!(place.last_good().read(Trust::Anyone).unwrap_err().contains("SHA-256"));
        fs::remove_file(&copy).unwrap();
        assert!(place.last_good().read(Trust::Anyone).unwrap_err().contains("no such file"));
        fs::write(place.last_good().dir.join(PAIR), "{\"config_dir\": ").unwrap();
        assert!(place.last_good().read(Trust::Anyone).unwrap_err().contains(PAIR));
    }

    #[test]
    fn copies_of_another_directory_are_not_meant() {
        let place = Place::new();
        place.last_good().keep(&place.halves("{}", None));
        let other = LastGood::new(&place.dir.path().join("data"), Path::new("/elsewhere"));
        assert_eq!(other.read(Trust::Anyone), Ok(None));
    }

    #[test]
    fn what_cannot_be_kept_now_is_kept_later() {
        let place = Place::new();
        let mut last_good = place.last_good();
        fs::write(&last_good.dir, "in the way").unwrap();
        let halves = place.halves("{}", None);
        last_good.keep(&halves);
        fs::remove_file(&last_good.dir).unwrap();
        last_good.keep(&halves);
        assert!(last_good.read(Trust::Anyone).unwrap().is_some());
    }

    fn hash(text: &str) -> String {
        Digests::sha256(&Text::new("f", text))
    }
}
