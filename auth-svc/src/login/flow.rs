//! What a login flow remembers between the redirect and the callback (R4).

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use latchkey_domain::{FlowId, ProviderName, SessionId, WorkspaceId};
use latchkey_providers::Purpose;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::login::agreement::Agreement;
use crate::login::redirect::ReturnLocation;
use crate::login::start_parameter::{
    CALENDAR_VISIBILITY, CODE_CHALLENGE, HOSTED_DOMAIN, LOCALE, LOGIN_HINT, MESSAGE_VISIBILITY,
    PERSONAL_INVITE, PUBLIC_INVITE, RETURN_TO, WORKSPACE_ID, WORKSPACE_SUBDOMAIN,
};
use crate::random::{Randomness, RandomnessError, sha256};
use crate::secret::{Nonce, OAuthState, PkceVerifier};

/// A flow that takes longer has to start again.
pub const FLOW_LIFETIME: Duration = Duration::from_mins(10);

/// Who sees what of a mailbox (R16).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum MessageVisibility {
    /// Only metadata.
    Metadata,
    /// Metadata and subject.
    Subject,
    /// Everything.
    ShareEverything,
}

/// Who sees what of a calendar (R16).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CalendarVisibility {
    /// Only metadata.
    Metadata,
    /// Everything.
    ShareEverything,
}

/// What the request asked for; comes back at the callback unchanged.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Context {
    /// Workspace by id.
    #[serde(rename = "w", skip_serializing_if = "Option::is_none")]
    pub workspace: Option<WorkspaceId>,
    /// Workspace by its host's first label.
    #[serde(rename = "d", skip_serializing_if = "Option::is_none")]
    pub subdomain: Option<String>,
    /// Token of a public invitation link.
    #[serde(rename = "pi", skip_serializing_if = "Option::is_none")]
    pub public_invite: Option<String>,
    /// Token of a personal invitation.
    #[serde(rename = "ti", skip_serializing_if = "Option::is_none")]
    pub personal_invite: Option<String>,
    /// Where to go afterwards.
    #[serde(rename = "r", skip_serializing_if = "Option::is_none")]
    pub return_to: Option<ReturnLocation>,
    /// Domain that the person was expected to choose: a hint, never a check.
    #[serde(rename = "hd", skip_serializing_if = "Option::is_none")]
    pub hosted_domain: Option<String>,
    /// Address that the person was expected to choose: a hint.
    #[serde(rename = "lh", skip_serializing_if = "Option::is_none")]
    pub login_hint: Option<String>,
    /// Language tag, which the provider is asked to speak.
    #[serde(rename = "l", skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// S256 challenge of the front end that is signed in to.
    #[serde(rename = "cc", skip_serializing_if = "Option::is_none")]
    pub code_challenge: Option<String>,
    /// Choice for the message channel.
    #[serde(rename = "mv", skip_serializing_if = "Option::is_none")]
    pub message_visibility: Option<MessageVisibility>,
    /// Choice for the calendar channel.
    #[serde(rename = "cv", skip_serializing_if = "Option::is_none")]
    pub calendar_visibility: Option<CalendarVisibility>,
}

impl fmt::Debug for Context {
    /// Without the invitations: they are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("workspace", &self.workspace)
            .field("subdomain", &self.subdomain)
            .field("return_to", &self.return_to)
            .finish_non_exhaustive()
    }
}

impl Context {
    /// The same without what only a person may choose: an invitation to accept,
    /// and who sees what of an account.
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

    /// Returns `true` if it carries an invitation.
    pub const fn is_invited(&self) -> bool {
        self.public_invite.is_some() || self.personal_invite.is_some()
    }

