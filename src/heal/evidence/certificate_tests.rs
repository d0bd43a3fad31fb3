use std::fs;
use std::path::Path;

use rcgen::{CertificateParams, DnType, KeyPair};

use super::*;
use crate::collect::Exclusions;
use crate::collect::test_rig::settings;
use crate::config::settings::Settings;
use crate::heal::action::tests::limit;
use crate::heal::guard::Policy;
use crate::metric::{self, Kind};
use crate::sample::{Labels, Sample, Target};

/// A self-signed certificate for a name that ends with this year.
fn pem(name: &str, until: i32) -> String {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(until, 12, 31);
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
}

fn watched(name: &str, source: CertificateSource) -> CertificateEntry {
    let (timeout, interval) = (Duration::from_secs(10), Duration::from_hours(1));
    CertificateEntry { name: name.to_owned(), source, ca_file: None, timeout, interval }
}

/// Where certbot's files would be, and settings that watch a served certificate and files.
struct Scene {
    dir: tempfile::TempDir,
    settings: Settings,
}

impl Scene {
    fn new(server_name: Option<&str>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let server_name = server_name.map(str::to_owned);
        let served = CertificateSource::Served { host: "shop.example".to_owned(), port: 443, server_name, starttls: None };
        let files = CertificateSource::Files { path: format!("{}/own/*.pem", dir.path().display()) };
        let mut settings = settings();
        settings.watch.certificates = vec![watched("shop", served), watched("files", files)];
        Self { dir, settings }
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// What is found when the sample is this.
    fn gather(&self, metric: &'static str, value: Value) -> Evidence {
        let labels = Labels::from([("certificate", "shop"), ("host", "shop.example"), ("port", "443")]);
        let target = Target::new(labels, Labels::default());
        let now = Moment::now();
        let sample = Sample::known(metric::named(metric), &target, value, now);
        let (policy, exclusions) = (Policy::default(), Exclusions::default());
        let subject = Subject {
            kind: Kind::Certificate,
            target: &target,
            samples: &[sample],
            settings: &self.settings,
            policy: &policy,
            unit: None,
            helper: Path::new("/"),
            exclusions: &exclusions,
        };
        gather(&subject, &format!("{}/live", self.dir.path().display()), now, &limit(60)).unwrap()
    }

    fn days(&self, days: f64) -> Evidence {
        self.gather("ssl_expires_in_days", Value::Number(days))
    }
}

#[test]
fn a_newer_file_makes_a_reload_enough() {
    let scene = Scene::new(None);
    scene.write("live/shop.example/fullchain.pem", &pem("shop.example", 2090));
    scene.write("live/other.example/fullchain.pem", &pem("other.example", 2090));
    scene.write("own/old.pem", &pem("shop.example", 2021));
    scene.write("own/broken.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let found = scene.days(3.0);
    let path = scene.dir.path().join("live/shop.example/fullchain.pem");
    let hint = format!("{} on disk is valid until 2090-12-31, later than the one served: a reload is enough", path.display());
    assert_eq!(found.hints, [hint]);
    let lines = &found.sections[0].lines;
    assert!(lines.len() == 2 && lines[0].ends_with("own/old.pem is valid until 2021-12-31"), "{found:?}");
}

#[test]
fn the_same_certificate_is_not_newer() {
    let scene = Scene::new(None);
    scene.write("own/a.pem", &pem("shop.example", 2090));
    let end: Timestamp = "2090-12-31T00:00:00Z".parse().unwrap();
    let days = (seconds(end) - seconds(Moment::now().wall)) / 86_400.0;
    assert_eq!(scene.days(days).hints, [""; 0]);
    assert_eq!(scene.days(days - 0.02).hints, [""; 0], "half an hour is within the margin");
    assert_eq!(scene.days(days - 0.1).hints.len(), 1);
}

#[test]
fn the_name_that_is_asked_for_counts() {
    let scene = Scene::new(Some("www.shop.example"));
    scene.write("own/host.pem", &pem("shop.example", 2090));
    assert_eq!(scene.days(3.0), Evidence::default());
    scene.write("own/star.pem", &pem("*.shop.example", 2090));
    assert!(scene.days(3.0).hints[0].contains("star.pem"));
}

#[test]
fn a_common_name_counts_where_there_is_no_other() {
    let scene = Scene::new(None);
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.not_after = rcgen::date_time_ymd(2090, 12, 31);
    params.distinguished_name.push(DnType::CommonName, "shop.example");
    scene.write("own/cn.pem", &params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem());
    params.subject_alt_names = CertificateParams::new(vec!["other.example".to_owned()]).unwrap().subject_alt_names;
    scene.write("own/san.pem", &params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem());
    let found = scene.days(3.0);
    assert!(found.hints.len() == 1 && found.hints[0].contains("cn.pem"), "{found:?}");
}

#[test]
fn an_expired_one_is_older_than_any_valid_one() {
    let scene = Scene::new(None);
    scene.write("own/a.pem", &pem("shop.example", 2090));
    assert_eq!(scene.gather("ssl_status", Value::Text("expired".into())).hints.len(), 1);
    let unknown = scene.gather("ssl_status", Value::Text("untrusted".into()));
    assert!(unknown.hints.is_empty() && unknown.sections[0].note.is_some(), "{unknown:?}");
}

#[test]
fn large_files_and_many_files_are_left_out() {
    let scene = Scene::new(None);
    scene.write("own/large.pem", &format!("{}{}", pem("shop.example", 2090), "#".repeat(64 * 1024)));
    assert_eq!(scene.days(3.0), Evidence::default());
    for number in 0..=MOST_FILES {
        scene.write(&format!("own/{number}.pem"), "");
    }
    assert_eq!(scene.days(3.0).sections[0].note.as_deref(), Some("only 200 files were looked at"));
}
