//! The refresh token of a front end on another site, in a cookie that no script
//! sees. The browser keeps it apart for each site that embeds it (CHIPS,
//! `Partitioned`), and each origin has one of its own.

use actix_web::HttpRequest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use time::OffsetDateTime;

use crate::http::origin::WebOrigin;
use crate::random::sha256;
use crate::session::access_token::Token;

/// A token has 43 characters; what is none is not looked up.
pub const TOKEN_LENGTH: usize = 43;

fn name(origin: &WebOrigin) -> String {
    let digest = URL_SAFE_NO_PAD.encode(sha256(&origin.to_string()));
    format!(
        "__Host-latchkey-refresh-{}",
        digest.get(..11).unwrap_or(&digest)
    )
}

/// `Set-Cookie` for `origin`'s token. Not `Lax`: the front end's site is
/// another one; the token endpoint looks at `Origin` instead.
pub fn set(origin: &WebOrigin, token: &Token, now: OffsetDateTime) -> String {
    let seconds = (token.expires_at - now).whole_seconds().max(0);
    line(origin, &token.token, seconds)
}

/// `Set-Cookie` that removes it.
pub fn removal(origin: &WebOrigin) -> String {
    line(origin, "", 0)
}

fn line(origin: &WebOrigin, value: &str, seconds: i64) -> String {
    format!(
        "{}={value}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=None; Partitioned",
        name(origin)
    )
}

/// The token that this browser carries for `origin`.
pub fn token_of(request: &HttpRequest, origin: &WebOrigin) -> Option<String> {
    let cookie = request.cookie(&name(origin))?;
    (cookie.value().len() == TOKEN_LENGTH).then(|| cookie.value().to_owned())
}
