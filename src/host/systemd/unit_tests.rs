use super::*;

/// `load/file active/sub job result notify`, and the times of `InactiveExit ActiveExit ExecMainStart ExecMainExit`.
#[track_caller]
fn check(state: &str, times: [u64; 4], expected: Verdict) {
    let words: Vec<&str> = state.split([' ', '/']).collect();
    let &[load, file, active, sub, job, result, notify_access] = words.as_slice() else { panic!("{state}") };
    let [inactive_exit, active_exit, main_start, main_exit] = times;
    let word = |word: &str| if word == "-" { String::new() } else { word.to_owned() };
    let state = State {
        load: word(load),
        file: word(file),
        active: word(active),
        sub: word(sub),
        job: job.parse().unwrap(),
        main_pid: 0,
        result: word(result),
        notify_access: word(notify_access),
        inactive_exit,
        active_exit,
        main_start,
        main_exit,
        changed: false,
    };
    assert_eq!(state.verdict(), expected);
    let changed = State { changed: true, ..state };
    assert!(matches!(changed.verdict(), Verdict::Busy(_)), "nothing is read off a unit that changes meanwhile");
}

/// Recorded with systemd 252; of the times only the last digits.
#[test]
fn a_unit_in_motion_is_left_alone() {
    check(
        "loaded/static activating/auto-restart 0 signal none",
        [152_507, 152_364, 592_397, 592_400],
        Verdict::Busy("waits for its automatic restart"),
    );
    check("loaded/static activating/start-pre 7 success none", [976_587, 0, 0, 0], Verdict::Busy("is starting"));
    check("loaded/static activating/start 7 success main", [801_765, 0, 801_712, 0], Verdict::Busy("is starting"));
    check("loaded/enabled deactivating/stop-sigterm 9 success none", [1, 3, 2, 0], Verdict::Busy("is stopping"));
    check("loaded/enabled reloading/reload 9 success none", [1, 0, 2, 0], Verdict::Busy("is reloading"));
    check("loaded/enabled inactive/dead 9 success none", [1, 3, 2, 4], Verdict::Busy("has a queued job"));
    check("loaded/enabled active/running 9 success none", [1, 0, 2, 0], Verdict::Busy("has a queued job"));
    check("loaded/enabled active/running 0 success none", [1, 0, 2, 0], Verdict::Active);
    check("loaded/enabled active/exited 0 success none", [1, 0, 2, 3], Verdict::Active);
}

#[test]
fn what_ended_by_itself_is_healed() {
    // Killed; a clean end; an end with status 1 after a signal; `systemctl kill`: all look the same.
    check("loaded/static failed/failed 0 signal none", [736_482, 1_295_716, 736_236, 1_295_554], Verdict::Fallen);
    check("loaded/enabled inactive/dead 0 success none", [766_195, 1_284_493, 766_046, 1_284_333], Verdict::Fallen);
    check("loaded/static failed/failed 0 exit-code none", [600_580, 1_229_058, 600_284, 1_228_906], Verdict::Fallen);
    check("loaded/static failed/failed 0 signal main", [388_589, 974_518, 388_314, 974_358], Verdict::Fallen);
    // A restart whose main process failed to start.
    check("loaded/static failed/failed 0 exit-code none", [148_514, 180_955, 147_706, 180_786], Verdict::Fallen);
    // It starts before systemd says so, with Type=forking.
    check("loaded/static failed/failed 0 signal none", [47_900_530, 48_658_338, 48_104_544, 48_658_185], Verdict::Fallen);
}

#[test]
fn what_a_person_stopped_is_left_down() {
    check("loaded/enabled inactive/dead 0 success none", [714_121, 1_584_375, 712_343, 1_584_821], Verdict::Stopped("was stopped"));
    // A daemon that ends with 1 when it is told to end.
    check("loaded/static failed/failed 0 exit-code none", [148_628, 901_457, 148_343, 902_110], Verdict::Stopped("was stopped"));
    check("masked/masked inactive/dead 0 success none", [0, 0, 0, 0], Verdict::Stopped("is masked"));
    check("loaded/masked failed/failed 0 signal none", [914_093, 1_776_550, 913_274, 1_776_375], Verdict::Stopped("is masked"));
    check("loaded/masked-runtime inactive/dead 0 success none", [1, 2, 1, 2], Verdict::Stopped("is masked"));
}

