use std::sync::atomic::Ordering;

use super::*;
use crate::collect::test_rig::settings;
use crate::heal::action::tests::limit;
use crate::heal::guard::Manager;
use crate::metric;
use crate::sample::Labels;

/// What is gathered about a target with one label, where a word was measured of it.
fn gather(kind: Kind, (label, value): (&str, &str), sample: Option<(&'static str, &'static str)>, limit: &Limit) -> Evidence {
    let target = Target::new(Labels::from([(label, value)]), Labels::default());
    let samples: Vec<Sample> =
        sample.iter().map(|(name, word)| Sample::known(metric::named(name), &target, Value::Text((*word).into()), Moment::now())).collect();
    let (settings, exclusions) = (settings(), Exclusions::default());
    let policy = Policy::default().with_manager(Manager::Launchd);
    let subject = Subject {
        kind,
        target: &target,
        samples: &samples,
        settings: &settings,
        policy: &policy,
        unit: Some("web.service"),
        helper: Path::new("/no/such/helper"),
        exclusions: &exclusions,
    };
    Gatherer::new().gather(&subject, limit)
}

fn titles(evidence: &Evidence) -> Vec<&str> {
    evidence.sections.iter().map(|section| section.title.split(" (").next().unwrap_or_default()).collect()
}

#[test]
fn every_kind_shows_the_processes() {
    const PROCESSES: [&str; 2] = ["Largest processes by memory", "Busiest processes"];
    for kind in [Kind::Memory, Kind::Latency, Kind::LogFile, Kind::Process, Kind::Certificate] {
        assert_eq!(titles(&gather(kind, ("path", "/x"), None, &limit(60))), PROCESSES, "{kind:?}");
    }
    let stopped = Some(("process_status", "stopped"));
    assert!(titles(&gather(Kind::Process, ("process_name", "web"), stopped, &limit(60))).ends_with(&PROCESSES));
    let disk = gather(Kind::Disk, ("mount", "/"), None, &limit(60));
    assert!(titles(&disk).ends_with(&PROCESSES) && titles(&disk).len() > 2, "{disk:?}");
}

#[test]
fn a_mount_that_is_gone_is_a_note() {
    let found = gather(Kind::Disk, ("mount", "/no/such/mount"), None, &limit(60));
    assert_eq!((titles(&found)[0], found.sections[0].note.as_deref()), (disk::TITLE, Some("nothing is mounted there")));
}

#[test]
fn when_the_time_is_over_or_the_agent_stops_every_part_says_so() {
    let stopped = limit(60);
    stopped.stop.store(true, Ordering::Relaxed);
    for limit in [limit(0), stopped] {
        let found = gather(Kind::Disk, ("mount", "/"), None, &limit);
        assert_eq!(titles(&found), [open_files::TITLE, disk::TITLE, processes::TITLE]);
        assert!(found.sections.iter().all(|section| section.note.is_some() && section.lines.is_empty()), "{found:?}");
    }
}

#[test]
fn the_time_is_bounded_whatever_the_limit_says() {
    let far = limit(3600);
    let begin = Moment::now();
    let bounded = within(&far, MOST_TIME);
    assert!(bounded.left() <= MOST_TIME && Moment::now().since(begin) < MOST_TIME);
    assert!(within(&limit(1), MOST_TIME).left() <= Duration::from_secs(1));
}

#[test]
fn a_part_that_fails_or_panics_is_a_note_and_the_others_stand() {
    let mut evidence = Evidence::default();
    evidence.add("one", &limit(60), || Err("no".to_owned()));
    evidence.add("two", &limit(60), || panic!("a fault"));
    evidence.add("three", &limit(60), || Ok(Evidence::of("three", vec!["x".to_owned()], None)));
    evidence.add("four", &limit(60), || Ok(Evidence::of("four", Vec::new(), None)));
    assert_eq!(titles(&evidence), ["one", "two", "three"]);
    let notes: Vec<Option<&str>> = evidence.sections.iter().map(|section| section.note.as_deref()).collect();
    assert_eq!(notes, [Some("no"), Some("autoheal failed inside; see its log"), None]);
}

#[test]
fn evidence_survives_the_database() {
    let found = gather(Kind::Memory, ("path", "/x"), None, &limit(60));
    let text = serde_json::to_string(&found).unwrap();
    assert_eq!(serde_json::from_str::<Evidence>(&text).unwrap(), found);
}
