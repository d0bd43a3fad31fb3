//! Text from strangers in every place where it can come from, through every place where it can end up: it breaks neither
//! Markdown, nor a terminal, nor a line of the log, nor JSON.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use autoheal::clock::Moment;
use autoheal::config;
use autoheal::config::source::Text;
use autoheal::heal::outcome::Outcome;
use autoheal::incident::event::Notice;
use autoheal::incident::evidence::{Evidence, Section};
use autoheal::incident::{ActionRecord, ActionStatus, Admission, Entry, Incident, Opening, Proof, Source, Status, Trigger};
use autoheal::metric;
use autoheal::record::report::render;
use autoheal::record::{escape, notice};
use autoheal::sample::{Labels, Sample, Target, Value as Measured};
use pulldown_cmark::{Event, Options, Parser, Tag};
use serde_json::{Value, json};

use crate::lab::Lab;

/// What an attacker would write. Each without NUL, so that it can be an argument or a file's name; NUL is tried where text is data.
fn corpus() -> Vec<String> {
    let long = ["x".repeat(70_000), "`".repeat(3000), "[".repeat(5000), "> ".repeat(2000), "\u{202e}ä".repeat(3000)];
    let short = [
        "\u{1b}[2J\u{1b}[H",
        "\u{1b}]0;owned\u{7}",
        "\u{1b}]8;;http://evil.example\u{1b}\\click\u{1b}]8;;\u{1b}\\",
        "\u{1b}[31mred\u{1b}[0m",
        "\u{1b}P$q\u{1b}\\",
        "\u{9b}31m C1",
        "\u{90}dcs\u{9c}",
        "\u{7}\u{8}\u{c}\u{b}\u{7f}",
        "good\rEVIL",
        "one\r\ntwo",
        "a\n2026-01-01T00:00:00.000Z ERROR forged",
        "a\nINFO  incident=1 forged",
        "\u{85}next line\u{2028}line\u{2029}paragraph",
        "\u{202e}gnp.exe\u{202c}",
        "\u{2066}isolate\u{2069}",
        "zero\u{200b}width\u{feff}\u{2060}",
        "tag\u{e0041}\u{e007f}",
        "soft\u{ad}hyphen",
        "`",
        "``",
        "```",
        "a`b``c```d",
        "```\n# Forged\n```",
        "~~~\nfence\n~~~",
        "`` ` ``",
        " ` ",
        "\\`",
        "\\",
        "\\|",
        "a\\\\|b",
        "|",
        "a | b | c",
        "| --- | --- |",
        "<script>alert(1)</script>",
        "</script><img src=x onerror=alert(1)>",
        "<!-- comment",
        "--> x",
        "<details>",
        "<?php ?>",
        "<![CDATA[x]]>",
        "&lt;b&gt; &#27;[2J &amp;",
        "[x](javascript:alert(1))",
        "![x](http://evil.example/x.png)",
        "<http://evil.example>",
        "http://evil.example/?a=b",
        "www.evil.example",
        "a@evil.example",
        "[x]: http://evil.example",
        "[^1]: note",
        "# Heading",
        "Heading\n=======",
        "---",
        "***",
        "- item",
        "1. item",
        "+ item",
        "> quote",
        "    code",
        "\tcode",
        "- [x] done",
        "**bold**",
        "_em_ *em*",
        "~~gone~~",
        "$0 ${1} $& \\1",
        "${jndi:ldap://evil.example/a}",
        "{{7*7}} {% x %} {mount} {{mount}}",
        "%s%n%x %d",
        "$(reboot) `reboot` ; reboot",
        "\"quoted\" 'single' \\\"",
        "{\"json\": true}",
        "\\u0000 \\u001b \\n",
        "\u{fffd}\u{fffe}",
        "e\u{301}\u{302}\u{303}",
        "👩\u{200d}👩\u{200d}👧 ☠\u{fe0f} 🇩🇪",
        "漢字 ﷽ 𝕏",
        "",
        " ",
        "  leading and trailing  ",
        "\t",
        "\n",
        "\n\n\n",
        "-rf",
        "--help",
        "=1+1",
        "../../etc/passwd",
    ];
    short.into_iter().map(str::to_owned).chain(long).collect()
}

/// Whether a terminal would show every character as it is.
#[track_caller]
fn harmless(text: &str, what: &str) {
    let found = text.char_indices().find(|(_, letter)| *letter != '\n' && escape::is_deceptive(*letter));
    assert!(found.is_none(), "{what}: {found:?} in {:?}", text.chars().take(2000).collect::<String>());
}

