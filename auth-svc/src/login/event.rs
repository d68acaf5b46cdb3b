//! The event `user.authenticated.v1`, which informs the other services of a sign-in. Only
//! refresh-svc can open the grant in it.

use latchkey_domain::{
    EventId, GrantBinding, Handle, ScopeSet, SealedRefreshToken, UserId, WorkspaceId,
};
use latchkey_messaging::outbox::Message;
use latchkey_proto::{events, timestamp};
use latchkey_providers::{Access, Provider, Purpose, TokenResponse, VerifiedIdentity};
use latchkey_sealing::{SealError, SealingKey};
use time::OffsetDateTime;

use crate::login::agreement::Agreement;
use crate::login::context::{CalendarVisibility, MessageVisibility};
use crate::login::flow::Flow;

/// The verified result of a code exchange.
#[derive(Debug)]
pub struct Authentication<'a> {
    /// The provider.
    pub provider: &'a Provider,
    /// The verified identity of the person.
    pub identity: &'a VerifiedIdentity,
    /// The tokens.
    pub tokens: &'a TokenResponse,
    /// When the tokens were received.
    pub received_at: OffsetDateTime,
}

impl Authentication<'_> {
    /// Returns the scopes that were granted, which may differ from those that were
    /// requested.
    pub fn granted(&self) -> ScopeSet {
        self.tokens.granted_scopes.clone().unwrap_or_default()
    }

    /// Returns the binding of the grant to a person in a workspace.
    pub fn binding(&self, workspace: WorkspaceId, user: UserId) -> GrantBinding {
        GrantBinding {
            workspace,
            user,
            provider: self.provider.name().clone(),
            issuer: self.identity.issuer.clone(),
            subject: self.identity.subject.clone(),
        }
    }

    /// Returns `true` if a refresh token is wanted and none came: the person granted access
    /// to data, or the provider only has offline access.
    pub fn lacks_refresh_token(&self, purpose: Purpose) -> bool {
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

/// Builds the event of a flow for the outbox.
///
/// # Errors
/// Returns an error if the grant cannot be sealed.
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
    // The id is derived from the flow, so that a repeated callback gives the same event.
    let id = EventId::derived(flow.id.as_uuid(), "user.authenticated");
    Ok(Message::event(id, binding.user, &event))
}

/// Returns the intent of the event. Only a connection that the person chose reconnects an
/// account that was disconnected; a connection by the deployment's setting does not.
fn intent(flow: &Flow, workspace: WorkspaceId, connects: bool) -> events::Intent {
    let chose = flow
        .agreement_for(workspace)
        .is_some_and(Agreement::chose_to_connect);
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
    // The visibility was chosen for the workspace that the page named.
    let chosen = flow.agreement_for(binding.workspace).map(|_| &flow.context);
    let refresh_token = tokens
        .refresh_token
        .as_ref()
        .map(|token| key.seal_refresh_token(token, binding))
        .transpose()?;
    Ok(events::Connection {
        grant: Some(events::SealedGrant {
            sealed_access_token: key
                .seal_access_token(&tokens.access_token, binding)?
                .into_bytes(),
            access_token_expires_at: tokens
                .expires_in
                .map(|life| timestamp(authentication.received_at + life)),
            refresh_token_expires_at: tokens
                .refresh_token_expires_in
                .filter(|_| refresh_token.is_some())
                .map(|life| timestamp(authentication.received_at + life)),
            // An absent token is an empty field on the wire.
            sealed_refresh_token: refresh_token
                .map(SealedRefreshToken::into_bytes)
                .unwrap_or_default(),
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
