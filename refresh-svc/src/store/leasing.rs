//! Acquires and releases leases.

use std::time::Duration;

use latchkey_domain::AccountId;
use tokio::time::Instant;

use super::lease::{LeaseAsk, LeaseAttempt, LeaseRow};
use super::{Lease, Priority, STATEMENT, Store, StoreError, columns, seconds, within};

impl Store {
    /// Acquires the lease to replace the tokens of `stale_version` or older, and writes
    /// the intent in the same statement, so that a crash can be detected.
    ///
    /// Returns `None` if another holder has the lease, the version has changed, the
    /// grant is dead, erased or without a refresh token, a back-off has not ended, or
    /// another transaction is writing the row: read the row to know which. A lease that an
    /// earlier attempt of the same holder has is taken over: that refresh has ended, and
    /// either its result or the database's answer was lost.
    ///
    /// # Errors
    /// Returned if the database does not answer.
    pub async fn acquire_lease(
        &self,
        account: AccountId,
        attempt: LeaseAttempt,
        length: Duration,
        stale_version: i64,
    ) -> Result<Option<Lease>, StoreError> {
        let ask = LeaseAsk {
            attempt,
            length,
            stale_version,
        };
        self.leases.execute(&self.connections, account, ask).await
    }

    /// Acquires the lease to revoke the grant in any state: no refresh begins meanwhile.
    /// No refresh token is used up, so no intent is written.
    ///
    /// Returns `None` if another holder has the lease or the account is erased.
    ///
    /// # Errors
    /// Returned if the database does not answer.
    pub async fn acquire_lease_for_revocation(
        &self,
        account: AccountId,
        attempt: LeaseAttempt,
        length: Duration,
    ) -> Result<Option<Lease>, StoreError> {
        let query = sqlx::query_as(concat!(
            "UPDATE vault.credential
             SET lease_holder = $2,
                 lease_until = clock_timestamp() + make_interval(secs => $3),
                 lease_epoch = lease_epoch + 1
             WHERE account_id = $1
               AND erased_at IS NULL
               AND (lease_until IS NULL OR lease_until <= clock_timestamp()
                    OR (lease_holder > $4 AND lease_holder < $2))
             RETURNING lease_epoch, ",
            columns!()
        ))
        .bind(account.as_uuid())
        .bind(attempt.this)
        .bind(seconds(length))
        .bind(attempt.before_first);
        let mut held = self.connections.acquire(Priority::Fair).await?;
        let asked_at = Instant::now();
        let row = within(STATEMENT, query.fetch_optional(held.connection()?)).await;
        let row: Option<LeaseRow> = held.finish(row)?;
        row.map(|row| row.into_lease(attempt, length, asked_at))
            .transpose()
    }

    /// Releases a lease that is still held, without a result.
    ///
    /// # Errors
    /// Returned if the database does not answer; then the lease expires by itself.
    pub async fn release(&self, lease: &Lease) -> Result<(), StoreError> {
        self.end(
            lease,
            "UPDATE vault.credential
             SET lease_holder = NULL, lease_until = NULL
             WHERE account_id = $1 AND lease_holder = $2 AND lease_epoch = $3",
        )
        .await
    }

    /// Releases a lease that is still held and under which no refresh token was sent:
    /// removes the intent.
    ///
    /// # Errors
    /// Returned if the database does not answer; then the lease expires by itself, and
    /// the intent remains.
    pub async fn release_unused(&self, lease: &Lease) -> Result<(), StoreError> {
        self.end(
            lease,
            "UPDATE vault.credential
             SET lease_holder = NULL, lease_until = NULL,
                 intent_version = CASE WHEN intent_count > 1 THEN intent_version END,
                 intent_at = CASE WHEN intent_count > 1 THEN intent_at END,
                 intent_count = GREATEST(intent_count - 1, 0)
             WHERE account_id = $1 AND lease_holder = $2 AND lease_epoch = $3",
        )
        .await
    }

    /// Executes a statement that ends the lease of an account (`$1`), a holder (`$2`) and an
    /// epoch (`$3`).
    async fn end(&self, lease: &Lease, statement: &'static str) -> Result<(), StoreError> {
        let query = sqlx::query(statement)
            .bind(lease.credential.account.as_uuid())
            .bind(lease.holder)
            .bind(lease.epoch);
        let mut held = self.connections.acquire(Priority::Immediate).await?;
        let done = within(STATEMENT, query.execute(held.connection()?)).await;
        held.finish(done).map(drop)
    }
}
