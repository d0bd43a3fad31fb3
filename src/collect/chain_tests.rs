use proptest::prelude::*;

use super::*;

#[test]
fn dates_say_what_they_say() {
    let now = Timestamp::from_second(1_000_000_000).unwrap();
    let dates = |before: i64, after: i64| Dates { not_before: 1_000_000_000 + before, not_after: 1_000_000_000 + after };
    assert_eq!(dates(-5, 86_400 * 3).verdict(now).0, "valid");
    assert_eq!(dates(-5, -1).verdict(now).0, "expired");
    assert_eq!(dates(5, 10).verdict(now).0, "not_yet_valid");
    assert_eq!(dates(-5, 86_400 * 3).days_left(now), 3.0);
    assert_eq!(dates(-5, -43_200).days_left(now), -0.5);
}

#[test]
fn faults_have_their_words() {
    for (fault, word) in [
        (CertificateError::Expired, "expired"),
        (CertificateError::NotValidYet, "not_yet_valid"),
        (CertificateError::NotValidForName, "name_mismatch"),
        (CertificateError::UnknownIssuer, "untrusted"),
        (CertificateError::BadSignature, "untrusted"),
        (CertificateError::BadEncoding, "unsupported"),
    ] {
        let (found, reason) = word_for(&fault.into());
        assert!(found == word && reason.is_some(), "{found} is not {word}");
    }
    assert_eq!(word_for(&Error::DecryptError).0, "untrusted");
}

#[test]
fn a_certificate_for_thousands_of_names_makes_a_short_reason() {
    let expected = ServerName::try_from("x.example").unwrap();
    let presented = (0..3000).map(|number| format!("{number}.example")).collect();
    let (word, reason) = word_for(&CertificateError::NotValidForNameContext { expected, presented }.into());
    assert_eq!(
        (word, reason.unwrap().len()),
        ("name_mismatch", "it is for 0.example, 1.example, 2.example, 3.example, 4.example, …".len())
    );
}

#[test]
fn the_year_9999_has_days_too() {
    let mut params = rcgen::CertificateParams::new(vec!["x.example".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(1951, 1, 1);
    params.not_after = rcgen::date_time_ymd(9999, 12, 31);
    let certificate = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
    let days = Dates::of(certificate.der()).unwrap().days_left(Timestamp::UNIX_EPOCH);
    assert!((2_932_000.0..2_933_000.0).contains(&days), "{days}");
}

#[test]
fn every_form_of_a_date_is_read() {
    // Up to 2049 a date is a UTCTime, whose two digits of a year begin in 1950; from 2050 on it is a GeneralizedTime.
    for (from, to) in
        [((1950, 1, 1), (2049, 12, 31)), ((2050, 1, 1), (2050, 1, 1)), ((1, 1, 1), (9999, 12, 30)), ((2049, 12, 31), (1950, 1, 1))]
    {
        let dates = Dates::of(&CertificateDer::from(dated(from, to))).unwrap();
        let day = |(year, month, day): (i16, i8, i8)| jiff::civil::date(year, month, day).to_zoned(jiff::tz::TimeZone::UTC).unwrap();
        assert_eq!(dates, Dates { not_before: day(from).timestamp().as_second(), not_after: day(to).timestamp().as_second() });
        let verdict = dates.verdict(Timestamp::from_second(1_800_000_000).unwrap());
        assert_eq!(verdict.0 == "valid", from.0 < 2027 && to.0 > 2027, "{from:?} to {to:?}: {verdict:?}");
        assert!(dates.days_left(Timestamp::UNIX_EPOCH).is_finite());
    }
}

fn dated(from: (i16, i8, i8), to: (i16, i8, i8)) -> Vec<u8> {
    let mut params = rcgen::CertificateParams::new(vec!["x.example".to_owned()]).unwrap();
    let day = |(year, month, day): (i16, i8, i8)| rcgen::date_time_ymd(year.into(), month.try_into().unwrap(), day.try_into().unwrap());
    (params.not_before, params.not_after) = (day(from), day(to));
    params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

#[test]
fn names_of_a_stranger_make_a_short_reason() {
    let expected = ServerName::try_from("x.example").unwrap();
    for (presented, shown_as) in [
        ("DnsName(\"y.example\")", "it is for y.example"),
        ("IpAddress(192.0.2.1)", "it is for 192.0.2.1"),
        ("DirectoryName", "it is for DirectoryName"),
        ("DnsName(\"\")", "it is for "),
        ("(", "it is for ("),
    ] {
        let fault = CertificateError::NotValidForNameContext { expected: expected.clone(), presented: vec![presented.to_owned()] };
        assert_eq!(word_for(&fault.into()).1.unwrap(), shown_as);
    }
    let long = format!("DnsName(\"{}\")", "\u{202e}ä".repeat(10_000));
    let fault = CertificateError::NotValidForNameContext { expected, presented: vec![long; 9] };
    assert!(word_for(&fault.into()).1.unwrap().chars().count() < 5 * 84 + 20);
}

/// Certificates of each kind that real servers show: a server's, an authority's, one for many odd names, one for ever.
fn specimens() -> &'static [Vec<u8>] {
    static MADE: std::sync::LazyLock<Vec<Vec<u8>>> = std::sync::LazyLock::new(|| {
        let names =
            |names: &[&str]| rcgen::CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        let mut authority = names(&[]);
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(1));
        authority.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign, rcgen::KeyUsagePurpose::CrlSign];
        authority.name_constraints = Some(rcgen::NameConstraints {
            permitted_subtrees: vec![rcgen::GeneralSubtree::DnsName("example".to_owned())],
            excluded_subtrees: vec![rcgen::GeneralSubtree::DnsName("evil.example".to_owned())],
        });
        let mut odd = names(&["x.example", "*.y.example", "192.0.2.1", "2001:db8::1"]);
        odd.distinguished_name.push(rcgen::DnType::CommonName, "\u{1b}[2J\r\nline `|<script> \u{202e}".repeat(20));
        odd.distinguished_name.push(rcgen::DnType::OrganizationName, "é".repeat(2000));
        odd.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth, rcgen::ExtendedKeyUsagePurpose::Any];
        let mut made: Vec<Vec<u8>> = [names(&["x.example"]), authority, odd]
            .map(|params| params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().der().to_vec())
            .into();
        made.push(dated((1, 1, 1), (9999, 12, 31)));
        made
    });
    &MADE
}

