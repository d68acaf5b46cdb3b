//! Answers that wait although their requests were handled.

use tokio::sync::oneshot;

use crate::{Endpoint, Flavour};

/// Holds the answer to the next token request of one kind.
#[derive(Debug)]
pub(crate) struct HeldAnswer {
    flavour: Flavour,
    grant_type: String,
    /// Receives what releases the answer.
    handled: oneshot::Sender<oneshot::Sender<()>>,
}

impl HeldAnswer {
    /// The receiver gets what releases the answer as soon as the request was handled.
    pub(crate) fn new(
        flavour: Flavour,
        grant_type: &str,
    ) -> (Self, oneshot::Receiver<oneshot::Sender<()>>) {
        let (handled, receiver) = oneshot::channel();
        let held = Self {
            flavour,
            grant_type: grant_type.to_owned(),
            handled,
        };
        (held, receiver)
    }

    /// Removes the first one that is for the request from the queue, and those that nobody waits
    /// for any more.
    pub(crate) fn take(
        queue: &mut Vec<Self>,
        endpoint: Endpoint,
        flavour: Flavour,
        grant_type: Option<&str>,
    ) -> Option<Self> {
        queue.retain(|held| !held.handled.is_closed());
        let position = queue.iter().position(|held| {
            endpoint == Endpoint::Token
                && held.flavour == flavour
                && grant_type == Some(held.grant_type.as_str())
        })?;
        Some(queue.remove(position))
    }

    /// Waits until the answer is released.
    pub(crate) async fn released(self) {
        let (release, released) = oneshot::channel();
        if self.handled.send(release).is_ok() {
            // A sender that was dropped releases the answer too.
            let _ = released.await;
        }
    }
}
