//! The faults, as data: what is broken. How each begins and ends is in `effects.rs`.

use std::fmt;

use latchkey_servers::Volume;
use serde::{Deserialize, Serialize};

use crate::part::{Link, Node, Server, Target};
use crate::point::{Point, PointSignal};

/// What happens to the packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkFault {
    /// Each packet arrives late.
    Latency,
    /// No packet arrives for a while, in either direction, and neither side is notified.
    BlackHole,
    /// Requests arrive, and responses do not.
    HalfOpen,
    /// Packets arrive in small pieces.
    SlowDrip,
    /// The packets of the existing connections are lost permanently, and neither side is notified.
    Lost,
    /// The existing connections are closed.
    Closed,
    /// Responses arrive, and requests do not.
    RequestsLost,
}

impl NetworkFault {
    /// Every fault of a network.
    pub const ALL: [Self; 7] = [
        Self::Latency,
        Self::BlackHole,
        Self::HalfOpen,
        Self::SlowDrip,
        Self::Lost,
        Self::Closed,
        Self::RequestsLost,
    ];

    /// Returns its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Latency => "latency",
            Self::BlackHole => "black hole",
            Self::HalfOpen => "half open",
            Self::SlowDrip => "slow drip",
            Self::Lost => "connections are lost silently",
            Self::Closed => "connections are closed",
            Self::RequestsLost => "half open, requests are lost",
        }
    }
}

/// How the transactions of the services fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Conflict {
    /// `serialization_failure`.
    Serialization,
    /// `deadlock_detected`.
    Deadlock,
}

impl Conflict {
    /// Returns the SQLSTATE.
    pub fn code(self) -> &'static str {
        match self {
            Self::Serialization => "40001",
            Self::Deadlock => "40P01",
        }
    }
}

/// How the primary is lost before its standby is promoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// SIGKILL.
    Killed,
    /// It stands still, and goes on after the promotion as a second server that takes writes.
    Paused,
    /// It is stopped as an operator does it.
    Stopped,
}

/// The clock of a service, against that of everybody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClockFault {
    /// Five minutes ahead.
    Ahead,
    /// Five minutes behind.
    Behind,
    /// It steps back by one minute: as far as the checks of ID tokens accept.
    StepBack,
}

impl ClockFault {
    /// Every fault of a clock.
    pub const ALL: [Self; 3] = [Self::Ahead, Self::Behind, Self::StepBack];

    /// Returns how far the clock is ahead, in seconds.
    pub fn seconds(self) -> i64 {
        match self {
            Self::Ahead => 300,
            Self::Behind => -300,
            Self::StepBack => -60,
        }
    }
}

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// A service gets SIGKILL and is started again.
    Killed(Target),
    /// A service gets SIGSTOP and then SIGCONT.
    Paused(Target),
    /// RabbitMQ gets SIGKILL and is started again.
    BrokerKilled,
    /// RabbitMQ is stopped as an operator does it, and started again.
    BrokerStopped,
    /// RabbitMQ has its memory alarm: it accepts no messages.
    MemoryAlarm,
    /// RabbitMQ closes every connection.
    BrokerConnectionsClosed,
    /// The bindings of sync-svc's queue are removed, and the queue is deleted when it is empty.
    QueueDeleted,
    /// RabbitMQ has its disk alarm: it accepts no messages.
    DiskAlarm,
    /// RabbitMQ closes the connections of one service.
    BrokerConnectionsOfOneClosed(Target),
    /// sync-svc stands still with messages until RabbitMQ closes its channel.
    ConsumerTimeout,
    /// A node of RabbitMQ gets SIGKILL and is started again.
    BrokerNodeKilled(Node),
    /// A node of RabbitMQ gets SIGSTOP and then SIGCONT.
    BrokerNodePaused(Node),
    /// No packet passes between a node of RabbitMQ and the others.
    BrokerNodeIsolated(Node),
    /// PostgreSQL gets SIGKILL and is started again.
    DatabaseKilled,
    /// PostgreSQL is stopped as an operator does it, and started again.
    DatabaseStopped,
    /// PostgreSQL terminates every connection of the services.
    DatabaseConnectionsTerminated,
    /// PostgreSQL accepts no writes.
    DatabaseReadOnly,
    /// The network between a service and a server.
    Network(Link, NetworkFault),
    /// Messages that nobody should send are in sync-svc's queue.
    BadMessages,
    /// A disk of PostgreSQL is full.
    DiskFull(Volume),
    /// Some transactions of the services fail.
    Conflicts(Conflict),
    /// PostgreSQL is lost, its standby is promoted, and the old primary comes back as standby.
    Failover(Loss),
    /// The standby of PostgreSQL gets SIGKILL and is started again.
    StandbyKilled,
    /// The clock of a service is wrong.
    Clock(Target, ClockFault),
    /// A service gets a signal at a named point.
    At(Point, PointSignal),
}

