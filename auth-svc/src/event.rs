//! `user.authenticated.v1`: what the rest of the house learns of a sign-in. The
//! grant in it opens only for refresh-svc.

use latchkey_domain::{EventId, GrantBinding, Handle, ScopeSet, WorkspaceId};
use latchkey_messaging::outbox::Message;
use latchkey_proto::{events, timestamp};
use latchkey_providers::{Access, Provider, TokenResponse, VerifiedIdentity};
use latchkey_sealing::{SealError, SealingKey};
use time::OffsetDateTime;

use crate::login::deliberate::Deliberate;
use crate::login::flow::{CalendarVisibility, Flow, MessageVisibility};

/// What a callback got from the provider, verified.
#[derive(Debug)]
pub struct Authentication<'a> {
    /// The provider.
    pub provider: &'a Provider,
    /// The person.
    pub identity: &'a VerifiedIdentity,
    /// The tokens.
    pub tokens: &'a TokenResponse,
    /// When the tokens came.
    pub received_at: OffsetDateTime,
}

impl Authentication<'_> {
    /// Scopes of the grant: what was granted, not what was asked for.
    pub fn granted(&self) -> ScopeSet {
        self.tokens.granted_scopes.clone().unwrap_or_default()
    }

    /// True where a refresh token is wanted and none came: the person granted
    /// data, or the provider gives nothing but offline access.
    pub fn lacks_refresh_token(&self, purpose: latchkey_providers::Purpose) -> bool {
        if self.tokens.refresh_token.is_some() {
            return false;
        }
        let access = self.provider.access(&self.granted());
        let kinds = [access.messages, access.calendar];
        kinds.contains(&Access::Granted)
            || (kinds == [Access::NotWanted; 2]
                && self
                    .provider
                    .wanted_scopes(purpose)
                    .contains("offline_access"))
    }
}

/// The event of a flow, ready for the outbox.
///
/// # Errors
/// The grant cannot be sealed.
pub fn user_authenticated(
    flow: &Flow,
    authentication: &Authentication<'_>,
    binding: &GrantBinding,
    handle: &Handle,
    authenticated_at: OffsetDateTime,
    connect_with: Option<&SealingKey>,
) -> Result<Message, SealError> {
    let connection = connect_with
        .map(|key| connection(flow, authentication, binding, key))
        .transpose()?;
    let event = events::UserAuthenticated {
        workspace_id: binding.workspace.to_string(),
        user_id: binding.user.to_string(),
        identity: Some(events::Identity {
            provider: binding.provider.to_string(),
            issuer: binding.issuer.to_string(),
            subject: binding.subject.to_string(),
            handle: handle.to_string(),
            display_name: authentication.identity.name.clone().unwrap_or_default(),
            handle_verified: Some(authentication.identity.email_verified()),
        }),
        authenticated_at: Some(timestamp(authenticated_at)),
        intent: intent(flow, binding.workspace, connection.is_some()).into(),
        connection,
    };
    // Follows from the flow: the same callback told twice is the same event.
    let id = EventId::derived(flow.id.as_uuid(), "user.authenticated");
    Ok(Message::event(id, binding.user, &event))
}

/// A deliberate connection is one: it may bring back what was disconnected. A
/// sign-in that connects by the deployment's switch brings nothing back.
fn intent(flow: &Flow, workspace: WorkspaceId, connects: bool) -> events::Intent {
    let chose = flow
        .agreed_in(workspace)
        .is_some_and(Deliberate::chose_to_connect);
    if chose && connects {
        events::Intent::Connect
    } else {
        events::Intent::SignIn
    }
}

fn connection(
    flow: &Flow,
    authentication: &Authentication<'_>,
    binding: &GrantBinding,
    key: &SealingKey,
) -> Result<events::Connection, SealError> {
    let tokens = authentication.tokens;
    let granted = authentication.granted();
    let access = authentication.provider.access(&granted);
    // Who sees what is chosen on the page, for the workspace that it named.
    let chosen = flow.agreed_in(binding.workspace).map(|_| &flow.context);
    let refresh_token = match &tokens.refresh_token {
        Some(token) => key.seal_refresh_token(token, binding)?,
        None => Vec::new(),
    };
    Ok(events::Connection {
        grant: Some(events::SealedGrant {
            sealed_access_token: key.seal_access_token(&tokens.access_token, binding)?,
            access_token_expires_at: tokens
                .expires_in
                .map(|life| timestamp(authentication.received_at + life)),
            refresh_token_expires_at: tokens
                .refresh_token_expires_in
                .filter(|_| !refresh_token.is_empty())
                .map(|life| timestamp(authentication.received_at + life)),
            sealed_refresh_token: refresh_token,
            granted_scopes: granted.to_vec(),
            client_id: authentication.provider.client_id().to_owned(),
        }),
        messages: access_of(access.messages).into(),
        calendar: access_of(access.calendar).into(),
        message_visibility: message_visibility(
            chosen.and_then(|context| context.message_visibility),
        )
        .into(),
        calendar_visibility: calendar_visibility(
            chosen.and_then(|context| context.calendar_visibility),
        )
        .into(),
    })
}

const fn access_of(access: Access) -> events::Access {
    match access {
        Access::NotWanted => events::Access::NotWanted,
        Access::Granted => events::Access::Granted,
        Access::Denied => events::Access::Denied,
    }
}

const fn message_visibility(choice: Option<MessageVisibility>) -> events::MessageVisibility {
    match choice {
        None => events::MessageVisibility::Unspecified,
        Some(MessageVisibility::Metadata) => events::MessageVisibility::Metadata,
        Some(MessageVisibility::Subject) => events::MessageVisibility::Subject,
        Some(MessageVisibility::ShareEverything) => events::MessageVisibility::ShareEverything,
    }
}

const fn calendar_visibility(choice: Option<CalendarVisibility>) -> events::CalendarVisibility {
    match choice {
        None => events::CalendarVisibility::Unspecified,
        Some(CalendarVisibility::Metadata) => events::CalendarVisibility::Metadata,
        Some(CalendarVisibility::ShareEverything) => events::CalendarVisibility::ShareEverything,
    }
}