#[test]
fn where_the_times_say_nothing_the_journal_is_asked() {
    // Nothing refers to the unit: systemd forgets it when it is down.
    check("loaded/static inactive/dead 0 success none", [0, 0, 0, 0], Verdict::Unclear);
    // RuntimeMaxSec and WatchdogSec stop it as a person does; so does a daemon that announces its own end.
    check("loaded/static failed/failed 0 timeout none", [288_457, 1_307_117, 288_217, 1_307_800], Verdict::Unclear);
    check("loaded/static failed/failed 0 watchdog main", [84_693, 1_307_116, 84_343, 1_308_111], Verdict::Unclear);
    check("loaded/static failed/failed 0 exit-code main", [256_529, 813_937, 256_360, 842_153], Verdict::Unclear);
    // Stopped before it was active; stopped while it waited for its restart; the start limit; a start that failed before its time.
    check("loaded/static failed/failed 0 signal none", [976_587, 0, 0, 0], Verdict::Unclear);
    check("loaded/enabled inactive/dead 0 signal none", [152_507, 152_364, 150_000, 152_146], Verdict::Unclear);
    check("loaded/static failed/failed 0 signal none", [362_904, 362_783, 949_987, 1_362_601], Verdict::Unclear);
    check("loaded/static failed/failed 0 exit-code none", [804_680, 788_831, 0, 0], Verdict::Unclear);
}

#[test]
fn what_systemd_does_not_know_is_no_matter_of_its() {
    check("not-found/- inactive/dead 0 success none", [0, 0, 0, 0], Verdict::Unknown);
    check("-/- -/- 0 - -", [0, 0, 0, 0], Verdict::Unknown);
}

#[test]
fn properties_come_in_the_order_of_the_question() {
    let text = |text: &str| Some(Value::Text(text.to_owned()));
    let number = |number| Some(Value::Number(number));
    let mut values = vec![number(9), text("loaded"), text("enabled"), text("active"), text("running"), number(5), number(1), number(2)];
    values.extend([number(42), text("success"), text("main"), number(3), number(4), number(9)]);
    assert_eq!(values.len(), PROPERTIES.len());
    let state = State::from_values(values.clone());
    let words = (state.load.as_str(), state.file.as_str(), state.active.as_str(), state.sub.as_str());
    assert_eq!(words, ("loaded", "enabled", "active", "running"));
    assert_eq!((state.job, state.inactive_exit, state.active_exit, state.main_pid), (5, 1, 2, 42));
    assert_eq!((state.result.as_str(), state.notify_access.as_str(), state.main_start, state.main_exit), ("success", "main", 3, 4));
    assert!(!state.changed);
    *values.last_mut().unwrap() = number(10);
    assert!(State::from_values(values).changed);
}

#[test]
fn names_become_objects_as_systemd_escapes_them() {
    for (unit, path) in
        [("nginx.service", "nginx_2eservice"), ("postgresql@15-main.service", "postgresql_4015_2dmain_2eservice"), ("7z", "_37z")]
    {
        assert_eq!(object(unit), format!("/org/freedesktop/systemd1/unit/{path}"));
    }
    for (name, full) in
        [("web", "web.service"), ("web.service", "web.service"), ("php8.3-fpm", "php8.3-fpm.service"), ("a.scope", "a.scope")]
    {
        assert_eq!(full_name(name), full);
    }
}

/// For `mod bus`: on a host without systemd nobody is there.
#[test]
fn without_systemd_nobody_can_be_asked() {
    if !crate::host::systemd::is_here() {
        assert!(state("web.service").is_err_and(|error| is_deaf(&error)));
    }
}
