//! The claims of logout tokens (OpenID Connect Back-Channel Logout 1.0, section 2.4).

use std::time::Duration;

use latchkey_domain::{Issuer, ProviderSessionId, Subject};
use serde_json::Value;
use time::OffsetDateTime;

use crate::claims::Claims;
use crate::definition::Definition;
use crate::{IdTokenError, ProviderError, id_token};

/// Types (`typ`) of a logout token. Many providers do not send the one that the specification
/// recommends.
pub(crate) const TYPES: &[&str] = &["logout+jwt", "jwt"];
/// The member of `events` that makes a token a logout token.
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// Maximum length of `jti` in bytes.
const MAX_ID: usize = 255;
/// A token is accepted if it expires within this time. Its id is stored until then.
const MAX_LIFETIME: Duration = Duration::from_hours(24);

/// A logout token that is valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogoutToken {
    /// `iss`.
    pub issuer: Issuer,
    /// `jti`: the token is used once.
    pub id: String,
    /// When the token expires.
    pub expires_at: OffsetDateTime,
    /// Whose sessions end.
    pub logged_out: LoggedOut,
}

/// Whose sessions a logout token ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoggedOut {
    /// The sessions that began in this session at the provider.
    Session {
        /// The session at the provider (`sid`).
        session: ProviderSessionId,
        /// Its person (`sub`), if the token names them too. A session of the person of which it is not
        /// known in which session at the provider it began may be the one that is meant.
        subject: Option<Subject>,
    },
    /// The sessions of this person.
    Subject(Subject),
}

/// Why a logout token is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogoutTokenError {
    /// It is not a valid token of this provider for this client. The message speaks of an ID token,
    /// whose rules these are.
    #[error("the rules of ID tokens hold for logout tokens: {0}")]
    Token(#[from] IdTokenError),
    /// It expires later than in 24 hours.
    #[error("the logout token expires later than in 24 hours")]
    ExpiresLate,
    /// `events` does not say that it is a logout token.
    #[error("the claim events does not have the member {EVENT}")]
    Event,
    /// An ID token has a nonce; a logout token must not have one.
    #[error("the logout token has a nonce")]
    Nonce,
    /// `jti` is absent, no text, or longer than 255 bytes.
    #[error("the logout token has no jti of 1 to {MAX_ID} bytes")]
    Id,
    /// Neither `sid` nor `sub` is a usable text.
    #[error("the logout token names neither a session nor a person")]
    NobodyNamed,
}

impl LogoutTokenError {
    pub(crate) fn provider(error: ProviderError) -> Self {
        Self::Token(IdTokenError::Provider(error))
    }

    /// Returns `true` if the provider's documents were not available, so that the same token may be
    /// accepted later.
    pub const fn is_temporary(&self) -> bool {
        matches!(self, Self::Token(IdTokenError::Provider(_)))
    }
}

/// Checks the claims of a token whose signature is valid.
pub(crate) fn check(
    claims: &Claims,
    definition: &Definition,
    now: OffsetDateTime,
) -> Result<LogoutToken, LogoutTokenError> {
    let issuer = id_token::check_issuer(&definition.issuer, claims)?;
    id_token::check_audience(claims, definition)?;
    id_token::check_times(claims, now)?;
    let expires_at = claims
        .time("exp")
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .filter(|expires_at| *expires_at <= now + MAX_LIFETIME)
        .ok_or(LogoutTokenError::ExpiresLate)?;
    let event = claims.0.get("events").and_then(|events| events.get(EVENT));
    if !event.is_some_and(Value::is_object) {
        return Err(LogoutTokenError::Event);
    }
    if claims.0.contains_key("nonce") {
        return Err(LogoutTokenError::Nonce);
    }
    let id = claims.text("jti").filter(|id| id.len() <= MAX_ID);
    let id = id.ok_or(LogoutTokenError::Id)?.to_owned();
    Ok(LogoutToken {
        issuer: issuer
            .parse()
            .map_err(|_| IdTokenError::Malformed("issuer"))?,
        id,
        expires_at,
        logged_out: logged_out(claims, definition)?,
    })
}

