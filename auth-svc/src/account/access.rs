//! Access checks of the account pages: they need a session, and only this service's own
//! pages may change something.

use actix_web::{HttpRequest, HttpResponse};

use crate::http::layout::AccountPage;
use crate::http::problem::{self, NextStep, ProblemDetails};
use crate::http::same_site;
use crate::login::next_steps::problem;
use crate::login::sign_in_link::to_sign_in;
use crate::session::lookup;
use crate::state::State;
use crate::store::session::Session;

/// Returns the session, or a redirect to the sign-in page if nobody is signed in.
pub(crate) async fn session(
    state: &State,
    request: &HttpRequest,
    place: AccountPage,
) -> Result<Session, HttpResponse> {
    match lookup::current(state, request).await {
        Ok(Some(session)) => Ok(session),
        Ok(None) => Err(to_sign_in(state, place)),
        Err(error) => Err(database_unavailable(request, &error)),
    }
}

/// Logs the database's error and builds the response for it.
pub(crate) fn database_unavailable(request: &HttpRequest, error: &sqlx::Error) -> HttpResponse {
    tracing::error!(%error, outcome = "refused", "the database is not available");
    problem(request, &problem::database_unavailable(), None)
}

/// Returns an error response if the request does not come from a page of this service.
/// Neither the application nor the host of a workspace may change anything here, because
/// the account pages reach every workspace of the person.
pub(crate) fn refuse_cross_site(state: &State, request: &HttpRequest) -> Option<HttpResponse> {
    let refusal = same_site::check_first_party(request, &state.config.public_origin).err()?;
    let explanation = ProblemDetails {
        next: NextStep::Account,
        ..refusal.into()
    };
    Some(problem(request, &explanation, None))
}
