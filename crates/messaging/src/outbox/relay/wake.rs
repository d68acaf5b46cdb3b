use std::sync::Arc;

use latchkey_service::database;
use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::broker::Backoff;
use crate::outbox::{Schema, per_schema};

/// Wakes the relay when a row is committed. A lost connection wakes it too:
/// notifications may have been missed.
pub(super) async fn listen(
    pool: PgPool,
    schema: Schema,
    woken: Arc<Notify>,
    stop: CancellationToken,
) {
    let mut backoff = Backoff::new();
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
    backoff: &mut Backoff,
) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(&database::apart(pool)).await?;
    listener
        .listen(per_schema!(schema, "latchkey_outbox_", ""))
        .await?;
    backoff.reset();
    woken.notify_one();
    while listener.try_recv().await?.is_some() {
        woken.notify_one();
    }
    Ok(())
}