/// A session is narrower than its person, so it decides if the token names both.
fn logged_out(claims: &Claims, definition: &Definition) -> Result<LoggedOut, LogoutTokenError> {
    let subject = subject(claims, definition);
    match id_token::provider_session(claims) {
        Some(session) => Ok(LoggedOut::Session {
            session,
            subject: subject.ok(),
        }),
        None => subject.map(LoggedOut::Subject),
    }
}

fn subject(claims: &Claims, definition: &Definition) -> Result<Subject, LogoutTokenError> {
    claims.text("sub").ok_or(LogoutTokenError::NobodyNamed)?;
    let quirks = definition.quirks;
    let subject = quirks.subject(claims, definition.subject_claim.as_deref())?;
    Ok(subject.parse().map_err(|_| IdTokenError::Subject)?)
}

#[cfg(test)]
mod tests {
    use latchkey_config::Environment;
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn good() -> Value {
        json!({
            "iss": "https://id.example", "aud": "us", "iat": NOW, "exp": NOW + 120,
            "jti": "one", "events": { EVENT: {} }, "sid": "s", "sub": "ada",
        })
    }

    fn judge(change: &Value) -> Result<LogoutToken, LogoutTokenError> {
        let environment: Environment = [
            ("AUTH_OIDC_ACME_ISSUER", "https://id.example"),
            ("AUTH_OIDC_ACME_CLIENT_ID", "us"),
        ]
        .into_iter()
        .collect();
        let definition = crate::oidc::definitions(&environment).unwrap().remove(0);
        let mut claims = good().as_object().cloned().unwrap();
        for (name, value) in change.as_object().unwrap() {
            claims.insert(name.clone(), value.clone());
            if value.is_null() {
                claims.remove(name);
            }
        }
        let now = OffsetDateTime::from_unix_timestamp(NOW).unwrap();
        check(&Claims(claims), &definition, now)
    }

    #[test]
    fn a_session_is_narrower_than_its_person() {
        let of = |change: Value| judge(&change).unwrap().logged_out;
        let session = |subject: Option<&str>| LoggedOut::Session {
            session: "s".parse().unwrap(),
            subject: subject.map(|subject| subject.parse().unwrap()),
        };
        assert_eq!(of(json!({})), session(Some("ada")));
        let ada = LoggedOut::Subject("ada".parse().unwrap());
        assert_eq!(of(json!({ "sid": null })), ada);
        assert_eq!(of(json!({ "sub": null })), session(None));
        let nobody = judge(&json!({ "sub": null, "sid": null }));
        assert_eq!(nobody, Err(LogoutTokenError::NobodyNamed));
    }

    #[test]
    fn each_claim_that_is_wrong_or_missing_is_refused() {
        use LogoutTokenError as E;
        for (change, expected) in [
            (json!({ "events": null }), E::Event),
            (json!({ "events": {} }), E::Event),
            (json!({ "events": { EVENT: true } }), E::Event),
            (json!({ "events": [EVENT] }), E::Event),
            (json!({ "nonce": "n" }), E::Nonce),
            (json!({ "jti": null }), E::Id),
            (json!({ "jti": 7 }), E::Id),
            (json!({ "jti": "x".repeat(256) }), E::Id),
            (json!({ "exp": NOW + 86_401 }), E::ExpiresLate),
        ] {
            assert_eq!(judge(&change), Err(expected), "{change}");
        }
        for change in [
            json!({ "iss": "https://other.example" }),
            json!({ "aud": "them" }),
            json!({ "aud": null }),
            json!({ "iat": null }),
            json!({ "iat": NOW + 61 }),
            json!({ "exp": null }),
            json!({ "exp": NOW - 60 }),
        ] {
            assert!(matches!(judge(&change), Err(E::Token(_))), "{change}");
        }
    }
}
