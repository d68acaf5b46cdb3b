//! A login flow: what is kept between the redirect to the provider and the callback (R4).

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use latchkey_domain::{FlowId, ProviderName, SessionId, WorkspaceId};
use latchkey_providers::Purpose;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::login::agreement::Agreement;
use crate::login::context::Context;
use crate::random::{Randomness, RandomnessError, sha256};
use crate::secret::{Nonce, OAuthState, PkceVerifier};

/// Lifetime of a flow.
pub const FLOW_LIFETIME: Duration = Duration::from_mins(10);

/// A login flow. It exists only in a sealed cookie.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// Id of the flow. A unique key of the database makes sure that a flow is used once.
    pub id: FlowId,
    /// Provider of the flow.
    #[serde(rename = "p")]
    pub provider: ProviderName,
    /// The session that started the connection of an account. It must be present at the
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
    /// When the flow expires, in seconds since 1970.
    #[serde(rename = "e")]
    pub expires_at: i64,
    /// Whether this is the second authorization request, which asks for consent. There is
    /// no third one.
    #[serde(rename = "k")]
    pub consent_asked: bool,
    /// Whether the request left out offline access, because a live grant was stored for the
    /// person who was expected.
    #[serde(rename = "g", default, skip_serializing_if = "std::ops::Not::not")]
    pub reuses_grant: bool,
    /// What the request asked for; without choices if there is no agreement.
    #[serde(rename = "x")]
    pub context: Context,
    /// What the person agreed to on a page of this service.
    #[serde(rename = "m", default, skip_serializing_if = "Option::is_none")]
    pub agreement: Option<Agreement>,
}

impl fmt::Debug for Flow {
    /// Omits state, nonce and verifier.
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
    /// Creates a flow.
    ///
    /// # Errors
    /// Returns an error if the random number generator fails.
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
            reuses_grant: false,
            context,
            agreement,
        };
        Ok(flow.without_unagreed_choices())
    }

    /// Returns what the person is doing.
    pub const fn purpose(&self) -> Purpose {
        match self.connects_for {
            None => Purpose::SignIn,
            Some(_) => Purpose::Connect,
        }
    }

    /// Removes the choices from a flow without an agreement. Replicas of older versions
    /// seal the choices of any link.
    #[must_use]
    pub fn without_unagreed_choices(mut self) -> Self {
        if self.agreement.is_none() {
            self.context = self.context.without_choices();
        }
        self
    }

    /// Returns what the person agreed to, if it was for this workspace.
    pub fn agreement_for(&self, workspace: WorkspaceId) -> Option<&Agreement> {
        self.agreement
            .as_ref()
            .filter(|agreement| agreement.is_for(workspace))
    }

    /// Returns the PKCE code challenge (S256).
    pub fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(sha256(self.verifier.expose()))
    }

    /// Returns `true` if the flow has expired.
    pub fn is_expired(&self, now: OffsetDateTime) -> bool {
        now.unix_timestamp() >= self.expires_at
    }

    /// Returns when the flow expires.
    pub fn expiry(&self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(self.expires_at).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }
}

/// The form of the purpose in the cookie, which replicas of other versions read too.
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
    use crate::login::context::{CalendarVisibility, MessageVisibility};

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
    fn a_flow_without_an_agreement_keeps_no_choice() {
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
        let agreement = Agreement::on(
            crate::login::agreement::Page::Review,
            None,
            SystemClock.now(),
        );
        assert_eq!(begin(Some(agreement)).context, chosen());
    }
}
