//! The named points between two steps of a service, at which it is killed or stopped.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::part::Target;

/// A moment between two steps of a service. The packet that begins or confirms the next step is
/// held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Point {
    /// auth-svc has exchanged the code of a callback, and PostgreSQL has not received its `COMMIT`.
    CodeExchanged,
    /// PostgreSQL has committed a callback, and auth-svc does not know.
    SignInCommitted,
    /// The relay of auth-svc publishes, and RabbitMQ has not received it.
    AuthEventCommitted,
    /// RabbitMQ has confirmed an event of auth-svc, and auth-svc does not know.
    AuthEventPublished,
    /// sync-svc has handled a delivery, and PostgreSQL has not received its `COMMIT`.
    DeliveryHandled,
    /// PostgreSQL has committed a delivery, and sync-svc does not know: it has not acknowledged it.
    DeliveryCommitted,
    /// The relay of sync-svc publishes, and RabbitMQ has not received it.
    SyncEventCommitted,
    /// RabbitMQ has confirmed an event or a job of sync-svc, and sync-svc does not know.
    SyncEventPublished,
    /// PostgreSQL has given the lease of an account, and refresh-svc does not know.
    LeaseTaken,
    /// The provider has handled a refresh, and refresh-svc has no answer.
    RequestSent,
    /// refresh-svc has read the answer, and PostgreSQL has not received the tokens.
    AnswerRead,
    /// PostgreSQL has stored the tokens, and refresh-svc does not know: no caller has an answer.
    TokensStored,
}

impl Point {
    /// Every point.
    pub const ALL: [Self; 12] = [
        Self::CodeExchanged,
        Self::SignInCommitted,
        Self::AuthEventCommitted,
        Self::AuthEventPublished,
        Self::DeliveryHandled,
        Self::DeliveryCommitted,
        Self::SyncEventCommitted,
        Self::SyncEventPublished,
        Self::LeaseTaken,
        Self::RequestSent,
        Self::AnswerRead,
        Self::TokensStored,
    ];

    /// Returns the service that is killed or stopped.
    pub fn service(self) -> Target {
        match self {
            Self::CodeExchanged
            | Self::SignInCommitted
            | Self::AuthEventCommitted
            | Self::AuthEventPublished => Target::Auth,
            Self::DeliveryHandled
            | Self::DeliveryCommitted
            | Self::SyncEventCommitted
            | Self::SyncEventPublished => Target::Sync,
            Self::LeaseTaken | Self::RequestSent | Self::AnswerRead | Self::TokensStored => {
                Target::Refresh
            }
        }
    }

    /// Returns whether the provider may have rotated the refresh token of the account at the point
    /// and the new one is not stored.
    pub fn is_between_request_and_storing(self) -> bool {
        matches!(self, Self::RequestSent | Self::AnswerRead)
    }

    /// Returns the name of the point.
    pub fn name(self) -> &'static str {
        match self {
            Self::CodeExchanged => "after the code exchange, before the commit",
            Self::SignInCommitted => "after the commit, before the answer",
            Self::AuthEventCommitted | Self::SyncEventCommitted => {
                "after the commit, before the publish"
            }
            Self::AuthEventPublished | Self::SyncEventPublished => {
                "after the publish, before the confirm"
            }
            Self::DeliveryHandled => "after the delivery, before the commit",
            Self::DeliveryCommitted => "after the commit, before the acknowledgement",
            Self::LeaseTaken => "lease taken",
            Self::RequestSent => "request sent",
            Self::AnswerRead => "answer read, not stored",
            Self::TokensStored => "stored, not answered",
        }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.service().name(), self.name())
    }
}

/// The signal that a service gets at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PointSignal {
    /// SIGKILL. What is held back is lost, and the service is started again.
    Kill,
    /// SIGSTOP, and then SIGCONT. What is held back arrives afterwards.
    Stop,
}

impl PointSignal {
    /// Every signal.
    pub const ALL: [Self; 2] = [Self::Kill, Self::Stop];

    /// Returns its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kill => "SIGKILL",
            Self::Stop => "SIGSTOP",
        }
    }
}
