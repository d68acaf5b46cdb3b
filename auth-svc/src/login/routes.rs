//! The routes of a sign-in, and the log line of each error.

use std::fmt::{Debug, Display};

use actix_web::http::StatusCode;
use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse, web};
use latchkey_domain::ProviderName;
use latchkey_providers::{Purpose, built_in_names, is_built_in};

use crate::http::default_errors::not_found;
use crate::http::links::{found, link};
use crate::http::problem::{Problem, ProblemDetails, wants_json};
use crate::http::query::Query;
use crate::http::router::Routes;
use crate::http::{metrics, too_many_requests};
use crate::login::callback::{self, CallbackError};
use crate::login::next_steps::{NextSteps, problem, problem_with};
use crate::login::openapi::{CALLBACK_PARAMETERS, CallbackParameters};
use crate::login::provider_links::start_path;
use crate::login::start_parameter::{PROMPT, RECONNECT, RETURN_TO, StartParameters};
use crate::login::{initiate, open, start};
use crate::session::lookup;
use crate::state::State;
use crate::store::session::Session;

/// Adds the routes.
pub fn routes(routes: &mut Routes<'_>) {
    let names: Vec<&str> = built_in_names().collect();
    let known = format!("/auth/{{provider:{}}}", names.join("|"));
    initiate::routes(routes);
    routes.add(open::__path_open, open::open);
    routes.add_slow_at(__path_sign_in, &known, sign_in);
    routes.add_slow(__path_sign_in_oidc, sign_in_oidc);
    routes.add_slow_at(__path_connect, &format!("{known}-apis"), connect);
    routes.add_slow(__path_connect_oidc, connect_oidc);
    let signed_in_at = format!("{known}/redirect");
    routes.add_slow_at(__path_signed_in, &signed_in_at, signed_in);
    routes.add_at(__path_signed_in_form, &signed_in_at, signed_in_form);
    routes.add_slow(__path_signed_in_oidc, signed_in_oidc);
    routes.add(__path_signed_in_oidc_form, signed_in_oidc_form);
    let connected_at = format!("{known}-apis/get-access-token");
    routes.add_slow_at(__path_connected, &connected_at, connected);
    routes.add_at(__path_connected_form, &connected_at, connected_form);
    routes.add_slow(__path_connected_oidc, connected_oidc);
    routes.add(__path_connected_oidc_form, connected_oidc_form);
}

macro_rules! starts {
    ($name:ident, $path:literal, $purpose:expr, $summary:literal) => {
        #[doc = $summary]
        #[utoipa::path(get, path = $path, tag = "sign-in", security((), ("session" = [])), params(("provider" = String, Path, description = "Name of the provider"), StartParameters), responses(
            (status = 302, description = "To the provider; to the app if the person is signed in already; to the review page if an account is connected or the query has an invitation, a visibility or `reconnect`"),
            (status = 400, description = "A parameter is invalid", body = Problem),
            (status = 404, description = "The provider is not configured", body = Problem),
            (status = 502, description = "The registration at the provider is wrong, or its response is not readable", body = Problem),
            (status = 503, description = "The provider or the database is not available", body = Problem)))]
        async fn $name(
            state: web::Data<State>,
            name: web::Path<String>,
            request: HttpRequest,
        ) -> HttpResponse {
            begin(state, name, request, $purpose).await
        }
    };
}

