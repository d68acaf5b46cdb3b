//! Access tokens (R14): short-lived JWTs that any service verifies with
//! `/.well-known/jwks.json`. Nothing recalls one: it dies by its expiry.

use std::time::Duration;

use jsonwebtoken::{Header, Validation, decode, decode_header, encode};
use latchkey_domain::{SessionId, UserId, WorkspaceId};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::session::config::SessionConfig;
use crate::store::session::Session;
use crate::store::session::refresh::IssuedToken;

/// `typ` of an access token (RFC 9068 section 2.1): an ID token is none.
const TYPE: &str = "at+jwt";

/// Clocks of one deployment differ by less.
const LEEWAY_SECONDS: u64 = 5;

/// What an access token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Issuer: the service's public origin.
    pub iss: String,
    /// Who it is for.
    pub aud: String,
    /// The person.
    pub sub: UserId,
    /// The session that it came from.
    pub sid: SessionId,
    /// The workspace that the session is in.
    pub workspace: WorkspaceId,
    /// Made at, in seconds since 1970.
    pub iat: i64,
    /// Dead at, in seconds since 1970.
    pub exp: i64,
    /// Its own id.
    pub jti: Uuid,
}

/// A secret for a front end, and when it dies.
#[derive(Clone, Serialize)]
pub struct Token {
    /// The token.
    pub token: String,
    /// When it dies.
    #[serde(rename = "expiresAt", serialize_with = "as_browsers_write_it")]
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

/// `2026-11-24T08:00:00.000Z`, as `Date.prototype.toISOString` writes it.
fn as_browsers_write_it<S: serde::Serializer>(
    time: &OffsetDateTime,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&iso(*time))
}

/// A time as browsers write it: UTC, milliseconds.
pub fn iso(time: OffsetDateTime) -> String {
    const FORMAT: &[time::format_description::BorrowedFormatItem<'static>] = time::macros::format_description!(
        "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
    );
    time.to_offset(time::UtcOffset::UTC)
        .format(FORMAT)
        .unwrap_or_default()
}

/// Whose token is made.
#[derive(Debug, Clone, Copy)]
pub struct Bearer {
    /// The person.
    pub user: UserId,
    /// Their session.
    pub session: SessionId,
    /// Its workspace.
    pub workspace: WorkspaceId,
    /// End of the session, which no token outlives.
    pub session_ends: OffsetDateTime,
}

impl From<&Session> for Bearer {
    fn from(session: &Session) -> Self {
        Self {
            user: session.user,
            session: session.id,
            workspace: session.workspace,
            session_ends: session.expires_at,
        }
    }
}

/// Signs an access token.
///
/// # Errors
/// The key refuses.
pub fn mint(
    config: &SessionConfig,
    bearer: &Bearer,
    now: OffsetDateTime,
) -> Result<Token, jsonwebtoken::errors::Error> {
    let expires_at = (now + config.access_lifetime).min(bearer.session_ends);
    // Whole seconds, so that claim and answer say the same.
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
    };
    Ok(Token {
        token: encode(&header, &claims, key.signing())?,
        expires_at,
    })
}

/// The claims of a token that this deployment signed and that is alive.
pub fn verify(config: &SessionConfig, token: &str, now: OffsetDateTime) -> Option<Claims> {
    let header = decode_header(token).ok()?;
    if header.typ.as_deref() != Some(TYPE) {
        return None;
    }
    let key = config.keys.get(header.kid.as_deref()?)?;
    // The key says which algorithm, never the token.
    let mut validation = Validation::new(key.algorithm);
    validation.set_issuer(&[&config.issuer]);
    validation.set_audience(&[&config.audience]);
    validation.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
    // By our own clock, below.
    validation.validate_exp = false;
    let claims = decode::<Claims>(token, key.verifying(), &validation)
        .ok()?
        .claims;
    let leeway = Duration::from_secs(LEEWAY_SECONDS);
    let alive = now.unix_timestamp() < claims.exp && claims.iat <= (now + leeway).unix_timestamp();
    alive.then_some(claims)
}
