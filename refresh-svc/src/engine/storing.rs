//! Storing of results, with retries while the database does not answer.

use std::time::Duration;

use latchkey_domain::{AccountId, Backoff};
use tokio::time::Instant;

use super::timing::Timing;
use crate::store::{Lease, StoreError};

/// Between two attempts to store.
const STORE_BACKOFF: Backoff =
    Backoff::new(Duration::from_millis(50), Duration::from_secs(1)).unwrap();

/// A rotated token that is not stored means a lost grant, so storing is retried for this
/// long, even beyond the lease. It is stored only if no other process has refreshed
/// since.
const ROTATED_TOKEN_RETRY: Duration = Duration::from_mins(5);

/// Until when the storing of a rotated token is retried.
pub(super) fn rotated_token_deadline(lease: &Lease) -> Instant {
    lease.ends.max(Instant::now() + ROTATED_TOKEN_RETRY)
}

/// Until when the storing of any other result is retried.
pub(super) fn result_deadline(lease: &Lease, timing: Timing) -> Instant {
    lease.ends.min(Instant::now() + timing.time_to_store())
}

/// Stores a result and retries until `give_up`.
pub(super) async fn retry_until_stored<T, F>(
    account: AccountId,
    give_up: Instant,
    mut store: impl FnMut() -> F,
) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut failures = 0;
    loop {
        let wait = STORE_BACKOFF.without_jitter(failures + 1);
        match store().await {
            Err(error) if Instant::now() + wait < give_up => {
                tracing::warn!(
                    account.id = %account,
                    %error,
                    "the result of a refresh is not stored yet"
                );
                tokio::time::sleep(wait).await;
                failures += 1;
            }
            stored => return stored,
        }
    }
}
