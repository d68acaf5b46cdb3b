//! Publishing with confirmations, as the relay does it.

use std::time::Duration;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Confirmation};

/// How often a message is published again before the test fails.
const ATTEMPTS: u32 = 50;
/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(200);

/// Publishes a message until it is in a queue and acknowledged. Puts the channel into confirm mode.
///
/// RabbitMQ returns the message while the queue is not declared, and answers `basic.nack` while a
/// new quorum queue has no leader yet. A publisher then publishes the message again (the relay
/// does so too).
///
/// # Panics
/// If the channel fails, or the broker acknowledged none of the attempts.
#[expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test cannot go on without its message"
)]
pub async fn publish_confirmed(
    channel: &Channel,
    exchange: &str,
    routing_key: &str,
    properties: BasicProperties,
    body: &[u8],
) {
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await
        .expect("no confirm mode");
    let options = BasicPublishOptions {
        mandatory: true,
        ..BasicPublishOptions::default()
    };
    for _ in 0..ATTEMPTS {
        let confirmation = channel
            .basic_publish(
                exchange.into(),
                routing_key.into(),
                options,
                body,
                properties.clone(),
            )
            .await
            .expect("the message was not sent")
            .await
            .expect("the broker did not confirm");
        if matches!(confirmation, Confirmation::Ack(None)) {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
    panic!("the broker acknowledged none of {ATTEMPTS} attempts");
}