/// An incident with this text in each place that a stranger, or somebody who writes a file or a comment, can fill.
fn incident(text: &str) -> Incident {
    let playbooks = json!({"disk_space_low": {
        "description": text, "condition": {"metric": "disk_usage", "operator": ">", "threshold": 90}, "runbook_url": text,
        "actions": [{"type": "notify", "message": format!("m {text}"), "description": text}],
    }});
    let config = config::parse(&Text::new("playbooks", &playbooks.to_string()), &Text::new("settings", "{}")).unwrap();
    let now = Moment::at_seconds(1000.0);
    let target = Target { identity: Labels::from([("mount", text), ("process_name", text)]), facts: Labels::from([("device", text)]) };
    let shared = std::sync::Arc::new(target.clone());
    let sample = |value: Option<Measured>| Sample {
        metric: metric::named("disk_usage"),
        target: std::sync::Arc::clone(&shared),
        value,
        reason: Some(text.to_owned()),
        at: now,
        interval: Duration::from_secs(30),
    };
    let samples = vec![sample(Some(Measured::Number(96.0))), sample(None), sample(Some(Measured::Text(text.to_owned().into())))];
    let trigger = Trigger { text: text.to_owned(), metric: "disk_usage".into(), value: None, threshold: text.to_owned() };
    let playbook = std::sync::Arc::clone(&config.playbooks[0]);
    let opening = Opening { playbook, target, trigger, samples: samples.clone(), started: now, source: Source::Detector, force: false };
    let admission = Admission { id: "7f3kq9zd".to_owned(), host: text.to_owned(), ..Admission::default() };
    let (mut incident, _) = Incident::open(admission, opening, now);
    incident.status = Status::Escalated;
    incident.ended = Some(now.after(Duration::from_secs(41)));
    let pattern = incident.actions[0].clone();
    use ActionStatus::{Denied, DryRun, Failed, Interrupted, NotRun, Refused, Running, Skipped, Success};
    incident.actions = [Success, Failed, Failed, Refused, Skipped, NotRun, Denied, DryRun, Running, Interrupted]
        .into_iter()
        .enumerate()
        .map(|(index, status)| ActionRecord {
            command: text.to_owned(),
            argv: vec![text.to_owned(); 2],
            status,
            reason: Some(text.to_owned()),
            outcome: (index < 3)
                .then(|| Outcome::native(if index == 1 { Err(text.to_owned()) } else { Ok(text.to_owned()) }, Duration::ZERO)),
            ..pattern.clone()
        })
        .collect();
    incident.verification.outcome = Proof::Failed;
    incident.verification.samples = samples;
    let lines = vec![text.to_owned(), text.to_owned()];
    let section = Section { title: text.to_owned(), lines, note: Some(text.to_owned()) };
    incident.evidence = vec![Evidence { sections: vec![section; 2], hints: vec![text.to_owned(); 2] }; 2];
    incident.timeline = vec![Entry { at: now, event: "escalated".into(), text: text.to_owned() }; 3];
    incident
}

/// The skeleton of a Markdown text: what a reader's program makes of it, without the words.
fn skeleton(markdown: &str) -> Vec<String> {
    let mut shape: Vec<String> = Vec::new();
    for event in Parser::new_ext(markdown, Options::all()) {
        let step = match event {
            // Plain words, or boxed as code: that is the choice of the escaping.
            Event::Text(_) | Event::Code(_) => "words".to_owned(),
            Event::Start(Tag::CodeBlock(kind)) => format!("{kind:?}"),
            other => format!("{other:?}"),
        };
        if step != "words" || shape.last().is_none_or(|last| last != "words") {
            shape.push(step);
        }
    }
    shape
}

#[test]
fn a_report_has_the_same_shape_whatever_it_says() {
    let expected = skeleton(&render(&incident("word")));
    assert!(expected.iter().filter(|step| step.contains("Heading")).count() > 20 && expected.iter().any(|step| step.contains("Table")));
    for text in corpus().into_iter().chain(["nul\u{0}byte".to_owned(), String::from_utf8_lossy(b"bad\xff\xfe\x80utf8").into_owned()]) {
        let report = render(&incident(&text));
        harmless(&report.replace(['\t', '\u{fe0f}'], ""), "report");
        // Nothing said is not shown, and a description that is missing is made from the message.
        if !text.trim().is_empty() {
            let found = skeleton(&report);
            let differs = expected.iter().zip(&found).position(|(one, other)| one != other).unwrap_or(expected.len().min(found.len()));
            assert!(
                found == expected,
                "{text:?} at step {differs}: {:?} instead of {:?}\n{report}",
                found.get(differs),
                expected.get(differs)
            );
        }
    }
}

