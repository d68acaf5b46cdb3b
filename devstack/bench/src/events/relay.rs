//! The relay on a filled outbox.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use sqlx::Executor as _;
use tokio_util::sync::CancellationToken;

use super::testbed::{EventTestbed, KEY};
use crate::notify::PAYLOAD_BYTES;

/// How often the outbox is looked at.
const LOOK: Duration = Duration::from_millis(10);
/// An outbox that is not empty by then is an error.
const LONGEST: Duration = Duration::from_mins(5);

/// Fills the outbox with `count` messages and starts a relay. Returns messages per second from its
/// start, with connecting to both servers, until the outbox is empty.
#[expect(clippy::cast_precision_loss, reason = "far under 2^53")]
pub async fn publish(testbed: &EventTestbed, count: usize) -> anyhow::Result<f64> {
    testbed
        .pool
        .execute(sqlx::raw_sql("TRUNCATE sync.outbox"))
        .await?;
    sqlx::query(
        "INSERT INTO sync.outbox (event_id, exchange, routing_key, event_type, subject, payload)
         SELECT gen_random_uuid(), 'latchkey.events', $2::text, $2::text, gen_random_uuid()::text,
                convert_to(repeat('7', $3), 'UTF8')
         FROM generate_series(1, $1)",
    )
    .bind(i32::try_from(count)?)
    .bind(KEY)
    .bind(i32::try_from(PAYLOAD_BYTES)?)
    .execute(&testbed.pool)
    .await?;
    for statement in ["VACUUM ANALYZE sync.outbox", "CHECKPOINT"] {
        testbed.pool.execute(sqlx::raw_sql(statement)).await?;
    }

    let stop = CancellationToken::new();
    let relay = testbed.relay();
    let begun = Instant::now();
    let relay = tokio::spawn(relay.run(stop.clone()));
    let emptied = async {
        loop {
            // The first row by the index, because a count would read every deleted row.
            let left: Option<i64> =
                sqlx::query_scalar("SELECT seq FROM sync.outbox ORDER BY seq LIMIT 1")
                    .fetch_optional(&testbed.pool)
                    .await?;
            if left.is_none() {
                return Ok::<_, sqlx::Error>(begun.elapsed());
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    let took = tokio::time::timeout(LONGEST, emptied).await;
    stop.cancel();
    relay.await?;
    let took = took.context("the relay did not empty the outbox")??;
    let arrived = testbed.empty_queue().await?;
    anyhow::ensure!(
        usize::try_from(arrived)? == count,
        "{arrived} of {count} messages arrived"
    );
    Ok(count as f64 / took.as_secs_f64())
}