macro_rules! ends {
    ($name:ident, $form:ident, $path:literal, $purpose:expr, $summary:literal) => {
        #[doc = $summary]
        #[utoipa::path(get, path = $path, tag = "sign-in", security((), ("session" = [])), params(("provider" = String, Path, description = "Name of the provider"), CallbackParameters), responses(
            (status = 302, description = "Into the app"),
            (status = 400, description = "The flow is unknown, finished or belongs to another callback, or the response does not prove who the person is", body = Problem),
            (status = 401, description = "The person has to act at the provider", body = Problem),
            (status = 403, description = "The person did not give access, or is not admitted", body = Problem),
            (status = 404, description = "The provider is not configured", body = Problem),
            (status = 429, description = "The flow was tried too often", body = Problem),
            (status = 502, description = "The registration at the provider is wrong", body = Problem),
            (status = 503, description = "The provider or the database is not available", body = Problem)))]
        async fn $name(
            state: web::Data<State>,
            name: web::Path<String>,
            request: HttpRequest,
        ) -> HttpResponse {
            end(state, name, request, $purpose).await
        }

        #[doc = $summary]
        ///
        /// The response of a provider with `form_post`. It is redirected to the GET.
        #[utoipa::path(post, path = $path, tag = "sign-in", request_body(content = String, content_type = "application/x-www-form-urlencoded"), params(("provider" = String, Path, description = "Name of the provider")), responses(
            (status = 303, description = "To the same address with the response in the query"),
            (status = 400, description = "A parameter is invalid", body = Problem)))]
        async fn $form(request: HttpRequest, body: web::Bytes) -> HttpResponse {
            redirect_to_get(&request, &body)
        }
    };
}

starts!(
    sign_in,
    "/auth/{provider}",
    Purpose::SignIn,
    "Starts a sign-in with Google or Microsoft."
);
starts!(
    sign_in_oidc,
    "/auth/oidc/{provider}",
    Purpose::SignIn,
    "Starts a sign-in with another OpenID provider."
);
starts!(
    connect,
    "/auth/{provider}-apis",
    Purpose::Connect,
    "Connects a further account at Google or Microsoft."
);
starts!(
    connect_oidc,
    "/auth/oidc-apis/{provider}",
    Purpose::Connect,
    "Connects a further account at another OpenID provider."
);
ends!(
    signed_in,
    signed_in_form,
    "/auth/{provider}/redirect",
    Purpose::SignIn,
    "Ends a sign-in with Google or Microsoft."
);
ends!(
    signed_in_oidc,
    signed_in_oidc_form,
    "/auth/oidc/{provider}/redirect",
    Purpose::SignIn,
    "Ends a sign-in with another OpenID provider."
);
ends!(
    connected,
    connected_form,
    "/auth/{provider}-apis/get-access-token",
    Purpose::Connect,
    "Ends the connection of a Google or Microsoft account."
);
ends!(
    connected_oidc,
    connected_oidc_form,
    "/auth/oidc-apis/{provider}/get-access-token",
    Purpose::Connect,
    "Ends the connection of another account."
);

/// Returns the provider in the path. Built-in providers have their own paths.
fn provider_of(request: &HttpRequest, name: &str) -> Option<ProviderName> {
    let generic = request.path().starts_with("/auth/oidc");
    let name = Some(name).filter(|name| !(generic && is_built_in(name)));
    name?.parse().ok()
}

async fn begin(
    state: web::Data<State>,
    name: web::Path<String>,
    request: HttpRequest,
    purpose: Purpose,
) -> HttpResponse {
    let Some(provider) = provider_of(&request, &name) else {
        return not_found(request).await;
    };
    match start::start(&state, &request, &provider, purpose).await {
        Ok(response) => response,
        Err(error) => {
            let explanation = ProblemDetails::from(&error);
            log(&state, &provider, &explanation, &error);
            let ways = NextSteps::of_start(&request, &start_path(&provider, purpose));
            let ways = ways.signed_in(person(&state, &request, &explanation).await.as_ref());
            problem_with(&request, &explanation, &ways)
        }
    }
}

/// Handles OAuth 2.0 Form Post Response Mode. The page of the provider sends the form, so
/// the browser does not send the flow's cookie (`SameSite=Lax`). The browser is redirected
/// to a GET with only the known parameters, which sends the cookie.
fn redirect_to_get(request: &HttpRequest, body: &[u8]) -> HttpResponse {
    let fields = match Query::parse(std::str::from_utf8(body).unwrap_or_default()) {
        Ok(fields) => fields,
        Err(error) => return problem(request, &ProblemDetails::from(&error), None),
    };
    let answered: Vec<_> = CALLBACK_PARAMETERS
        .into_iter()
        .filter_map(|name| Some((name, fields.get(name)?)))
        .collect();
    HttpResponse::SeeOther()
        .insert_header((LOCATION, link(request.path(), &answered)))
        .finish()
}

