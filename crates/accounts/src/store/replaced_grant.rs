//! Refresh tokens that a later sign-in replaced (`vault.replaced_grant`). The provider
//! may still accept them; a disconnect revokes them.

use latchkey_domain::AccountId;
use sqlx::PgConnection;

/// Most refresh tokens that are kept for one account.
const MAX_REPLACED: i64 = 10;

/// Keeps a refresh token and deletes the oldest ones beyond the bound, in one statement.
/// The statement does not see the row that it inserts.
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

/// Keeps the stored refresh token, which is about to be replaced.
pub async fn keep_stored(
    connection: &mut PgConnection,
    account: AccountId,
) -> Result<(), sqlx::Error> {
    // Index: replaced_grant_account.
    sqlx::query(keep!(
        "SELECT account_id, sealed_refresh_token FROM vault.credential
         WHERE account_id = $1 AND sealed_refresh_token IS NOT NULL"
    ))
    .bind(account.as_uuid())
    .bind(MAX_REPLACED)
    .execute(connection)
    .await?;
    Ok(())
}

/// Keeps the refresh token of a sign-in that is not stored as the account's grant.
pub async fn keep_incoming(
    connection: &mut PgConnection,
    account: AccountId,
    sealed_refresh_token: &[u8],
) -> Result<(), sqlx::Error> {
    sqlx::query(keep!("VALUES ($1, $3)"))
        .bind(account.as_uuid())
        .bind(MAX_REPLACED)
        .bind(sealed_refresh_token)
        .execute(connection)
        .await?;
    Ok(())
}
