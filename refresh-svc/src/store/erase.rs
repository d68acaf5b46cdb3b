//! Erasure of credentials (R37).

use latchkey_domain::{AccountId, EventId};
use latchkey_messaging::outbox::{self, Message, Schema};
use latchkey_proto::events::AccountDisconnected;
use sqlx::PgConnection;
use time::OffsetDateTime;

use super::{Credential, Lease, Priority, STATEMENT, Store, StoreError, within};
use latchkey_proto::timestamp;

/// Result of an erasure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Erased {
    /// The credentials are erased, and the event is published.
    Done {
        /// Number of this change of the row.
        change_number: i64,
    },
    /// The grant has changed since the lease was acquired: read again.
    Changed,
}

impl Store {
    /// Erases the credentials that were read with the lease and publishes
    /// `account.disconnected.v1` in the same transaction.
    ///
    /// # Errors
    /// Returned if the database does not answer.
    pub async fn erase(
        &self,
        lease: &Lease,
        revoked_at_provider: bool,
    ) -> Result<Erased, StoreError> {
        let mut held = self.connections.acquire(Priority::Immediate).await?;
        let erasing = async {
            let mut transaction = held.begin().await?;
            let erased = erase_in(&mut transaction, lease, revoked_at_provider).await?;
            transaction.commit().await?;
            Ok::<_, sqlx::Error>(erased)
        };
        let erased = within(STATEMENT, erasing).await;
        let erased = held.finish(erased)?;
        self.connections.outbox().wake();
        Ok(erased)
    }

    /// Erases the credentials that were read, unless they are the last living ones of
    /// their identity at the provider; then it returns `None`. Of several concurrent
    /// disconnects, each sees the earlier ones as erased.
    ///
    /// # Errors
    /// Returned if the database does not answer.
    pub async fn erase_unless_last_grant(
        &self,
        lease: &Lease,
    ) -> Result<Option<Erased>, StoreError> {
        let mut held = self.connections.acquire(Priority::Immediate).await?;
        let erasing = async {
            let mut transaction = held.begin().await?;
            if !identity_has_other_grant(&mut transaction, &lease.credential).await? {
                return Ok(None);
            }
            let erased = erase_in(&mut transaction, lease, false).await?;
            transaction.commit().await?;
            Ok::<_, sqlx::Error>(Some(erased))
        };
        let erased = within(STATEMENT, erasing).await;
        let erased = held.finish(erased)?;
        self.connections.outbox().wake();
        Ok(erased)
    }

    /// Records that the person disconnects the account, even if it is erased already:
    /// earlier sign-ins that still arrive are ignored.
    ///
    /// # Errors
    /// Returned if the database does not answer.
    pub async fn record_disconnect(&self, account: AccountId) -> Result<(), StoreError> {
        let mut held = self.connections.acquire(Priority::Immediate).await?;
        let noting = sqlx::query(
            "UPDATE vault.credential SET not_before = clock_timestamp() WHERE account_id = $1",
        )
        .bind(account.as_uuid())
        .execute(held.connection()?);
        let noted = within(STATEMENT, noting).await;
        held.finish(noted).map(drop)
    }
}

async fn erase_in(
    transaction: &mut PgConnection,
    lease: &Lease,
    revoked_at_provider: bool,
) -> Result<Erased, sqlx::Error> {
    let credential = &lease.credential;
    let account = credential.account;
    // The time of the statement: sign-ins that were stored before are older.
    let row: Option<(OffsetDateTime, i64, i64)> = sqlx::query_as(
        "UPDATE vault.credential
         SET sealed_access_token = NULL,
             access_token_expires_at = NULL,
             sealed_refresh_token = NULL,
             erased_at = clock_timestamp(),
             revoked_at_provider = $4,
             version = version + 1,
             failure_class = NULL, failure_count = 0, retry_after = NULL,
             lease_holder = NULL, lease_until = NULL, lease_epoch = lease_epoch + 1,
             intent_version = NULL, intent_at = NULL, intent_count = 0
         WHERE account_id = $1 AND version = $2 AND lease_epoch = $3 AND erased_at IS NULL
         RETURNING erased_at, version, change_number",
    )
    .bind(account.as_uuid())
    .bind(credential.version)
    .bind(lease.epoch)
    .bind(revoked_at_provider)
    .fetch_optional(&mut *transaction)
    .await?;
    let Some((erased_at, version, change_number)) = row else {
        return Ok(Erased::Changed);
    };
    // The grants of earlier sign-ins were revoked too, as far as possible.
    sqlx::query("DELETE FROM vault.replaced_grant WHERE account_id = $1")
        .bind(account.as_uuid())
        .execute(&mut *transaction)
        .await?;
    let event = AccountDisconnected {
        account_id: account.to_string(),
        workspace_id: credential.binding.workspace.to_string(),
        provider: credential.binding.provider.to_string(),
        revoked_at_provider,
        disconnected_at: Some(timestamp(erased_at)),
    };
    let id = EventId::derived(account.as_uuid(), &format!("disconnected/{version}"));
    outbox::enqueue(
        &mut *transaction,
        Schema::Vault,
        Message::event(id, account, &event),
    )
    .await?;
    Ok(Erased::Done { change_number })
}

/// Returns `true` if the identity has a living grant in another account. The advisory
/// lock is held until the transaction ends, so that exactly one of several concurrent
/// disconnects is the last.
async fn identity_has_other_grant(
    transaction: &mut PgConnection,
    credential: &Credential,
) -> Result<bool, sqlx::Error> {
    let binding = &credential.binding;
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 1))")
        .bind(format!(
            "{}\n{}\n{}",
            binding.provider, binding.issuer, binding.subject
        ))
        .execute(&mut *transaction)
        .await?;
    // Index credential_identity.
    sqlx::query_scalar(
        "SELECT EXISTS (
             SELECT FROM vault.credential
             WHERE provider = $2 AND issuer = $3 AND subject = $4 AND account_id <> $1
               AND auth_failed_at IS NULL AND erased_at IS NULL)",
    )
    .bind(credential.account.as_uuid())
    .bind(binding.provider.as_str())
    .bind(binding.issuer.as_str())
    .bind(binding.subject.as_str())
    .fetch_one(transaction)
    .await
}
