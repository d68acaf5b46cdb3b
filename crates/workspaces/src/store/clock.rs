//! The clock of the database.

use sqlx::PgConnection;
use time::OffsetDateTime;

/// Returns the time by the database's clock, which all replicas share.
///
/// # Errors
/// Returns the database's error.
pub async fn now(connection: &mut PgConnection) -> Result<OffsetDateTime, sqlx::Error> {
    sqlx::query_scalar("SELECT clock_timestamp()")
        .fetch_one(connection)
        .await
}
