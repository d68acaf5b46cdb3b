//! What the account pages have in common: a session, and changes that only
//! this deployment's own pages may ask for.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};

use super::layout::Place;
use super::sign_in::to_sign_in;
use super::{Explanation, Next, problem};
use crate::app::State;
use crate::http::same_site;
use crate::login::authorize::StartError;
use crate::session;
use crate::store::session::Session;

/// The session, or where a person without one goes.
pub(super) async fn session(
    state: &State,
    request: &HttpRequest,
    place: Place,
) -> Result<Session, HttpResponse> {
    match session::current(state, request).await {
        Ok(Some(session)) => Ok(session),
        Ok(None) => Err(to_sign_in(state, place)),
        Err(error) => {
            tracing::error!(%error, "the session was not looked up");
            Err(database_away(request, error))
        }
    }
}

pub(super) fn database_away(request: &HttpRequest, error: sqlx::Error) -> HttpResponse {
    problem(
        request,
        &Explanation::from(&StartError::Database(error)),
        Some(request.path()),
    )
}

/// The refusal of a change that another web site, the app or a workspace's host
/// asks for: the account pages reach every workspace of the person.
pub(super) fn refuse_foreign(state: &State, request: &HttpRequest) -> Option<HttpResponse> {
    if same_site::is_first_party(request, &state.config.public_origin) {
        return None;
    }
    let explanation = Explanation {
        status: StatusCode::FORBIDDEN,
        code: "cross_site",
        title: "Another web site asked for this",
        text: "Nothing was changed. If you want it, do it from your account's own page.".to_owned(),
        next: Next::Account,
    };
    tracing::warn!(
        path = request.path(),
        error.code = explanation.code,
        outcome = "refused",
        "change refused"
    );
    Some(problem(request, &explanation, None))
}
