//! The caller's deadline (`grpc-timeout`): a later answer would not be read.

use std::pin::pin;
use std::time::Duration;

use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

use super::status::status;
use crate::engine::EngineError;

/// The longest time of a call, and the time of a call without a deadline.
const MAX_DEADLINE: Duration = Duration::from_mins(1);

/// Time reserved for the transport of the answer; a tenth of a short deadline.
const ANSWER_MARGIN: Duration = Duration::from_millis(250);

/// Runs a handler until the caller's deadline. Tasks that it spawned continue.
pub(super) async fn within_deadline<Q, A>(
    request: Request<Q>,
    handler: impl AsyncFnOnce(Q) -> Result<A, Status>,
) -> Result<Response<A>, Status> {
    let limit = limit(request.metadata());
    // Pinned, because the future is large and would be moved into the time limit.
    let handling = pin!(handler(request.into_inner()));
    tokio::time::timeout(limit, handling)
        .await
        .unwrap_or_else(|_| Err(status(&EngineError::StillRefreshing)))
        .map(Response::new)
}

/// Time that a call may take.
pub(super) fn limit(metadata: &MetadataMap) -> Duration {
    timeout(metadata).map_or(MAX_DEADLINE, |limit| limit.min(MAX_DEADLINE))
}

/// `grpc-timeout` less a margin, so that the answer arrives before the caller gives up.
/// A malformed value is ignored.
fn timeout(metadata: &MetadataMap) -> Option<Duration> {
    let text = metadata.get("grpc-timeout")?.to_str().ok()?;
    let limit = parse(text)?;
    Some(limit.saturating_sub((limit / 10).min(ANSWER_MARGIN)))
}

/// At most eight digits and a unit,
/// <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>.
fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_unit_is_read() {
        assert_eq!(parse("2H"), Some(Duration::from_hours(2)));
        assert_eq!(parse("3M"), Some(Duration::from_mins(3)));
        assert_eq!(parse("4S"), Some(Duration::from_secs(4)));
        assert_eq!(parse("500m"), Some(Duration::from_millis(500)));
        assert_eq!(parse("7u"), Some(Duration::from_micros(7)));
        assert_eq!(parse("99999999n"), Some(Duration::from_nanos(99_999_999)));
        for wrong in ["", "S", "5", "-5S", "123456789S", "5 S", "5é"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_header_panics(text in ".{0,20}") {
            let _ = parse(&text);
        }
    }
}
