//! Security headers of every response.

use actix_web::middleware::DefaultHeaders;

use crate::config::Config;

/// Returns the headers: they forbid scripts, foreign resources, frames and caching.
pub fn security_headers(config: &Config) -> DefaultHeaders {
    let policy = "default-src 'none'; style-src 'self'; img-src 'self'; \
                  form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
    let headers = DefaultHeaders::new()
        .add(("Content-Security-Policy", policy))
        .add(("X-Content-Type-Options", "nosniff"))
        .add(("X-Frame-Options", "DENY"))
        // `no-referrer` would make browsers send `Origin: null` with forms.
        .add(("Referrer-Policy", "same-origin"))
        .add(("Cross-Origin-Opener-Policy", "same-origin"))
        .add(("Cross-Origin-Resource-Policy", "same-origin"))
        .add((
            "Permissions-Policy",
            "camera=(), geolocation=(), microphone=()",
        ))
        .add(("Cache-Control", "no-store"));
    if config.public_origin.is_https() {
        headers.add(("Strict-Transport-Security", "max-age=31536000"))
    } else {
        headers
    }
}
