//! The sign-in page.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

use crate::account::overview;
use crate::http::default_errors::not_found;
use crate::http::form_redirect::redirect_after_form;
use crate::http::layout::{Layout, page};
use crate::http::links::found;
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::http::router::Routes;
use crate::login::agreement::{Agreement, Page};
use crate::login::context::Context;
use crate::login::described_workspace::{Described, describe};
use crate::login::destination::other_origin;
use crate::login::domain_policy::Invitation;
use crate::login::form::{SEEN, configured_provider, digest_of, error_response, fields_of};
use crate::login::notice::{Notice, notice};
use crate::login::offline_access::OfflineAccess;
use crate::login::parameters::context_of;
use crate::login::provider_links::{Button, buttons};
use crate::login::redirect::Site;
use crate::login::start::{
    asks_for_another, is_challenged_by_another, redirect_to_app, start_flow, to_public_host,
};
use crate::login::start_parameter::{PROMPT, RECONNECT, StartParameters, carried};
use crate::session::access_token::Bearer;
use crate::session::lookup;
use crate::state::State;

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    shell: Layout,
    workspace: Option<String>,
    invitation: Option<Notice>,
    invited: bool,
    /// Whether the buttons open the review page, because there is something to choose.
    asks: bool,
    connects: bool,
    elsewhere: Option<String>,
    hidden: Vec<(String, String)>,
    providers: Vec<Button>,
}

/// Registers the routes.
pub fn routes(routes: &mut Routes<'_>) {
    routes.add(__path_home, home);
    routes.add(__path_sign_in, sign_in);
    routes.add_slow(__path_start, start);
}

/// Shows how to sign in, or who is signed in.
///
/// A person who is signed in is redirected to the return location, if the request has one.
#[utoipa::path(get, path = "/", tag = "pages", operation_id = "page_home", security((), ("session" = [])), params(StartParameters),
    responses((status = 200, description = "The page", content_type = "text/html", body = String)))]
async fn home(state: web::Data<State>, request: HttpRequest) -> HttpResponse {
    home_or_sign_in(&state, &request).await
}

/// Shows the same as `/`, for deployments whose `/` belongs to the application.
#[utoipa::path(get, path = "/auth/sign-in", tag = "pages", operation_id = "page_sign_in", security((), ("session" = [])), params(StartParameters), responses(
    (status = 302, description = "To the return location, if somebody is signed in"),
    (status = 200, description = "The page", content_type = "text/html", body = String)))]
async fn sign_in(state: web::Data<State>, request: HttpRequest) -> HttpResponse {
    home_or_sign_in(&state, &request).await
}

/// Starts a sign-in from a button of the sign-in page. The page named the workspace and
/// what is connected, so a person who joins this way is connected at once.
#[utoipa::path(post, path = "/auth/sign-in/{provider}", tag = "pages", operation_id = "page_sign_in_leave", security((), ("session" = [])), request_body(content = String, content_type = "application/x-www-form-urlencoded"), params(("provider" = String, Path, description = "Its name")), responses(
    (status = 200, description = "The page that goes on to the provider", content_type = "text/html", body = String),
    (status = 400, description = "A parameter is invalid", body = Problem),
    (status = 403, description = "The request does not come from the page's own form", body = Problem),
    (status = 404, description = "The provider is not configured", body = Problem),
    (status = 409, description = "Something changed since the page was shown: it is shown again", content_type = "text/html", body = String),
    (status = 502, description = "The registration at the provider is wrong, or its response is not readable", body = Problem),
    (status = 503, description = "The provider or the database is not available", body = Problem)))]
async fn start(
    state: web::Data<State>,
    name: web::Path<String>,
    request: HttpRequest,
    body: web::Bytes,
) -> HttpResponse {
    let Some(provider) = configured_provider(&state, &name) else {
        return not_found(request).await;
    };
    let (fields, context) = match fields_of(&state, &request, &body) {
        Ok(asked) => asked,
        Err(error) => return error.response(&request),
    };
    // Invitations and visibilities can be chosen only on the review page.
    let mut context = context.without_choices();
    let described = described(&state, &context).await;
    if fields.get(SEEN) != Some(&digest(&state, &context, &described)) {
        return sign_in_page(&state, StatusCode::CONFLICT, &fields, &context, described);
    }
    let named = described.workspace.map(|workspace| workspace.id);
    context.workspace = named.or(context.workspace);
    let started = start_flow(
        &state,
        &request,
        &provider,
        None,
        context,
        Some(Agreement::on(Page::SignIn, named, state.clock.now())),
        OfflineAccess::of_prompt(fields.of(&PROMPT)),
    )
    .await;
    match started {
        Ok(redirect) => redirect_after_form(provider.label(), &redirect.to, redirect.cookies),
        Err(error) => error_response(&request, &error),
    }
}

async fn home_or_sign_in(state: &State, request: &HttpRequest) -> HttpResponse {
    let query = Query::parse(request.query_string()).unwrap_or_default();
    if let Some(there) = to_public_host(state, request, &query) {
        return found(&there).finish();
    }
    let context = context_of(&query, &state.config.returns).unwrap_or_default();
    // An invitation is shown even to a person who is signed in to another workspace.
    if !context.is_invited()
        && let Some(session) = lookup::current_if_known(state, request).await
    {
        if context.return_to.is_none() && context.code_challenge.is_none() {
            return overview::page_of(state, &session).await;
        }
        // A front end that sends people here gets a code, as after a start.
        let another = asks_for_another(&context, &session) || query.of(&PROMPT).is_some();
        if !another && !is_challenged_by_another(state, request, &context) {
            let bearer = Bearer::from(&session);
            return redirect_to_app(state, &bearer, &context, &session)
                .await
                .finish();
        }
    }
    let described = described(state, &context).await;
    sign_in_page(state, StatusCode::OK, &query, &context, described)
}

async fn described(state: &State, context: &Context) -> Described {
    match describe(&state.pool, context).await {
        Ok(described) => described,
        Err(error) => {
            // The buttons work without the name of the workspace.
            tracing::warn!(%error, "the workspace was not looked up");
            Described::default()
        }
    }
}

/// Returns a digest of what the page shows about the target of its buttons.
fn digest(state: &State, context: &Context, described: &Described) -> String {
    let workspace = described.workspace.as_ref();
    let id = workspace.map(|workspace| workspace.id.to_string());
    let elsewhere = other_origin(state, context, workspace.map(Site::from));
    digest_of(&[
        id.as_deref().unwrap_or_default(),
        workspace.map_or("", |workspace| &workspace.name),
        elsewhere.as_deref().unwrap_or_default(),
    ])
}

fn sign_in_page(
    state: &State,
    status: StatusCode,
    query: &Query,
    context: &Context,
    described: Described,
) -> HttpResponse {
    let carried = carried(query);
    let providers = buttons(state.providers.iter(), &carried);
    let mut hidden = carried;
    hidden.push((SEEN.to_owned(), digest(state, context, &described)));
    page(
        status,
        &SignInPage {
            shell: Layout::plain(),
            invited: described.invitation == Invitation::Usable,
            asks: described.invitation == Invitation::Usable
                || context.message_visibility.is_some()
                || context.calendar_visibility.is_some()
                || query.of(&RECONNECT).is_some(),
            invitation: notice(&described, context),
            elsewhere: other_origin(state, context, described.workspace.as_ref().map(Site::from)),
            workspace: described.workspace.map(|workspace| workspace.name),
            connects: providers.iter().any(|provider| provider.connects),
            hidden,
            providers,
        },
    )
}
