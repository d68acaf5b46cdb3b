//! Cookies of this host alone.

use actix_web::cookie::{Cookie, SameSite};

/// A cookie of this host alone, out of reach of scripts.
pub fn host_cookie(name: String, value: String, max_age_seconds: i64) -> Cookie<'static> {
    Cookie::build(name, value)
        .path("/")
        .secure(true)
        .http_only(true)
        // Lax: the callback is a navigation that comes from the provider.
        .same_site(SameSite::Lax)
        .max_age(actix_web::cookie::time::Duration::seconds(max_age_seconds))
        .finish()
}

/// Removes a cookie of [`host_cookie`].
pub fn removal(name: String) -> Cookie<'static> {
    host_cookie(name, String::new(), 0)
}
