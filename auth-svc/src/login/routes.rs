//! The routes of a sign-in, and the one log line per refusal.

use std::fmt::{Debug, Display};

use actix_web::http::StatusCode;
use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse, web};
use latchkey_domain::ProviderName;
use latchkey_providers::{built_in_names, is_built_in};

use crate::app::State;
use crate::http::description::Problem;
use crate::http::routes::Routes;
use crate::http::{limits, numbers};
use crate::login::authorize::{self, Start};
use crate::login::callback::{self, CallbackError};
use crate::login::described::{ANSWERED, CallbackParameters};
use crate::login::flow::Purpose;
use crate::login::query::Query;
use crate::login::start_parameter::{PROMPT, RECONNECT, RETURN_TO, StartParameters};
use crate::login::{found, initiate};
use crate::pages::provider::{link, start_path};
use crate::pages::{self, Explanation, Ways};
use crate::session;
use crate::store::session::Session;

/// Adds the routes.
pub fn routes(routes: &mut Routes<'_>) {
    let names: Vec<&str> = built_in_names().collect();
    let known = format!("/auth/{{provider:{}}}", names.join("|"));
    initiate::routes(routes);
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
    ($name:ident, $path:literal, $start:expr, $summary:literal) => {
        #[doc = $summary]
        #[utoipa::path(get, path = $path, tag = "sign-in", params(("provider" = String, Path, description = "Name of the provider"), StartParameters), responses(
            (status = 302, description = "To the provider; to the app where nothing is to be done; to the page that asks, where an account is connected or the query carries an invitation, a visibility or `reconnect`"),
            (status = 400, description = "A parameter is not taken", body = Problem),
            (status = 404, description = "The provider is not configured", body = Problem),
            (status = 503, description = "The provider or the database is away", body = Problem)))]
        async fn $name(
            state: web::Data<State>,
            name: web::Path<String>,
            request: HttpRequest,
        ) -> HttpResponse {
            begin(state, name, request, $start).await
        }
    };
}

macro_rules! ends {
    ($name:ident, $form:ident, $path:literal, $start:expr, $summary:literal) => {
        #[doc = $summary]
        #[utoipa::path(get, path = $path, tag = "sign-in", params(("provider" = String, Path, description = "Name of the provider"), CallbackParameters), responses(
            (status = 302, description = "Into the app"),
            (status = 400, description = "The flow is unknown, finished or another's, or the answer proves nobody", body = Problem),
            (status = 401, description = "The person has to act at the provider", body = Problem),
            (status = 403, description = "The person said no, or may not come in", body = Problem),
            (status = 404, description = "The provider is not configured", body = Problem),
            (status = 429, description = "The flow was tried too often", body = Problem),
            (status = 502, description = "The registration at the provider is wrong", body = Problem),
            (status = 503, description = "The provider or the database is away", body = Problem)))]
        async fn $name(
            state: web::Data<State>,
            name: web::Path<String>,
            request: HttpRequest,
        ) -> HttpResponse {
            end(state, name, request, $start).await
        }

        #[doc = $summary]
        ///
        /// The answer of a provider that is asked for `form_post`: read where a GET is.
        #[utoipa::path(post, path = $path, tag = "sign-in", request_body(content = String, content_type = "application/x-www-form-urlencoded"), params(("provider" = String, Path, description = "Name of the provider")), responses(
            (status = 303, description = "To the same address with the answer in the query"),
            (status = 400, description = "A parameter is not taken", body = Problem)))]
        async fn $form(request: HttpRequest, body: web::Bytes) -> HttpResponse {
            by_get(&request, &body)
        }
    };
}

starts!(
    sign_in,
    "/auth/{provider}",
    Start::SignIn,
    "Starts a sign-in with Google or Microsoft."
);
starts!(
    sign_in_oidc,
    "/auth/oidc/{provider}",
    Start::SignIn,
    "Starts a sign-in with another OpenID provider."
);
starts!(
    connect,
    "/auth/{provider}-apis",
    Start::Connect,
    "Connects a further account at Google or Microsoft."
);
starts!(
    connect_oidc,
    "/auth/oidc-apis/{provider}",
    Start::Connect,
    "Connects a further account at another OpenID provider."
);
ends!(
    signed_in,
    signed_in_form,
    "/auth/{provider}/redirect",
    Start::SignIn,
    "Ends a sign-in with Google or Microsoft."
);
ends!(
    signed_in_oidc,
    signed_in_oidc_form,
    "/auth/oidc/{provider}/redirect",
    Start::SignIn,
    "Ends a sign-in with another OpenID provider."
);
ends!(
    connected,
    connected_form,
    "/auth/{provider}-apis/get-access-token",
    Start::Connect,
    "Ends the connection of a Google or Microsoft account."
);
ends!(
    connected_oidc,
    connected_oidc_form,
    "/auth/oidc-apis/{provider}/get-access-token",
    Start::Connect,
    "Ends the connection of another account."
);