/// What is done to the bytes of a certificate.
#[derive(Clone, Debug)]
enum Damage {
    Set(u8),
    Flip(u8),
    Cut,
    Insert(Vec<u8>),
    Remove(usize),
    /// A stretch of this length comes twice.
    Double(usize),
    /// Lengths of DER are where the trouble is.
    Length(u8),
}

fn damage() -> impl Strategy<Value = (usize, Damage)> {
    let kind = prop_oneof![
        any::<u8>().prop_map(Damage::Set),
        (0_u8..8).prop_map(Damage::Flip),
        Just(Damage::Cut),
        proptest::collection::vec(any::<u8>(), 1..40).prop_map(Damage::Insert),
        (1_usize..40).prop_map(Damage::Remove),
        (1_usize..200).prop_map(Damage::Double),
        prop_oneof![Just(0_u8), Just(0x7f), Just(0x80), Just(0x81), Just(0x82), Just(0x84), Just(0x88), Just(0xff)]
            .prop_map(Damage::Length),
    ];
    (any::<usize>(), kind)
}

fn damaged(mut bytes: Vec<u8>, (place, damage): (usize, Damage)) -> Vec<u8> {
    let at = place % bytes.len().max(1);
    let end = |length: usize| (at + length).min(bytes.len());
    match damage {
        _ if bytes.is_empty() => {}
        Damage::Set(byte) | Damage::Length(byte) => bytes[at] = byte,
        Damage::Flip(bit) => bytes[at] ^= 1 << bit,
        Damage::Cut => bytes.truncate(at),
        Damage::Insert(more) => drop(bytes.splice(at..at, more)),
        Damage::Remove(length) => drop(bytes.drain(at..end(length))),
        Damage::Double(length) => {
            let again = bytes[at..end(length)].to_vec();
            drop(bytes.splice(at..at, again));
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Dates::read(&CertificateDer::from(bytes));
    }

    // What each parser does outside of the cage: a panic that is caught would still be a line in the log of every measurement.
    #[test]
    fn no_damage_to_a_certificate_makes_it_panic(which in 0_usize..4, other in 0_usize..4, faults in proptest::collection::vec(damage(), 1..4)) {
        let leaf = faults.into_iter().fold(specimens()[which].clone(), damaged);
        let chain = [CertificateDer::from(leaf), CertificateDer::from(specimens()[other].clone())];
        let _ = Dates::read(&chain[0]);
        let _ = Dates::of_chain(&chain);
        let mut store = rustls::RootCertStore::empty();
        store.add_parsable_certificates(chain.iter().cloned());
        let name = ServerName::try_from("x.example").unwrap();
        for own in [Vec::new(), chain.to_vec()] {
            let roots = Roots { store: std::sync::Arc::new(store.clone()), own };
            let (word, reason) = judge(&chain, None, &name, &roots, Timestamp::from_second(1_800_000_000).unwrap());
            let reason = reason.unwrap_or_default();
            prop_assert!(["valid", "expired", "not_yet_valid", "untrusted", "name_mismatch", "unsupported"].contains(&word));
            prop_assert!(reason != PANICKED && reason.chars().count() < 500, "{word}: {reason}");
        }
    }
}

#[test]
fn depth_costs_no_stack() {
    // Collectors have a small stack; who overflows it ends the whole agent.
    let worker = crate::threads::spawn("test depth", || {
        for opening in [&[0x30, 0x80][..], &[0x30, 0x83, 0xff, 0xff, 0xff], &[0xa0, 0x82, 0xff, 0xff], &[0xbf, 0x7f, 0x80]] {
            let nested = opening.repeat(64 * 1024 / opening.len());
            let mut inside = specimens()[2].clone();
            let at = inside.len() / 2;
            drop(inside.splice(at..at, nested.iter().copied()));
            for bytes in [nested, inside] {
                let chain = [CertificateDer::from(bytes)];
                let roots = Roots { store: std::sync::Arc::new(rustls::RootCertStore::empty()), own: chain.to_vec() };
                assert_eq!(
                    judge(&chain, None, &ServerName::try_from("x.example").unwrap(), &roots, Timestamp::UNIX_EPOCH).0,
                    "unsupported"
                );
            }
        }
    });
    assert_eq!(worker.ended().recv_timeout(Duration::from_secs(60)), Ok(true));
}
