//! Messages of the services in another order.

use futures::{FutureExt as _, StreamExt as _};
use lapin::options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection};
use latchkey_messaging::topology::SYNC_SVC_QUEUE;
use tokio::time::{Duration, timeout};

use crate::effects::sending::send;

/// Messages that change their order.
const REORDERED: u16 = 8;
/// How long they are collected.
const COLLECTING: Duration = Duration::from_secs(2);

/// Takes messages out of the queue of sync-svc, besides sync-svc, and publishes them again in the
/// opposite order, behind those that came later. A message is in the queue twice for a moment, and
/// never in none.
pub(super) async fn publish(connection: &Connection, confirming: &Channel) -> anyhow::Result<()> {
    let channel = connection.create_channel().await?;
    let options = BasicQosOptions::default();
    channel.basic_qos(REORDERED, options).await?;
    let mut deliveries = channel
        .basic_consume(
            SYNC_SVC_QUEUE.into(),
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await?;
    let mut taken = Vec::new();
    let collecting = async {
        while taken.len() < usize::from(REORDERED) {
            let Some(delivery) = deliveries.next().await else {
                break;
            };
            taken.push(delivery?);
        }
        anyhow::Ok(())
    };
    if let Ok(ended) = timeout(COLLECTING, collecting).await {
        ended?;
    }
    let options = BasicCancelOptions::default();
    channel.basic_cancel(deliveries.tag(), options).await?;
    while let Some(Some(delivery)) = deliveries.next().now_or_never() {
        taken.push(delivery?);
    }
    for delivery in taken.iter().rev() {
        send(confirming, &delivery.data, delivery.properties.clone()).await?;
        delivery.acker.ack(BasicAckOptions::default()).await?;
    }
    // What was delivered and not taken returns to the queue.
    channel.close(200, "done".into()).await?;
    Ok(())
}
