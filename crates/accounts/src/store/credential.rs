//! Sealed grants (`vault.credential`): stored here, opened only by refresh-svc.

use latchkey_domain::{AccountId, ScopeSet};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection, Row as _};
use time::OffsetDateTime;
use uuid::Uuid;

use super::account::Account;
use super::channel::{self, ChannelRow};
use super::grant_death;
use crate::grant::{Death, Grant, Origin, SealedGrant, StoredGrants};

#[derive(FromRow)]
struct Row {
    authenticated_at: OffsetDateTime,
    granted_scopes: Vec<String>,
    last_refreshed_at: Option<OffsetDateTime>,
    refresh_authenticated_at: Option<OffsetDateTime>,
    refresh_scopes: Option<Vec<String>>,
    has_refresh_token: bool,
    auth_failed_at: Option<OffsetDateTime>,
    expired_at: Option<OffsetDateTime>,
    erased_at: Option<OffsetDateTime>,
    not_before: Option<OffsetDateTime>,
    refreshing: bool,
    died_before: bool,
}

/// A stored credential whose row is locked.
#[derive(Debug, Clone)]
pub struct StoredCredential {
    /// The content that a merge of grants depends on.
    pub grants: StoredGrants,
    /// Whether the provider refused the grant and it has not been replaced.
    pub refused: bool,
    /// When the tokens were erased; `None` if they were stored again since.
    pub erased_at: Option<OffsetDateTime>,
    /// Whether refresh-svc may be refreshing the grant now: its result would be lost if
    /// the version changed.
    pub refreshing: bool,
}

/// Finds the credential of an account and locks its row, and reads the channels, message channel
/// first. The transaction holds the lock of the account's row, so no channel changes while this
/// statement waits for its lock. It reads the key id of the token in place of the token, which an
/// operator may not read.
pub async fn lock_and_read_channels(
    connection: &mut PgConnection,
    account: AccountId,
    now: OffsetDateTime,
) -> Result<(Option<StoredCredential>, Vec<ChannelRow>), sqlx::Error> {
    let rows = sqlx::query(concat!(
        "SELECT g.authenticated_at, g.granted_scopes, g.last_refreshed_at,
                g.refresh_authenticated_at, g.refresh_scopes,
                g.refresh_token_key_id IS NOT NULL AS has_refresh_token,
                g.auth_failed_at,
                CASE WHEN g.refresh_token_key_id IS NULL AND g.access_token_expires_at <= $2
                     THEN g.access_token_expires_at END AS expired_at,
                g.erased_at, g.not_before,
                coalesce(g.lease_until > now(), false)
                    OR coalesce(g.intent_version = g.version, false) AS refreshing,
                EXISTS (SELECT FROM sync.grant_death d WHERE d.account_id = $1) AS died_before,
                ",
        channel::columns!(),
        " FROM vault.credential g
         LEFT JOIN sync.channel c ON c.account_id = g.account_id
         WHERE g.account_id = $1
         ORDER BY c.kind DESC
         FOR UPDATE OF g"
    ))
    .bind(account.as_uuid())
    .bind(now)
    .fetch_all(&mut *connection)
    .await?;
    let Some(first) = rows.first() else {
        // Every account has a credential, unless somebody deleted it.
        let channels = channel::of_accounts(connection, &[account]).await?;
        return Ok((None, channels));
    };
    let stored = Row::from_row(first)?;
    let deaths = if stored.died_before {
        grant_death::all(connection, account).await?
    } else {
        Vec::new()
    };
    let credential = StoredCredential {
        refused: stored.auth_failed_at.is_some() && stored.erased_at.is_none(),
        erased_at: stored.erased_at,
        refreshing: stored.refreshing,
        grants: grants(stored, deaths),
    };
    let mut channels = Vec::new();
    for row in rows.iter().filter(|row| has_channel(row)) {
        channels.push(ChannelRow::from_row(row)?);
    }
    Ok((Some(credential), channels))
}

/// Returns `false` for the one row of an account without channels.
fn has_channel(row: &PgRow) -> bool {
    !matches!(row.try_get::<Option<Uuid>, _>("id"), Ok(None))
}

fn grants(row: Row, deaths: Vec<Death>) -> StoredGrants {
    let kept = row.erased_at.is_none();
    let access = Origin {
        authenticated_at: row.authenticated_at,
        scopes: ScopeSet::from_iter(row.granted_scopes),
    };
    let refresh = match (row.refresh_authenticated_at, row.refresh_scopes) {
        (Some(authenticated_at), Some(scopes)) => Origin {
            authenticated_at,
            scopes: ScopeSet::from_iter(scopes),
        },
        _ => access.clone(),
    };
    StoredGrants {
        access_issued_at: row.last_refreshed_at.filter(|_| kept),
        refresh: (kept && row.has_refresh_token).then_some(refresh),
        access: kept.then_some(access),
        died_at: row.auth_failed_at.or(row.expired_at).filter(|_| kept),
        deaths,
        not_before: row.not_before.max(row.erased_at),
    }
}

