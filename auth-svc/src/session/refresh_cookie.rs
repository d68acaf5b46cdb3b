//! The refresh token of a front end on another site, in a cookie that scripts cannot
//! read. The browser keeps a separate cookie for each top-level site (CHIPS,
//! `Partitioned`), and each origin has its own cookie name.

use actix_web::HttpRequest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use latchkey_config::WebOrigin;
use time::OffsetDateTime;

use crate::random::sha256;
use crate::session::access_token::Token;

/// Length of a refresh token in characters. Other values are not looked up.
pub const TOKEN_LENGTH: usize = 43;

fn name(origin: &WebOrigin) -> String {
    let digest = URL_SAFE_NO_PAD.encode(sha256(&origin.to_string()));
    format!(
        "__Host-latchkey-refresh-{}",
        digest.get(..11).unwrap_or(&digest)
    )
}

/// Returns the `Set-Cookie` value for the token of `origin`. It is not `SameSite=Lax`,
/// because the front end is on another site; the token endpoint checks `Origin` instead.
pub fn set(origin: &WebOrigin, token: &Token, now: OffsetDateTime) -> String {
    let seconds = (token.expires_at - now).whole_seconds().max(0);
    line(origin, &token.token, seconds)
}

/// Returns the `Set-Cookie` value that removes the cookie.
pub fn removal(origin: &WebOrigin) -> String {
    line(origin, "", 0)
}

fn line(origin: &WebOrigin, value: &str, seconds: i64) -> String {
    format!(
        "{}={value}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=None; Partitioned",
        name(origin)
    )
}

/// Returns the token that the request's cookie holds for `origin`.
pub fn token_of(request: &HttpRequest, origin: &WebOrigin) -> Option<String> {
    let cookie = request.cookie(&name(origin))?;
    (cookie.value().len() == TOKEN_LENGTH).then(|| cookie.value().to_owned())
}