impl Fault {
    /// Returns the service and the server that it concerns.
    fn parts(self) -> (Option<Target>, Option<Server>) {
        match self {
            Self::Killed(target) | Self::Paused(target) | Self::Clock(target, _) => {
                (Some(target), None)
            }
            Self::BrokerConnectionsOfOneClosed(target) => (Some(target), Some(Server::Broker)),
            Self::ConsumerTimeout => (Some(Target::Sync), Some(Server::Broker)),
            Self::Network(link, _) => (Some(link.from), Some(link.to)),
            Self::BrokerKilled
            | Self::BrokerStopped
            | Self::MemoryAlarm
            | Self::BrokerConnectionsClosed
            | Self::QueueDeleted
            | Self::DiskAlarm
            | Self::BrokerNodeKilled(_)
            | Self::BrokerNodePaused(_)
            | Self::BrokerNodeIsolated(_)
            | Self::BadMessages => (None, Some(Server::Broker)),
            Self::DatabaseKilled
            | Self::DatabaseStopped
            | Self::DatabaseConnectionsTerminated
            | Self::DatabaseReadOnly
            | Self::DiskFull(_)
            | Self::Conflicts(_)
            | Self::Failover(_)
            | Self::StandbyKilled => (None, Some(Server::Database)),
            Self::At(..) => (None, None),
        }
    }

    /// Returns whether two faults concern different parts, so that both can be active.
    pub fn is_independent_of(self, other: Self) -> bool {
        let (target, server) = self.parts();
        let (other_target, other_server) = other.parts();
        // The deletion of the queue and the consumer time-out wait for sync-svc and its database, and a
        // point is waited for until a service reaches it.
        let waits = |fault| {
            matches!(
                fault,
                Self::QueueDeleted | Self::ConsumerTimeout | Self::At(..)
            )
        };
        (target.is_none() || target != other_target)
            && (server.is_none() || server != other_server)
            && !waits(self)
            && !waits(other)
    }

    /// Returns whether refresh-svc may have asked the provider without storing the answer, so that
    /// it asks again with the same refresh token. At a point this is about the account that reached
    /// it.
    pub fn may_lose_an_answer_of_the_provider(self) -> bool {
        match self {
            Self::Killed(target) | Self::Paused(target) => target == Target::Refresh,
            Self::At(point, _) => point.is_between_request_and_storing(),
            _ => false,
        }
    }

