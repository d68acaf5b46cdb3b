//! `GET /auth/me` and `POST /auth/sign-out`.

use actix_web::http::StatusCode;
use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;
use time::format_description::well_known::Rfc3339;

use crate::app::State;
use crate::http::description::Problem;
use crate::http::routes::Routes;
use crate::http::same_site;
use crate::login::explain::broken;
use crate::pages::{self, Explanation, Next};
use crate::session::{self, cookie};
use crate::store;

/// Adds the routes.
pub fn routes(routes: &mut Routes<'_>) {
    routes.add(__path_me, me);
    routes.add(__path_sign_out, sign_out);
}

/// Who is signed in, as JSON.
#[utoipa::path(get, path = "/auth/me", tag = "session", responses(
    (status = 200, description = "The session of this browser", body = serde_json::Value),
    (status = 401, description = "Nobody is signed in", body = Problem)))]
async fn me(state: web::Data<State>, request: HttpRequest) -> HttpResponse {
    match session::current(&state, &request).await {
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
        Ok(None) => HttpResponse::Unauthorized().json(json!({
            "error": { "code": "not_signed_in", "message": "Nobody is signed in." }
        })),
        Err(error) => {
            tracing::error!(%error, "the session was not looked up");
            HttpResponse::ServiceUnavailable().json(json!({
                "error": { "code": "database_unavailable", "message": "Please try again." }
            }))
        }
    }
}

/// Ends this browser's session. A request from another site is refused.
#[utoipa::path(post, path = "/auth/sign-out", tag = "session", responses(
    (status = 204, description = "Signed out, for who asks for JSON"),
    (status = 303, description = "Signed out, to the start page"),
    (status = 403, description = "Another web site asks", body = Problem)))]
async fn sign_out(state: web::Data<State>, request: HttpRequest) -> HttpResponse {
    if !same_site::may_change(&request, &state.config.returns) {
        let explanation = Explanation {
            status: StatusCode::FORBIDDEN,
            code: "cross_site",
            title: "Sign out from the application",
            text: "Another web site asked to sign you out. You are still signed in.".to_owned(),
            next: Next::Home,
        };
        tracing::warn!(
            error.code = explanation.code,
            outcome = "refused",
            "sign-out refused"
        );
        return pages::problem(&request, &explanation, None);
    }
    if let Some(secret) = cookie::secret_of(&request)
        && let Err(error) = store::session::end(&state.pool, &secret).await
    {
        tracing::error!(%error, outcome = "refused", "the session was not ended");
        return pages::problem(&request, &broken("database_unavailable"), None);
    }
    let mut response = if pages::wants_json(&request) {
        HttpResponse::NoContent()
    } else {
        let mut response = HttpResponse::SeeOther();
        response.insert_header((LOCATION, "/"));
        response
    };
    response.cookie(cookie::removed()).finish()
}
