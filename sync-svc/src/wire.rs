//! Times of the contract.

use time::OffsetDateTime;

/// To the microsecond, which is what the database keeps: a time that was
/// stored compares equal to itself when the event comes again.
pub(crate) fn to_time(timestamp: prost_types::Timestamp) -> Option<OffsetDateTime> {
    let nanos = i128::from(timestamp.seconds) * 1_000_000_000 + i128::from(timestamp.nanos);
    let micros = nanos.div_euclid(1_000);
    OffsetDateTime::from_unix_timestamp_nanos(micros * 1_000).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_timestamp_panics_and_times_are_whole_microseconds(seconds in any::<i64>(), nanos in any::<i32>()) {
            let time = to_time(prost_types::Timestamp { seconds, nanos });
            prop_assert!(time.is_none_or(|time| time.nanosecond() % 1_000 == 0));
        }
    }
}
