//! The parts of the stack that can be broken: services, servers, and what is between them.

use std::fmt;

use devstack::ServiceId;
use serde::{Deserialize, Serialize};

/// A service that is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// auth-svc.
    Auth,
    /// sync-svc.
    Sync,
    /// refresh-svc.
    Refresh,
}

impl Target {
    /// Every service.
    pub const ALL: [Self; 3] = [Self::Auth, Self::Sync, Self::Refresh];

    /// Returns the service in the stack.
    pub fn id(self) -> ServiceId {
        match self {
            Self::Auth => ServiceId::Auth,
            Self::Sync => ServiceId::Sync,
            Self::Refresh => ServiceId::Refresh(0),
        }
    }

    /// Returns its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auth => "auth-svc",
            Self::Sync => "sync-svc",
            Self::Refresh => "refresh-svc",
        }
    }
}

/// What a service connects to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Server {
    /// PostgreSQL.
    Database,
    /// RabbitMQ.
    Broker,
}

impl Server {
    /// Every server.
    pub const ALL: [Self; 2] = [Self::Database, Self::Broker];

    /// Returns the variable with its URL.
    pub fn variable(self) -> &'static str {
        match self {
            Self::Database => "DATABASE_URL",
            Self::Broker => "AMQP_URL",
        }
    }
}

/// A node of RabbitMQ's cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Node {
    /// The one that the services are connected to while it answers.
    First,
    /// The next one.
    Second,
    /// The last one.
    Third,
}

impl Node {
    /// Every node.
    pub const ALL: [Self; 3] = [Self::First, Self::Second, Self::Third];

    /// Returns its number, from 0.
    pub fn index(self) -> usize {
        match self {
            Self::First => 0,
            Self::Second => 1,
            Self::Third => 2,
        }
    }
}

/// The network between a service and a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Link {
    /// The service.
    pub from: Target,
    /// The server.
    pub to: Server,
}

impl Link {
    /// Returns every link.
    pub fn all() -> impl Iterator<Item = Self> {
        let targets = Target::ALL.into_iter();
        targets.flat_map(|from| Server::ALL.map(|to| Self { from, to }))
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let to = match self.to {
            Server::Database => "PostgreSQL",
            Server::Broker => "RabbitMQ",
        };
        write!(f, "{} – {to}", self.from.name())
    }
}
