//! Reading the two files: at most 1 MiB, regular files, UTF-8.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::problem::{Draft, Problem};
use super::trust::{self, Trust};

/// The name of the playbook file in a configuration directory.
pub const PLAYBOOKS: &str = "autoheal-playbooks.json";
/// The name of the settings file in a configuration directory.
pub const SETTINGS: &str = "autoheal.json";
/// What problems in the embedded files name as their file.
pub const BUILT_IN: &str = "(built in)";

const MAX_BYTES: u64 = 1024 * 1024;
const SHIPPED_PLAYBOOKS: &str = include_str!("../../config/autoheal-playbooks.json");
const SHIPPED_SETTINGS: &str = include_str!("../../config/autoheal.json");

/// Where a file comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// This file.
    File(PathBuf),
    /// The shipped file, embedded in the program.
    BuiltIn,
}

/// Where both files come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources {
    /// `autoheal-playbooks.json`
    pub playbooks: Source,
    /// `autoheal.json`
    pub settings: Source,
}

impl Sources {
    /// The shipped files.
    #[must_use]
    pub fn built_in() -> Self {
        Self { playbooks: Source::BuiltIn, settings: Source::BuiltIn }
    }

    /// Both files of a directory. Without settings there, the embedded ones are meant (hence a dry run).
    #[must_use]
    pub fn in_directory(dir: &Path) -> Self {
        let settings = dir.join(SETTINGS);
        // A link that leads nowhere is a file that is missing, not a directory without settings.
        let settings = if settings.symlink_metadata().is_ok() { Source::File(settings) } else { Source::BuiltIn };
        Self { playbooks: Source::File(dir.join(PLAYBOOKS)), settings }
    }
}

/// A file's content and its name for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// As messages name it.
    pub file: String,
    /// The whole content.
    pub text: Arc<str>,
}

impl Text {
    /// A text that does not have to be in a file.
    #[must_use]
    pub fn new(file: impl Into<String>, text: &str) -> Self {
        Self { file: file.into(), text: text.into() }
    }
}

/// The contents of both files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Texts {
    /// `autoheal-playbooks.json`
    pub playbooks: Text,
    /// `autoheal.json`
    pub settings: Text,
}

impl Texts {
    /// The content of the file that a problem names.
    #[must_use]
    pub fn of(&self, file: &str) -> Option<&str> {
        [&self.settings, &self.playbooks].into_iter().find(|text| text.file == file).map(|text| &*text.text)
    }
}

/// The shipped playbooks.
#[must_use]
pub fn shipped_playbooks() -> Text {
    Text::new(format!("{BUILT_IN}/{PLAYBOOKS}"), SHIPPED_PLAYBOOKS)
}

/// The shipped settings.
#[must_use]
pub fn shipped_settings() -> Text {
    Text::new(format!("{BUILT_IN}/{SETTINGS}"), SHIPPED_SETTINGS)
}

/// How often a file that is written while it is read is read again at once.
const ATTEMPTS: usize = 3;

/// Reads a file after checking that only trusted people can write it.
///
/// # Errors
/// The file is missing, unreadable, not regular, over 1 MiB, not UTF-8, being written, or not trusted. The first part of the
/// answer may hold a warning about trust (`--insecure-config`).
pub(crate) fn read(path: &Path, trust: Trust) -> Result<(Text, Vec<Problem>), Box<Problem>> {
    let file = path.display().to_string();
    let fail = |draft: Draft| Box::new(draft.at(&file, "$", 0..0));
    let (bytes, warnings) = bytes(path, trust).map_err(&fail)?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        fail(Draft::error("not_utf8", format!("the file is not UTF-8: byte {at} belongs to no character")))
    })?;
    let warnings = warnings.into_iter().map(|draft| draft.at(&file, "$", 0..0)).collect();
    Ok((Text { file, text: text.into() }, warnings))
}

fn bytes(path: &Path, trust: Trust) -> Result<(Vec<u8>, Vec<Draft>), Draft> {
    for _ in 0..ATTEMPTS {
        let (mut opened, before) = open(path)?;
        let warnings = trust::check(path, &opened, trust)?;
        let too_large = || Draft::error("file_too_large", "the file is larger than 1 MiB");
        if before.len() > MAX_BYTES {
            return Err(too_large());
        }
        let mut bytes = Vec::new();
        (&mut opened).take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(too_large());
        }
        if state(&opened.metadata().map_err(|error| unreadable(&error))?) == state(&before) {
            return Ok((bytes, warnings));
        }
    }
    Err(Draft::error("file_changing", "the file is written while it is read").suggest("try again when it is saved"))
}

/// What changes when a file is written or another one takes its place: inode, size, and when its content and its facts were
/// changed last.
pub(crate) type Stamp = (u64, u64, i64, i64, i64, i64);

fn state(facts: &Metadata) -> Stamp {
    (facts.ino(), facts.size(), facts.mtime(), facts.mtime_nsec(), facts.ctime(), facts.ctime_nsec())
}

/// The state of a file now; `None` for one that is not there.
pub(crate) fn stamp(source: &Source) -> Option<Stamp> {
    match source {
        Source::File(path) => path.metadata().ok().as_ref().map(state),
        Source::BuiltIn => None,
    }
}

fn open(path: &Path) -> Result<(File, Metadata), Draft> {
    // Opening a FIFO would wait for a writer; with this flag it does not, and the next line refuses it.
    let opened = OpenOptions::new().read(true).custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits()).open(path);
    let opened = opened.map_err(|error| match error.kind() {
        ErrorKind::NotFound => Draft::error("file_missing", "no such file"),
        _ => unreadable(&error),
    })?;
    match opened.metadata() {
        Ok(facts) if facts.is_file() => Ok((opened, facts)),
        Ok(_) => Err(Draft::error("file_unreadable", "this is not a regular file")),
        Err(error) => Err(unreadable(&error)),
    }
}

fn unreadable(error: &std::io::Error) -> Draft {
    Draft::error("file_unreadable", format!("the file cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(path: &Path, code: &str) {
        assert_eq!(read(path, Trust::Anyone).unwrap_err().code, code);
    }

    #[test]
    fn only_small_regular_text_files_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, content: &[u8]| {
            let path = dir.path().join(name);
            std::fs::write(&path, content).unwrap();
            path
        };
        let mib = usize::try_from(MAX_BYTES).unwrap();
        assert!(read(&file("full", &vec![b' '; mib]), Trust::Anyone).is_ok());
        refused(&file("over", &vec![b' '; mib + 1]), "file_too_large");
        // Sparse: it would take long to be read, and no memory holds it.
        let huge = file("huge", b"");
        File::options().write(true).open(&huge).unwrap().set_len(1 << 42).unwrap();
        refused(&huge, "file_too_large");
        refused(&file("latin", b"{\"a\": \"\xe9\"}"), "not_utf8");
        refused(&dir.path().join("none"), "file_missing");
        refused(dir.path(), "file_unreadable");
        refused(Path::new("/dev/zero"), "file_unreadable");
        let fifo = dir.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        refused(&fifo, "file_unreadable");
    }
}
