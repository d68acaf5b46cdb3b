//! Metadata for services and gateways that verify access tokens: with the issuer's address alone they
//! find its keys.

use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use crate::session::config::SessionConfig;
use crate::state::State;

/// Returns the metadata of the issuer of access tokens (RFC 8414).
///
/// Nobody asks Latchkey for an authorization: `response_types_supported`, which is required, is `none`.
#[utoipa::path(get, path = "/.well-known/oauth-authorization-server", tag = "session", responses(
    (status = 200, description = "Metadata of the issuer", body = serde_json::Value)))]
pub(super) async fn oauth_metadata(state: web::Data<State>) -> HttpResponse {
    public("application/json", &document(&state.config.sessions))
}

/// Returns the same at the address of OpenID Connect Discovery, which is the only one that many
/// gateways read.
#[utoipa::path(get, path = "/.well-known/openid-configuration", tag = "session", responses(
    (status = 200, description = "Metadata of the issuer", body = serde_json::Value)))]
pub(super) async fn openid_metadata(state: web::Data<State>) -> HttpResponse {
    public("application/json", &document(&state.config.sessions))
}

/// Returns a document that any origin may read, and caches keep for five minutes.
pub fn public(content_type: &'static str, document: &Value) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header(("Cache-Control", "public, max-age=300"))
        .insert_header(("Access-Control-Allow-Origin", "*"))
        .insert_header(("Cross-Origin-Resource-Policy", "cross-origin"))
        .content_type(content_type)
        .body(document.to_string())
}

fn document(config: &SessionConfig) -> Value {
    json!({
        "issuer": config.issuer,
        "jwks_uri": format!("{}/.well-known/jwks.json", config.issuer),
        "response_types_supported": ["none"],
        // Required by OpenID Connect Discovery 1.0 section 3.
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": config.keys.algorithms(),
    })
}
