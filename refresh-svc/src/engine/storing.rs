//! Storing of results, with retries while the database does not answer.

use std::time::Duration;

use latchkey_domain::AccountId;
use tokio::time::Instant;

use crate::store::{Lease, StoreError};

/// First wait between two attempts to store, doubled up to the second value.
const STORE_BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// A rotated token that is not stored means a lost grant, so storing is retried for this
/// long, even beyond the lease. It is stored only if no other process has refreshed
/// since.
const ROTATED_TOKEN_RETRY: Duration = Duration::from_mins(5);

/// Until when the storing of a rotated token is retried.
pub(super) fn rotated_token_deadline(lease: &Lease) -> Instant {
    lease.ends.max(Instant::now() + ROTATED_TOKEN_RETRY)
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
    let mut wait = STORE_BACKOFF.0;
    loop {
        match store().await {
            Err(error) if Instant::now() + wait < give_up => {
                tracing::warn!(
                    account.id = %account,
                    %error,
                    "the result of a refresh is not stored yet"
                );
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(STORE_BACKOFF.1);
            }
            stored => return stored,
        }
    }
}
