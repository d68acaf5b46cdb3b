//! Durations as people write them.

use std::time::Duration;

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
    let unit_ms: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(InvalidDuration),
    };
    number
        .checked_mul(unit_ms)
        .map(Duration::from_millis)
        .ok_or(InvalidDuration)
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

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = parse_duration(&text);
        }
    }
}
