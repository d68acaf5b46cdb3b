//! The session cookie: an opaque secret that no script sees (R10).

use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::cookie::Cookie;

use crate::http::cookies::{host_cookie, removal};
use crate::store::session::SessionSecret;

/// `__Host-`: secure, no `Domain`, path `/`.
pub const NAME: &str = "__Host-latchkey-session";

/// A secret has 43 characters; what is no secret is not looked up.
const SECRET_LENGTH: usize = 43;

/// The cookie of a new session.
pub fn of(secret: &SessionSecret, lifetime: Duration) -> Cookie<'static> {
    let seconds = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX);
    host_cookie(NAME.to_owned(), secret.0.clone(), seconds)
}

/// Removes the cookie.
pub fn removed() -> Cookie<'static> {
    removal(NAME.to_owned())
}

/// The secret that this browser carries.
pub fn secret_of(request: &HttpRequest) -> Option<String> {
    let cookie = request.cookie(NAME)?;
    (cookie.value().len() == SECRET_LENGTH).then(|| cookie.value().to_owned())
}
