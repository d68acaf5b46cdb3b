//! `GET /auth/open`: sends a person who is signed in into the application, with the
//! hand-over that it needs. Unlike the start of a sign-in it never goes to a provider.
//! Error pages link here if a connection has to be repaired first.

use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse, web};

use crate::http::links::{found, link};
use crate::http::problem::{Problem, ProblemDetails};
use crate::http::query::Query;
use crate::login::next_steps::problem;
use crate::login::parameters::context_of;
use crate::login::start::{StartError, is_challenged_by_another, redirect_to_app};
use crate::login::start_parameter::{StartParameters, carried};
use crate::session::access_token::Bearer;
use crate::session::lookup;
use crate::state::State;

/// Opens the application.
///
/// The parameters are those of a sign-in's start. Those that concern the provider are
/// passed on to the sign-in page.
#[utoipa::path(get, path = "/auth/open", tag = "session", security((), ("session" = [])), params(StartParameters), responses(
    (status = 302, description = "Into the application"),
    (status = 303, description = "To the sign-in page if nobody is signed in"),
    (status = 400, description = "A parameter is invalid", body = Problem),
    (status = 503, description = "The database is not available", body = Problem)))]
pub async fn open(state: web::Data<State>, request: HttpRequest) -> HttpResponse {
    match try_open(&state, &request).await {
        Ok(response) => response,
        Err(error) => {
            let explanation = ProblemDetails::from(&error);
            tracing::warn!(error.code = explanation.code, %error, outcome = "refused", "the application was not opened");
            problem(&request, &explanation, None)
        }
    }
}

async fn try_open(state: &State, request: &HttpRequest) -> Result<HttpResponse, StartError> {
    let query = Query::parse(request.query_string())?;
    let context = context_of(&query, &state.config.returns)?;
    let Some(session) = lookup::current(state, request).await? else {
        let to = link("/auth/sign-in", &carried(&query));
        return Ok(HttpResponse::SeeOther()
            .insert_header((LOCATION, to))
            .finish());
    };
    if is_challenged_by_another(state, request, &context) {
        // A link on another site must not decide who redeems the code for this session.
        // Opened without a code, the application starts its own sign-in.
        let location = context.return_to.as_ref();
        let home = state.config.returns.destination(location, &session);
        return Ok(found(&home).finish());
    }
    let bearer = Bearer::from(&session);
    Ok(redirect_to_app(state, &bearer, &context, &session)
        .await
        .finish())
}
