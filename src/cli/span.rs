//! Durations as people write them: `90s`, `30m`, `2h`, `7d`, `1h30m`.

use std::time::Duration;

use crate::serve::protocol::LONGEST_SECONDS;

/// The units, large to small, in seconds.
const UNITS: [(char, u64); 5] = [('w', 604_800), ('d', 86_400), ('h', 3600), ('m', 60), ('s', 1)];

/// Reads a duration of more than zero and at most ten years.
///
/// # Errors
/// What to write instead.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    let seconds = seconds(text).ok_or("write a number and a unit, such as 90s, 30m, 2h, 7d or 1h30m")?;
    let span = Duration::from_secs(seconds);
    match span.as_secs_f64() {
        0.0 => Err("it must be more than zero".to_owned()),
        long if long > LONGEST_SECONDS => Err("it is at most ten years".to_owned()),
        _ => Ok(span),
    }
}

/// The sum of the parts, whose units must go from large to small: `30m1h` is more often a slip than a wish.
fn seconds(text: &str) -> Option<u64> {
    let mut units = UNITS.iter();
    let mut rest = text;
    let mut sum = 0_u64;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..end].parse().ok()?;
        let unit = rest[end..].chars().next()?;
        let (_, seconds) = units.find(|(name, _)| *name == unit)?;
        sum = number.checked_mul(*seconds).and_then(|part| sum.checked_add(part))?;
        rest = &rest[end + unit.len_utf8()..];
    }
    (!text.is_empty()).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, seconds) in [
            ("90s", Some(90)),
            ("30m", Some(1800)),
            ("2h", Some(7200)),
            ("7d", Some(604_800)),
            ("2w", Some(1_209_600)),
            ("1h30m", Some(5400)),
            ("1d2h3m4s", Some(93_784)),
            ("007s", Some(7)),
            ("3650d", Some(315_360_000)),
            ("3651d", None),
            ("0s", None),
            ("", None),
            ("90", None),
            ("h", None),
            ("1h30", None),
            ("30m1h", None),
            ("1h1h", None),
            ("1.5h", None),
            ("-1h", None),
            ("1 h", None),
            ("1H", None),
            ("1µ", None),
            ("99999999999999999999s", None),
            ("18446744073709551615w", None),
        ] {
            assert_eq!(parse(text).ok().map(|span| span.as_secs()), seconds, "{text:?}");
        }
        assert!(parse("2").unwrap_err().contains("such as 90s"));
    }
}
