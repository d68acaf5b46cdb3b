//! Sends the acknowledgements of several messages together. Each one that is sent alone switches
//! between the threads of the process several times, and so does the next delivery that it allows.

use std::time::Duration;

use futures::future::try_join_all;
use lapin::Channel;
use lapin::options::BasicAckOptions;
use lapin::types::LongLongUInt;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::TaskTracker;

use crate::broker::reply;

/// While others are being handled, a handled message waits this long for them, so that their
/// acknowledgements are sent together.
const GATHERING: Duration = Duration::from_millis(10);
/// Acknowledgements that are sent at once, without waiting for more.
const MOST: usize = 8;

/// Acknowledges the messages of one channel.
#[derive(Debug)]
pub(super) struct Acknowledger(mpsc::UnboundedSender<Handled>);

/// A message that was handled.
#[derive(Debug)]
struct Handled {
    delivery_tag: LongLongUInt,
    acknowledged: oneshot::Sender<()>,
}

impl Acknowledger {
    /// Acknowledges on this channel, over which the messages were delivered, until it is dropped.
    /// `handling` has a task for each message that is being handled, until it is acknowledged.
    pub(super) fn start(channel: Channel, handling: TaskTracker) -> Self {
        let (sender, handled) = mpsc::unbounded_channel();
        tokio::spawn(acknowledge_all(channel, handled, handling));
        Self(sender)
    }

    /// Returns when the acknowledgement was written; `false` if the channel or the connection has
    /// ended.
    pub(super) async fn acknowledge(&self, delivery_tag: LongLongUInt) -> bool {
        let (acknowledged, done) = oneshot::channel();
        let handled = Handled {
            delivery_tag,
            acknowledged,
        };
        self.0.send(handled).is_ok() && done.await.is_ok()
    }
}

/// Ends with the first error, so that no later acknowledgement succeeds.
async fn acknowledge_all(
    channel: Channel,
    mut handled: mpsc::UnboundedReceiver<Handled>,
    handling: TaskTracker,
) {
    while let Some(first) = handled.recv().await {
        let gathered = gather(first, &mut handled, &handling).await;
        let all = gathered
            .iter()
            .map(|one| channel.basic_ack(one.delivery_tag, BasicAckOptions::default()));
        if let Err(error) = reply("acknowledge", try_join_all(all)).await {
            tracing::warn!(%error, messages = gathered.len(), "messages are delivered again");
            return;
        }
        for one in gathered {
            // The task that handled it may have ended.
            let _ = one.acknowledged.send(());
        }
    }
}

async fn gather(
    first: Handled,
    handled: &mut mpsc::UnboundedReceiver<Handled>,
    handling: &TaskTracker,
) -> Vec<Handled> {
    let until = Instant::now() + GATHERING;
    let mut gathered = vec![first];
    while gathered.len() < MOST.min(handling.len())
        && let Ok(Some(next)) = timeout_at(until, handled.recv()).await
    {
        gathered.push(next);
    }
    gathered
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gathers after `done` of `handling` messages were handled. Returns how many are acknowledged
    /// together, and after which time.
    async fn gathered(done: usize, handling: usize) -> (usize, Duration) {
        let tracker = TaskTracker::new();
        let _tokens: Vec<_> = (0..handling).map(|_| tracker.token()).collect();
        let (sender, mut receiver) = mpsc::unbounded_channel();
        for delivery_tag in 0..done as LongLongUInt {
            let acknowledged = oneshot::channel().0;
            let handled = Handled {
                delivery_tag,
                acknowledged,
            };
            sender.send(handled).unwrap();
        }
        let begun = Instant::now();
        let first = receiver.recv().await.unwrap();
        let all = gather(first, &mut receiver, &tracker).await;
        (all.len(), begun.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_waits_only_while_others_are_being_handled() {
        assert_eq!(gathered(1, 1).await, (1, Duration::ZERO));
        assert_eq!(gathered(3, 3).await, (3, Duration::ZERO));
        let (together, waited) = gathered(3, 4).await;
        assert_eq!(together, 3);
        assert!(waited >= GATHERING, "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_batch_does_not_wait() {
        assert_eq!(gathered(MOST + 1, 3 * MOST).await, (MOST, Duration::ZERO));
    }
}
