//! The routes of the session API, with its two small handlers.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;
use time::format_description::well_known::Rfc3339;

use crate::http::problem::Problem;
use crate::http::router::Routes;
use crate::session::responses::SessionError;
use crate::session::{backchannel_logout, lookup, metadata, script, sign_out, token_endpoint};
use crate::state::State;

/// Registers the routes.
pub fn routes(routes: &mut Routes<'_>) {
    backchannel_logout::routes(routes);
    routes.add(__path_me, me);
    routes.add(token_endpoint::__path_token, token_endpoint::token);
    routes.add(sign_out::__path_list, sign_out::list);
    routes.add(sign_out::__path_end_one, sign_out::end_one);
    routes.add(sign_out::__path_sign_out, sign_out::sign_out);
    routes.add(
        sign_out::__path_sign_out_everywhere,
        sign_out::sign_out_everywhere,
    );
    routes.add(script::__path_script, script::script);
    routes.add(__path_jwks, jwks);
    routes.add(metadata::__path_oauth_metadata, metadata::oauth_metadata);
    routes.add(metadata::__path_openid_metadata, metadata::openid_metadata);
}

/// Returns who is signed in, by cookie or bearer token.
#[utoipa::path(get, path = "/auth/me", tag = "session", responses(
    (status = 200, description = "Person, workspace and session", body = serde_json::Value),
    (status = 401, description = "Nobody is signed in", body = Problem)))]
async fn me(state: web::Data<State>, request: HttpRequest) -> HttpResponse {
    match lookup::caller(&state, &request).await {
        Ok(Some(session)) => HttpResponse::Ok().json(json!({
            "userId": session.user,
            "email": session.email,
            "displayName": session.display_name,
            "workspaceId": session.workspace,
            "workspaceName": session.workspace_name,
            "workspaceSubdomain": session.subdomain,
            "sessionId": session.id,
            "expiresAt": session.expires_at.format(&Rfc3339).unwrap_or_default(),
        })),
        Ok(None) => SessionError::NotSignedIn.respond(),
        Err(error) => SessionError::Database(error).respond(),
    }
}

/// Returns the keys that verify access tokens (RFC 7517).
///
/// A new key has to be published for longer than this response may be cached before it
/// signs.
#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "session", responses(
    (status = 200, description = "JWK set", content_type = "application/jwk-set+json", body = serde_json::Value)))]
async fn jwks(state: web::Data<State>) -> HttpResponse {
    metadata::public(
        "application/jwk-set+json",
        &state.config.sessions.keys.jwks(),
    )
}
