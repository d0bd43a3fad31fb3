//! What each slot takes, as tables.

use super::*;

#[track_caller]
fn check(slot: &str, value: &str, accepted: bool) {
    assert_eq!(Slot::parse(slot).unwrap().accepts(value), accepted, "{{{slot}}} and {value:?}");
}

#[track_caller]
fn all(slot: &str, good: &[&str], bad: &[&str]) {
    good.iter().for_each(|value| check(slot, value, true));
    bad.iter().for_each(|value| check(slot, value, false));
}

#[test]
fn numbers() {
    all("int", &["0", "123456789"], &["", "-1", "+1", "1234567890", "1h", "١", "1.5", " 1"]);
    all("age", &["+7"], &["7", "-7", "+", "+7d", "++7"]);
    all("size", &["+100M", "1G", "-5k", "10"], &["+", "M", "+1MB", "+1c", "+-1M"]);
    all("duration", &["30", "30s", "2m", "1h", "7d", "2w"], &["s", "1y", "-1s", "1h30m"]);
}

#[test]
fn each_slot_is_what_the_table_says() {
    for words in SLOTS {
        let name = |text: &'static str| text.split(':').next().unwrap();
        assert_eq!(name(words.written), name(words.example));
        all(words.example, &[words.takes], &[words.refuses]);
    }
}

#[test]
fn units() {
    all(
        "unit",
        &["nginx", "nginx.service", "php8.3-fpm", "openvpn@office.service", r"a\x2db", "user-app:1", r"openvpn@My\x20net", r"caf\xc3\xa9"],
        &[
            "",
            "-nginx",
            "--all",
            "a b",
            "a/b",
            "*",
            "a*",
            r"a\x2",
            r"a\n",
            "halt.target",
            "x.mount",
            "x.slice",
            "x.socket",
            "x.timer",
            "x.scope",
            "systemd-logind",
            "systemd-logind.service",
            "dbus",
            "dbus.service",
            "dbus-broker",
            "debug-shell",
            "debug-shell.service",
            "emergency",
            "rescue.service",
            "getty@tty1",
            "serial-getty@ttyS0.service",
            "console-getty",
            "autovt@tty2",
            "initrd-cleanup",
            "autoheal",
            "autoheal.service",
            "autoheal@a",
            "x@autoheal",
            r"auto\x68eal",
            r"systemd\x2dlogind",
            r"rescue\x2eservice",
            r"nginx\x2etarget",
            r"a\x2f..\x2fb",
            r"a\x00b",
            r"a\x0ab",
            r"a\x2\x2db",
            "é",
            "nginx\n",
            "nginx;",
            ".hidden",
        ],
    );
    check("unit", &"a".repeat(255), true);
    check("unit", &"a".repeat(256), false);
}

#[test]
fn names() {
    all(
        "name",
        &["api", "api-1", "php@8.3", "a.b_c"],
        &["", "-a", "a b", "a/b", "..", ".a", "a+b", "a;b", "autoheal", "Autoheal", "com.autoheal.agent", "x@autoheal"],
    );
    all(
        "formula",
        &["postgresql@16", "libstdc++", "redis"],
        &["--all", "user/tap/x", "autoheal", "a b", "x.rb", "x.json", "x.bottle.tar.gz"],
    );
    all(
        "domain",
        &["shop.example.org", "localhost", "a-b.c", "autoheal.example.org"],
        &["-a.b", "a..b", "a_b", "*.a", "a/b", "a.", "", "autoheal"],
    );
    all(
        "procname",
        &["java", "node", "python3.11", "_x"],
        &["-9", "a b", ".*", "a|b", "..", "auto.eal", "autoheal", "a..b", "x(y)", "AUTOHEAL", "g++"],
    );
    all("glob", &["*.log", "a?[0-9]", "core.$x", "*~"], &["-delete", "a/b", "a b", "", "[!a]", "{a}", "a;"]);
}

#[test]
fn lists() {
    all("one:f|d", &["f", "d"], &["", "f|d", "fd", "F"]);
    let url = "url:http://localhost:8080/admin/reset-pool";
    all(
        url,
        &["http://localhost:8080/admin/reset-pool", "http://localhost:8080/admin/reset-pool?pool=read&n=2"],
        &[
            "http://localhost:8080/admin/reset-pool/",
            "http://localhost:8080/admin/reset-poolx",
            "http://localhost:8080/admin/reset-pool#x",
            "http://localhost:8080/admin/reset-pool?[1-9]",
            "http://localhost:8080/admin/reset-pool?{a,b}",
            "http://localhost:8080/",
            "http://localhost:8080@evil/admin/reset-pool",
            "file:///etc/passwd",
            "http://localhost:8080/admin/reset-pool?a b",
        ],
    );
    all("re:[a-z]+", &["abc"], &["abc1", "", "abc\n", "a b"]);
    all("re:a|b", &["a", "b"], &["ab", "axx", "xb"]);
    all("path:/tmp|/var/log", &["/tmp", "/var/log/a/"], &["/tmp2", "/var"]);
    all("file:/var/log", &["/var/log/a"], &["/var/log/a/", "/var/log/../x"]);
}

#[test]
fn what_is_no_slot_is_refused_with_advice() {
    for (text, advice) in [
        ("itn", "did you mean {int}?"),
        ("string", "there are int, age"),
        ("path", "needs a list"),
        ("one:a|", "empty alternative"),
        ("path:tmp", "absolute"),
        ("url:file:///x", "no http address"),
        ("url:http://user@host/", "without a user"),
        ("re:(", "is wrong"),
        ("re:a)|(b", "is wrong"),
        ("unit:x", "takes no list"),
    ] {
        let message = Slot::parse(text).unwrap_err();
        assert!(message.contains(advice), "{text}: {message}");
    }
    assert!(Slot::parse(&format!("re:{}", "a".repeat(1025))).is_err());
}

#[test]
fn wide_slots_are_known() {
    for (text, wide) in [
        ("re:.*", true),
        ("re:[^x]+", true),
        (r"re:\S+", true),
        ("re:[a-z]+", false),
        ("path:/", true),
        ("path:/etc", true),
        ("file:/usr/local", true),
        ("path:/tmp|/var/log", false),
        ("path:/home", true),
        ("path:/home/app/cache", false),
        ("name", false),
    ] {
        assert_eq!(Slot::parse(text).unwrap().is_wide(), wide, "{text}");
    }
}
