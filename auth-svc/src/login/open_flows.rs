//! The number of open flows, for `/metrics`.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use time::OffsetDateTime;

/// Flows that expire within the same span of this many seconds are counted together, so that
/// the memory does not depend on their number.
const SPAN: i64 = 10;

/// Counts the flows that were started, have not ended and have not expired. A flow exists only
/// in the cookie of its browser, and may end at another replica than the one that started it:
/// so the number of one replica may be negative, and the sum over all replicas is right.
#[derive(Debug, Default)]
pub struct OpenFlows(Mutex<BTreeMap<i64, i64>>);

impl OpenFlows {
    /// Counts a flow that was started and expires at this time, in seconds since 1970.
    pub fn start(&self, expires_at: i64) {
        self.add(expires_at, 1);
    }

    /// Counts that a flow with this expiry ended.
    pub fn end(&self, expires_at: i64) {
        self.add(expires_at, -1);
    }

    /// Returns the number of flows that are open now.
    pub fn count(&self, now: OffsetDateTime) -> i64 {
        let mut spans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *spans = spans.split_off(&span(now.unix_timestamp()));
        spans.values().sum()
    }

    fn add(&self, expires_at: i64, change: i64) {
        let mut spans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *spans.entry(span(expires_at)).or_default() += change;
    }
}

const fn span(timestamp: i64) -> i64 {
    timestamp.div_euclid(SPAN)
}

#[cfg(test)]
mod tests {
    use time::Duration;

    use super::*;

    // R45
    #[test]
    fn a_flow_is_open_until_it_ends_at_any_replica_or_expires() {
        let now = OffsetDateTime::from_unix_timestamp(1_000_000).unwrap();
        let expiry = |seconds| (now + Duration::seconds(seconds)).unix_timestamp();
        let [one, other] = [OpenFlows::default(), OpenFlows::default()];
        let sum = |at: OffsetDateTime| one.count(at) + other.count(at);
        one.start(expiry(600));
        one.start(expiry(300));
        other.start(expiry(600));
        assert_eq!(sum(now), 3);
        other.end(expiry(300));
        assert_eq!(sum(now), 2);
        assert_eq!(sum(now + Duration::seconds(620)), 0);
        assert!(one.0.lock().unwrap().is_empty(), "memory is bounded");
    }
}
