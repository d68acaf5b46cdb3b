//! Conversion between points in time and timestamps of the contract.

use prost_types::Timestamp;
use time::{Duration, OffsetDateTime};

/// A point in time as a timestamp.
pub fn timestamp(at: OffsetDateTime) -> Timestamp {
    Timestamp {
        seconds: at.unix_timestamp(),
        // A nanosecond of a second is below 2^31.
        nanos: i32::try_from(at.nanosecond()).unwrap_or_default(),
    }
}

/// The point in time of a timestamp, or `None` if it is out of range.
pub fn time_of(timestamp: &Timestamp) -> Option<OffsetDateTime> {
    let second = OffsetDateTime::from_unix_timestamp(timestamp.seconds).ok()?;
    second.checked_add(Duration::nanoseconds(timestamp.nanos.into()))
}

/// The point in time of a timestamp, cut to the microsecond, which is what the database keeps:
/// a time that was stored compares equal to itself when the event is delivered again. `None`
/// if the timestamp is out of range.
pub fn time_to_microsecond(timestamp: Timestamp) -> Option<OffsetDateTime> {
    let nanos = i128::from(timestamp.seconds) * 1_000_000_000 + i128::from(timestamp.nanos);
    let micros = nanos.div_euclid(1_000);
    OffsetDateTime::from_unix_timestamp_nanos(micros * 1_000).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64, nanos: i32) -> Timestamp {
        Timestamp { seconds, nanos }
    }

    #[test]
    fn a_point_in_time_survives_a_round_trip() {
        for nanos in [
            0,
            -1,
            1,
            1_795_392_005_123_456_789_i128,
            -62_135_596_800_000_000_000,
        ] {
            let time = OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap();
            assert_eq!(time_of(&timestamp(time)), Some(time), "{nanos}");
        }
    }

    #[test]
    fn a_time_is_cut_to_the_microsecond_and_never_later() {
        for (timestamp, micros) in [
            (at(1, 999), 1_000_000),
            (at(1, 1_999), 1_000_001),
            (at(0, -1), -1),
            (at(-1, 999_999_999), -1),
        ] {
            let time = time_to_microsecond(timestamp).unwrap();
            assert_eq!(time.unix_timestamp_nanos(), micros * 1_000);
        }
    }

    #[test]
    fn a_timestamp_out_of_range_is_no_time() {
        for timestamp in [at(i64::MAX, 0), at(i64::MIN, i32::MIN)] {
            assert_eq!(time_of(&timestamp), None);
            assert_eq!(time_to_microsecond(timestamp), None);
        }
    }
}
