//! What a disturbed network does to the packets of a connection.

use std::io;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::watch;
use tokio::time::sleep;

/// A disturbance of every connection of a proxy. Nothing is lost permanently: what waits is sent
/// when the disturbance ends, as TCP sends again what was lost for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disturbance {
    /// Every packet arrives late.
    Delayed(Duration),
    /// No packet arrives, in either direction, and neither side is notified.
    Held,
    /// Requests arrive, and responses do not.
    ResponsesHeld,
    /// Responses arrive, and requests do not.
    RequestsHeld,
    /// Packets arrive in pieces of `bytes`, one `every` so long.
    Dripping {
        /// Length of a piece, in bytes.
        bytes: usize,
        /// Time between two pieces.
        every: Duration,
    },
}

/// The direction of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// To the server.
    Request,
    /// To the client.
    Response,
}

/// Writes the bytes as the disturbance lets them pass.
pub(super) async fn write(
    to: &mut OwnedWriteHalf,
    mut bytes: &[u8],
    direction: Direction,
    mut disturbance: watch::Receiver<Option<Disturbance>>,
) -> io::Result<()> {
    while !bytes.is_empty() {
        let now = *disturbance.borrow_and_update();
        let piece = match now {
            None => bytes.len(),
            Some(Disturbance::ResponsesHeld) if direction == Direction::Request => bytes.len(),
            Some(Disturbance::RequestsHeld) if direction == Direction::Response => bytes.len(),
            Some(Disturbance::Held | Disturbance::ResponsesHeld | Disturbance::RequestsHeld) => {
                // The proxy is gone if there is no further value.
                if disturbance.changed().await.is_err() {
                    return Ok(());
                }
                continue;
            }
            Some(Disturbance::Delayed(delay)) => {
                sleep(delay).await;
                bytes.len()
            }
            Some(Disturbance::Dripping {
                bytes: length,
                every,
            }) => {
                sleep(every).await;
                length.clamp(1, bytes.len())
            }
        };
        let (first, rest) = bytes.split_at(piece);
        to.write_all(first).await?;
        bytes = rest;
    }
    Ok(())
}
