//! Disconnects what members who were taken out of a workspace had connected there,
//! as sync-svc asks for it in `vault.disconnect_request`.
//!
//! A request stays until the credentials are erased, so that no crash of any service
//! loses one, and is tried by one replica at a time. Erasing twice does no harm.

use std::time::Duration;

use latchkey_domain::AccountId;
use tokio_util::sync::CancellationToken;

use crate::engine::Engine;
use crate::store::Store;

/// Looked for this often.
const EVERY: Duration = Duration::from_secs(2);
/// Taken at once.
const BATCH: i64 = 20;
/// A request that was taken is left to its replica for this long: longer than a
/// lease, which a disconnection may wait for, and the provider's answer.
const CLAIM_FOR: Duration = Duration::from_mins(2);

/// Works the requests off until `stop`.
pub(crate) async fn run(store: Store, engine: Engine, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let accounts = store.claim_disconnect_requests(BATCH, CLAIM_FOR).await;
        let accounts = accounts.unwrap_or_else(|error| {
            tracing::warn!(%error, "requests to disconnect were not read");
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

/// What fails is tried again when the pause is over.
async fn disconnect(store: &Store, engine: &Engine, account: AccountId) {
    match engine.revoke(account, || ()).await {
        Ok(revoked) => {
            tracing::info!(
                account.id = %account,
                at_provider = revoked.at_provider,
                "disconnected: its owner was taken out of the workspace"
            );
            if let Err(error) = store.complete_disconnect_request(account).await {
                tracing::warn!(account.id = %account, %error, "the request stays");
            }
        }
        Err(error) => tracing::warn!(
            account.id = %account,
            %error,
            "not disconnected yet: it is tried again"
        ),
    }
}
