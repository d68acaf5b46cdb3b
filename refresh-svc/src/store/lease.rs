//! The lease: the exclusive right to use a refresh token for a limited time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use latchkey_domain::AccountId;
use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use sqlx::query::QueryAs;
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    Credential, Priority, STATEMENT, Store, StoreError, columns, credential, seconds, within,
};

/// An acquired lease. It exists only in the row and expires by itself.
#[derive(Debug, Clone)]
pub struct Lease {
    /// The credential as it was read with the lease.
    pub credential: Credential,
    /// Fencing token: increases with every acquisition.
    pub epoch: i64,
    /// Which attempt acquired it.
    pub holder: Uuid,
    /// When it expires, computed from before the statement: never too late.
    pub ends: Instant,
}

/// Numbers the lease attempts of one process, or of one revocation.
///
/// A lease statement may be executed after its caller has given up waiting. A later
/// attempt of the same holder takes the lease over, and never the other way round:
/// otherwise a late statement would end the lease of a running refresh.
#[derive(Debug)]
pub struct Holder {
    process: u64,
    attempts: AtomicU64,
}

/// One attempt: it may take over the lease of earlier attempts of the same holder.
#[derive(Debug, Clone, Copy)]
pub struct LeaseAttempt {
    before_first: Uuid,
    this: Uuid,
}

impl Holder {
    /// Creates a holder with a unique name.
    pub fn new() -> Self {
        Self {
            process: Uuid::new_v4().as_u64_pair().0,
            attempts: AtomicU64::new(1),
        }
    }

    /// Returns `true` if this holder made the attempt.
    #[cfg(test)]
    pub(crate) fn made(&self, attempt: Uuid) -> bool {
        attempt.as_u64_pair().0 == self.process
    }

    /// The next attempt.
    pub fn next(&self) -> LeaseAttempt {
        let number = self.attempts.fetch_add(1, Ordering::Relaxed);
        LeaseAttempt {
            before_first: Uuid::from_u64_pair(self.process, 0),
            this: Uuid::from_u64_pair(self.process, number),
        }
    }
}

#[derive(sqlx::FromRow)]
struct LeaseRow {
    lease_epoch: i64,
    #[sqlx(flatten)]
    row: credential::Row,
}

impl Store {
    /// Acquires the lease to replace the tokens of `stale_version` or older, and writes
    /// the intent in the same statement, so that a crash can be detected.
    ///
    /// Returns `None` if another holder has the lease, the version has changed, the
    /// grant is dead, erased or without a refresh token, or a back-off has not ended:
    /// read the row to know which. A lease that an earlier attempt of the same holder
    /// has is taken over: that refresh has ended, and either its result or the
    /// database's answer was lost.
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
        let query = sqlx::query_as(concat!(
            "UPDATE vault.credential
             SET lease_holder = $2,
                 lease_until = clock_timestamp() + make_interval(secs => $3),
                 lease_epoch = lease_epoch + 1,
                 intent_count = CASE WHEN intent_version = version THEN intent_count + 1 ELSE 1 END,
                 intent_version = version,
                 intent_at = clock_timestamp()
             WHERE account_id = $1
               AND version <= $4
               AND auth_failed_at IS NULL
               AND erased_at IS NULL
               AND sealed_refresh_token IS NOT NULL
               AND (lease_until IS NULL OR lease_until <= clock_timestamp()
                    OR (lease_holder > $5 AND lease_holder < $2))
               AND (retry_after IS NULL OR retry_after <= clock_timestamp())
             RETURNING lease_epoch, ",
            columns!()
        ))
        .bind(account.as_uuid())
        .bind(attempt.this)
        .bind(seconds(length))
        .bind(stale_version)
        .bind(attempt.before_first);
        self.fetch_lease(query, attempt, length).await
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
        self.fetch_lease(query, attempt, length).await
    }

    /// Executes a statement that acquires the lease.
    async fn fetch_lease(
        &self,
        query: QueryAs<'_, Postgres, LeaseRow, PgArguments>,
        attempt: LeaseAttempt,
        length: Duration,
    ) -> Result<Option<Lease>, StoreError> {
        let mut held = self.connections.acquire(Priority::Fair).await?;
        let asked_at = Instant::now();
        let row = within(STATEMENT, query.fetch_optional(held.connection()?)).await;
        let Some(row) = held.finish(row)? else {
            return Ok(None);
        };
        Ok(Some(Lease {
            credential: row.row.into_credential(asked_at)?,
            epoch: row.lease_epoch,
            holder: attempt.this,
            ends: asked_at + length,
        }))
    }

    /// Releases a lease that is still held, without a result.
    ///
    /// # Errors
    /// Returned if the database does not answer; then the lease expires by itself.
    pub async fn release(&self, lease: &Lease) -> Result<(), StoreError> {
        let query = sqlx::query(
            "UPDATE vault.credential
             SET lease_holder = NULL, lease_until = NULL
             WHERE account_id = $1 AND lease_holder = $2 AND lease_epoch = $3",
        )
        .bind(lease.credential.account.as_uuid())
        .bind(lease.holder)
        .bind(lease.epoch);
        let mut held = self.connections.acquire(Priority::Immediate).await?;
        let done = within(STATEMENT, query.execute(held.connection()?)).await;
        held.finish(done).map(drop)
    }

    /// Releases a lease that is still held and under which no refresh token was sent:
    /// removes the intent.
    ///
    /// # Errors
    /// Returned if the database does not answer; then the lease expires by itself, and
    /// the intent remains.
    pub async fn release_unused(&self, lease: &Lease) -> Result<(), StoreError> {
        let query = sqlx::query(
            "UPDATE vault.credential
             SET lease_holder = NULL, lease_until = NULL,
                 intent_version = CASE WHEN intent_count > 1 THEN intent_version END,
                 intent_at = CASE WHEN intent_count > 1 THEN intent_at END,
                 intent_count = GREATEST(intent_count - 1, 0)
             WHERE account_id = $1 AND lease_holder = $2 AND lease_epoch = $3",
        )
        .bind(lease.credential.account.as_uuid())
        .bind(lease.holder)
        .bind(lease.epoch);
        let mut held = self.connections.acquire(Priority::Immediate).await?;
        let done = within(STATEMENT, query.execute(held.connection()?)).await;
        held.finish(done).map(drop)
    }
}
