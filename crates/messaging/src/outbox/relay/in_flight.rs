//! The messages of one batch on one channel.

use std::collections::HashMap;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::maybe_done;
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel};
use tokio::time::{Instant, timeout_at};

use crate::broker::{BrokerError, outcome, refusal, reply, send};

/// A message whose confirm takes longer is not confirmed.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(10);
/// If no further message of a batch is confirmed for this long, the others are not confirmed either.
const CONFIRM_GAP: Duration = Duration::from_secs(5);

/// A message to publish.
pub(super) struct Outgoing<'a> {
    pub(super) exchange: &'a str,
    pub(super) routing_key: &'a str,
    pub(super) payload: &'a [u8],
    /// With the message id, by which a message that comes back is recognized.
    pub(super) properties: BasicProperties,
}

/// What became of a message.
pub(super) enum Answer {
    /// The message is in every queue that it reaches, since this time.
    Confirmed(Instant),
    /// The broker returned or rejected it.
    Refused(BrokerError),
    /// It cannot be written in AMQP.
    Unwritable(BrokerError),
    /// There was no answer.
    Open,
}

/// What became of the messages of a batch.
pub(super) struct Answers {
    /// One for each message, in their order.
    pub(super) each: Vec<Answer>,
    /// The error that ended the channel or the connection, or kept the messages from being written.
    pub(super) ended: Option<BrokerError>,
    /// Whether there was an answer to every message. Otherwise the channel must not be used again: an
    /// answer that comes later would count for the next batch.
    pub(super) complete: bool,
}

/// Publishes the messages in their order, and waits for the confirms. All are given to the
/// connection before the first wait, so that it writes many of them at once: the library reports
/// each write, and waiting for that report costs two switches of the thread for each message.
pub(super) async fn publish(channel: &Channel, messages: Vec<Outgoing<'_>>) -> Answers {
    let mut ids: Vec<Option<ShortString>> = Vec::with_capacity(messages.len());
    let mut sending = Vec::with_capacity(messages.len());
    for message in messages {
        ids.push(message.properties.message_id().clone());
        let mut sent = Box::pin(maybe_done(send(
            channel,
            message.exchange,
            message.routing_key,
            message.payload,
            message.properties,
        )));
        // Ready if it failed already, which is found below.
        let _ = futures::poll!(sent.as_mut());
        sending.push(sent);
    }
    let writing = async {
        for sent in &mut sending {
            sent.as_mut().await;
        }
        Ok::<_, BrokerError>(())
    };
    // A blocked connection does not accept the frames.
    let mut ended = reply("publish", writing).await.err();

    let give_up = Instant::now() + CONFIRM_TIMEOUT;
    let mut waits = true;
    let mut returned_messages = HashMap::new();
    let mut unanswered = Vec::new();
    let mut each = Vec::with_capacity(sending.len());
    for mut sent in sending {
        let answer = match sent.as_mut().take_output() {
            None => Answer::Open,
            Some(Err(error @ BrokerError::Refused(_))) => Answer::Unwritable(error),
            Some(Err(error)) => {
                ended.get_or_insert(error);
                Answer::Open
            }
            Some(Ok(mut confirm)) => {
                let answered = if waits {
                    let until = give_up.min(Instant::now() + CONFIRM_GAP);
                    timeout_at(until, &mut confirm).await.ok()
                } else {
                    (&mut confirm).now_or_never()
                };
                match answered {
                    None => {
                        waits = false;
                        unanswered.push(confirm);
                        Answer::Open
                    }
                    Some(Err(error)) => {
                        ended.get_or_insert(error.into());
                        Answer::Open
                    }
                    Some(Ok(confirmation)) => {
                        let (returned, accepted) = outcome(confirmation);
                        if let Some(returned) = returned {
                            let error = refusal(&returned);
                            let id = returned.delivery.properties.message_id().clone();
                            returned_messages.insert(id, error);
                        }
                        match accepted {
                            Ok(()) => Answer::Confirmed(Instant::now()),
                            Err(error) => Answer::Refused(error),
                        }
                    }
                }
            }
        };
        each.push(answer);
    }
    // One of these may have got the return of a message whose own confirm was read later.
    for confirm in unanswered {
        if let Some(Ok(confirmation)) = confirm.now_or_never()
            && let (Some(returned), _) = outcome(confirmation)
        {
            let id = returned.delivery.properties.message_id().clone();
            returned_messages.insert(id, refusal(&returned));
        }
    }
    // The library hands a returned message out with the next confirm on the channel, which may be
    // that of another message.
    if !returned_messages.is_empty() {
        for (id, answer) in ids.iter().zip(&mut each) {
            if let Some(error) = returned_messages.remove(id) {
                *answer = Answer::Refused(error);
            }
        }
    }
    let complete = !each.iter().any(|answer| matches!(answer, Answer::Open));
    Answers {
        each,
        ended,
        complete,
    }
}
