//! The points of a relay: what a service publishes, and what RabbitMQ confirms.

use std::collections::BTreeSet;

use amq_protocol::frame::AMQPFrame;
use amq_protocol::protocol::{AMQPClass, basic};
use latchkey_messaging::topology::{EVENTS_EXCHANGE, JOBS_EXCHANGE};
use latchkey_servers::Direction;

use super::amqp_frames::FrameReader;
use crate::part::Target;
use crate::point::Point;

/// Reads one connection of a service.
pub(super) struct Observer {
    target: Target,
    requests: FrameReader,
    responses: FrameReader,
    /// The channels of the relay. A service also forwards messages to other exchanges.
    publishing: BTreeSet<u16>,
}

impl Observer {
    pub(super) fn of(target: Target) -> Self {
        Self {
            target,
            requests: FrameReader::default(),
            responses: FrameReader::default(),
            publishing: BTreeSet::new(),
        }
    }

    /// Returns the points that the service reaches with a packet.
    pub(super) fn see(&mut self, direction: Direction, packet: &[u8]) -> Vec<Point> {
        let (published, confirmed) = match self.target {
            Target::Auth => (Point::AuthEventCommitted, Point::AuthEventPublished),
            Target::Sync => (Point::SyncEventCommitted, Point::SyncEventPublished),
            // Its events are rare.
            Target::Refresh => return Vec::new(),
        };
        let frames = match direction {
            Direction::Request => self.requests.read(packet),
            Direction::Response => self.responses.read(packet),
        };
        let mut points = Vec::new();
        for frame in frames {
            let AMQPFrame::Method(channel, AMQPClass::Basic(method)) = frame else {
                continue;
            };
            match (direction, method) {
                (Direction::Request, basic::AMQPMethod::Publish(publish))
                    if [EVENTS_EXCHANGE, JOBS_EXCHANGE].contains(&publish.exchange.as_str()) =>
                {
                    self.publishing.insert(channel);
                    points.push(published);
                }
                (Direction::Response, basic::AMQPMethod::Ack(_))
                    if self.publishing.contains(&channel) =>
                {
                    points.push(confirmed);
                }
                _ => {}
            }
        }
        points
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn method(channel: u8, method: u8, arguments: &[u8]) -> Vec<u8> {
        let payload = [[0, 60, 0, method].as_slice(), arguments].concat();
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let head = [1, 0, channel];
        [head.as_slice(), &length, &payload, &[0xce]].concat()
    }

    fn publish(channel: u8, exchange: &str) -> Vec<u8> {
        let head = [0, 0, u8::try_from(exchange.len()).unwrap()];
        let arguments = [head.as_slice(), exchange.as_bytes(), b"\x03key\0"];
        method(channel, 40, &arguments.concat())
    }

    fn acknowledgement(channel: u8) -> Vec<u8> {
        method(channel, 80, b"\0\0\0\0\0\0\0\x01\0")
    }

    #[test]
    fn the_points_of_a_relay_are_its_publishes_and_their_confirms() {
        let mut observer = Observer::of(Target::Sync);
        // A delivery that is acknowledged, and a message that is forwarded and confirmed.
        let forwarded = [acknowledgement(1), publish(2, "")].concat();
        assert_eq!(observer.see(Direction::Request, &forwarded), []);
        assert_eq!(observer.see(Direction::Response, &acknowledgement(2)), []);

        let published = publish(3, EVENTS_EXCHANGE);
        let points = observer.see(Direction::Request, &published);
        assert_eq!(points, [Point::SyncEventCommitted]);
        let points = observer.see(Direction::Response, &acknowledgement(3));
        assert_eq!(points, [Point::SyncEventPublished]);
    }
}
