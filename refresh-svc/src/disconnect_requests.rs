//! Disconnects the accounts of members who were removed from a workspace. sync-svc
//! requests this in `vault.disconnect_request`.
//!
//! A request is deleted only after the credentials are erased, so that no crash loses
//! it. One replica at a time processes a request; processing it twice is harmless.

use std::time::Duration;

use latchkey_domain::AccountId;
use tokio_util::sync::CancellationToken;

use crate::engine::Engine;
use crate::store::Store;

/// Interval of searches for requests.
const EVERY: Duration = Duration::from_secs(2);
/// A claimed request is left to its replica for this long. This is longer than a lease,
/// for which a disconnect may wait, plus the provider's answer.
const CLAIM_FOR: Duration = Duration::from_mins(2);

/// Processes requests until `stop` is cancelled.
pub(crate) async fn run(store: Store, engine: Engine, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let accounts = store.claim_disconnect_requests(CLAIM_FOR).await;
        let accounts = accounts.unwrap_or_else(|error| {
            tracing::warn!(%error, "disconnect requests could not be read");
            Vec::new()
        });
        if accounts.is_empty() {
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(EVERY) => {}
            }
        }
        for account in accounts {
            disconnect(&store, &engine, account).await;
        }
    }
}

/// A failed request is claimed again after [`CLAIM_FOR`].
async fn disconnect(store: &Store, engine: &Engine, account: AccountId) {
    match engine.revoke(account, || ()).await {
        Ok(revoked) => {
            tracing::info!(
                account.id = %account,
                at_provider = revoked.at_provider,
                "account disconnected: its owner was removed from the workspace"
            );
            if let Err(error) = store.complete_disconnect_request(account).await {
                tracing::warn!(account.id = %account, %error, "the disconnect request could not be deleted");
            }
        }
        Err(error) => tracing::warn!(
            account.id = %account,
            %error,
            "the account could not be disconnected: it is retried"
        ),
    }
}
