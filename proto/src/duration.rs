//! Durations of messages.

use time::Duration;

/// Returns a duration of a message. One that is longer than this type can hold becomes the longest:
/// the conversion of `prost-types` overflows with the smallest one.
pub fn duration_of(duration: &prost_types::Duration) -> Duration {
    let seconds = Duration::seconds(duration.seconds);
    seconds.saturating_add(Duration::nanoseconds(duration.nanos.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_duration_overflows() {
        for (seconds, nanos, expected) in [
            (1, 500_000_000, Duration::milliseconds(1500)),
            (-1, -500_000_000, Duration::milliseconds(-1500)),
            (i64::MAX, i32::MAX, Duration::MAX),
            (i64::MIN, i32::MIN, Duration::MIN),
        ] {
            let duration = prost_types::Duration { seconds, nanos };
            assert_eq!(duration_of(&duration), expected);
        }
    }
}
