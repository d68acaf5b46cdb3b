//! The welcome page for a person who joined by a link without being asked anything. They
//! are signed in, but nothing is connected or handed over. The page has a button for each.

use actix_web::http::StatusCode;
use actix_web::http::header::SET_COOKIE;
use actix_web::{HttpRequest, HttpResponse, web};

use crate::account::access;
use crate::http::default_errors::not_found;
use crate::http::form_redirect::redirect_after_form_with;
use crate::http::layout::AccountPage;
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::http::router::Routes;
use crate::login::destination::host_of;
use crate::login::form::{SEEN, configured_provider, digest_of, error_response, fields_of};
use crate::login::review_page::view::{PageKind, Review};
use crate::session::access_token::Bearer;
use crate::session::handover::{Handover, hand_over};
use crate::state::State;

/// Registers the routes.
pub fn routes(routes: &mut Routes<'_>) {
    routes.add(__path_welcome, welcome);
    routes.add_slow(__path_hand_over_session, hand_over_session);
}

/// Shows the new membership, what can be connected, and how to continue.
#[utoipa::path(get, path = "/auth/welcome/{provider}", tag = "pages", operation_id = "page_welcome", security(("session" = [])), params(("provider" = String, Path, description = "The one that was signed in with")), responses(
    (status = 200, description = "The page", content_type = "text/html", body = String),
    (status = 303, description = "To the sign-in page if nobody is signed in"),
    (status = 400, description = "A parameter is invalid", body = Problem),
    (status = 404, description = "The provider is not configured", body = Problem),
    (status = 503, description = "The database is not available", body = Problem)))]
async fn welcome(
    state: web::Data<State>,
    name: web::Path<String>,
    request: HttpRequest,
) -> HttpResponse {
    let Some(provider) = configured_provider(&state, &name) else {
        return not_found(request).await;
    };
    let query = match Query::parse(request.query_string()) {
        Ok(query) => query,
        Err(error) => return error_response(&request, &error.into()),
    };
    let kind = PageKind::Welcome {
        joined: query.get("joined").is_some(),
    };
    match Review::of(&state, &request, provider, &query, kind).await {
        Ok(review) => review.page(StatusCode::OK, false),
        Err(response) => response,
    }
}

/// Opens the application and hands the session of this browser over to it.
#[utoipa::path(post, path = "/auth/hand-over", tag = "pages", operation_id = "page_hand_over", security(("session" = [])), request_body(content = String, content_type = "application/x-www-form-urlencoded"), responses(
    (status = 200, description = "The page that goes on to the application", content_type = "text/html", body = String),
    (status = 303, description = "To the sign-in page if nobody is signed in"),
    (status = 400, description = "A parameter is invalid", body = Problem),
    (status = 403, description = "The request does not come from the page's own form", body = Problem),
    (status = 503, description = "The database is not available", body = Problem)))]
async fn hand_over_session(
    state: web::Data<State>,
    request: HttpRequest,
    body: web::Bytes,
) -> HttpResponse {
    let (fields, context) = match fields_of(&state, &request, &body) {
        Ok(asked) => asked,
        Err(error) => return error.response(&request),
    };
    let session = match access::session(&state, &request, AccountPage::Overview).await {
        Ok(session) => session,
        Err(response) => return response,
    };
    let returns = &state.config.returns;
    let location = context.return_to.as_ref();
    let to = returns.destination(location, &session);
    // Only the session that the page showed is handed over, and only to its workspace.
    let same = fields.get(SEEN) == Some(&digest_of(&[&session.id.to_string()]));
    let mut response = HttpResponse::Ok();
    if !same || !returns.may_hand_over(location, &session) {
        return redirect_after_form_with(&mut response, &host_of(&to), &to);
    }
    let Handover { to, pair } = hand_over(
        &state,
        &Bearer::from(&session),
        &to,
        context.code_challenge.as_deref(),
    )
    .await;
    if let Some(pair) = pair {
        response.append_header((SET_COOKIE, pair));
    }
    tracing::info!(session.id = %session.id, outcome = "handed_over", "session handed over");
    redirect_after_form_with(&mut response, &host_of(&to), &to)
}
