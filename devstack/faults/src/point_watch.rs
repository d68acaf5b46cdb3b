//! Watches the packets between the services and their servers, and holds the one with which a
//! service reaches the named point that is waited for.

mod amqp_frames;
mod broker;
mod database;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use latchkey_servers::{Direction, Verdict, Watch, WatchedConnection};
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::history::{Moment, Reached};
use crate::part::{Link, Server};
use crate::point::Point;

/// What is held back at a point: a value lets it arrive. If the sender is dropped, it is lost.
pub type Held = oneshot::Sender<()>;

#[derive(Debug)]
struct Armed {
    point: Point,
    reached: oneshot::Sender<(Reached, Held)>,
}

/// The point that is waited for, if one is. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct PointWatch(Arc<Mutex<Option<Armed>>>);

impl PointWatch {
    /// Waits for a point. It is reached once, and nothing is held after the receiver is dropped.
    pub fn arm(&self, point: Point) -> oneshot::Receiver<(Reached, Held)> {
        let (reached, receiver) = oneshot::channel();
        *self.armed() = Some(Armed { point, reached });
        receiver
    }

    /// Waits for no point any more.
    pub fn disarm(&self) {
        *self.armed() = None;
    }

    /// Returns what sees the packets of a link.
    pub fn of(&self, link: Link) -> Arc<dyn Watch> {
        Arc::new(LinkWatch {
            link,
            points: self.clone(),
        })
    }

    fn armed(&self) -> MutexGuard<'_, Option<Armed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds the packet with which a service reaches these points if one is waited for. The account
    /// is that of the packet, if it concerns one.
    fn decide(&self, reached: &[(Point, Option<Uuid>)]) -> Verdict {
        let mut armed = self.armed();
        let point = armed.as_ref().map(|armed| armed.point);
        let seen = reached.iter().find(|(seen, _)| Some(*seen) == point);
        let Some((_, account)) = seen else {
            return Verdict::Forward;
        };
        let (held, released) = oneshot::channel();
        let reached = Reached {
            at: Moment::now(),
            account: *account,
        };
        let is_awaited = |armed: Armed| armed.reached.send((reached, held)).is_ok();
        if armed.take().is_some_and(is_awaited) {
            Verdict::Hold(released)
        } else {
            Verdict::Forward
        }
    }
}

#[derive(Debug)]
struct LinkWatch {
    link: Link,
    points: PointWatch,
}

impl Watch for LinkWatch {
    fn connected(&self) -> Box<dyn WatchedConnection> {
        let observer = match self.link.to {
            Server::Database => Observer::Database(database::Observer::of(self.link.from)),
            Server::Broker => Observer::Broker(broker::Observer::of(self.link.from)),
        };
        Box::new(Observed {
            observer,
            points: self.points.clone(),
        })
    }
}

/// What reads the packets of a connection.
enum Observer {
    Database(database::Observer),
    Broker(broker::Observer),
}

struct Observed {
    observer: Observer,
    points: PointWatch,
}

impl WatchedConnection for Observed {
    fn passes(&mut self, direction: Direction, packet: &[u8]) -> Verdict {
        let reached = match &mut self.observer {
            Observer::Database(observer) => observer.see(direction, packet),
            Observer::Broker(observer) => {
                let points = observer.see(direction, packet).into_iter();
                points.map(|point| (point, None)).collect()
            }
        };
        self.points.decide(&reached)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_reached_once_and_only_while_it_is_waited_for() {
        let points = PointWatch::default();
        let reached = [
            (Point::AnswerRead, None),
            (Point::LeaseTaken, Some(Uuid::from_u128(1))),
        ];
        let is_held = |verdict| matches!(verdict, Verdict::Hold(_));
        assert!(!is_held(points.decide(&reached)));
        let mut other = points.arm(Point::TokensStored);
        assert!(!is_held(points.decide(&reached)));
        assert!(other.try_recv().is_err());

        let mut waiting = points.arm(Point::LeaseTaken);
        assert!(is_held(points.decide(&reached)));
        let (at, _held) = waiting.try_recv().unwrap();
        assert_eq!(at.account, Some(Uuid::from_u128(1)));
        assert!(!is_held(points.decide(&reached)));

        drop(points.arm(Point::LeaseTaken));
        assert!(!is_held(points.decide(&reached)));
        let _waiting = points.arm(Point::LeaseTaken);
        points.disarm();
        assert!(!is_held(points.decide(&reached)));
    }
}
