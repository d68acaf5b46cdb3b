//! The review page. It asks the person before they join by an invitation, connect an
//! account, or choose who sees it (R6, R7, R16). It names the workspace, the account, the
//! requested permissions and the return location. Its form starts the flow.

pub mod view;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};

use crate::http::default_errors::not_found;
use crate::http::form_redirect::redirect_after_form;
use crate::http::links::found;
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::http::router::Routes;
use crate::login::agreement::{Agreement, Page};
use crate::login::form::{SEEN, configured_provider, error_response, fields_of};
use crate::login::offline_access::OfflineAccess;
use crate::login::review_page::view::{PageKind, Review};
use crate::login::start::{start_flow, to_public_host};
use crate::login::start_parameter::{PROMPT, StartParameters};
use crate::state::State;

/// Registers the routes.
pub fn routes(routes: &mut Routes<'_>) {
    routes.add(__path_review, review);
    routes.add_slow(__path_agree, agree);
}

/// Shows what will be connected or joined.
#[utoipa::path(get, path = "/auth/review/{provider}", tag = "pages", operation_id = "page_review", security((), ("session" = [])), params(("provider" = String, Path, description = "Its name"), StartParameters), responses(
    (status = 200, description = "The page", content_type = "text/html", body = String),
    (status = 303, description = "To the sign-in page, because connecting needs a session"),
    (status = 400, description = "A parameter is invalid", body = Problem),
    (status = 404, description = "The provider is not configured", body = Problem),
    (status = 503, description = "The database is not available", body = Problem)))]
async fn review(
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
    if let Some(there) = to_public_host(&state, &request, &query) {
        return found(&there).finish();
    }
    match Review::of(&state, &request, provider, &query, PageKind::Review).await {
        Ok(review) => review.page(StatusCode::OK, false),
        Err(response) => response,
    }
}

/// Starts the flow after the person agreed on the review page.
///
/// Accepts only the page's own form. If something that the page showed has changed, the
/// page is shown again.
#[utoipa::path(post, path = "/auth/review/{provider}/continue", tag = "pages", operation_id = "page_leave", security((), ("session" = [])), request_body(content = String, content_type = "application/x-www-form-urlencoded"), params(("provider" = String, Path, description = "Its name")), responses(
    (status = 200, description = "The page that goes on to the provider", content_type = "text/html", body = String),
    (status = 303, description = "To the sign-in page, because connecting needs a session"),
    (status = 400, description = "A parameter is invalid", body = Problem),
    (status = 403, description = "The request does not come from the page's own form", body = Problem),
    (status = 404, description = "The provider is not configured", body = Problem),
    (status = 409, description = "Something changed since the page was shown: it is shown again", content_type = "text/html", body = String),
    (status = 502, description = "The registration at the provider is wrong, or its response is not readable", body = Problem),
    (status = 503, description = "The provider or the database is not available", body = Problem)))]
async fn agree(
    state: web::Data<State>,
    name: web::Path<String>,
    request: HttpRequest,
    body: web::Bytes,
) -> HttpResponse {
    let Some(provider) = configured_provider(&state, &name) else {
        return not_found(request).await;
    };
    let (fields, _) = match fields_of(&state, &request, &body) {
        Ok(asked) => asked,
        Err(error) => return error.response(&request),
    };
    let review = match Review::of(&state, &request, provider, &fields, PageKind::Review).await {
        Ok(review) => review,
        Err(response) => return response,
    };
    if fields.get(SEEN) != Some(&review.digest()) || !review.may_continue() {
        return review.page(StatusCode::CONFLICT, true);
    }
    let agreed = Agreement::on(Page::Review, review.workspace_id(), state.clock.now());
    let connects_for = review.connects_for();
    let offline_access = OfflineAccess::of_prompt(fields.of(&PROMPT));
    let label = review.provider.label().to_owned();
    let started = start_flow(
        &state,
        &request,
        &review.provider.clone(),
        connects_for,
        review.into_context(),
        Some(agreed),
        offline_access,
    )
    .await;
    match started {
        Ok(redirect) => redirect_after_form(&label, &redirect.to, redirect.cookies),
        Err(error) => error_response(&request, &error),
    }
}
