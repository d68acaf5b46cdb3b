//! Durations as people write them.

use std::time::Duration;

/// The units, the longest first, with their length in milliseconds.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// The text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be a length of time such as 500ms, 30s, 15m, 12h or 60d")]
pub struct InvalidDuration;

/// Reads a whole number with one unit: `500ms`, `30s`, `15m`, `12h`, `60d`.
///
/// # Errors
/// The text is something else, or has more milliseconds than a `u64` holds.
pub fn parse_duration(text: &str) -> Result<Duration, InvalidDuration> {
    let unit_at = text
        .find(|c: char| !c.is_ascii_digit())
        .ok_or(InvalidDuration)?;
    let (number, unit) = text.split_at(unit_at);
    let number: u64 = number.parse().map_err(|_| InvalidDuration)?;
    UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .and_then(|(_, unit_ms)| number.checked_mul(*unit_ms))
        .map(Duration::from_millis)
        .ok_or(InvalidDuration)
}

/// Writes a duration as [`parse_duration`] reads it, with the longest unit that divides it. Parts
/// of a millisecond are left out.
pub fn format_duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    if ms == 0 {
        return "0s".to_owned();
    }
    UNITS
        .iter()
        .map(|(name, unit_ms)| (name, u128::from(*unit_ms)))
        .find(|(_, unit_ms)| ms.is_multiple_of(*unit_ms))
        .map_or_else(
            || format!("{ms}ms"),
            |(name, unit_ms)| format!("{}{name}", ms / unit_ms),
        )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn units_are_read() {
        assert_eq!(parse_duration("15m"), Ok(Duration::from_mins(15)));
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        for wrong in ["", "15", "m", "-1s", "1.5h", "1 s", "99999999999999999999d"] {
            assert_eq!(parse_duration(wrong), Err(InvalidDuration), "{wrong}");
        }
    }

    #[test]
    fn a_duration_is_written_as_people_write_it() {
        for text in ["0s", "1ms", "1500ms", "45s", "90s", "30m", "1h", "90d"] {
            assert_eq!(format_duration(parse_duration(text).unwrap()), text);
        }
        assert_eq!(format_duration(Duration::from_hours(24)), "1d");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = parse_duration(&text);
        }

        #[test]
        fn what_is_written_is_read_as_the_same(ms in 0..=u64::MAX) {
            let duration = Duration::from_millis(ms);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }
    }
}
