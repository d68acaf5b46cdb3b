//! A publisher that does nothing else: one connection, one channel, publisher confirms.

use std::time::Instant;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel};
use latchkey_messaging::topology::EVENTS_EXCHANGE;

use super::testbed::{EventTestbed, KEY};
use crate::notify::PAYLOAD_BYTES;

/// Publishes `count` persistent messages with at most `window` in flight. Returns confirmed messages
/// per second.
#[expect(clippy::cast_precision_loss, reason = "far under 2^53")]
pub async fn publish(testbed: &EventTestbed, count: usize, window: usize) -> anyhow::Result<f64> {
    let channel = testbed.connection.create_channel().await?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    let body = vec![7_u8; PAYLOAD_BYTES];
    let begun = Instant::now();
    let mut in_flight = FuturesUnordered::new();
    for _ in 0..count {
        if in_flight.len() == window
            && let Some(confirmed) = in_flight.next().await
        {
            confirmed?;
        }
        in_flight.push(one(&channel, &body));
    }
    while let Some(confirmed) = in_flight.next().await {
        confirmed?;
    }
    let rate = count as f64 / begun.elapsed().as_secs_f64();
    channel.close(200, "done".into()).await?;
    Ok(rate)
}

async fn one(channel: &Channel, body: &[u8]) -> anyhow::Result<()> {
    let confirm = channel
        .basic_publish(
            EVENTS_EXCHANGE.into(),
            KEY.into(),
            BasicPublishOptions::default(),
            body,
            BasicProperties::default().with_delivery_mode(2),
        )
        .await?;
    anyhow::ensure!(confirm.await?.is_ack(), "not confirmed");
    Ok(())
}
