use std::time::Duration;

use latchkey_service::database::{ANSWER, within};
use metrics::gauge;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::outbox::schema::{Schema, per_schema};

/// Between two measurements.
const INTERVAL: Duration = Duration::from_secs(5);

/// Measures until `stop` how long the oldest message has waited, also while the broker is not
/// available.
pub(super) async fn measure(pool: &PgPool, schema: Schema, stop: &CancellationToken) {
    let name = per_schema!(schema, "", "");
    let waited = gauge!("latchkey_outbox_oldest_seconds", "schema" => name);
    loop {
        match within(ANSWER, oldest(pool, schema)).await {
            Ok(seconds) => waited.set(seconds.unwrap_or(0.0)),
            Err(error) => {
                tracing::debug!(schema = name, %error, "the age of the outbox cannot be read");
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

async fn oldest(pool: &PgPool, schema: Schema) -> Result<Option<f64>, sqlx::Error> {
    sqlx::query_scalar(per_schema!(
        schema,
        "SELECT extract(epoch FROM clock_timestamp() - created_at)::float8 FROM ",
        ".outbox ORDER BY seq LIMIT 1"
    ))
    .fetch_optional(pool)
    .await
}
