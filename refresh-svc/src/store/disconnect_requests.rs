//! Requests of sync-svc to disconnect accounts: `vault.disconnect_request`.

use std::time::Duration;

use latchkey_domain::AccountId;
use uuid::Uuid;

use super::{Priority, STATEMENT, Store, StoreError, within};

impl Store {
    /// Deletes the request of an account whose credentials are erased.
    ///
    /// # Errors
    /// Returned if the database does not answer.
    pub async fn complete_disconnect_request(&self, account: AccountId) -> Result<(), StoreError> {
        let mut held = self.connections.acquire(Priority::Immediate).await?;
        let settling = sqlx::query(
            "DELETE FROM vault.disconnect_request d
             WHERE d.account_id = $1 AND NOT EXISTS (
                 SELECT FROM vault.credential c
                 WHERE c.account_id = d.account_id AND c.erased_at IS NULL
                   AND c.authenticated_at <= d.not_after)",
        )
        .bind(account.as_uuid())
        .execute(held.connection()?);
        let settled = within(STATEMENT, settling).await;
        held.finish(settled)?;
        Ok(())
    }

    /// Claims at most twenty requests; other replicas do not try them for `pause`. Requests older
    /// than the grant are deleted: the person has connected the account again.
    ///
    /// # Errors
    /// Returned if the database does not answer.
    pub async fn claim_disconnect_requests(
        &self,
        pause: Duration,
    ) -> Result<Vec<AccountId>, StoreError> {
        let mut held = self.connections.acquire(Priority::Immediate).await?;
        let claiming = sqlx::query_scalar(
            "WITH due AS (
                 SELECT account_id FROM vault.disconnect_request
                 WHERE next_try_at <= now()
                 ORDER BY next_try_at LIMIT 20
                 FOR UPDATE SKIP LOCKED
             ), settled AS (
                 DELETE FROM vault.disconnect_request d
                 USING due
                 WHERE d.account_id = due.account_id AND NOT EXISTS (
                     SELECT FROM vault.credential c
                     WHERE c.account_id = d.account_id AND c.erased_at IS NULL
                       AND c.authenticated_at <= d.not_after)
                 RETURNING d.account_id
             )
             UPDATE vault.disconnect_request d
             SET tries = tries + 1, next_try_at = now() + make_interval(secs => $1)
             FROM due
             WHERE d.account_id = due.account_id
               AND d.account_id NOT IN (SELECT account_id FROM settled)
             RETURNING d.account_id",
        )
        .bind(pause.as_secs_f64())
        .fetch_all(held.connection()?);
        let taken = within(STATEMENT, claiming).await;
        let accounts: Vec<Uuid> = held.finish(taken)?;
        Ok(accounts.into_iter().map(Into::into).collect())
    }
}
