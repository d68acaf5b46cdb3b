//! Sealed grants in `vault.credential`: stored here, opened by refresh-svc alone.

use latchkey_domain::{GrantBinding, Handle, ScopeSet};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::account::Account;
use crate::connect::{Grant, SealedGrant, StoredGrant};

#[derive(sqlx::FromRow)]
struct Row {
    authenticated_at: OffsetDateTime,
    granted_scopes: Vec<String>,
    has_refresh_token: bool,
    alive: bool,
    erased_at: Option<OffsetDateTime>,
    refreshing: bool,
}

/// A stored credential, locked.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The grant, as the decision needs it.
    pub grant: StoredGrant,
    /// True while refresh-svc may be asking the provider: its result would be
    /// lost if the version moved.
    pub refreshing: bool,
}

/// Finds the credential of an account and locks its row.
pub async fn lock(
    connection: &mut PgConnection,
    account: Uuid,
    now: OffsetDateTime,
) -> Result<Option<Stored>, sqlx::Error> {
    let row: Option<Row> = sqlx::query_as(
        "SELECT authenticated_at, granted_scopes, erased_at,
                sealed_refresh_token IS NOT NULL AS has_refresh_token,
                auth_failed_at IS NULL AND erased_at IS NULL
                    AND (sealed_refresh_token IS NOT NULL
                         OR coalesce(access_token_expires_at > $2, true)) AS alive,
                coalesce(lease_until > now(), false)
                    OR coalesce(intent_version = version, false) AS refreshing
         FROM vault.credential
         WHERE account_id = $1
         FOR UPDATE",
    )
    .bind(account)
    .bind(now)
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| Stored {
        refreshing: row.refreshing,
        grant: StoredGrant {
            alive: row.alive,
            grant: Grant {
                // What was erased is revived only by a sign-in after the erasure.
                authenticated_at: row.erased_at.map_or(row.authenticated_at, |erased| {
                    erased.max(row.authenticated_at)
                }),
                scopes: ScopeSet::from_iter(row.granted_scopes),
                has_refresh_token: row.has_refresh_token,
            },
        },
    }))
}

/// Stores a grant in place of whatever there was: alive, no failure, no lease,
/// a version that an older refresh cannot overwrite.
pub async fn replace(
    connection: &mut PgConnection,
    account: Uuid,
    binding: &GrantBinding,
    handle: &Handle,
    sealed: &SealedGrant,
    grant: &Grant,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO vault.credential AS c
             (account_id, workspace_id, user_id, provider, issuer, subject, handle,
              sealed_access_token, access_token_expires_at, sealed_refresh_token,
              granted_scopes, authenticated_at, last_refreshed_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12)
         ON CONFLICT (account_id) DO UPDATE SET
             handle = excluded.handle,
             sealed_access_token = excluded.sealed_access_token,
             access_token_expires_at = excluded.access_token_expires_at,
             sealed_refresh_token = excluded.sealed_refresh_token,
             granted_scopes = excluded.granted_scopes,
             authenticated_at = excluded.authenticated_at,
             last_refreshed_at = excluded.last_refreshed_at,
             version = c.version + 1,
             failure_class = NULL,
             failure_count = 0,
             retry_after = NULL,
             auth_failed_at = NULL,
             erased_at = NULL,
             revoked_at_provider = false,
             lease_holder = NULL,
             lease_until = NULL,
             lease_epoch = c.lease_epoch + 1,
             intent_version = NULL,
             intent_at = NULL,
             intent_count = 0",
    )
    .bind(account)
    .bind(binding.workspace.as_uuid())
    .bind(binding.user.as_uuid())
    .bind(binding.provider.as_str())
    .bind(binding.issuer.as_str())
    .bind(binding.subject.as_str())
    .bind(handle.as_str())
    .bind(&sealed.access_token)
    .bind(sealed.access_token_expires_at)
    .bind(sealed.refresh_token.as_deref())
    .bind(grant.scopes.to_vec())
    .bind(grant.authenticated_at)
    .execute(connection)
    .await?;
    Ok(())
}

/// Takes only the access token; the stored refresh token and its scopes stay.
pub async fn take_access_token(
    connection: &mut PgConnection,
    account: Uuid,
    sealed: &SealedGrant,
    authenticated_at: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE vault.credential SET
             sealed_access_token = $2,
             access_token_expires_at = $3,
             authenticated_at = $4,
             last_refreshed_at = $4,
             version = version + 1
         WHERE account_id = $1",
    )
    .bind(account)
    .bind(&sealed.access_token)
    .bind(sealed.access_token_expires_at)
    .bind(authenticated_at)
    .execute(connection)
    .await?;
    Ok(())
}

/// Takes only the refresh token: the stored access token is newer.
pub async fn take_refresh_token(
    connection: &mut PgConnection,
    account: Uuid,
    sealed: &SealedGrant,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE vault.credential SET
             sealed_refresh_token = $2,
             failure_class = NULL,
             failure_count = 0,
             retry_after = NULL,
             version = version + 1
         WHERE account_id = $1",
    )
    .bind(account)
    .bind(sealed.refresh_token.as_deref())
    .execute(connection)
    .await?;
    Ok(())
}

/// Gives the credential the address of its account, and who vouches for it: the
/// look-up by handle reads them here. The tokens and their version stay.
pub async fn set_handle(
    connection: &mut PgConnection,
    account: &Account,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE vault.credential SET handle = $2, vouched_handle = $3
         WHERE account_id = $1 AND (handle, vouched_handle) IS DISTINCT FROM ($2, $3)",
    )
    .bind(account.id)
    .bind(&account.handle)
    .bind(&account.vouched_handle)
    .execute(connection)
    .await?;
    Ok(())
}
