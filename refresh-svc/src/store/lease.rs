//! The right to spend a refresh token, for a while.

use std::time::Duration;

use latchkey_domain::AccountId;
use tokio::time::Instant;
use uuid::Uuid;

use super::{Credential, Store, StoreError, columns, credential, seconds};

/// A lease that was taken. Nothing holds it but the row: it ends by itself.
#[derive(Debug, Clone)]
pub struct Lease {
    /// The credential as it was read with the taking.
    pub credential: Credential,
    /// Fencing token: grows with every taking.
    pub epoch: i64,
    /// Who took it.
    pub holder: Uuid,
    /// When it ends, reckoned from before it was taken: never too late.
    pub ends: Instant,
}

#[derive(sqlx::FromRow)]
struct LeaseRow {
    lease_epoch: i64,
    #[sqlx(flatten)]
    row: credential::Row,
}

impl Store {
    /// Takes the lease to replace the tokens of `stale_version` or older, and
    /// writes the intent in the same statement: from now on a crash is known.
    ///
    /// Answers nothing where another holds it, the version has moved, the grant
    /// is dead, erased or without a refresh token, or a pause is not over: read
    /// the row to know which. A lease that `holder` still has is taken anew: its
    /// one flight is over, and what became of it did not reach the database, or
    /// the database's word of it did not reach us.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn take_lease(
        &self,
        account: AccountId,
        holder: Uuid,
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
               AND (lease_until IS NULL OR lease_until <= clock_timestamp() OR lease_holder = $2)
               AND (retry_after IS NULL OR retry_after <= clock_timestamp())
             RETURNING lease_epoch, ",
            columns!()
        ))
        .bind(account.as_uuid())
        .bind(holder)
        .bind(seconds(length))
        .bind(stale_version);
        let mut turn = self.turn().await?;
        let ends = Instant::now() + length;
        let row: Option<LeaseRow> = query.fetch_optional(&mut *turn.connection).await?;
        drop(turn);
        row.map(|LeaseRow { lease_epoch, row }| {
            Ok(Lease {
                credential: row.into_credential()?,
                epoch: lease_epoch,
                holder,
                ends,
            })
        })
        .transpose()
    }

    /// Ends a lease that is still ours, without an outcome.
    ///
    /// # Errors
    /// The database does not answer: the lease ends by itself.
    pub async fn release(&self, lease: &Lease) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE vault.credential
             SET lease_holder = NULL, lease_until = NULL
             WHERE account_id = $1 AND lease_holder = $2 AND lease_epoch = $3",
        )
        .bind(lease.credential.account.as_uuid())
        .bind(lease.holder)
        .bind(lease.epoch)
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