#[test]
fn inline_code_holds_exactly_its_text() {
    for text in corpus() {
        let shown = escape::terminal(&text);
        for markdown in [format!("a {} b", escape::code(&text)), format!("| h |\n| --- |\n| {} |\n", escape::table_cell(&text))] {
            let events: Vec<Event<'_>> = Parser::new_ext(&markdown, Options::all()).collect();
            let said: String = events
                .iter()
                .filter_map(|event| if let Event::Text(text) | Event::Code(text) = event { Some(&**text) } else { None })
                .collect();
            let whole = said.strip_prefix("a ").and_then(|said| said.strip_suffix(" b")).or(said.strip_prefix('h')).unwrap_or(&said);
            let bars = shown.replace("\\|", "\\\\u{7c}");
            assert!(whole.trim() == shown.trim() || whole.trim() == bars.trim(), "{markdown:?} reads as {whole:?}");
            let alive = |event: &&Event<'_>| {
                let marked = matches!(event, Event::Start(Tag::Link { .. } | Tag::Image { .. } | Tag::Emphasis | Tag::Strong));
                marked || matches!(event, Event::Html(_) | Event::InlineHtml(_))
            };
            assert_eq!(events.iter().find(alive), None, "{markdown:?}");
        }
    }
}

#[test]
fn what_people_are_told_is_one_line() {
    for text in corpus() {
        let incident = incident(&text);
        for kind in [Notice::Approval, Notice::Resolved, Notice::OverBudget, Notice::Recovered, Notice::Escalated] {
            let line = escape::terminal(&notice::text(kind, &incident, Path::new("/tmp/report.md")));
            assert!(!line.contains('\n'));
            harmless(&line, "notice");
        }
    }
}

#[test]
fn json_gives_back_what_was_said() {
    for text in corpus().into_iter().chain(["nul\u{0}byte".to_owned()]) {
        let written = serde_json::to_string_pretty(&incident(&text).view(None, Moment::at_seconds(2000.0))).unwrap();
        let safe = escape::json(&written);
        harmless(&safe, "JSON");
        let read: Value = serde_json::from_str(&safe).unwrap();
        assert_eq!(read, serde_json::from_str::<Value>(&written).unwrap());
        assert_eq!(read["actions"][0]["output"], json!(text));
        assert_eq!(read["labels"]["mount"], json!(text));
    }
}

/// The texts that fit a file's name.
fn names() -> Vec<String> {
    let fits = |text: &String| !text.is_empty() && text.len() < 200 && !matches!(text.as_str(), "." | "..");
    corpus().into_iter().map(|text| text.replace('/', "_")).filter(fits).collect()
}

/// The texts that the settings take as the name of a target.
fn labels() -> Vec<String> {
    corpus().into_iter().filter(|text| text.len() < 100 && !text.contains(char::is_control)).collect()
}

/// A lab whose files, endpoints and texts are all hostile. One file's name is no UTF-8.
fn hostile_lab() -> Lab {
    let lab = Lab::new(&json!({}));
    fs::create_dir(lab.path("logs")).unwrap();
    for (number, name) in names().into_iter().enumerate() {
        fs::write(lab.path("logs").join(format!("{number} {name}.log")), b"x").unwrap();
    }
    let odd = std::ffi::OsStr::from_bytes(b"bad\xff\xfe\x80name\x1b[2J.log");
    fs::write(lab.path("logs").join(odd), b"x").unwrap();
    let everything = corpus().join("\n").into_bytes();
    fs::write(lab.path("corpus"), [&everything[..], b"\xff\xfe\x80\x00\x1b[2J\x9b31m".repeat(100).as_slice()].concat()).unwrap();
    let endpoint =
        |(number, text): (usize, String)| json!({"name": format!("{number} {text}"), "url": "http://127.0.0.1:1/", "timeout_seconds": 5});
    let endpoints: Vec<Value> = labels().into_iter().enumerate().map(endpoint).collect();
    lab.settings(&json!({
        "watch": {"disks": [], "memory": false, "logs": [{"path": lab.path("logs/*.log")}], "endpoints": endpoints},
        "allowed_commands": ["cat {re:.*corpus}"], "max_actions_per_hour": 100_000,
    }));
    let cat = format!("cat {}", lab.path("corpus").display());
    // A placeholder that no label fills would be a problem of the file.
    let about = names().concat().replace("{mount}", "{path}");
    let act = json!([{"type": "notify", "message": format!("{{path}} {about}")}, {"type": "shell", "command": cat, "description": about}]);
    let proof = json!({"metric": "log_file_size_mb", "operator": "<", "threshold": 0, "retry_count": 0});
    let watched = json!({"metric": "log_file_size_mb", "operator": ">=", "threshold": 0});
    lab.write(
        "autoheal-playbooks.json",
        &json!({"hostile": {"description": about, "condition": watched, "actions": act, "verify": proof, "runbook_url": about}})
            .to_string(),
    );
    lab
}

