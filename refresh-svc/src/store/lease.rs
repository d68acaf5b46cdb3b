//! The lease: the exclusive right to use a refresh token for a limited time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use latchkey_domain::AccountId;
use tokio::time::Instant;
use uuid::Uuid;

use super::credential::{self, Credential, columns};
use super::error::StoreError;
use super::shared_statements::{SharedQuery, SharedRow, accounts};

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseAttempt {
    pub(super) before_first: Uuid,
    pub(super) this: Uuid,
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

/// What is asked of [`Store::acquire_lease`](super::Store::acquire_lease) besides the account.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct LeaseAsk {
    pub(super) attempt: LeaseAttempt,
    pub(super) length: Duration,
    pub(super) stale_version: i64,
}

#[derive(Debug, sqlx::FromRow)]
pub(super) struct LeaseRow {
    lease_epoch: i64,
    #[sqlx(flatten)]
    row: credential::Row,
}

impl LeaseRow {
    pub(super) fn into_lease(
        self,
        attempt: LeaseAttempt,
        length: Duration,
        asked_at: Instant,
    ) -> Result<Lease, StoreError> {
        Ok(Lease {
            credential: self.row.into_credential(asked_at)?,
            epoch: self.lease_epoch,
            holder: attempt.this,
            ends: asked_at + length,
        })
    }
}

impl SharedRow for LeaseRow {
    // A row that another transaction is writing is left out, so that a statement never waits for
    // one of its rows while it has locked others.
    const STATEMENT: &'static str = concat!(
        "WITH free AS (
             SELECT credential.account_id AS id, asked.attempt, asked.length
             FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::float8[], $5::bigint[])
                  AS asked (id, attempt, before_first, length, stale_version)
             JOIN vault.credential ON credential.account_id = asked.id
             WHERE credential.version <= asked.stale_version
               AND credential.auth_failed_at IS NULL
               AND credential.erased_at IS NULL
               AND credential.sealed_refresh_token IS NOT NULL
               AND (credential.lease_until IS NULL
                    OR credential.lease_until <= clock_timestamp()
                    OR (credential.lease_holder > asked.before_first
                        AND credential.lease_holder < asked.attempt))
               AND (credential.retry_after IS NULL
                    OR credential.retry_after <= clock_timestamp())
             FOR UPDATE OF credential SKIP LOCKED)
         UPDATE vault.credential
         SET lease_holder = free.attempt,
             lease_until = clock_timestamp() + make_interval(secs => free.length),
             lease_epoch = lease_epoch + 1,
             intent_count = CASE WHEN intent_version = version THEN intent_count + 1 ELSE 1 END,
             intent_version = version,
             intent_at = clock_timestamp()
         FROM free
         WHERE account_id = free.id
         RETURNING ",
        columns!(),
        ", lease_epoch"
    );
    type Ask = LeaseAsk;
    type Value = Lease;

    fn bind<'q>(query: SharedQuery<'q>, asks: &[(AccountId, LeaseAsk)]) -> SharedQuery<'q> {
        fn each<T>(asks: &[(AccountId, LeaseAsk)], of: impl Fn(&LeaseAsk) -> T) -> Vec<T> {
            asks.iter().map(|(_, ask)| of(ask)).collect()
        }
        query
            .bind(accounts(asks))
            .bind(each(asks, |ask| ask.attempt.this))
            .bind(each(asks, |ask| ask.attempt.before_first))
            .bind(each(asks, |ask| ask.length.as_secs_f64()))
            .bind(each(asks, |ask| ask.stale_version))
    }

    fn parse(self, ask: &LeaseAsk, asked_at: Instant) -> Result<Option<Lease>, StoreError> {
        self.into_lease(ask.attempt, ask.length, asked_at).map(Some)
    }
}
