//! Cookies of this host, which scripts cannot read.

use actix_web::cookie::{Cookie, SameSite};

/// Builds a cookie of this host that scripts cannot read.
pub fn host_cookie(name: String, value: String, max_age_seconds: i64) -> Cookie<'static> {
    Cookie::build(name, value)
        .path("/")
        .secure(true)
        .http_only(true)
        // `Lax`, because the callback is a navigation that the provider's page starts.
        .same_site(SameSite::Lax)
        .max_age(actix_web::cookie::time::Duration::seconds(max_age_seconds))
        .finish()
}

/// Builds the cookie that removes a cookie of [`host_cookie`].
pub fn removal(name: String) -> Cookie<'static> {
    host_cookie(name, String::new(), 0)
}
