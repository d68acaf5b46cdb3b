use std::sync::Arc;
use std::time::Duration;

use latchkey_service::database::{self, ANSWER, within};
use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::broker::RetryDelay;
use crate::outbox::{Schema, per_schema};

/// A connection on which nothing is heard for so long is asked whether it is there.
const SILENCE: Duration = Duration::from_secs(10);

/// Wakes the relay when a row is committed. A lost connection wakes it too:
/// notifications may have been missed.
pub(super) async fn listen(
    pool: PgPool,
    schema: Schema,
    woken: Arc<Notify>,
    stop: CancellationToken,
) {
    let mut backoff = RetryDelay::new();
    while !stop.is_cancelled() {
        let outcome = tokio::select! {
            () = stop.cancelled() => return,
            outcome = forward(&pool, schema, &woken, &mut backoff) => outcome,
        };
        woken.notify_one();
        if let Err(error) = outcome {
            tracing::warn!(?schema, %error, "not notified of the outbox: polling");
        }
        if !backoff.wait(&stop).await {
            return;
        }
    }
}

async fn forward(
    pool: &PgPool,
    schema: Schema,
    woken: &Notify,
    backoff: &mut RetryDelay,
) -> Result<(), sqlx::Error> {
    let mut listener = within(ANSWER, async {
        let mut listener = PgListener::connect_with(&database::apart(pool)).await?;
        listener
            .listen(per_schema!(schema, "latchkey_outbox_", ""))
            .await?;
        Ok::<_, sqlx::Error>(listener)
    })
    .await?;
    backoff.reset();
    woken.notify_one();
    loop {
        match tokio::time::timeout(SILENCE, listener.try_recv()).await {
            Ok(Ok(Some(_))) => woken.notify_one(),
            Ok(Ok(None)) => return Ok(()),
            Ok(Err(error)) => return Err(error),
            // One that died without a word is silent too.
            Err(_) => {
                within(ANSWER, sqlx::query("SELECT 1").execute(&mut listener)).await?;
            }
        }
    }
}
