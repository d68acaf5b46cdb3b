//! The time from a commit to a consumer while nothing else happens.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::StreamExt as _;
use lapin::options::BasicConsumeOptions;
use lapin::types::FieldTable;
use latchkey_domain::EventId;
use latchkey_messaging::outbox::{Message, OutboxWaker, Schema, enqueue};
use latchkey_proto::events::AccountConnected;
use tokio_util::sync::CancellationToken;

use super::testbed::{EventTestbed, QUEUE};
use crate::load::Measurement;

/// Between two commits. Not a divisor of the relay's interval, so that commits are spread over it.
const PAUSE: Duration = Duration::from_millis(37);
/// A message that has not arrived by then is an error.
const LONGEST: Duration = Duration::from_secs(30);

/// Commits one event at a time and waits for it. If `wakes`, the committer wakes the relay.
pub async fn measure(
    testbed: &EventTestbed,
    commits: usize,
    wakes: bool,
) -> anyhow::Result<Measurement> {
    let waker = OutboxWaker::default();
    let stop = CancellationToken::new();
    let relay = testbed.relay().woken_by(waker.clone());
    let relay = tokio::spawn(relay.run(stop.clone()));
    let channel = testbed.connection.create_channel().await?;
    let no_ack = BasicConsumeOptions {
        no_ack: true,
        ..BasicConsumeOptions::default()
    };
    let mut deliveries = channel
        .basic_consume(QUEUE.into(), "".into(), no_ack, FieldTable::default())
        .await?;

    let mut measured = Measurement::empty()?;
    for number in 0..commits {
        tokio::time::sleep(PAUSE).await;
        let mut transaction = testbed.pool.begin().await?;
        let event = AccountConnected::default();
        let message = Message::event(EventId::generate(), number, &event);
        enqueue(&mut transaction, Schema::Sync, message).await?;
        transaction.commit().await?;
        let committed = Instant::now();
        if wakes {
            waker.wake();
        }
        let delivery = tokio::time::timeout(LONGEST, deliveries.next());
        delivery.await?.context("the consumer was cancelled")??;
        // The first one waits until the relay is connected.
        if number > 0 {
            measured.record(Some(committed.elapsed()));
        }
    }
    stop.cancel();
    relay.await?;
    channel.close(200, "done".into()).await?;
    Ok(measured)
}
