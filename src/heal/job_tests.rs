use super::*;
use std::fs;
use std::os::unix::fs::{chown, symlink};

use crossbeam_channel::unbounded;

use crate::config::parse_settings;
use crate::config::source::Text;
use crate::heal::guard::Policy;

/// Runs an action under one rule; `meanwhile` happens after the guard allowed it and before its intent is on record.
fn run_after(rule: &str, kind: &ActionKind, meanwhile: impl FnOnce() + Send + 'static) -> Outcome {
    let mut settings = parse_settings(&Text::new("autoheal.json", "{}")).unwrap();
    settings.allowed_commands[0].rule = rule.to_owned();
    settings.allowed_commands.truncate(1);
    let (policy, problems) = Policy::compile(&settings);
    assert_eq!(problems, []);
    let permit = policy.review(&Request::of(kind).unwrap(), &Values::new()).unwrap();
    let config = crate::config::parse(&Text::new("playbooks", "{}"), &Text::new("settings", "{}")).unwrap();
    let config = Config { policy: Arc::new(policy), ..config };
    let (done, _) = unbounded();
    let (starts, started) = unbounded::<Start>();
    // A helper that does nothing: what is under test is whether it gets that far.
    let helper = PathBuf::from("/bin/echo");
    let surroundings = Surroundings { helper, stop: Arc::default(), exclusions: Exclusions::default(), done, starts };
    let recorder = threads::spawn("test", move || {
        let start = started.recv().unwrap();
        meanwhile();
        let _ = start.go.send(());
    });
    let timeout = Duration::from_secs(60);
    let job = Job { kind: kind.clone(), unit: None, permit: Some(permit), values: Values::new(), timeout };
    let outcome = run(&job, Vec::new(), &config, &surroundings, (&Gate::new("id", &surroundings, timeout, None), None));
    recorder.ended().recv_timeout(Duration::from_secs(20)).unwrap();
    outcome
}

#[track_caller]
fn refused(outcome: &Outcome, words: &str) {
    assert!(matches!(&outcome.end, End::Failed(reason) if reason.contains(words)), "{outcome:?}");
}

#[test]
fn a_directory_that_is_swapped_after_the_review_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().canonicalize().unwrap();
    let (parent, precious) = (base.join("logs/app"), base.join("precious"));
    let shell = ActionKind::Shell { command: format!("rm {}", parent.join("x.log").display()) };
    let native = ActionKind::ArchiveLog { path: parent.join("x.log").display().to_string(), to: None, keep: None };
    let logs = base.join("logs").display().to_string();
    for (kind, rule) in [(shell, format!("rm {{file:{logs}}}")), (native, format!("archive_log {{file:{logs}}}"))] {
        for directory in [&parent, &precious] {
            fs::create_dir_all(directory).unwrap();
            fs::write(directory.join("x.log"), "text\n").unwrap();
        }
        let outcome = run_after(&rule, &kind, || ());
        assert!(outcome.succeeded(), "{outcome:?}");
        let (from, to) = (parent.clone(), precious.clone());
        let outcome = run_after(&rule, &kind, move || {
            fs::remove_dir_all(&from).unwrap();
            symlink(&to, &from).unwrap();
        });
        refused(&outcome, "is a link");
        assert_eq!(fs::read_to_string(precious.join("x.log")).unwrap(), "text\n");
        fs::remove_file(&parent).unwrap();
    }
}

#[test]
fn a_program_that_is_replaced_after_the_review_is_refused() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    // A program is trusted only where others cannot write, so not below the directory for temporary files.
    let dir = tempfile::tempdir_in("/usr/local/lib").unwrap();
    let tool = dir.path().join("tool");
    fs::copy("/bin/echo", &tool).unwrap();
    fs::copy("/bin/echo", dir.path().join("new")).unwrap();
    let kind = ActionKind::Shell { command: tool.display().to_string() };
    let rule = tool.display().to_string();
    assert!(run_after(&rule, &kind, || ()).succeeded());
    let from = dir.path().join("new");
    refused(&run_after(&rule, &kind, move || fs::rename(from, tool).unwrap()), "was replaced after the guard had looked at it");
}

#[test]
fn a_pid_file_of_another_user_names_only_his_processes() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("web.pid");
    std::fs::write(&path, "1\n").unwrap();
    let of = |user: &str| process::Match {
        pid: 1,
        exe: None,
        command_line: String::new(),
        user: Some(user.to_owned()),
        started_at: jiff::Timestamp::UNIX_EPOCH,
        why: String::new(),
    };
    assert_eq!(meant_by_its_owner(&path, &[of("root")]), Ok(()));
    chown(&path, Some(12_345), None).unwrap();
    assert_eq!(meant_by_its_owner(&path, &[of("12345")]), Ok(()));
    assert!(meant_by_its_owner(&path, &[of("12345"), of("root")]).unwrap_err().contains("12345 could write"));
    assert!(meant_by_its_owner(&dir.path().join("none"), &[of("root")]).is_err());
}
