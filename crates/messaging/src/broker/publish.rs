use std::time::Duration;

use lapin::options::BasicPublishOptions;
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation, PublisherConfirm};

use super::error::BrokerError;

/// A message that is not confirmed within this time stays where it was.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(10);

/// Publishes a message on a channel in confirm mode, with the flag `mandatory`: the broker
/// returns a message that reaches no queue.
pub(crate) async fn publish(
    channel: &Channel,
    exchange: &str,
    routing_key: &str,
    body: &[u8],
    properties: BasicProperties,
) -> Result<PublisherConfirm, BrokerError> {
    let mandatory = BasicPublishOptions {
        mandatory: true,
        ..BasicPublishOptions::default()
    };
    let sent = channel.basic_publish(
        short(exchange)?,
        short(routing_key)?,
        mandatory,
        body,
        properties,
    );
    // A blocked connection does not accept the frame.
    tokio::time::timeout(CONFIRM_TIMEOUT, sent)
        .await
        .map_err(|_| BrokerError::Timeout("publish"))?
        .map_err(BrokerError::from)
}

/// Waits for the publisher confirm: the message is then in every queue that it reaches.
pub(crate) async fn confirmed(confirm: PublisherConfirm) -> Result<(), BrokerError> {
    let confirmation = tokio::time::timeout(CONFIRM_TIMEOUT, confirm)
        .await
        .map_err(|_| BrokerError::Timeout("publisher confirm"))??;
    match confirmation {
        Confirmation::Ack(None) => Ok(()),
        Confirmation::Ack(Some(returned)) => Err(BrokerError::Refused(format!(
            "returned: {} {}",
            returned.reply_code, returned.reply_text
        ))),
        Confirmation::Nack(_) => Err(BrokerError::Refused("negative confirm".to_owned())),
        Confirmation::NotRequested => Err(BrokerError::Refused(
            "the channel is not in confirm mode".to_owned(),
        )),
    }
}

fn short(text: &str) -> Result<ShortString, BrokerError> {
    ShortString::try_new(text)
        .map_err(|_| BrokerError::Refused("a name is longer than 255 bytes".to_owned()))
}
