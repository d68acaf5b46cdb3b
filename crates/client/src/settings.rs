//! Settings of a client.

use std::sync::Arc;
use std::time::Duration;

/// Returns the current `traceparent` (W3C Trace Context).
pub(crate) type Traceparent = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// Settings of a client.
pub(crate) struct Settings {
    pub(crate) capacity: usize,
    pub(crate) watches: usize,
    pub(crate) min_remaining: Duration,
    pub(crate) within: Duration,
    pub(crate) fallback_after: Duration,
    pub(crate) fetch_timeout: Duration,
    pub(crate) cool_down: Duration,
    pub(crate) traceparent: Option<Traceparent>,
}