    /// The parameters that a start with this context has.
    pub fn parameters(&self) -> Vec<(String, String)> {
        let text = |value: &Option<String>| value.clone();
        let word = |value: Option<serde_json::Value>| Some(value?.as_str()?.to_owned());
        [
            (WORKSPACE_ID, self.workspace.map(|id| id.to_string())),
            (WORKSPACE_SUBDOMAIN, text(&self.subdomain)),
            (PUBLIC_INVITE, text(&self.public_invite)),
            (PERSONAL_INVITE, text(&self.personal_invite)),
            (
                RETURN_TO,
                self.return_to.as_ref().map(|location| match location {
                    ReturnLocation::Path(path) => path.clone(),
                    ReturnLocation::Url(url) => url.to_string(),
                }),
            ),
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

/// One flow, from redirect to callback. Lives in a sealed cookie only.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// Spent once, by a unique key of the database.
    pub id: FlowId,
    /// Provider that was asked.
    #[serde(rename = "p")]
    pub provider: ProviderName,
    /// The session that started to connect an account: it has to be there at the
    /// start and at the end (R16). `None` for a sign-in.
    #[serde(rename = "a", with = "stored_purpose")]
    pub connects_for: Option<SessionId>,
    /// The `state` parameter.
    #[serde(rename = "s")]
    pub state: OAuthState,
    /// The `nonce` that the ID token has to carry.
    #[serde(rename = "n")]
    pub nonce: Nonce,
    /// PKCE code verifier.
    #[serde(rename = "v")]
    pub verifier: PkceVerifier,
    /// Seconds since 1970; afterwards the flow is dead.
    #[serde(rename = "e")]
    pub expires_at: i64,
    /// True on the second trip, which asked for consent: there is no third.
    #[serde(rename = "k")]
    pub consent_asked: bool,
    /// What the request asked for; without choices where the flow is not marked.
    #[serde(rename = "x")]
    pub context: Context,
    /// What the person agreed to on a page of this service.
    #[serde(rename = "m", default, skip_serializing_if = "Option::is_none")]
    pub agreement: Option<Agreement>,
}

impl fmt::Debug for Flow {
    /// Without state, nonce and verifier.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flow")
            .field("id", &self.id)
            .field("provider", &self.provider)
            .field("purpose", &self.purpose())
            .field("context", &self.context)
            .finish_non_exhaustive()
    }
}

impl Flow {
    /// A new flow.
    ///
    /// # Errors
    /// No randomness.
    pub fn begin(
        provider: ProviderName,
        connects_for: Option<SessionId>,
        context: Context,
        agreement: Option<Agreement>,
        consent_asked: bool,
        now: OffsetDateTime,
        randomness: &Randomness,
    ) -> Result<Self, RandomnessError> {
        let flow = Self {
            id: FlowId::generate(),
            provider,
            connects_for,
            state: OAuthState::generate(randomness)?,
            nonce: Nonce::generate(randomness)?,
            verifier: PkceVerifier::generate(randomness)?,
            expires_at: (now + FLOW_LIFETIME).unix_timestamp(),
            consent_asked,
            context,
            agreement,
        };
        Ok(flow.without_unagreed_choices())
    }

    /// What the person is doing.
    pub const fn purpose(&self) -> Purpose {
        match self.connects_for {
            None => Purpose::SignIn,
            Some(_) => Purpose::Connect,
        }
    }

    /// Without the mark there are no choices, whoever sealed the flow: replicas
    /// of an older version seal the choices of any link.
    #[must_use]
    pub fn settled(mut self) -> Self {
        if self.agreement.is_none() {
            self.context = self.context.without_choices();
        }
        self
    }

    /// What the person agreed to for this workspace.
    pub fn agreement_for(&self, workspace: WorkspaceId) -> Option<&Agreement> {
        self.agreement
            .as_ref()
            .filter(|agreement| agreement.is_for(workspace))
    }

    /// PKCE code challenge, S256.
    pub fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(sha256(self.verifier.expose()))
    }

    /// True where the flow's time is over.
    pub fn is_expired(&self, now: OffsetDateTime) -> bool {
        now.unix_timestamp() >= self.expires_at
    }

    /// When it expires.
    pub fn expiry(&self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(self.expires_at).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }
}

/// The purpose as the cookie has it, also the cookies of other versions.
mod stored_purpose {
    use latchkey_domain::SessionId;
    use serde::{Deserialize, Deserializer, Serialize as _, Serializer};

    #[derive(serde::Serialize, serde::Deserialize)]
    enum Stored {
        #[serde(rename = "s")]
        SignIn,
        #[serde(rename = "c")]
        Connect(SessionId),
    }

    #[expect(clippy::ref_option, reason = "serde passes a reference to the field")]
    pub(super) fn serialize<S: Serializer>(
        connects_for: &Option<SessionId>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        connects_for
            .map_or(Stored::SignIn, Stored::Connect)
            .serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<SessionId>, D::Error> {
        Ok(match Stored::deserialize(deserializer)? {
            Stored::SignIn => None,
            Stored::Connect(session) => Some(session),
        })
    }
}

#[cfg(test)]
mod tests {
    use latchkey_domain::{Clock as _, SystemClock};

    use super::*;

    fn chosen() -> Context {
        Context {
            public_invite: Some("public".into()),
            personal_invite: Some("personal".into()),
            locale: Some("de".into()),
            message_visibility: Some(MessageVisibility::Subject),
            calendar_visibility: Some(CalendarVisibility::Metadata),
            ..Context::default()
        }
    }

    #[test]
    fn a_flow_without_the_mark_keeps_no_choice() {
        let begin = |agreement| {
            Flow::begin(
                "google".parse().unwrap(),
                None,
                chosen(),
                agreement,
                false,
                SystemClock.now(),
                &Randomness::default(),
            )
            .unwrap()
        };
        let plain = Context {
            locale: Some("de".into()),
            ..Context::default()
        };
        assert_eq!(begin(None).context, plain);
        let mark = Agreement::on(
            crate::login::agreement::Page::Review,
            None,
            SystemClock.now(),
        );
        assert_eq!(begin(Some(mark)).context, chosen());
    }

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
