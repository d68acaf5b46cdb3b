//! Messages that nobody should send, published directly into the queue of sync-svc, and messages of
//! the services in another order.

mod made;
mod reordered;

use anyhow::Context as _;
use lapin::options::ConfirmSelectOptions;
use lapin::{Channel, Connection, ConnectionProperties};
use sqlx::PgPool;
use tokio::time::{Duration, sleep, timeout};
use uuid::Uuid;

use super::command_timeout::COMMAND_TIMEOUT;
use super::sending::send;
use crate::environment::Environment;
use crate::planted::Planted;
use crate::shadow::Sample;
use made::Made;

/// How often a message is published again unchanged.
const DUPLICATES: usize = 3;
/// The newest messages, so many of them, are changed and published.
const CHANGED: usize = 2;
/// How long sync-svc may take to learn that the workspace is gone. If it takes longer, the next
/// fault of this kind sends the sign-in.
const REMOVAL_TIMEOUT: Duration = Duration::from_secs(3);
/// Time between two looks at the inbox.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// Publishes each kind of message. Those that change an event need one that was published before.
pub(super) async fn publish(environment: &mut Environment) -> anyhow::Result<()> {
    let samples = environment.shadow.samples();
    let url = environment.stack.servers.rabbitmq.url();
    let pool = environment.pool().clone();
    let planted = &mut environment.planted;
    timeout(COMMAND_TIMEOUT, async {
        let connection = Connection::connect(&url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await?;
        reordered::publish(&connection, &channel).await?;
        plant(&channel, planted, made::without_headers()).await?;
        for sample in &samples {
            for _ in 0..DUPLICATES {
                send(&channel, &sample.body, sample.properties.clone()).await?;
            }
        }
        for sample in samples.iter().rev().take(CHANGED) {
            for message in made::changed(sample) {
                plant(&channel, planted, message).await?;
            }
        }
        if let Some(sample) = samples.last() {
            sign_in_to_a_workspace_that_is_gone(&channel, planted, sample, &pool).await?;
        }
        anyhow::Ok(())
    })
    .await
    .context("RabbitMQ does not accept the messages")?
}

/// Publishes a sign-in to a workspace whose only member was removed, once sync-svc knows that.
/// Nothing may be connected there: nobody else has the mail address of that account.
async fn sign_in_to_a_workspace_that_is_gone(
    channel: &Channel,
    planted: &mut Planted,
    sample: &Sample,
    pool: &PgPool,
) -> anyhow::Result<()> {
    let (id, removal) = if let Some(sent) = &planted.removal {
        sent.clone()
    } else {
        let Some((message, removal)) = made::removal(sample) else {
            return Ok(());
        };
        let sent = (message.id, removal);
        plant(channel, planted, message).await?;
        planted.removal.insert(sent).clone()
    };
    let is_known = timeout(REMOVAL_TIMEOUT, await_applied(pool, id)).await;
    let message = made::sign_in_after(&removal, sample);
    if let (Ok(()), Some(message)) = (is_known, message) {
        plant(channel, planted, message).await?;
    }
    Ok(())
}

/// Waits until sync-svc has applied a message, through any failure of the database.
async fn await_applied(pool: &PgPool, id: Uuid) {
    loop {
        let applied =
            sqlx::query_scalar("SELECT EXISTS (SELECT FROM sync.inbox WHERE event_id = $1)")
                .bind(id)
                .fetch_one(pool)
                .await;
        if applied.unwrap_or(false) {
            return;
        }
        sleep(LOOK_INTERVAL).await;
    }
}

/// Publishes a message, and remembers what has to become of it.
async fn plant(channel: &Channel, planted: &mut Planted, message: Made) -> anyhow::Result<()> {
    send(channel, &message.body, message.properties).await?;
    planted.fates.insert(message.id, message.fate);
    Ok(())
}