/// Replaces both tokens and the address. The grant is alive, without failures and without a
/// lease; the new version makes the compare-and-swap of an older refresh fail.
pub async fn replace(
    connection: &mut PgConnection,
    account: &Account,
    sealed: &SealedGrant,
    grant: &Grant,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO vault.credential AS c
             (account_id, workspace_id, user_id, provider, issuer, subject, handle,
              sealed_access_token, access_token_expires_at, sealed_refresh_token,
              granted_scopes, authenticated_at, last_refreshed_at,
              client_id, client_version,
              refresh_token_expires_at, refresh_token_version, renew_at, vouched_handle)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12, $13, 1, $14, 1,
                 vault.renewal_of($14), $15)
         ON CONFLICT (account_id) DO UPDATE SET
             handle = excluded.handle,
             vouched_handle = excluded.vouched_handle,
             sealed_access_token = excluded.sealed_access_token,
             access_token_expires_at = excluded.access_token_expires_at,
             sealed_refresh_token = excluded.sealed_refresh_token,
             granted_scopes = excluded.granted_scopes,
             authenticated_at = excluded.authenticated_at,
             refresh_authenticated_at = NULL,
             refresh_scopes = NULL,
             last_refreshed_at = excluded.last_refreshed_at,
             client_id = excluded.client_id,
             client_version = c.version + 1,
             refresh_token_expires_at = excluded.refresh_token_expires_at,
             refresh_token_version = c.version + 1,
             renew_at = excluded.renew_at,
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
    .bind(account.id.as_uuid())
    .bind(account.binding.workspace.as_uuid())
    .bind(account.binding.user.as_uuid())
    .bind(account.binding.provider.as_str())
    .bind(account.binding.issuer.as_str())
    .bind(account.binding.subject.as_str())
    .bind(&account.handle)
    .bind(&sealed.access_token)
    .bind(sealed.access_token_expires_at)
    .bind(sealed.refresh_token.as_deref())
    .bind(grant.scopes.to_vec())
    .bind(grant.authenticated_at)
    .bind(&sealed.client_id)
    .bind(sealed.refresh_token_expires_at)
    .bind(&account.vouched_handle)
    .execute(connection)
    .await?;
    Ok(())
}

/// Replaces only the access token, and the address; the refresh token and its origin stay. The
/// lease is not touched, so no refresh may be in progress.
pub async fn replace_access_token(
    connection: &mut PgConnection,
    account: &Account,
    sealed: &SealedGrant,
    grant: &Grant,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE vault.credential SET
             sealed_access_token = $2,
             access_token_expires_at = $3,
             refresh_authenticated_at = coalesce(refresh_authenticated_at, authenticated_at),
             refresh_scopes = coalesce(refresh_scopes, granted_scopes),
             authenticated_at = $4,
             granted_scopes = $5,
             last_refreshed_at = $4,
             client_version = CASE WHEN client_version = version
                                   THEN version + 1 ELSE client_version END,
             refresh_token_version = CASE WHEN refresh_token_version = version
                                          THEN version + 1 ELSE refresh_token_version END,
             version = version + 1,
             handle = $6,
             vouched_handle = $7
         WHERE account_id = $1",
    )
    .bind(account.id.as_uuid())
    .bind(&sealed.access_token)
    .bind(sealed.access_token_expires_at)
    .bind(grant.authenticated_at)
    .bind(grant.scopes.to_vec())
    .bind(&account.handle)
    .bind(&account.vouched_handle)
    .execute(connection)
    .await?;
    Ok(())
}

/// Replaces only the refresh token, because the stored access token has a higher rank, and the
/// address. The compare-and-swap of a refresh with the replaced token fails.
pub async fn replace_refresh_token(
    connection: &mut PgConnection,
    account: &Account,
    sealed: &SealedGrant,
    grant: &Grant,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE vault.credential SET
             sealed_refresh_token = $2,
             refresh_authenticated_at = $3,
             refresh_scopes = $4,
             client_id = $5,
             client_version = version + 1,
             refresh_token_expires_at = $6,
             refresh_token_version = version + 1,
             renew_at = vault.renewal_of($6),
             failure_class = NULL,
             failure_count = 0,
             retry_after = NULL,
             lease_holder = NULL,
             lease_until = NULL,
             lease_epoch = lease_epoch + 1,
             intent_version = NULL,
             intent_at = NULL,
             intent_count = 0,
             version = version + 1,
             handle = $7,
             vouched_handle = $8
         WHERE account_id = $1",
    )
    .bind(account.id.as_uuid())
    .bind(sealed.refresh_token.as_deref())
    .bind(grant.authenticated_at)
    .bind(grant.scopes.to_vec())
    .bind(&sealed.client_id)
    .bind(sealed.refresh_token_expires_at)
    .bind(&account.handle)
    .bind(&account.vouched_handle)
    .execute(connection)
    .await?;
    Ok(())
}

/// Stores a disconnect: no grant of an earlier time counts any more.
pub async fn set_not_before(
    connection: &mut PgConnection,
    account: AccountId,
    at: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE vault.credential SET not_before = greatest(not_before, $2)
         WHERE account_id = $1 AND (not_before IS NULL OR not_before < $2)",
    )
    .bind(account.as_uuid())
    .bind(at)
    .execute(connection)
    .await?;
    Ok(())
}

/// Copies the address of the account, and the verified address, to the credential, where
/// the look-up by handle reads them. The tokens and their version stay; a sign-in that replaces
/// a token writes the address with it.
pub async fn set_handle(
    connection: &mut PgConnection,
    account: &Account,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE vault.credential SET handle = $2, vouched_handle = $3
         WHERE account_id = $1 AND (handle, vouched_handle) IS DISTINCT FROM ($2, $3)",
    )
    .bind(account.id.as_uuid())
    .bind(&account.handle)
    .bind(&account.vouched_handle)
    .execute(connection)
    .await?;
    Ok(())
}
