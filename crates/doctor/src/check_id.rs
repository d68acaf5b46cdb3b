//! The names of the checks and their order.

use std::fmt;

/// A check, in the order in which one's failure explains the failure of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum CheckId {
    Environment,
    Clock,
    Database,
    Migrations,
    SealingKeys,
    Broker,
    Certificates,
    Providers,
    Discovery,
    RedirectUris,
    ClientCredentials,
    Versions,
    EntryPoint,
    FrontEnd,
    Queues,
    Outbox,
    Failures,
    Person,
}

impl CheckId {
    pub(crate) const ALL: [Self; 18] = [
        Self::Environment,
        Self::Clock,
        Self::Database,
        Self::Migrations,
        Self::SealingKeys,
        Self::Broker,
        Self::Certificates,
        Self::Providers,
        Self::Discovery,
        Self::RedirectUris,
        Self::ClientCredentials,
        Self::Versions,
        Self::EntryPoint,
        Self::FrontEnd,
        Self::Queues,
        Self::Outbox,
        Self::Failures,
        Self::Person,
    ];
}

impl fmt::Display for CheckId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Environment => "environment",
            Self::Clock => "clock",
            Self::Database => "database",
            Self::Migrations => "migrations",
            Self::SealingKeys => "sealing keys",
            Self::Broker => "broker",
            Self::Certificates => "certificates",
            Self::Providers => "providers",
            Self::Discovery => "discovery",
            Self::RedirectUris => "redirect URIs",
            Self::ClientCredentials => "client credentials",
            Self::Versions => "versions",
            Self::EntryPoint => "entry point",
            Self::FrontEnd => "front end",
            Self::Queues => "queues",
            Self::Outbox => "outbox",
            Self::Failures => "failures",
            Self::Person => "person",
        })
    }
}
