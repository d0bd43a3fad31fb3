use crossbeam_channel::{Sender, bounded};

use super::*;

fn manager(respects_people: bool) -> Manager {
    Manager::new(respects_people, Exclusions::default())
}

fn at(seconds: f64) -> Moment {
    Moment::at_seconds(seconds)
}

fn state(active: &str, sub: &str) -> State {
    let word = str::to_owned;
    State {
        load: word("loaded"),
        active: word(active),
        sub: word(sub),
        notify_access: word("none"),
        result: word("success"),
        ..State::default()
    }
}

/// Stopped while it ran, by a job.
fn by_job() -> State {
    State { inactive_exit: 1, main_start: 1, active_exit: 2, main_exit: 3, ..state("inactive", "dead") }
}

fn unknown(reason: &str) -> Down {
    Down::Unknown(format!("unit web.service {reason}"))
}

#[test]
fn others_have_a_minute_and_a_half() {
    let mut manager = manager(true);
    let starting = state("activating", "start");
    assert_eq!(manager.judge("web.service", starting.clone(), at(0.0)), unknown("is starting"));
    let restarting = state("activating", "auto-restart");
    assert_eq!(manager.judge("web.service", restarting, at(89.9)), unknown("waits for its automatic restart"));
    let late = manager.judge("web.service", starting.clone(), at(90.0));
    assert_eq!(late, Down::Stopped(Some("unit web.service is starting (for 1 min 30 s)".to_owned())));
    // Once it ran, the time begins anew.
    manager.up(None, 42, at(91.0));
    assert_eq!(manager.judge("web.service", starting, at(180.0)), unknown("is starting"));
}

#[test]
fn what_is_in_motion_is_looked_at_again_soon_and_then_less_often() {
    let mut manager = manager(true);
    let mut pauses = Vec::new();
    for look in 0..4 {
        let _ = manager.judge("web.service", state("activating", "auto-restart"), at(f64::from(look)));
        pauses.push(manager.again().unwrap().as_millis());
    }
    assert_eq!(pauses, [50, 100, 200, 400]);
    manager.again = None;
    let failed = State { active: "failed".to_owned(), active_exit: 3, ..by_job() };
    assert_eq!((manager.judge("web.service", failed, at(5.0)), manager.again()), (Down::Stopped(None), None));
}

#[test]
fn an_active_unit_without_its_process_is_believed_for_a_moment() {
    let reason = "is active, though its process is gone";
    // A main process that lives (this test) has left another one behind; none at all is the matter of a unit that remains.
    for main_pid in [u64::from(std::process::id()), 0] {
        let mut manager = manager(true);
        let active = State { main_pid, ..state("active", "running") };
        assert_eq!(manager.judge("web.service", active.clone(), at(0.0)), unknown(reason));
        assert!(matches!(manager.judge("web.service", active, at(0.05)), Down::Stopped(Some(_))));
    }
    // systemd has not seen yet that its main process is dead.
    let mut manager = manager(true);
    let active = State { main_pid: 4_194_305, ..state("active", "running") };
    assert_eq!(manager.judge("web.service", active.clone(), at(0.0)), unknown(reason));
    assert_eq!(manager.judge("web.service", active, at(1.0)), unknown(reason));
}

#[test]
fn a_person_is_respected_unless_the_settings_say_otherwise() {
    let said = |why: &str| Down::Stopped(Some(format!("stopped by a person: web.service {why}")));
    let masked = State { load: "masked".to_owned(), ..state("inactive", "dead") };
    assert_eq!(manager(true).judge("web.service", by_job(), at(0.0)), said("was stopped"));
    assert_eq!(manager(true).judge("web.service", masked.clone(), at(0.0)), said("is masked"));
    for state in [by_job(), masked, state("inactive", "dead")] {
        assert_eq!(manager(false).judge("web.service", state, at(0.0)), Down::Stopped(None));
    }
    let foreign = State { load: "not-found".to_owned(), ..state("inactive", "dead") };
    assert_eq!(manager(true).judge("web.service", foreign, at(0.0)), Down::Stopped(None));
}

/// A journal that is asked about a unit from second 0 on, and the questions that it got.
struct Asked(Journal, Vec<Sender<bool>>);

impl Asked {
    fn new() -> Self {
        Self(Journal { about: Some((state("inactive", "dead"), at(0.0))), ..Journal::default() }, Vec::new())
    }

    fn says(&mut self, now: f64) -> Option<bool> {
        let Self(journal, questions) = self;
        journal.says(at(now), || {
            let (sender, answer) = bounded(1);
            questions.push(sender);
            answer
        })
    }
}

#[test]
fn a_stop_in_the_journal_counts_at_once_and_while_it_is_looked_up_again() {
    let mut asked = Asked::new();
    assert_eq!((asked.says(0.0), asked.says(0.01), asked.1.len()), (None, None, 1));
    asked.1[0].send(true).unwrap();
    assert_eq!((asked.says(0.02), asked.says(299.0), asked.1.len()), (Some(true), Some(true), 1));
    assert_eq!((asked.says(300.0), asked.1.len()), (Some(true), 2));
    // It was started meanwhile, and ended by itself.
    asked.1[1].send(false).unwrap();
    assert_eq!(asked.says(300.1), Some(false));
}

#[test]
fn a_journal_that_knows_of_no_stop_may_be_behind() {
    let mut asked = Asked::new();
    assert_eq!(asked.says(0.0), None);
    asked.1[0].send(false).unwrap();
    assert_eq!((asked.says(0.1), asked.1.len()), (None, 2));
    asked.1[1].send(false).unwrap();
    assert_eq!((asked.says(0.25), asked.1.len()), (None, 3));
    asked.1[2].send(false).unwrap();
    assert_eq!((asked.says(0.3), asked.1.len()), (Some(false), 3));
}

#[test]
fn where_the_journal_cannot_be_asked_nobody_has_stopped_it() {
    let mut asked = Asked::new();
    assert_eq!(asked.says(1.0), None);
    asked.1.clear();
    assert_eq!(asked.says(1.1), Some(false));
}

#[test]
fn without_systemd_a_process_is_what_it_is() {
    if !systemd::is_here() {
        let mut manager = manager(true);
        manager.up(Some("web.service"), 42, at(0.0));
        assert_eq!(manager.down("web.service", at(1.0)), Down::Stopped(None));
        assert_eq!((manager.again(), manager.status()), (None, None));
    }
}

#[test]
fn a_slow_systemd_is_believed_for_a_second() {
    let mut manager = manager(true);
    let answer = |pid| Some(Answer { unit: "web.service".to_owned(), state: by_job(), at: at(0.0), pid, over: false });
    manager.answer = answer(None);
    assert_eq!(manager.stands("web.service", at(0.9)), Some(by_job()));
    assert_eq!((manager.stands("web.service", at(1.0)), manager.stands("db.service", at(0.1))), (None, None));
    manager.answer = answer(None).map(|answer| Answer { state: state("active", "running"), ..answer });
    assert_eq!(manager.stands("web.service", at(0.1)), None, "what was not settled");
    manager.answer = answer(Some(42));
    assert_eq!(manager.stands("web.service", at(0.1)), None, "what was said of a process that ran");
    manager.answer = answer(None);
    manager.up(None, 42, at(0.1));
    assert_eq!(manager.stands("web.service", at(0.2)), None, "it ran in between");
}
