//! The database of `DATABASE_URL`.

use latchkey_config::Environment;
use latchkey_service::database::{connect_once, options, pool_of_command};
use sqlx::{Connection as _, PgPool};

use crate::failure::Failure;
use crate::program;

/// Connects once, because a pool that cannot connect says only that the time is over, and returns
/// a pool.
pub(crate) async fn open(environment: &Environment) -> Result<PgPool, Failure> {
    let pool = pool_of_command(environment, program::NAME)?;
    let connection = connect_once(&options(environment)?)
        .await
        .map_err(Failure::of)?;
    // It was only tried out, so it does not matter how it ends.
    let _ = connection.close().await;
    Ok(pool)
}
