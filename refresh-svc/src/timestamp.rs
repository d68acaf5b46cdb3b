//! Points in time as protobuf has them.

use time::OffsetDateTime;

/// A protobuf timestamp.
pub fn timestamp(at: OffsetDateTime) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: at.unix_timestamp(),
        // A nanosecond of a second is below 2^31.
        nanos: i32::try_from(at.nanosecond()).unwrap_or_default(),
    }
}
