//! UUIDs, each kind with its own type.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The text is not a UUID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} must be a UUID")]
pub struct InvalidId {
    kind: &'static str,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A new id, which sorts by its creation time (UUID version 7).
            pub fn generate() -> Self {
                Self(Uuid::now_v7())
            }

            /// The UUID.
            pub const fn as_uuid(&self) -> Uuid {
                self.0
            }
        }

        impl From<Uuid> for $name {
            fn from(value: Uuid) -> Self {
                Self(value)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self).map_err(|_| InvalidId { kind: $kind })
            }
        }
    };
}

id!(/// A workspace: the tenant.
    WorkspaceId, "workspace id");
id!(/// A person.
    UserId, "user id");
id!(/// A connected account: one person's mailbox or calendar at one provider.
    AccountId, "account id");
id!(/// A message or calendar channel of an account.
    ChannelId, "channel id");
id!(/// A sync job.
    JobId, "job id");
id!(/// A browser session.
    SessionId, "session id");
id!(/// One login flow, from redirect to callback.
    FlowId, "flow id");
id!(/// An event: the CloudEvents `id`, the same for every delivery.
    EventId, "event id");

impl EventId {
    /// An id that is derived from its cause, so that a repeated event has the same id (UUID
    /// version 5).
    pub fn derived(cause: Uuid, name: &str) -> Self {
        Self(Uuid::new_v5(&cause, name.as_bytes()))
    }
}

impl JobId {
    /// The id of the first job after a start of the channel. It is the same on every call.
    pub fn first_of(channel: ChannelId, generation: i32) -> Self {
        Self(Uuid::new_v5(
            &channel.0,
            format!("first-job/{generation}").as_bytes(),
        ))
    }
}
