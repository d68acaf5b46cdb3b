//! `user.authenticated.v1` as valid types.

use latchkey_domain::{GrantBinding, Handle, InvalidId, InvalidIdentity, ScopeSet};
use latchkey_proto::events::{
    Access as WireAccess, CalendarVisibility, Intent as WireIntent, MessageVisibility,
    UserAuthenticated,
};
use time::{Duration, OffsetDateTime};

use super::{Grant, Intent};
use crate::channel::Kind;
use crate::wire::to_time;

/// Clocks differ; a day does not. A time beyond would shut later sign-ins out.
const MAX_AHEAD: Duration = Duration::days(1);

/// A sign-in with something to connect.
#[derive(Debug, Clone)]
pub struct SignIn {
    /// Whose grant it is; what it is sealed for.
    pub binding: GrantBinding,
    /// Mailbox address.
    pub handle: Handle,
    /// Whether somebody vouches for the address; `None` if the event does not
    /// say.
    pub handle_verified: Option<bool>,
    /// Name to show; may be empty.
    pub display_name: String,
    /// The grant, as the decision needs it.
    pub grant: Grant,
    /// The sealed tokens.
    pub sealed: SealedGrant,
    /// What happens to the message channel.
    pub messages: Wanted,
    /// What happens to the calendar channel.
    pub calendar: Wanted,
}

/// Sealed tokens: carried, never opened.
#[derive(Clone)]
pub struct SealedGrant {
    /// Sealed access token.
    pub access_token: Vec<u8>,
    /// When it expires; none where the provider did not say.
    pub access_token_expires_at: Option<OffsetDateTime>,
    /// Sealed refresh token.
    pub refresh_token: Option<Vec<u8>>,
    /// When the provider ends it; none where the provider did not say.
    pub refresh_token_expires_at: Option<OffsetDateTime>,
    /// The client id that the tokens were given to; none where the event does not say.
    pub client_id: Option<String>,
}

impl std::fmt::Debug for SealedGrant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealedGrant([sealed])")
    }
}

/// One kind of data: wanted by the configuration, granted by the person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Switched off: no channel.
    NotWanted,
    /// The channel runs.
    Granted,
    /// The channel says insufficient permissions.
    Denied,
}

/// What a sign-in wants of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Wanted and granted.
    pub access: Access,
    /// Who sees what, if the person chose. A plain sign-in carries no choice.
    pub visibility: Option<&'static str>,
}

/// An event that no retry can make valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSignIn {
    /// A part is missing.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// An id is none.
    #[error(transparent)]
    Id(#[from] InvalidId),
    /// A name, issuer, subject or handle is none.
    #[error(transparent)]
    Identity(#[from] InvalidIdentity),
    /// A time that nobody can have.
    #[error("{0} is no time")]
    Time(&'static str),
    /// The sign-in lies ahead.
    #[error("authenticated_at lies in the future")]
    Ahead,
}

impl SignIn {
    /// Reads an event; none where it has nothing to connect.
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
        if sealed.access_token.is_empty() {
            return Err(InvalidSignIn::Missing("grant.access_token"));
        }
        let authenticated_at = event
            .authenticated_at
            .ok_or(InvalidSignIn::Missing("authenticated_at"))?;
        let authenticated_at =
            to_time(authenticated_at).ok_or(InvalidSignIn::Time("authenticated_at"))?;
        if authenticated_at > now + MAX_AHEAD {
            return Err(InvalidSignIn::Ahead);
        }
        let access_token_expires_at = sealed
            .access_token_expires_at
            .map(|at| to_time(at).ok_or(InvalidSignIn::Time("access_token_expires_at")))
            .transpose()?;
        let refresh_token_expires_at = sealed
            .refresh_token_expires_at
            .map(|at| to_time(at).ok_or(InvalidSignIn::Time("refresh_token_expires_at")))
            .transpose()?;
        let refresh_token = Some(sealed.refresh_token).filter(|token| !token.is_empty());
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
                access_token: sealed.access_token,
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

    /// Both kinds, in the order of their locks.
    pub fn wanted(&self) -> [(Kind, Wanted); 2] {
        [
            (Kind::Message, self.messages),
            (Kind::Calendar, self.calendar),
        ]
    }
}

fn wanted(access: WireAccess, visibility: Option<&'static str>) -> Wanted {
    Wanted {
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
