//! What sees the packets of a proxy, and can hold them.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use super::disturbance::Direction;

/// Sees the connections of a proxy.
pub trait Watch: fmt::Debug + Send + Sync {
    /// Returns what sees the packets of a new connection.
    fn connected(&self) -> Box<dyn WatchedConnection>;
}

/// Sees the packets of one connection, those of each direction in their order. A packet is what
/// was read at once: it may have several messages, or a part of one.
pub trait WatchedConnection: Send {
    /// Decides about a packet before it is forwarded. Must not block.
    fn passes(&mut self, direction: Direction, packet: &[u8]) -> Verdict;
}

/// What happens to a packet.
#[derive(Debug)]
pub enum Verdict {
    /// It is forwarded.
    Forward,
    /// It waits, and everything behind it in the same direction. A value forwards it. If the sender
    /// is dropped, the packet is lost and the proxy closes the direction.
    Hold(oneshot::Receiver<()>),
    /// It is lost, and everything behind it in the same direction. Neither side is notified.
    Lose,
}

/// A connection and what sees it, if anything does.
#[derive(Clone)]
pub(super) struct Watched(Option<Arc<Mutex<Box<dyn WatchedConnection>>>>);

impl Watched {
    pub(super) fn by(watch: Option<&Arc<dyn Watch>>) -> Self {
        Self(watch.map(|watch| Arc::new(Mutex::new(watch.connected()))))
    }

    /// Waits while the packet is held. Returns `false` if it is lost.
    pub(super) async fn lets_pass(&self, direction: Direction, packet: &[u8]) -> bool {
        let Some(connection) = &self.0 else {
            return true;
        };
        let verdict = connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .passes(direction, packet);
        match verdict {
            Verdict::Forward => true,
            Verdict::Lose => std::future::pending().await,
            Verdict::Hold(released) => released.await.is_ok(),
        }
    }
}
