use lapin::message::BasicReturnMessage;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation, Connection, PublisherConfirm};

use super::error::{BrokerError, reply};

/// Opens a channel in confirm mode.
pub(crate) async fn open_confirm_channel(connection: &Connection) -> Result<Channel, BrokerError> {
    let channel = reply("open a channel", connection.create_channel()).await?;
    set_confirm_mode(&channel).await?;
    Ok(channel)
}

/// Puts a channel into confirm mode: the broker then confirms what is published on it.
pub(crate) async fn set_confirm_mode(channel: &Channel) -> Result<(), BrokerError> {
    let confirming = channel.confirm_select(ConfirmSelectOptions::default());
    reply("confirm mode", confirming).await
}

/// Publishes a message on a channel in confirm mode, with the flag `mandatory`: the broker
/// returns a message that reaches no queue.
pub(crate) async fn publish(
    channel: &Channel,
    exchange: &str,
    routing_key: &str,
    body: &[u8],
    properties: BasicProperties,
) -> Result<PublisherConfirm, BrokerError> {
    let sent = send(channel, exchange, routing_key, body, properties);
    // A blocked connection does not accept the frame.
    reply("publish", sent).await
}

/// The same without a deadline. The first poll gives the message to the connection; the future is
/// ready when the message was written.
pub(crate) async fn send(
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
    Ok(sent.await?)
}

/// Waits for the publisher confirm: the message is then in every queue that it reaches. A message
/// that is not confirmed in time stays where it was.
///
/// The channel must have no other message in flight: a message that the broker returned is found at
/// the confirm of any of them.
pub(crate) async fn confirmed(confirm: PublisherConfirm) -> Result<(), BrokerError> {
    let confirmation = reply("publisher confirm", confirm).await?;
    let (returned, accepted) = outcome(confirmation);
    accepted?;
    returned.map_or(Ok(()), |returned| Err(refusal(&returned)))
}

/// The parts of a confirm: a message that the broker returned, and whether it accepted the message
/// that the confirm is for.
pub(crate) fn outcome(
    confirmation: Confirmation,
) -> (Option<BasicReturnMessage>, Result<(), BrokerError>) {
    match confirmation {
        Confirmation::Ack(returned) => (returned, Ok(())),
        Confirmation::Nack(returned) => (
            returned,
            Err(BrokerError::Refused("negative confirm".to_owned())),
        ),
        Confirmation::NotRequested => (
            None,
            Err(BrokerError::Refused(
                "the channel is not in confirm mode".to_owned(),
            )),
        ),
    }
}

/// The error of a message that the broker returned.
pub(crate) fn refusal(returned: &BasicReturnMessage) -> BrokerError {
    BrokerError::Refused(format!(
        "returned: {} {}",
        returned.reply_code, returned.reply_text
    ))
}

fn short(text: &str) -> Result<ShortString, BrokerError> {
    ShortString::try_new(text)
        .map_err(|_| BrokerError::Refused("a name is longer than 255 bytes".to_owned()))
}
