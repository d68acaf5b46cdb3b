//! The database of `DATABASE_URL`.

use latchkey_config::Environment;
use latchkey_service::database::pool_of_command;
use sqlx::PgPool;

use crate::failure::Failure;
use crate::program;

/// Connects, and returns a pool.
pub(crate) async fn open(environment: &Environment) -> Result<PgPool, Failure> {
    Ok(pool_of_command(environment, program::NAME).await?)
}
