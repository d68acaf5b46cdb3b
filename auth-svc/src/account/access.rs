//! What the account pages have in common: a session, and changes that only
//! this deployment's own pages may ask for.

use actix_web::{HttpRequest, HttpResponse};

use crate::http::layout::Place;
use crate::http::problem::{NextStep, ProblemDetails};
use crate::http::same_site;
use crate::login::next_steps::problem;
use crate::login::sign_in_link::to_sign_in;
use crate::login::start::StartError;
use crate::session::lookup;
use crate::state::State;
use crate::store::session::Session;

/// The session, or where a person without one goes.
pub(crate) async fn session(
    state: &State,
    request: &HttpRequest,
    place: Place,
) -> Result<Session, HttpResponse> {
    match lookup::current(state, request).await {
        Ok(Some(session)) => Ok(session),
        Ok(None) => Err(to_sign_in(state, place)),
        Err(error) => {
            tracing::error!(%error, "the session was not looked up");
            Err(database_away(request, error))
        }
    }
}

pub(crate) fn database_away(request: &HttpRequest, error: sqlx::Error) -> HttpResponse {
    problem(
        request,
        &ProblemDetails::from(&StartError::Database(error)),
        Some(request.path()),
    )
}

/// Refuses a change that another web site, the app or a workspace's host asks
/// for: the account pages reach every workspace of the person.
pub(crate) fn refuse_foreign(state: &State, request: &HttpRequest) -> Option<HttpResponse> {
    let refusal = same_site::check_first_party(request, &state.config.public_origin).err()?;
    let explanation = ProblemDetails {
        next: NextStep::Account,
        ..refusal.into()
    };
    Some(problem(request, &explanation, None))
}
