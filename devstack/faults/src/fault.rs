//! The faults: how each begins and ends.

mod broker;
mod database;
mod messages;
mod network;
mod service;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::environment::{Environment, Link, Server, Target};
pub use network::NetworkFault;

/// How long rabbitmqctl and a statement of a fault may take.
const COMMAND_TIMEOUT: Duration = Duration::from_mins(1);

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
}

impl Fault {
    /// Begins the fault.
    ///
    /// # Errors
    /// The fault cannot be caused.
    pub async fn begin(self, environment: &mut Environment) -> anyhow::Result<()> {
        match self {
            Self::Killed(target) => service::kill(environment, target),
            Self::Paused(target) => service::pause(environment, target),
            Self::BrokerKilled => broker::kill(environment),
            Self::BrokerStopped => broker::stop(environment),
            Self::MemoryAlarm => broker::raise_memory_alarm(environment).await,
            Self::BrokerConnectionsClosed => broker::close_connections(environment).await,
            Self::QueueDeleted => broker::delete_queue(environment).await,
            Self::DatabaseKilled => database::kill(environment),
            Self::DatabaseStopped => database::stop(environment),
            Self::DatabaseConnectionsTerminated => database::terminate(environment).await,
            Self::DatabaseReadOnly => database::set_read_only(environment, true).await,
            Self::Network(link, how) => network::begin(environment, link, how),
            Self::BadMessages => messages::publish(environment).await,
        }
    }

    /// Ends the fault. What was stopped runs again.
    ///
    /// # Errors
    /// The fault cannot be ended.
    pub async fn end(self, environment: &mut Environment) -> anyhow::Result<()> {
        match self {
            Self::Killed(target) => service::launch(environment, target),
            Self::Paused(target) => service::resume(environment, target),
            Self::BrokerKilled | Self::BrokerStopped => broker::resume(environment).await,
            Self::MemoryAlarm => broker::end_memory_alarm(environment).await,
            Self::QueueDeleted => broker::await_queue(environment).await,
            Self::DatabaseKilled | Self::DatabaseStopped => database::resume(environment).await,
            Self::DatabaseReadOnly => database::set_read_only(environment, false).await,
            Self::Network(link, _) => network::end(environment, link),
            Self::BrokerConnectionsClosed
            | Self::DatabaseConnectionsTerminated
            | Self::BadMessages => Ok(()),
        }
    }

    /// Returns whether two faults concern different parts, so that both can be active.
    pub fn is_independent_of(self, other: Self) -> bool {
        let parts = |fault| match fault {
            Self::Killed(target) | Self::Paused(target) => (Some(target), None),
            Self::Network(link, _) => (Some(link.from), Some(link.to)),
            Self::BrokerKilled
            | Self::BrokerStopped
            | Self::MemoryAlarm
            | Self::BrokerConnectionsClosed
            | Self::QueueDeleted
            | Self::BadMessages => (None, Some(Server::Broker)),
            Self::DatabaseKilled
            | Self::DatabaseStopped
            | Self::DatabaseConnectionsTerminated
            | Self::DatabaseReadOnly => (None, Some(Server::Database)),
        };
        let (target, server) = parts(self);
        let (other_target, other_server) = parts(other);
        // The deletion of the queue waits for sync-svc and its database.
        let waits = |fault| fault == Self::QueueDeleted;
        (target.is_none() || target != other_target)
            && (server.is_none() || server != other_server)
            && !waits(self)
            && !waits(other)
    }

    /// Returns whether refresh-svc may have asked the provider without storing the answer, so that
    /// it asks again with the same refresh token.
    pub fn may_lose_an_answer_of_the_provider(self) -> bool {
        matches!(
            self,
            Self::Killed(Target::Refresh) | Self::Paused(Target::Refresh)
        )
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
            Self::DatabaseKilled => f.write_str("PostgreSQL is killed"),
            Self::DatabaseStopped => f.write_str("PostgreSQL is stopped"),
            Self::DatabaseConnectionsTerminated => {
                f.write_str("PostgreSQL terminates its connections")
            }
            Self::DatabaseReadOnly => f.write_str("PostgreSQL is read-only"),
            Self::Network(link, how) => write!(f, "network {link}: {}", how.name()),
            Self::BadMessages => f.write_str("messages that nobody should send"),
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
    }
}
