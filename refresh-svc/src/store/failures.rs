//! Stores the failures of refreshes. Every write requires the version and the epoch that
//! were read, so a reconnect or another holder in between takes precedence.

use std::time::Duration;

use latchkey_domain::{EventId, SealedRefreshToken};
use latchkey_messaging::outbox::{self, Message, Schema};
use latchkey_proto::events::AccountReauthRequired;
use latchkey_providers::FailureClass;
use sqlx::PgConnection;
use time::OffsetDateTime;

use super::connections::HeldConnection;
use super::{Credential, Lease, Priority, STATEMENT, Store, StoreError, columns, seconds, within};
use latchkey_proto::timestamp;

/// A failed refresh that may succeed later.
#[derive(Debug, Clone)]
pub struct FailureRecord {
    /// Class of the failure.
    pub class: FailureClass,
    /// The provider is not asked for this long.
    pub backoff: Duration,
    /// Set if the refresh token may have been used up without an answer: the intent is
    /// kept.
    pub outcome_unknown: bool,
    /// Set if the provider answered with success but no token could be read.
    pub unreadable: bool,
    /// Set if the provider refused the grant and a later refresh may succeed.
    pub refused: bool,
    /// A rotated refresh token in the failed answer.
    pub sealed_refresh_token: Option<SealedRefreshToken>,
}

/// Why a grant is dead.
#[derive(Debug, Clone, Copy)]
pub struct DeadReason<'a> {
    /// Class of the refusal.
    pub class: FailureClass,
    /// Claims challenge of the provider for the next sign-in.
    pub claims: Option<&'a str>,
}

impl From<FailureClass> for DeadReason<'_> {
    fn from(class: FailureClass) -> Self {
        Self {
            class,
            claims: None,
        }
    }
}

impl Store {
    /// Stores a failure with its back-off and ends the lease. The grant stays alive.
    /// Returns `None` if the version or the epoch has changed.
    ///
    /// A rotated refresh token in the failed answer has a clean history: it was never
    /// sent. The version does not change, because it counts access tokens: a caller that
    /// reports a token as refused must not be answered the same one as newer.
    ///
    /// # Errors
    /// Returned if the database does not answer.
    pub async fn record_failure(
        &self,
        lease: &Lease,
        failure: &FailureRecord,
    ) -> Result<Option<Credential>, StoreError> {
        let query = sqlx::query_as(concat!(
            "UPDATE vault.credential
             SET failure_class = $4,
                 failure_count = failure_count + 1,
                 retry_after = clock_timestamp() + make_interval(secs => $5),
                 sealed_refresh_token = coalesce($7, sealed_refresh_token),
                 lease_holder = NULL, lease_until = NULL,
                 intent_version = CASE WHEN $7 IS NULL AND ($6 OR intent_count > 1)
                                       THEN intent_version END,
                 intent_at = CASE WHEN $7 IS NULL AND ($6 OR intent_count > 1)
                                  THEN intent_at END,
                 intent_count = CASE WHEN $7 IS NOT NULL THEN 0
                                     WHEN $6 THEN intent_count
                                     ELSE GREATEST(intent_count - 1, 0) END,
                 unreadable_version = CASE WHEN $7 IS NOT NULL THEN NULL
                                           WHEN $8 THEN version
                                           ELSE unreadable_version END,
                 refused_count = CASE WHEN NOT $9 THEN refused_count
                                      WHEN refused_version = version THEN refused_count + 1
                                      ELSE 1 END,
                 refused_since = CASE WHEN $9 AND refused_version IS DISTINCT FROM version
                                      THEN clock_timestamp() ELSE refused_since END,
                 refused_version = CASE WHEN $9 THEN version ELSE refused_version END
             WHERE account_id = $1 AND version = $2 AND lease_epoch = $3 AND erased_at IS NULL
             RETURNING ",
            columns!()
        ))
        .bind(lease.credential.account.as_uuid())
        .bind(lease.credential.version)
        .bind(lease.epoch)
        .bind(failure.class.reason())
        .bind(seconds(failure.backoff))
        .bind(failure.outcome_unknown)
        .bind(
            failure
                .sealed_refresh_token
                .as_ref()
                .map(SealedRefreshToken::as_bytes),
        )
        .bind(failure.unreadable)
        .bind(failure.refused);
        self.fetch_credential(query).await
    }

    /// Marks a grant as dead and publishes the event in one transaction (R34). Returns
    /// `None` if the version has changed or the grant is marked already.
    ///
    /// # Errors
    /// Returned if the database does not answer.
    pub async fn mark_dead(
        &self,
        credential: &Credential,
        epoch: Option<i64>,
        reason: DeadReason<'_>,
    ) -> Result<Option<Credential>, StoreError> {
        let mut held = self.connections.acquire(Priority::Immediate).await?;
        let marking = mark_in(&mut held, credential, epoch, reason);
        let marked = within(STATEMENT, marking).await;
        if !held.finish(marked)? {
            return Ok(None);
        }
        self.connections.outbox().wake();
        self.read(credential.account).await
    }
}

/// Marks and publishes. Returns `false` if the grant was replaced meanwhile.
async fn mark_in(
    held: &mut HeldConnection,
    credential: &Credential,
    epoch: Option<i64>,
    reason: DeadReason<'_>,
) -> Result<bool, sqlx::Error> {
    let mut transaction = held.begin().await?;
    let row: Option<(OffsetDateTime,)> = sqlx::query_as(
        "UPDATE vault.credential
         SET auth_failed_at = clock_timestamp(),
             failure_class = $4,
             failure_count = failure_count + 1,
             retry_after = NULL,
             lease_holder = NULL, lease_until = NULL,
             intent_version = NULL, intent_at = NULL, intent_count = 0,
             claims = $5
         WHERE account_id = $1 AND version = $2 AND lease_epoch = coalesce($3, lease_epoch)
           AND auth_failed_at IS NULL AND erased_at IS NULL
         RETURNING auth_failed_at",
    )
    .bind(credential.account.as_uuid())
    .bind(credential.version)
    .bind(epoch)
    .bind(reason.class.reason())
    .bind(reason.claims)
    .fetch_optional(&mut *transaction)
    .await?;
    let Some((failed_at,)) = row else {
        return Ok(false);
    };
    publish_reauth_required(&mut transaction, credential, reason.class, failed_at).await?;
    transaction.commit().await?;
    Ok(true)
}

async fn publish_reauth_required(
    connection: &mut PgConnection,
    credential: &Credential,
    class: FailureClass,
    failed_at: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    let account = credential.account;
    let event = AccountReauthRequired {
        account_id: account.to_string(),
        workspace_id: credential.binding.workspace.to_string(),
        provider: credential.binding.provider.to_string(),
        reason: class.reason().to_owned(),
        failed_at: Some(timestamp(failed_at)),
        authenticated_at: Some(timestamp(credential.authenticated_at)),
    };
    // One version of a grant can die only once, so a repeated event has the same id.
    let cause = format!("reauth-required/{}", credential.version);
    let id = EventId::derived(account.as_uuid(), &cause);
    outbox::enqueue(
        connection,
        Schema::Vault,
        Message::event(id, account, &event),
    )
    .await
}
