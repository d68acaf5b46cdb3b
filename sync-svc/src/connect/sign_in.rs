//! Reads `user.authenticated.v1` into valid types.

use latchkey_domain::{GrantBinding, Handle, InvalidId, InvalidIdentity, ScopeSet};
use latchkey_proto::events::{
    Access as WireAccess, CalendarVisibility, Intent as WireIntent, MessageVisibility,
    UserAuthenticated,
};
use latchkey_proto::time_to_microsecond;
use time::{Duration, OffsetDateTime};

use crate::channel::Kind;
use crate::grant::{Grant, Intent, SealedGrant};

/// Tolerance for clocks that differ. A sign-in of the far future would be newer than
/// every later one, which would then be ignored.
const MAX_CLOCK_SKEW: Duration = Duration::days(1);

/// A sign-in that carries a connection.
#[derive(Debug, Clone)]
pub struct SignIn {
    /// Workspace, owner and identity: what the grant is sealed for.
    pub binding: GrantBinding,
    /// The mailbox address.
    pub handle: Handle,
    /// Whether the address is verified; `None` if the event does not say.
    pub handle_verified: Option<bool>,
    /// Name to show; may be empty.
    pub display_name: String,
    /// The content that a merge of grants depends on.
    pub grant: Grant,
    /// The sealed tokens.
    pub sealed: SealedGrant,
    /// The access to messages.
    pub messages: WantedChannel,
    /// The access to the calendar.
    pub calendar: WantedChannel,
}

/// The access to one kind of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// The configuration does not ask for it: there is no channel.
    NotWanted,
    /// The person granted it: the channel runs.
    Granted,
    /// The person did not grant it: the channel fails with insufficient permissions.
    Denied,
}

/// The access and the visibility of one channel, as a sign-in says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WantedChannel {
    /// The access to the data of the channel.
    pub access: Access,
    /// Who sees which parts of the data, if the person chose it. Only a connection that
    /// the person asked for carries a choice.
    pub visibility: Option<&'static str>,
}

/// Why an event is malformed. A retry cannot succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSignIn {
    /// A required field is missing.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// An id is not a UUID.
    #[error(transparent)]
    Id(#[from] InvalidId),
    /// A provider name, issuer, subject or handle is not valid.
    #[error(transparent)]
    Identity(#[from] InvalidIdentity),
    /// A time is out of range.
    #[error("{0} is out of range")]
    Time(&'static str),
    /// The time of the sign-in is in the future.
    #[error("authenticated_at is in the future")]
    InFuture,
}

impl SignIn {
    /// Reads an event; `None` if it has no connection.
    ///
    /// # Errors
    /// The event is malformed.
    pub fn read(
        event: UserAuthenticated,
        now: OffsetDateTime,
    ) -> Result<Option<Self>, InvalidSignIn> {
        let intent = match event.intent() {
            WireIntent::Connect => Intent::Connect,
            WireIntent::SignIn | WireIntent::Unspecified => Intent::SignIn,
        };
        let Some(connection) = event.connection else {
            return Ok(None);
        };
        let chosen =
            |visibility: Option<&'static str>| visibility.filter(|_| intent == Intent::Connect);
        let messages = wanted(
            connection.messages(),
            chosen(message_visibility(connection.message_visibility())),
        );
        let calendar = wanted(
            connection.calendar(),
            chosen(calendar_visibility(connection.calendar_visibility())),
        );
        let identity = event.identity.ok_or(InvalidSignIn::Missing("identity"))?;
        let sealed = connection.grant.ok_or(InvalidSignIn::Missing("grant"))?;
        if sealed.sealed_access_token.is_empty() {
            return Err(InvalidSignIn::Missing("grant.sealed_access_token"));
        }
        let authenticated_at = event
            .authenticated_at
            .ok_or(InvalidSignIn::Missing("authenticated_at"))?;
        let authenticated_at =
            time_to_microsecond(authenticated_at).ok_or(InvalidSignIn::Time("authenticated_at"))?;
        if authenticated_at > now + MAX_CLOCK_SKEW {
            return Err(InvalidSignIn::InFuture);
        }
        let access_token_expires_at = sealed
            .access_token_expires_at
            .map(|at| time_to_microsecond(at).ok_or(InvalidSignIn::Time("access_token_expires_at")))
            .transpose()?;
        let refresh_token_expires_at = sealed
            .refresh_token_expires_at
            .map(|at| {
                time_to_microsecond(at).ok_or(InvalidSignIn::Time("refresh_token_expires_at"))
            })
            .transpose()?;
        let refresh_token = Some(sealed.sealed_refresh_token).filter(|token| !token.is_empty());
        Ok(Some(Self {
            binding: GrantBinding {
                workspace: event.workspace_id.parse()?,
                user: event.user_id.parse()?,
                provider: identity.provider.parse()?,
                issuer: identity.issuer.parse()?,
                subject: identity.subject.parse()?,
            },
            handle: identity.handle.parse()?,
            handle_verified: identity.handle_verified,
            display_name: identity.display_name.replace('\0', ""),
            grant: Grant {
                authenticated_at,
                scopes: ScopeSet::from_iter(sealed.granted_scopes),
                has_refresh_token: refresh_token.is_some(),
                intent,
            },
            sealed: SealedGrant {
                access_token: sealed.sealed_access_token,
                access_token_expires_at,
                refresh_token,
                refresh_token_expires_at,
                client_id: Some(sealed.client_id.replace('\0', ""))
                    .filter(|client| !client.is_empty()),
            },
            messages,
            calendar,
        }))
    }

    /// Both channels, in the order in which they are locked.
    pub fn channels(&self) -> [(Kind, WantedChannel); 2] {
        [
            (Kind::Message, self.messages),
            (Kind::Calendar, self.calendar),
        ]
    }
}

fn wanted(access: WireAccess, visibility: Option<&'static str>) -> WantedChannel {
    WantedChannel {
        access: match access {
            WireAccess::Granted => Access::Granted,
            WireAccess::Denied => Access::Denied,
            WireAccess::NotWanted | WireAccess::Unspecified => Access::NotWanted,
        },
        visibility,
    }
}

fn message_visibility(chosen: MessageVisibility) -> Option<&'static str> {
    match chosen {
        MessageVisibility::Unspecified => None,
        MessageVisibility::Metadata => Some("METADATA"),
        MessageVisibility::Subject => Some("SUBJECT"),
        MessageVisibility::ShareEverything => Some("SHARE_EVERYTHING"),
    }
}

fn calendar_visibility(chosen: CalendarVisibility) -> Option<&'static str> {
    match chosen {
        CalendarVisibility::Unspecified => None,
        CalendarVisibility::Metadata => Some("METADATA"),
        CalendarVisibility::ShareEverything => Some("SHARE_EVERYTHING"),
    }
}

#[cfg(test)]
mod tests;