async fn end(
    state: web::Data<State>,
    name: web::Path<String>,
    request: HttpRequest,
    purpose: Purpose,
) -> HttpResponse {
    let Some(provider) = provider_of(&request, &name) else {
        return not_found(request).await;
    };
    let (result, spent) = callback::callback(&state, &request, &provider, purpose).await;
    let mut response = match result {
        Ok(response) => response,
        Err(CallbackError::TooManyRequests(wait)) => {
            tracing::warn!(%provider, error.code = "too_many_requests", outcome = "refused", "sign-in refused");
            metrics::count_sign_in(&state, &provider, "too_many_requests");
            let ways = next_steps_of(&state, &request, &start_path(&provider, purpose), None);
            too_many_requests::refusal(&request, wait, &ways)
        }
        Err(error) => {
            let explanation = ProblemDetails::from(&error);
            let session = person(&state, &request, &explanation).await;
            if session.is_some() && error.is_over() && !wants_json(&request) {
                metrics::count_sign_in(&state, &provider, "over");
                tracing::info!(%provider, %error, outcome = "over", "sent on into the app");
                into_the_app(&state, &request)
            } else {
                log(&state, &provider, &explanation, &error);
                let path = start_path(&provider, purpose);
                let ways = next_steps_of(&state, &request, &path, session.as_ref());
                problem_with(&request, &explanation, &ways)
            }
        }
    };
    if let Some(cookie) = spent
        && let Err(error) = response.add_cookie(&cookie)
    {
        tracing::error!(%error, "the flow's cookie was not removed");
    }
    response
}

/// Redirects a person who is signed in to the app if their callback is finished already
/// (reload, Back, another tab). Nothing of the response is used.
fn into_the_app(state: &State, request: &HttpRequest) -> HttpResponse {
    let mut url = state.config.public_origin.url().clone();
    url.set_path("/auth/open");
    let flow = callback::open_flow(state, request)
        .ok()
        .map(|(_, flow)| flow);
    if let Some(location) = flow.and_then(|flow| flow.context.return_to) {
        url.query_pairs_mut()
            .append_pair(RETURN_TO.name, &location.to_string());
    }
    found(&url).finish()
}

/// Returns the next steps after a failed callback, with the parameters of its flow if this
/// browser has it.
fn next_steps_of(
    state: &State,
    request: &HttpRequest,
    path: &str,
    session: Option<&Session>,
) -> NextSteps {
    let flow = callback::open_flow(state, request)
        .ok()
        .map(|(_, flow)| flow);
    let mut more = Vec::new();
    if let Some(flow) = &flow {
        if flow.consent_asked {
            more.push((PROMPT.name, "consent"));
        }
        // Without this parameter, the start would redirect a signed-in person straight
        // back.
        if session.is_some() && flow.purpose() == Purpose::SignIn {
            more.push((RECONNECT.name, "1"));
        }
    }
    let context = flow.map(|flow| flow.context).unwrap_or_default();
    NextSteps::of_context(state, &context, path, &more).signed_in(session)
}

/// Returns the session of the person, if they have one. After a 503 the database is not
/// asked again.
async fn person(
    state: &State,
    request: &HttpRequest,
    explanation: &ProblemDetails,
) -> Option<Session> {
    if explanation.status == StatusCode::SERVICE_UNAVAILABLE {
        return None;
    }
    lookup::current_if_known(state, request).await
}

/// Logs one line for each error. Every line has the trace id.
fn log(
    state: &State,
    provider: &ProviderName,
    explanation: &ProblemDetails,
    error: &(impl Display + Debug),
) {
    let status = explanation.status.as_u16();
    let code = explanation.code;
    metrics::count_sign_in(state, provider, code);
    if explanation.status.is_server_error() {
        tracing::error!(%provider, status, error.code = code, %error, outcome = "refused", "sign-in failed");
    } else {
        tracing::warn!(%provider, status, error.code = code, %error, outcome = "refused", "sign-in refused");
    }
}
