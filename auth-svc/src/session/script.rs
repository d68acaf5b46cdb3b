//! `GET /auth/session.js` (R11), the script for front ends: see docs/session-js.md.

use std::sync::LazyLock;

use actix_web::http::header::IF_NONE_MATCH;
use actix_web::{HttpRequest, HttpResponse};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::random::sha256;

const SCRIPT: &str = include_str!("session.js");

static TAG: LazyLock<String> =
    LazyLock::new(|| format!("\"{}\"", URL_SAFE_NO_PAD.encode(sha256(SCRIPT))));

/// Returns the script for front ends. It is the same for everyone.
///
/// Any page may load it, also with `integrity`. Browsers cache it for one hour.
#[utoipa::path(get, path = "/auth/session.js", tag = "session", operation_id = "session_script", responses(
    (status = 200, description = "JavaScript", content_type = "text/javascript", body = String),
    (status = 304, description = "Not modified")))]
pub async fn script(request: HttpRequest) -> HttpResponse {
    let known = request
        .headers()
        .get(IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|tags| tags.split(',').any(|tag| tag.trim() == TAG.as_str()));
    let mut response = if known {
        HttpResponse::NotModified()
    } else {
        HttpResponse::Ok()
    };
    response
        .insert_header(("Cache-Control", "public, max-age=3600"))
        .insert_header(("ETag", TAG.as_str()))
        .insert_header(("Access-Control-Allow-Origin", "*"))
        .insert_header(("Cross-Origin-Resource-Policy", "cross-origin"));
    if known {
        response.finish()
    } else {
        response
            .content_type("text/javascript; charset=utf-8")
            .body(SCRIPT)
    }
}