/// The provider of the path. Built-in providers have their own paths.
fn provider_of(request: &HttpRequest, name: &str) -> Option<ProviderName> {
    let generic = request.path().starts_with("/auth/oidc");
    let name = Some(name).filter(|name| !(generic && is_built_in(name)));
    name?.parse().ok()
}

async fn begin(
    state: web::Data<State>,
    name: web::Path<String>,
    request: HttpRequest,
    start: Start,
) -> HttpResponse {
    let Some(provider) = provider_of(&request, &name) else {
        return pages::not_found(request).await;
    };
    match authorize::start(&state, &request, &provider, start).await {
        Ok(response) => response,
        Err(error) => {
            let explanation = Explanation::from(&error);
            log(&state, &provider, &explanation, &error);
            let ways = Ways::of_start(&request, &start_path(&provider, start));
            let ways = ways.signed_in(person(&state, &request, &explanation).await.as_ref());
            pages::problem_with(&request, &explanation, &ways)
        }
    }
}

/// OAuth 2.0 Form Post Response Mode. The provider's page sent this, so the flow's
/// cookie (`SameSite=Lax`) did not come along: it does with the GET that follows.
/// Nothing but the answer is passed on, and nothing is done here.
fn by_get(request: &HttpRequest, body: &[u8]) -> HttpResponse {
    let fields = match Query::parse(std::str::from_utf8(body).unwrap_or_default()) {
        Ok(fields) => fields,
        Err(error) => return pages::problem(request, &Explanation::from(&error), None),
    };
    let answered: Vec<_> = ANSWERED
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
    start: Start,
) -> HttpResponse {
    let Some(provider) = provider_of(&request, &name) else {
        return pages::not_found(request).await;
    };
    let (result, spent) = callback::callback(&state, &request, &provider, start).await;
    let mut response = match result {
        Ok(response) => response,
        Err(CallbackError::TooOften(wait)) => {
            tracing::warn!(%provider, error.code = "too_many_requests", outcome = "refused", "sign-in refused");
            numbers::sign_in(&state, &provider, "too_many_requests");
            let ways = ways_of(&state, &request, &start_path(&provider, start), None);
            limits::refusal(&request, wait, &ways)
        }
        Err(error) => {
            let explanation = Explanation::from(&error);
            let session = person(&state, &request, &explanation).await;
            if session.is_some() && error.is_over() && !pages::wants_json(&request) {
                numbers::sign_in(&state, &provider, "over");
                tracing::info!(%provider, %error, outcome = "over", "sent on into the app");
                into_the_app(&state, &request)
            } else {
                log(&state, &provider, &explanation, &error);
                let path = start_path(&provider, start);
                let ways = ways_of(&state, &request, &path, session.as_ref());
                pages::problem_with(&request, &explanation, &ways)
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

/// A person who is signed in and comes to a callback that is over (reload, Back, a
/// tab too many) has nothing to do here. Nothing of the answer is believed.
fn into_the_app(state: &State, request: &HttpRequest) -> HttpResponse {
    let mut url = state.config.public_origin.url().clone();
    url.set_path("/auth/open");
    let flow = callback::opened(state, request).ok().map(|(_, flow)| flow);
    if let Some(location) = flow.and_then(|flow| flow.context.return_to) {
        url.query_pairs_mut()
            .append_pair(RETURN_TO.name, &location.to_string());
    }
    found(&url).finish()
}

/// The ways on from a callback: as its flow was started, if this browser has it.
fn ways_of(state: &State, request: &HttpRequest, path: &str, session: Option<&Session>) -> Ways {
    let flow = callback::opened(state, request).ok().map(|(_, flow)| flow);
    let mut more = Vec::new();
    if let Some(flow) = &flow {
        if flow.consent_asked {
            more.push((PROMPT.name, "consent"));
        }
        // Else a start would send a person who is signed in straight back.
        if session.is_some() && flow.purpose == Purpose::SignIn {
            more.push((RECONNECT.name, "1"));
        }
    }
    let context = flow.map(|flow| flow.context).unwrap_or_default();
    Ways::of_context(state, &context, path, &more).signed_in(session)
}

/// Who is signed in although this was refused. A database that is away is not
/// asked once more.
async fn person(
    state: &State,
    request: &HttpRequest,
    explanation: &Explanation,
) -> Option<Session> {
    if explanation.status == StatusCode::SERVICE_UNAVAILABLE {
        return None;
    }
    session::current(state, request).await.ok().flatten()
}

/// One line per refusal; the trace id stands in every line.
fn log(
    state: &State,
    provider: &ProviderName,
    explanation: &Explanation,
    error: &(impl Display + Debug),
) {
    let status = explanation.status.as_u16();
    let code = explanation.code;
    numbers::sign_in(state, provider, code);
    if explanation.status.is_server_error() {
        tracing::error!(%provider, status, error.code = code, %error, outcome = "refused", "sign-in failed");
    } else {
        tracing::warn!(%provider, status, error.code = code, %error, outcome = "refused", "sign-in refused");
    }
}
