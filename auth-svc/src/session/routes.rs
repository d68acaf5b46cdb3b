//! The routes of the session API, with its two small handlers.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use serde_json::Value;
use time::format_description::well_known::Rfc3339;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::http::problem::Problem;
use crate::http::router::Routes;
use crate::session::responses::SessionError;
use crate::session::{
    backchannel_logout, end_session, lookup, metadata, script, sign_out, token_endpoint,
};
use crate::state::State;
use crate::store::session::Session;

/// Registers the routes.
pub fn routes(routes: &mut Routes<'_>) {
    backchannel_logout::routes(routes);
    end_session::routes(routes);
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

/// Who is signed in.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Me {
    /// The person.
    user_id: Uuid,
    /// Mail address: a label, not an identifier.
    email: String,
    /// Name to show; may be empty.
    display_name: String,
    /// The workspace of the session.
    workspace_id: Uuid,
    /// Name of the workspace.
    workspace_name: String,
    /// First label of the workspace's host, or null.
    workspace_subdomain: Option<String>,
    /// The session.
    session_id: Uuid,
    /// When the session ends.
    #[schema(value_type = String, format = DateTime)]
    expires_at: String,
}

impl From<Session> for Me {
    fn from(session: Session) -> Self {
        Self {
            user_id: session.user.as_uuid(),
            email: session.email,
            display_name: session.display_name,
            workspace_id: session.workspace.as_uuid(),
            workspace_name: session.workspace_name,
            workspace_subdomain: session.subdomain,
            session_id: session.id.as_uuid(),
            expires_at: session.expires_at.format(&Rfc3339).unwrap_or_default(),
        }
    }
}

/// The keys that verify access tokens (RFC 7517 section 5).
#[derive(ToSchema)]
#[expect(dead_code, reason = "described, not constructed")]
struct JwkSet {
    /// One object for each key (RFC 7517 section 4).
    #[schema(value_type = Vec<Object>)]
    keys: Vec<Value>,
}

/// Returns who is signed in, by cookie or bearer token.
#[utoipa::path(get, path = "/auth/me", tag = "session", security(("session" = []), ("bearer" = [])), responses(
    (status = 200, description = "Person, workspace and session", body = Me),
    (status = 401, description = "Nobody is signed in", body = Problem)))]
async fn me(state: web::Data<State>, request: HttpRequest) -> HttpResponse {
    match lookup::caller(&state, &request).await {
        Ok(Some(session)) => HttpResponse::Ok().json(Me::from(session)),
        Ok(None) => SessionError::NotSignedIn.respond(),
        Err(error) => SessionError::Database(error).respond(),
    }
}

/// Returns the keys that verify access tokens (RFC 7517).
///
/// A new key has to be published for longer than this response may be cached before it
/// signs.
#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "session", responses(
    (status = 200, description = "JWK set", content_type = "application/jwk-set+json", body = JwkSet)))]
async fn jwks(state: web::Data<State>) -> HttpResponse {
    metadata::public(
        "application/jwk-set+json",
        &state.config.sessions.keys.jwks(),
    )
}
