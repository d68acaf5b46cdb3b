//! Deaths of grants that were replaced afterwards (`sync.grant_death`).

use latchkey_domain::AccountId;
use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::grant::Death;

#[derive(sqlx::FromRow)]
struct DeathRow {
    died_at: OffsetDateTime,
    width: i32,
    authenticated_at: OffsetDateTime,
    of_refresh_token: bool,
}

/// All deaths that are stored for an account.
pub async fn all(
    connection: &mut PgConnection,
    account: AccountId,
) -> Result<Vec<Death>, sqlx::Error> {
    let rows: Vec<DeathRow> = sqlx::query_as(
        "SELECT died_at, width, authenticated_at, of_refresh_token
         FROM sync.grant_death
         WHERE account_id = $1",
    )
    .bind(account.as_uuid())
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

/// Stores the death of a grant that is about to be replaced.
pub async fn insert(
    connection: &mut PgConnection,
    account: AccountId,
    death: Death,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO sync.grant_death
             (account_id, died_at, width, authenticated_at, of_refresh_token)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (account_id, died_at) DO NOTHING",
    )
    .bind(account.as_uuid())
    .bind(death.at)
    .bind(i32::try_from(death.rank.0).unwrap_or(i32::MAX))
    .bind(death.rank.1)
    .bind(death.of_refresh_token)
    .execute(connection)
    .await?;
    Ok(())
}

/// Deletes the deaths before a disconnect: no grant of that time counts any more.
pub async fn delete_before(
    connection: &mut PgConnection,
    account: AccountId,
    not_before: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM sync.grant_death WHERE account_id = $1 AND died_at <= $2")
        .bind(account.as_uuid())
        .bind(not_before)
        .execute(connection)
        .await?;
    Ok(())
}
