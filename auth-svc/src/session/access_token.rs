//! Access tokens (R14): short-lived JWTs that any service verifies with
//! `/.well-known/jwks.json`. A token cannot be revoked: it is valid until it expires.

use std::time::Duration;

use jsonwebtoken::{Header, Validation, decode, decode_header, encode};
use latchkey_domain::{SessionId, UserId, WorkspaceId};
use latchkey_providers::AuthenticationContext;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::session::config::SessionConfig;
use crate::store::session::Session;
use crate::store::session::refresh::IssuedToken;

/// `typ` of an access token (RFC 9068 section 2.1). An ID token has another `typ`.
const TYPE: &str = "at+jwt";

/// Accepted clock difference within one deployment, in seconds.
const LEEWAY_SECONDS: u64 = 5;

/// The claims of an access token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Issuer: the service's public origin.
    pub iss: String,
    /// Audience: `ACCESS_TOKEN_AUDIENCE`.
    pub aud: String,
    /// Subject: the person.
    pub sub: UserId,
    /// The session that the token was issued for.
    pub sid: SessionId,
    /// The workspace of the session.
    pub workspace: WorkspaceId,
    /// Issued at, in seconds since 1970.
    pub iat: i64,
    /// Expires at, in seconds since 1970.
    pub exp: i64,
    /// Id of this token.
    pub jti: Uuid,
    /// Class of the person's authentication at the provider (RFC 9068 section 2.2.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acr: Option<String>,
    /// When the person authenticated at the provider, in seconds since 1970 (RFC 9068 section
    /// 2.2.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<i64>,
}

/// A token for a front end and its expiry. `Debug` does not print the token.
#[derive(Clone, Serialize, ToSchema)]
pub struct Token {
    /// The token.
    pub token: String,
    /// When the token expires.
    #[serde(rename = "expiresAt", serialize_with = "serialize_iso")]
    pub expires_at: OffsetDateTime,
}

impl From<IssuedToken> for Token {
    fn from(issued: IssuedToken) -> Self {
        Self {
            token: issued.token,
            expires_at: issued.expires_at,
        }
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token")
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

fn serialize_iso<S: serde::Serializer>(
    time: &OffsetDateTime,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format_iso(*time))
}

/// Formats a time as `Date.prototype.toISOString` does: `2026-11-24T08:00:00.000Z`.
pub fn format_iso(time: OffsetDateTime) -> String {
    const FORMAT: &[time::format_description::BorrowedFormatItem<'static>] = time::macros::format_description!(
        "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
    );
    time.to_offset(time::UtcOffset::UTC)
        .format(FORMAT)
        .unwrap_or_default()
}

/// The person and session that an access token is issued for.
#[derive(Debug, Clone)]
pub struct Bearer {
    /// The person.
    pub user: UserId,
    /// The session of the person.
    pub session: SessionId,
    /// The workspace of the session.
    pub workspace: WorkspaceId,
    /// End of the session. A token expires then at the latest.
    pub session_ends: OffsetDateTime,
    /// How and when the person authenticated at the provider.
    pub authentication: AuthenticationContext,
}

impl From<&Session> for Bearer {
    fn from(session: &Session) -> Self {
        Self {
            user: session.user,
            session: session.id,
            workspace: session.workspace,
            session_ends: session.expires_at,
            authentication: session.authentication.clone(),
        }
    }
}

/// Issues an access token, signed with the current key.
///
/// # Errors
/// Returns an error if the token cannot be signed.
pub fn issue(
    config: &SessionConfig,
    bearer: &Bearer,
    now: OffsetDateTime,
) -> Result<Token, jsonwebtoken::errors::Error> {
    let expires_at = (now + config.access_lifetime).min(bearer.session_ends);
    // In whole seconds, so that `exp` and the response are equal.
    let expires_at = expires_at.replace_nanosecond(0).unwrap_or(expires_at);
    let key = config.keys.current();
    let header = Header {
        typ: Some(TYPE.to_owned()),
        kid: Some(key.id.clone()),
        ..Header::new(key.algorithm)
    };
    let claims = Claims {
        iss: config.issuer.clone(),
        aud: config.audience.clone(),
        sub: bearer.user,
        sid: bearer.session,
        workspace: bearer.workspace,
        iat: now.unix_timestamp(),
        exp: expires_at.unix_timestamp(),
        jti: Uuid::new_v4(),
        acr: bearer.authentication.acr.clone(),
        auth_time: bearer
            .authentication
            .time
            .map(OffsetDateTime::unix_timestamp),
    };
    Ok(Token {
        token: encode(&header, &claims, key.signing())?,
        expires_at,
    })
}

/// Returns the claims of a token that this deployment signed and that has not expired.
pub fn verify(config: &SessionConfig, token: &str, now: OffsetDateTime) -> Option<Claims> {
    let header = decode_header(token).ok()?;
    if header.typ.as_deref() != Some(TYPE) {
        return None;
    }
    let key = config.keys.get(header.kid.as_deref()?)?;
    // The key decides the algorithm, never the header of the token.
    let mut validation = Validation::new(key.algorithm);
    validation.set_issuer(&[&config.issuer]);
    validation.set_audience(&[&config.audience]);
    validation.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
    // Checked below with the clock of the application.
    validation.validate_exp = false;
    let claims = decode::<Claims>(token, key.verifying(), &validation)
        .ok()?
        .claims;
    let leeway = Duration::from_secs(LEEWAY_SECONDS);
    let alive = now.unix_timestamp() < claims.exp && claims.iat <= (now + leeway).unix_timestamp();
    alive.then_some(claims)
}
