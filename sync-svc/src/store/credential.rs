//! Sealed grants in `vault.credential`: stored here, opened by refresh-svc alone.

use latchkey_domain::ScopeSet;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::account::Account;
use crate::grant::{Death, Grant, Origin, SealedGrant, StoredGrants};

#[derive(sqlx::FromRow)]
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

/// A stored credential, locked.
#[derive(Debug, Clone)]
pub struct StoredCredential {
    /// What is stored, as the decision needs it.
    pub grants: StoredGrants,
    /// Whether the provider refused the grant and nothing has replaced it.
    pub refused: bool,
    /// When the credentials were erased, unless they were replaced since.
    pub erased_at: Option<OffsetDateTime>,
    /// True while refresh-svc may be asking the provider: its result would be
    /// lost if the version moved.
    pub refreshing: bool,
}

/// Finds the credential of an account and locks its row.
pub async fn lock(
    connection: &mut PgConnection,
    account: Uuid,
    now: OffsetDateTime,
) -> Result<Option<StoredCredential>, sqlx::Error> {
    let row: Option<Row> = sqlx::query_as(
        "SELECT authenticated_at, granted_scopes, last_refreshed_at,
                refresh_authenticated_at, refresh_scopes,
                sealed_refresh_token IS NOT NULL AS has_refresh_token,
                auth_failed_at,
                CASE WHEN sealed_refresh_token IS NULL AND access_token_expires_at <= $2
                     THEN access_token_expires_at END AS expired_at,
                erased_at, not_before,
                coalesce(lease_until > now(), false)
                    OR coalesce(intent_version = version, false) AS refreshing,
                EXISTS (SELECT FROM sync.grant_death d WHERE d.account_id = $1) AS died_before
         FROM vault.credential
         WHERE account_id = $1
         FOR UPDATE",
    )
    .bind(account)
    .bind(now)
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let deaths = if row.died_before {
        deaths(connection, account).await?
    } else {
        Vec::new()
    };
    Ok(Some(StoredCredential {
        refused: row.auth_failed_at.is_some() && row.erased_at.is_none(),
        erased_at: row.erased_at,
        refreshing: row.refreshing,
        grants: grants(row, deaths),
    }))
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

#[derive(sqlx::FromRow)]
struct DeathRow {
    died_at: OffsetDateTime,
    width: i32,
    authenticated_at: OffsetDateTime,
    of_refresh_token: bool,
}

/// Deaths of grants of this account that were replaced since.
async fn deaths(connection: &mut PgConnection, account: Uuid) -> Result<Vec<Death>, sqlx::Error> {
    let rows: Vec<DeathRow> = sqlx::query_as(
        "SELECT died_at, width, authenticated_at, of_refresh_token
         FROM sync.grant_death
         WHERE account_id = $1",
    )
    .bind(account)
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Death {
            rank: (
                usize::try_from(row.width).unwrap_or_default(),
                row.authenticated_at,
            ),
            at: row.died_at,
            of_refresh_token: row.of_refresh_token,
        })
        .collect())
}

/// Remembers the death of a grant that is about to be replaced.
pub async fn insert_death(
    connection: &mut PgConnection,
    account: Uuid,
    death: Death,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO sync.grant_death
             (account_id, died_at, width, authenticated_at, of_refresh_token)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (account_id, died_at) DO NOTHING",
    )
    .bind(account)
    .bind(death.at)
    .bind(i32::try_from(death.rank.0).unwrap_or(i32::MAX))
    .bind(death.rank.1)
    .bind(death.of_refresh_token)
    .execute(connection)
    .await?;
    Ok(())
}

/// Forgets the deaths from before a disconnect: nothing from before it counts.
pub async fn delete_deaths(
    connection: &mut PgConnection,
    account: Uuid,
    not_before: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM sync.grant_death WHERE account_id = $1 AND died_at <= $2")
        .bind(account)
        .bind(not_before)
        .execute(connection)
        .await?;
    Ok(())
}