/// Runs a command, and looks at both streams.
#[track_caller]
fn runs(lab: &Lab, arguments: &[&str]) -> String {
    let (_, out, err) = lab.run(arguments);
    harmless(&out, &format!("standard output of {arguments:?}"));
    harmless(&err, &format!("standard error of {arguments:?}"));
    out
}

#[test]
fn no_command_shows_a_control_character() {
    let lab = hostile_lab();
    let mut agent = lab.agent();
    // Each file has its incident, and the line that says how it ended.
    let files = fs::read_dir(lab.path("logs")).unwrap().count();
    for _ in 0..files {
        agent.wait_for(" escalated: ");
    }
    for text in corpus().iter().filter(|text| text.len() < 3000) {
        runs(&lab, &["allow", "test", "--", text]);
        runs(&lab, &["--json", "allow", "test", "--", text]);
        runs(&lab, &["heal", "--", text]);
        runs(&lab, &["incidents", "--", text]);
    }
    for text in corpus().iter().filter(|text| text.len() < 200).take(12) {
        runs(&lab, &["silence", "hostile", "--label", &format!("path={text}"), "--for", "1h", &format!("--reason={text}")]);
        runs(&lab, &["match", &format!("--pattern={}", regex::escape(text))]);
        runs(&lab, &["heal", "hostile", "--label", &format!("path={text}")]);
        runs(&lab, &["probe", "--", text]);
        runs(&lab, &[&format!("--{text}")]);
    }
    let listed = runs(&lab, &["--json", "incidents"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    // What fires again in its cooldown is an incident too.
    let incidents: Vec<&Value> = listed["incidents"].as_array().unwrap().iter().filter(|one| one["status"] == "escalated").collect();
    assert!(incidents.len() >= files, "{} incidents of {files} files", incidents.len());
    for one in [incidents[0], incidents[incidents.len() / 2], incidents[incidents.len() - 1]] {
        let id = one["id"].as_str().unwrap();
        assert!(runs(&lab, &["incidents", id]).contains("Timeline"));
        let whole: Value = serde_json::from_str(&runs(&lab, &["--json", "incidents", id])).unwrap();
        assert!(whole["incident"]["actions"][1]["output"].as_str().unwrap().contains('\u{1b}'), "JSON says what was printed: {whole:#}");
    }
    let probed: Value = serde_json::from_str(&runs(&lab, &["--json", "probe", "api_status", "log_file_size_mb"])).unwrap();
    let said = |label: &str| -> BTreeSet<String> {
        probed["samples"].as_array().unwrap().iter().filter_map(|sample| sample["labels"][label].as_str().map(str::to_owned)).collect()
    };
    let (endpoints, paths) = (said("endpoint"), said("path"));
    for (number, text) in labels().into_iter().enumerate() {
        assert!(endpoints.contains(&format!("{number} {text}")), "{text:?} is not the name of an endpoint");
    }
    for (number, name) in names().into_iter().enumerate() {
        let path = lab.path("logs").join(format!("{number} {name}.log")).display().to_string();
        assert!(paths.contains(&path), "{path:?} is no path");
    }
    for command in
        [&["status"][..], &["incidents"], &["stats"], &["silence", "--list"], &["check"], &["probe"], &["allow", "list"], &["reload"]]
    {
        runs(&lab, command);
        let out = runs(&lab, &[&["--json"], command].concat());
        serde_json::from_str::<Value>(&out).unwrap_or_else(|error| panic!("{command:?}: {error}"));
    }
    assert_eq!(agent.stop(), 0);
    for line in agent.seen.iter().chain([&agent.ready]) {
        harmless(line, "log");
    }
    assert!(!agent.seen.iter().any(|line| line.starts_with("2026-01-01") || line.starts_with("INFO  incident=1 forged")));
}
