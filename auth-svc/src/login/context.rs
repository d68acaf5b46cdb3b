//! What the request of a start asks for, which the flow keeps for the callback.

use std::fmt;

use latchkey_domain::WorkspaceId;
use serde::{Deserialize, Serialize};

use crate::login::redirect::ReturnLocation;
use crate::login::start_parameter::{
    CALENDAR_VISIBILITY, CODE_CHALLENGE, HOSTED_DOMAIN, LOCALE, LOGIN_HINT, MESSAGE_VISIBILITY,
    PERSONAL_INVITE, PUBLIC_INVITE, RETURN_TO, WORKSPACE_ID, WORKSPACE_SUBDOMAIN,
};

/// Who sees which part of a mailbox (R16).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum MessageVisibility {
    /// Only the metadata.
    Metadata,
    /// The metadata and the subject.
    Subject,
    /// Everything.
    ShareEverything,
}

/// Who sees which part of a calendar (R16).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CalendarVisibility {
    /// Only the metadata.
    Metadata,
    /// Everything.
    ShareEverything,
}

/// What the request of a start asked for. The callback has it unchanged.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Context {
    /// Workspace by id.
    #[serde(rename = "w", skip_serializing_if = "Option::is_none")]
    pub workspace: Option<WorkspaceId>,
    /// Workspace by the first label of its host.
    #[serde(rename = "d", skip_serializing_if = "Option::is_none")]
    pub subdomain: Option<String>,
    /// Token of a public invitation link.
    #[serde(rename = "pi", skip_serializing_if = "Option::is_none")]
    pub public_invite: Option<String>,
    /// Token of a personal invitation.
    #[serde(rename = "ti", skip_serializing_if = "Option::is_none")]
    pub personal_invite: Option<String>,
    /// Return location.
    #[serde(rename = "r", skip_serializing_if = "Option::is_none")]
    pub return_to: Option<ReturnLocation>,
    /// Domain that the person is expected to choose: a hint, which is not checked.
    #[serde(rename = "hd", skip_serializing_if = "Option::is_none")]
    pub hosted_domain: Option<String>,
    /// Address that the person is expected to choose: a hint.
    #[serde(rename = "lh", skip_serializing_if = "Option::is_none")]
    pub login_hint: Option<String>,
    /// Language tag, which is passed on to the provider.
    #[serde(rename = "l", skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// PKCE code challenge (S256) of the front end that fetches the session.
    #[serde(rename = "cc", skip_serializing_if = "Option::is_none")]
    pub code_challenge: Option<String>,
    /// Chosen visibility of messages.
    #[serde(rename = "mv", skip_serializing_if = "Option::is_none")]
    pub message_visibility: Option<MessageVisibility>,
    /// Chosen visibility of the calendar.
    #[serde(rename = "cv", skip_serializing_if = "Option::is_none")]
    pub calendar_visibility: Option<CalendarVisibility>,
}

impl fmt::Debug for Context {
    /// Omits the invitations, because they are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("workspace", &self.workspace)
            .field("subdomain", &self.subdomain)
            .field("return_to", &self.return_to)
            .finish_non_exhaustive()
    }
}

impl Context {
    /// Returns the context without what only a person may choose: an invitation, and the
    /// visibility of an account.
    #[must_use]
    pub fn without_choices(self) -> Self {
        Self {
            public_invite: None,
            personal_invite: None,
            message_visibility: None,
            calendar_visibility: None,
            ..self
        }
    }

    /// Returns `true` if the context has an invitation.
    pub const fn is_invited(&self) -> bool {
        self.public_invite.is_some() || self.personal_invite.is_some()
    }

    /// Returns the parameters of a start with this context.
    pub fn parameters(&self) -> Vec<(String, String)> {
        let text = |value: &Option<String>| value.clone();
        let word = |value: Option<serde_json::Value>| Some(value?.as_str()?.to_owned());
        [
            (WORKSPACE_ID, self.workspace.map(|id| id.to_string())),
            (WORKSPACE_SUBDOMAIN, text(&self.subdomain)),
            (PUBLIC_INVITE, text(&self.public_invite)),
            (PERSONAL_INVITE, text(&self.personal_invite)),
            (RETURN_TO, self.return_to.as_ref().map(ToString::to_string)),
            (CODE_CHALLENGE, text(&self.code_challenge)),
            (HOSTED_DOMAIN, text(&self.hosted_domain)),
            (LOGIN_HINT, text(&self.login_hint)),
            (LOCALE, text(&self.locale)),
            (
                MESSAGE_VISIBILITY,
                word(serde_json::to_value(self.message_visibility).ok()),
            ),
            (
                CALENDAR_VISIBILITY,
                word(serde_json::to_value(self.calendar_visibility).ok()),
            ),
        ]
        .into_iter()
        .filter_map(|(parameter, value)| Some((parameter.name.to_owned(), value?)))
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_invitation_is_one() {
        assert!(!Context::default().is_invited());
        for (public, personal) in [(true, false), (false, true)] {
            let context = Context {
                public_invite: public.then(|| "i".to_owned()),
                personal_invite: personal.then(|| "i".to_owned()),
                ..Context::default()
            };
            assert!(context.is_invited());
        }
    }
}
