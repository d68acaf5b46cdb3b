//! What came of a refresh. Every write holds only for the version and the epoch
//! that were read: a reconnect or another holder in between wins.

use std::time::Duration;

use latchkey_domain::{EventId, ScopeSet};
use latchkey_messaging::outbox::{self, Message, Schema};
use latchkey_proto::events::AccountReauthRequired;
use latchkey_providers::FailureClass;
use sqlx::PgConnection;
use time::OffsetDateTime;

use super::{Credential, Lease, Store, StoreError, columns, credential, seconds};
use latchkey_proto::timestamp;

/// Tokens that a provider gave, sealed.
#[derive(Debug, Clone)]
pub struct NewTokens {
    /// The access token.
    pub sealed_access_token: Vec<u8>,
    /// When it expires.
    pub access_token_expires_at: OffsetDateTime,
    /// A rotated refresh token; absent where the old one stays (R31).
    pub sealed_refresh_token: Option<Vec<u8>>,
    /// Granted scopes; absent where they did not change.
    pub granted_scopes: Option<ScopeSet>,
    /// When they came.
    pub refreshed_at: OffsetDateTime,
}

/// A refresh that failed and may succeed another time.
#[derive(Debug, Clone)]
pub struct FailureRecord {
    /// What kind.
    pub class: FailureClass,
    /// No asking for this long.
    pub pause: Duration,
    /// True where the refresh token may have been spent without our hearing of
    /// it: the intent stays.
    pub outcome_unknown: bool,
    /// A rotated refresh token that came with the failure.
    pub sealed_refresh_token: Option<Vec<u8>>,
}

impl Store {
    /// Stores the tokens and ends the lease: both are of the refresh token's grant
    /// now, whichever sign-in the access token before came from. Answers nothing where the version
    /// or the epoch has moved: then nothing is stored.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn commit(
        &self,
        lease: &Lease,
        tokens: &NewTokens,
    ) -> Result<Option<Credential>, StoreError> {
        let scopes = tokens.granted_scopes.as_ref().map(ScopeSet::to_vec);
        sqlx::query_as(concat!(
            "UPDATE vault.credential
             SET sealed_access_token = $4,
                 access_token_expires_at = $5,
                 sealed_refresh_token = coalesce($6, sealed_refresh_token),
                 granted_scopes = coalesce($7, refresh_scopes, granted_scopes),
                 authenticated_at = coalesce(refresh_authenticated_at, authenticated_at),
                 refresh_authenticated_at = NULL, refresh_scopes = NULL,
                 last_refreshed_at = $8,
                 version = version + 1,
                 failure_class = NULL, failure_count = 0, retry_after = NULL,
                 lease_holder = NULL, lease_until = NULL,
                 intent_version = NULL, intent_at = NULL, intent_count = 0
             WHERE account_id = $1 AND version = $2 AND lease_epoch = $3 AND erased_at IS NULL
             RETURNING ",
            columns!()
        ))
        .bind(lease.credential.account.as_uuid())
        .bind(lease.credential.version)
        .bind(lease.epoch)
        .bind(&tokens.sealed_access_token)
        .bind(tokens.access_token_expires_at)
        .bind(&tokens.sealed_refresh_token)
        .bind(scopes)
        .bind(tokens.refreshed_at)
        .fetch_optional(&self.pool)
        .await
        .inspect(|_| self.answered())?
        .map(credential::Row::into_credential)
        .transpose()
    }

    /// Stores a failure with its pause and ends the lease. The grant stays
    /// alive. Answers nothing where the version or the epoch has moved.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn record_failure(
        &self,
        lease: &Lease,
        failure: &FailureRecord,
    ) -> Result<Option<Credential>, StoreError> {
        sqlx::query_as(concat!(
            "UPDATE vault.credential
             SET failure_class = $4,
                 failure_count = failure_count + 1,
                 retry_after = clock_timestamp() + make_interval(secs => $5),
                 sealed_refresh_token = coalesce($7, sealed_refresh_token),
                 version = version + CASE WHEN $7 IS NULL THEN 0 ELSE 1 END,
                 lease_holder = NULL, lease_until = NULL,
                 intent_version = CASE WHEN $6 OR intent_count > 1 THEN intent_version END,
                 intent_at = CASE WHEN $6 OR intent_count > 1 THEN intent_at END,
                 intent_count = CASE WHEN $6 THEN intent_count ELSE GREATEST(intent_count - 1, 0) END
             WHERE account_id = $1 AND version = $2 AND lease_epoch = $3 AND erased_at IS NULL
             RETURNING ",
            columns!()
        ))
        .bind(lease.credential.account.as_uuid())
        .bind(lease.credential.version)
        .bind(lease.epoch)
        .bind(failure.class.reason())
        .bind(seconds(failure.pause))
        .bind(failure.outcome_unknown)
        .bind(&failure.sealed_refresh_token)
        .fetch_optional(&self.pool)
        .await
        .inspect(|_| self.answered())?
        .map(credential::Row::into_credential)
        .transpose()
    }

    /// Marks a grant as dead and tells it, in one transaction (R34). Answers
    /// nothing where the version has moved or the grant is marked already.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn mark_dead(
        &self,
        credential: &Credential,
        epoch: Option<i64>,
        class: FailureClass,
    ) -> Result<Option<Credential>, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let row: Option<(OffsetDateTime,)> = sqlx::query_as(
            "UPDATE vault.credential
             SET auth_failed_at = clock_timestamp(),
                 failure_class = $4,
                 failure_count = failure_count + 1,
                 retry_after = NULL,
                 lease_holder = NULL, lease_until = NULL,
                 intent_version = NULL, intent_at = NULL, intent_count = 0
             WHERE account_id = $1 AND version = $2 AND lease_epoch = coalesce($3, lease_epoch)
               AND auth_failed_at IS NULL AND erased_at IS NULL
             RETURNING auth_failed_at",
        )
        .bind(credential.account.as_uuid())
        .bind(credential.version)
        .bind(epoch)
        .bind(class.reason())
        .fetch_optional(&mut *transaction)
        .await?;
        let Some((failed_at,)) = row else {
            return Ok(None);
        };
        tell_reauth_required(&mut transaction, credential, class, failed_at).await?;
        transaction.commit().await?;
        self.read(credential.account).await
    }
}

async fn tell_reauth_required(
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
    // The same grant dies once: told twice, it is one event.
    let cause = format!("reauth-required/{}", credential.version);
    let id = EventId::derived(account.as_uuid(), &cause);
    outbox::enqueue(
        connection,
        Schema::Vault,
        Message::event(id, account, &event),
    )
    .await
}
