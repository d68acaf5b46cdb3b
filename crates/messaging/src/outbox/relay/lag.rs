use std::time::Duration;

use latchkey_service::database::{ANSWER, within};
use metrics::{Histogram, describe_gauge, describe_histogram, gauge, histogram};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::outbox::schema::{Schema, per_schema};

/// Between two measurements.
const INTERVAL: Duration = Duration::from_secs(5);

/// Messages are counted up to this number, so that a long outage does not make the count itself
/// a load.
const MOST_COUNTED: i64 = 100_000;

/// Measures until `stop` how many messages wait and how long the oldest has waited, also while the
/// broker is not available.
pub(super) async fn measure(pool: &PgPool, schema: Schema, stop: &CancellationToken) {
    describe_gauge!(
        "latchkey_outbox_messages",
        "Messages in the outbox that are not published yet; at most 100000 are counted."
    );
    describe_gauge!(
        "latchkey_outbox_oldest_seconds",
        "Age of the oldest message in the outbox that is not published yet; 0 if there is none."
    );
    describe_histogram!(
        "latchkey_outbox_publish_seconds",
        "Time from the change that a message is about until the broker has confirmed the message."
    );
    let name = per_schema!(schema, "", "");
    drop(published(schema));
    let waiting = gauge!("latchkey_outbox_messages", "schema" => name);
    let waited = gauge!("latchkey_outbox_oldest_seconds", "schema" => name);
    loop {
        match within(ANSWER, backlog(pool, schema)).await {
            Ok(backlog) => {
                waiting.set(backlog.messages);
                waited.set(backlog.oldest);
            }
            Err(error) => {
                tracing::debug!(schema = name, %error, "the state of the outbox cannot be read");
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

/// The time of each published message from its change to the broker's confirmation.
pub(super) fn published(schema: Schema) -> Histogram {
    histogram!("latchkey_outbox_publish_seconds", "schema" => per_schema!(schema, "", ""))
}

/// What waits in an outbox.
#[derive(sqlx::FromRow)]
struct Backlog {
    /// Number of messages, at most [`MOST_COUNTED`].
    messages: f64,
    /// Age of the oldest message in seconds.
    oldest: f64,
}

async fn backlog(pool: &PgPool, schema: Schema) -> Result<Backlog, sqlx::Error> {
    sqlx::query_as(per_schema!(
        schema,
        "WITH counted AS (SELECT seq, created_at FROM ",
        ".outbox ORDER BY seq LIMIT $1)
         SELECT count(*)::float8 AS messages,
                coalesce((SELECT extract(epoch FROM clock_timestamp() - created_at)::float8
                          FROM counted ORDER BY seq LIMIT 1), 0) AS oldest
         FROM counted"
    ))
    .bind(MOST_COUNTED)
    .fetch_one(pool)
    .await
}