    /// Returns whether refresh-svc may be unable to store an answer of the provider.
    pub fn may_prevent_storing(self) -> bool {
        let (target, server) = self.parts();
        server == Some(Server::Database) && target.is_none_or(|target| target == Target::Refresh)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Killed(target) => write!(f, "SIGKILL of {}", target.name()),
            Self::Paused(target) => write!(f, "SIGSTOP of {}", target.name()),
            Self::BrokerKilled => f.write_str("RabbitMQ is killed"),
            Self::BrokerStopped => f.write_str("RabbitMQ is stopped"),
            Self::MemoryAlarm => f.write_str("memory alarm of RabbitMQ"),
            Self::BrokerConnectionsClosed => f.write_str("RabbitMQ closes its connections"),
            Self::QueueDeleted => f.write_str("the queue of sync-svc is deleted"),
            Self::DiskAlarm => f.write_str("disk alarm of RabbitMQ"),
            Self::BrokerConnectionsOfOneClosed(target) => {
                write!(f, "RabbitMQ closes the connections of {}", target.name())
            }
            Self::ConsumerTimeout => {
                f.write_str("RabbitMQ closes the channel of sync-svc: consumer time-out")
            }
            Self::BrokerNodeKilled(node) => {
                write!(f, "SIGKILL of node {} of RabbitMQ", node.index() + 1)
            }
            Self::BrokerNodePaused(node) => {
                write!(f, "SIGSTOP of node {} of RabbitMQ", node.index() + 1)
            }
            Self::BrokerNodeIsolated(node) => {
                write!(f, "node {} of RabbitMQ is isolated", node.index() + 1)
            }
            Self::DatabaseKilled => f.write_str("PostgreSQL is killed"),
            Self::DatabaseStopped => f.write_str("PostgreSQL is stopped"),
            Self::DatabaseConnectionsTerminated => {
                f.write_str("PostgreSQL terminates its connections")
            }
            Self::DatabaseReadOnly => f.write_str("PostgreSQL is read-only"),
            Self::Network(link, how) => write!(f, "network {link}: {}", how.name()),
            Self::BadMessages => f.write_str("messages that nobody should send"),
            Self::DiskFull(Volume::Data) => f.write_str("PostgreSQL's disk is full"),
            Self::DiskFull(Volume::WriteAheadLog) => {
                f.write_str("the disk of PostgreSQL's write-ahead log is full")
            }
            Self::Conflicts(Conflict::Serialization) => f.write_str("serialization failures"),
            Self::Conflicts(Conflict::Deadlock) => f.write_str("deadlocks"),
            Self::Failover(Loss::Killed) => f.write_str("fail-over, PostgreSQL is killed"),
            Self::Failover(Loss::Paused) => {
                f.write_str("fail-over, PostgreSQL stands still and comes back")
            }
            Self::Failover(Loss::Stopped) => f.write_str("fail-over, PostgreSQL is stopped"),
            Self::StandbyKilled => f.write_str("PostgreSQL's standby is killed"),
            Self::Clock(target, how) => {
                write!(f, "clock of {}: {:+} s", target.name(), how.seconds())
            }
            Self::At(point, signal) => write!(f, "{} at {point}", signal.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_faults_of_one_part_are_not_active_at_once() {
        let killed = Fault::Killed(Target::Sync);
        assert!(!killed.is_independent_of(Fault::Paused(Target::Sync)));
        assert!(killed.is_independent_of(Fault::Killed(Target::Auth)));
        assert!(killed.is_independent_of(Fault::BrokerKilled));
        assert!(!Fault::BrokerKilled.is_independent_of(Fault::MemoryAlarm));
        assert!(!Fault::QueueDeleted.is_independent_of(Fault::DatabaseKilled));
        let full = Fault::DiskFull(Volume::Data);
        assert!(!full.is_independent_of(Fault::Conflicts(Conflict::Deadlock)));
        assert!(!Fault::Clock(Target::Sync, ClockFault::Ahead).is_independent_of(killed));
        let at = Fault::At(Point::CodeExchanged, PointSignal::Kill);
        assert!(!at.is_independent_of(Fault::BadMessages));
        assert!(!killed.is_independent_of(at));
    }

    #[test]
    fn refresh_svc_cannot_store_while_it_does_not_reach_its_database() {
        let network = |from, to| Fault::Network(Link { from, to }, NetworkFault::Lost);
        assert!(Fault::DatabaseKilled.may_prevent_storing());
        assert!(network(Target::Refresh, Server::Database).may_prevent_storing());
        assert!(!network(Target::Auth, Server::Database).may_prevent_storing());
        assert!(!network(Target::Refresh, Server::Broker).may_prevent_storing());
    }
}
