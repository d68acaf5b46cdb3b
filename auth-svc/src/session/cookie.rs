//! The session cookie: an opaque secret that scripts cannot read (R10).

use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::cookie::Cookie;

use crate::http::cookies::{host_cookie, removal};
use crate::secret::SessionSecret;

/// Name of the cookie. Browsers accept the prefix `__Host-` only with `Secure`, without
/// `Domain`, and with the path `/`.
pub const NAME: &str = "__Host-latchkey-session";

/// Length of a secret in characters. Other values are not looked up.
const SECRET_LENGTH: usize = 43;

/// Builds the cookie of a new session.
pub fn of(secret: &SessionSecret, lifetime: Duration) -> Cookie<'static> {
    let seconds = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX);
    host_cookie(NAME.to_owned(), secret.expose().to_owned(), seconds)
}

/// Builds the cookie that removes the session cookie.
pub fn removal_cookie() -> Cookie<'static> {
    removal(NAME.to_owned())
}

/// Returns the secret in the request's session cookie.
pub fn secret_of(request: &HttpRequest) -> Option<SessionSecret> {
    let cookie = request.cookie(NAME)?;
    (cookie.value().len() == SECRET_LENGTH).then(|| SessionSecret::new(cookie.value()))
}