/// Stores a grant in place of whatever there was: alive, no failure, no lease,
/// a version that an older refresh cannot overwrite.
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
              refresh_token_expires_at, refresh_token_version, renew_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12, $13, 1, $14, 1,
                 vault.renewal_of($14))
         ON CONFLICT (account_id) DO UPDATE SET
             handle = excluded.handle,
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
    .bind(account.id)
    .bind(account.workspace_id)
    .bind(account.user_id)
    .bind(&account.provider)
    .bind(&account.issuer)
    .bind(&account.subject)
    .bind(&account.handle)
    .bind(&sealed.access_token)
    .bind(sealed.access_token_expires_at)
    .bind(sealed.refresh_token.as_deref())
    .bind(grant.scopes.to_vec())
    .bind(grant.authenticated_at)
    .bind(&sealed.client_id)
    .bind(sealed.refresh_token_expires_at)
    .execute(connection)
    .await?;
    Ok(())
}

/// Refresh tokens of earlier sign-ins that are kept for one account, until it is
/// disconnected.
const MAX_REPLACED: i64 = 10;

/// Keeps a refresh token, that of the sign-in or the stored one, and forgets the oldest
/// beyond the bound, in one statement: the rows that it sees are those from before it.
macro_rules! keep {
    ($token:literal) => {
        concat!(
            "WITH kept AS (
                 INSERT INTO vault.replaced_grant (account_id, sealed_refresh_token)
                 ",
            $token,
            " RETURNING id
             )
             DELETE FROM vault.replaced_grant
             WHERE account_id = $1 AND EXISTS (SELECT FROM kept) AND id <= (
                 SELECT id FROM vault.replaced_grant
                 WHERE account_id = $1 ORDER BY id DESC OFFSET $2 - 1 LIMIT 1)"
        )
    };
}

/// Keeps the stored refresh token, which is about to be replaced: the provider may go on
/// serving it, and a disconnect revokes it.
pub async fn keep_replaced(
    connection: &mut PgConnection,
    account: Uuid,
) -> Result<(), sqlx::Error> {
    // Index: replaced_grant_account.
    sqlx::query(keep!(
        "SELECT account_id, sealed_refresh_token FROM vault.credential
         WHERE account_id = $1 AND sealed_refresh_token IS NOT NULL"
    ))
    .bind(account)
    .bind(MAX_REPLACED)
    .execute(connection)
    .await?;
    Ok(())
}

/// Keeps the refresh token of a sign-in that was not taken.
pub async fn keep_unused(
    connection: &mut PgConnection,
    account: Uuid,
    sealed_refresh_token: &[u8],
) -> Result<(), sqlx::Error> {
    sqlx::query(keep!("VALUES ($1, $3)"))
        .bind(account)
        .bind(MAX_REPLACED)
        .bind(sealed_refresh_token)
        .execute(connection)
        .await?;
    Ok(())
}

/// Takes only the access token; the stored refresh token stays, with where it
/// came from. A refresh that is under way keeps its lease, so none may be.
pub async fn replace_access_token(
    connection: &mut PgConnection,
    account: Uuid,
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
             version = version + 1
         WHERE account_id = $1",
    )
    .bind(account)
    .bind(&sealed.access_token)
    .bind(sealed.access_token_expires_at)
    .bind(grant.authenticated_at)
    .bind(grant.scopes.to_vec())
    .execute(connection)
    .await?;
    Ok(())
}

/// Takes only the refresh token: the stored access token is of a higher rank.
/// A refresh with the token that is replaced loses its compare-and-swap.
pub async fn replace_refresh_token(
    connection: &mut PgConnection,
    account: Uuid,
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
             version = version + 1
         WHERE account_id = $1",
    )
    .bind(account)
    .bind(sealed.refresh_token.as_deref())
    .bind(grant.authenticated_at)
    .bind(grant.scopes.to_vec())
    .bind(&sealed.client_id)
    .bind(sealed.refresh_token_expires_at)
    .execute(connection)
    .await?;
    Ok(())
}

/// Notes a disconnect: no grant from before it counts any more.
pub async fn set_not_before(
    connection: &mut PgConnection,
    account: Uuid,
    at: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE vault.credential SET not_before = greatest(not_before, $2)
         WHERE account_id = $1 AND (not_before IS NULL OR not_before < $2)",
    )
    .bind(account)
    .bind(at)
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
