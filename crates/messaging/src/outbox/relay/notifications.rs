use std::time::Duration;

use latchkey_service::database::{self, ANSWER, within};
use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::broker::RetryDelay;
use crate::outbox::schema::{Schema, per_schema};

/// A connection without a notification for this long is checked with a statement.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(10);

/// Notifies the relay, until `stop`, when a row is committed. The loss of the connection
/// notifies it too: notifications may have been missed.
pub(super) async fn listen(
    pool: &PgPool,
    schema: Schema,
    notify: &Notify,
    stop: &CancellationToken,
) {
    let mut backoff = RetryDelay::new();
    while !stop.is_cancelled() {
        let outcome = tokio::select! {
            () = stop.cancelled() => return,
            outcome = forward(pool, schema, notify, &mut backoff) => outcome,
        };
        notify.notify_one();
        if let Err(error) = outcome {
            tracing::warn!(?schema, %error, "not notified of the outbox: polling");
        }
        if !backoff.wait(stop).await {
            return;
        }
    }
}

async fn forward(
    pool: &PgPool,
    schema: Schema,
    notify: &Notify,
    backoff: &mut RetryDelay,
) -> Result<(), sqlx::Error> {
    let mut listener = within(ANSWER, async {
        let mut listener = PgListener::connect_with(&database::separate_pool(pool)).await?;
        listener
            .listen(per_schema!(schema, "latchkey_outbox_", ""))
            .await?;
        Ok::<_, sqlx::Error>(listener)
    })
    .await?;
    backoff.reset();
    notify.notify_one();
    loop {
        match tokio::time::timeout(SILENCE_TIMEOUT, listener.try_recv()).await {
            Ok(Ok(Some(_))) => notify.notify_one(),
            Ok(Ok(None)) => return Ok(()),
            Ok(Err(error)) => return Err(error),
            // A connection that was lost without a packet is silent too.
            Err(_) => {
                within(ANSWER, sqlx::query("SELECT 1").execute(&mut listener)).await?;
            }
        }
    }
}
