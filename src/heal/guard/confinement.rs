//! How a program is held while it runs: which programs need no more than to write below the places of their rule, and which
//! must not be held at all.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use super::compile::Rule;
use super::path::Root;
use super::rule::{Form, Pattern};
use super::special::base_name;
use super::token::tokenise;

/// What holds a program. Native actions run in the agent, which looks at each path by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Confinement {
    /// Nothing, and why not.
    Free(&'static str),
    /// It gains no rights by set-user-ID programs; why not more.
    NoNewPrivileges(&'static str),
    /// Besides, it writes only below these directories (and to `/dev/null`), and starts no other program.
    Sandboxed {
        /// Absolute, without links.
        writable: Vec<String>,
        /// By the rule's `"sandbox": "on"`, not only by the table of programs.
        asked: bool,
    },
}

/// Programs that start no other and write nothing but what their operands name, or beside it (their manual pages). gunzip and
/// zcat are none of them: on most systems they are scripts that start gzip. chmod and chown are none: a sandbox does not hold
/// modes and owners.
const TOOLS: &[&str] = &["bzip2", "cp", "find", "gzip", "ln", "mkdir", "mv", "rm", "rmdir", "touch", "truncate", "xz", "zstd"];

/// Words by which find starts programs.
const STARTING: &[&str] = &["-exec", "-execdir", "-ok", "-okdir"];

/// Programs whose children are, or may be, daemons: what holds the program would hold them as long as they live.
const SERVICE_MANAGERS: &[&str] = &[
    "apache2ctl",
    "apachectl",
    "brew",
    "certbot",
    "initctl",
    "invoke-rc.d",
    "launchctl",
    "logrotate",
    "monit",
    "nginx",
    "openclaw",
    "openrc",
    "pm2",
    "podman",
    "rc-service",
    "s6-rc",
    "service",
    "start-stop-daemon",
    "supervisord",
    "sv",
    "systemctl",
    "systemd-run",
];

/// Programs that exist to gain rights.
const TO_OTHER_USERS: &[&str] = &["doas", "pkexec", "run0", "runuser", "su", "sudo"];

impl Confinement {
    /// What holds the program `word` (as the rule has it), the file `file`, by the rules that allow it.
    pub(super) fn of(word: &str, file: Option<&Path>, sandbox: Option<bool>, writable: Option<&[String]>) -> Self {
        let name = base_name(word);
        match (sandbox, writable) {
            (Some(false), _) => Self::Free("its rule says \"sandbox\": \"off\""),
            (Some(true), Some(writable)) => Self::Sandboxed { writable: writable.to_vec(), asked: true },
            _ if SERVICE_MANAGERS.contains(&name) || is_init_script(word) => {
                Self::Free("a daemon that it starts would be held as long as it lives")
            }
            _ if TO_OTHER_USERS.contains(&name) => Self::Free("it exists to gain privileges"),
            (None, Some(_)) if file.is_some_and(is_script) => Self::NoNewPrivileges("it is a script here, which starts others"),
            (None, Some(writable)) => Self::Sandboxed { writable: writable.to_vec(), asked: false },
            _ => Self::NoNewPrivileges("it is none of the programs that are known to need less (\"sandbox\": \"on\" confines it)"),
        }
    }

    /// The directories that a program may write below, by what the rules together name; `None`: no rule confines it.
    pub(super) fn writable(rules: &[&Rule]) -> Option<Vec<String>> {
        let confining = rules.iter().filter(|rule| rule.sandbox == Some(true) || needs_no_more(&rule.form));
        confining.map(|rule| directories(&rule.form)).reduce(|one, other| {
            let (in_one, in_other) = (one.iter().filter(|path| is_below(path, &other)), other.iter().filter(|path| is_below(path, &one)));
            let mut both: Vec<String> = in_one.chain(in_other).cloned().collect();
            both.sort();
            both.dedup();
            both
        })
    }
}

fn is_init_script(program: &str) -> bool {
    program.contains("/init.d/") || program.contains("/rc.d/")
}

fn is_script(file: &Path) -> bool {
    let mut first = [0; 2];
    File::open(file).and_then(|mut file| file.read_exact(&mut first)).is_ok() && first == *b"#!"
}

/// Whether the rule is for a program of the table, says where by a slot, and has it start nothing.
fn needs_no_more(form: &Form) -> bool {
    let patterns = form.patterns();
    let has_place = patterns.iter().flat_map(|pattern| pattern.slots()).any(|slot| slot.roots().is_some());
    let starts = patterns.iter().any(|pattern| pattern.literal().is_some_and(|word| STARTING.contains(&word)));
    has_place && !starts && TOOLS.contains(&base_name(form.program().unwrap_or_default()))
}

/// The directories of the places that a rule names: the roots of its slots, and the paths that it spells out. find writes only
/// below its starting points, which come first; with other files it compares.
fn directories(form: &Form) -> Vec<String> {
    let spelled_out: Vec<String> = match form {
        Form::Exact(text) => tokenise(text).into_iter().flatten().map(|word| super::template::show(&word.pieces)).collect(),
        Form::Words(_) => form.patterns().into_iter().filter_map(Pattern::literal).map(str::to_owned).collect(),
    };
    let is_find = base_name(form.program().unwrap_or_default()) == "find";
    let paths = spelled_out.into_iter().skip(1).take_while(|word| !is_find || word.starts_with('/')).filter(|word| word.starts_with('/'));
    let mut found: Vec<String> = paths.filter_map(|word| Root::parse(&word).ok()).map(|root| directory(&root, false)).collect();
    for slot in form.patterns().iter().flat_map(|pattern| pattern.slots()) {
        if let Some((roots, tree)) = slot.roots() {
            found.extend(roots.iter().map(|root| directory(root, tree)));
        }
    }
    found.sort();
    found.dedup();
    found
}

/// The right to make, move and remove a name belongs to the directory that holds it: a root that is a file, or may become one,
/// stands for its directory.
fn directory(root: &Root, tree: bool) -> String {
    let path = Path::new(if root.real.is_empty() { "/" } else { &root.real });
    let is_directory = fs::metadata(path).map_or(tree, |meta| meta.is_dir());
    let directory = if is_directory { path } else { path.parent().unwrap_or(path) };
    directory.to_string_lossy().into_owned()
}

fn is_below(path: &str, roots: &[String]) -> bool {
    roots.iter().any(|root| Path::new(path).starts_with(root))
}

#[cfg(test)]
#[path = "confinement_tests.rs"]
mod tests;
