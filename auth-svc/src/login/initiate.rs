//! Sign-in that a third party initiates (OpenID Connect Core section 4), such as the portal
//! of a provider. It starts a plain sign-in: an invitation, a visibility, a challenge or a
//! prompt in the request is ignored.

use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, web};
use utoipa::IntoParams;

use crate::http::links::found;
use crate::http::problem::{Problem, ProblemDetails};
use crate::http::query::Query;
use crate::http::router::Routes;
use crate::login::context::Context;
use crate::login::next_steps::problem;
use crate::login::parameters::{context_of, invalid_value, return_location};
use crate::login::redirect::ReturnLocation;
use crate::login::start::{StartError, plain_sign_in, to_public_host};
use crate::login::start_parameter::{WORKSPACE_ID, WORKSPACE_SUBDOMAIN};
use crate::state::State;

/// Maximum number of characters of a login hint. Portals also send hints that are not
/// addresses.
const MAX_HINT: usize = 320;

/// The parameters of the request.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "described, not read")]
struct InitiateParameters {
    /// The provider's issuer.
    iss: String,
    /// Name of the person at the portal, which is passed on to the provider.
    login_hint: Option<String>,
    /// Return location: a path of the app, or a URL on a known origin. On the host of a
    /// workspace it also names the workspace.
    target_link_uri: Option<String>,
    /// Workspace by its id.
    #[param(rename = "workspaceId")]
    workspace_id: Option<String>,
    /// Workspace by the first label of its host.
    #[param(rename = "workspaceSubdomain")]
    workspace_subdomain: Option<String>,
}

/// Adds the routes.
pub fn routes(routes: &mut Routes<'_>) {
    routes.add_slow(__path_initiate, initiate);
    routes.add_slow(__path_initiate_by_form, initiate_by_form);
}

/// Starts a sign-in from a provider's portal.
#[utoipa::path(get, path = "/auth/initiate-login", tag = "sign-in", security((), ("session" = [])), params(InitiateParameters), responses(
    (status = 302, description = "To the provider; to the app if the person is signed in already"),
    (status = 400, description = "A parameter is missing or invalid", body = Problem),
    (status = 404, description = "No provider with this issuer is configured", body = Problem),
    (status = 502, description = "The registration at the provider is wrong, or its response is not readable", body = Problem),
    (status = 503, description = "The provider or the database is not available", body = Problem)))]
async fn initiate(state: web::Data<State>, request: HttpRequest) -> HttpResponse {
    answer(&state, &request, request.query_string()).await
}

/// The same with a form.
#[utoipa::path(post, path = "/auth/initiate-login", tag = "sign-in", security((), ("session" = [])), request_body(content = String, content_type = "application/x-www-form-urlencoded"), responses(
    (status = 303, description = "To the provider; to the app if the person is signed in already"),
    (status = 400, description = "A parameter is missing or invalid", body = Problem),
    (status = 404, description = "No provider with this issuer is configured", body = Problem),
    (status = 502, description = "The registration at the provider is wrong, or its response is not readable", body = Problem),
    (status = 503, description = "The provider or the database is not available", body = Problem)))]
async fn initiate_by_form(
    state: web::Data<State>,
    request: HttpRequest,
    body: web::Bytes,
) -> HttpResponse {
    let body = std::str::from_utf8(&body).unwrap_or_default();
    answer(&state, &request, body).await
}

async fn answer(state: &State, request: &HttpRequest, parameters: &str) -> HttpResponse {
    match started(state, request, parameters).await {
        Ok(mut response) => {
            if request.method() == Method::POST {
                // The browser continues with a GET.
                *response.status_mut() = StatusCode::SEE_OTHER;
            }
            response
        }
        Err(error) => {
            let explanation = ProblemDetails::from(&error);
            tracing::warn!(error.code = explanation.code, %error, outcome = "refused", "sign-in not initiated");
            problem(request, &explanation, Some("/auth/sign-in"))
        }
    }
}

async fn started(
    state: &State,
    request: &HttpRequest,
    parameters: &str,
) -> Result<HttpResponse, StartError> {
    let query = Query::parse(parameters)?;
    if request.method() != Method::POST
        && let Some(home) = to_public_host(state, request, &query)
    {
        return Ok(found(&home).finish());
    }
    let Some(issuer) = query.get("iss") else {
        return Err(invalid_value("iss", "the issuer of a provider").into());
    };
    let provider = state
        .providers
        .iter()
        .find(|provider| provider.is_own_issuer(issuer))
        .ok_or(StartError::NotConfigured)?
        .clone();
    let context = context_asked(state, &query)?;
    tracing::info!(provider = %provider.name(), "sign-in initiated by a third party");
    plain_sign_in(state, request, &provider, context, None).await
}

/// Returns the return location, the workspace and the login hint of the request.
fn context_asked(state: &State, query: &Query) -> Result<Context, StartError> {
    let returns = &state.config.returns;
    let named = query.only(|name| {
        let workspace = [&WORKSPACE_ID, &WORKSPACE_SUBDOMAIN];
        workspace
            .iter()
            .any(|one| one.names().any(|known| known == name))
    });
    let mut context = context_of(&named, returns)?;
    context.return_to = query
        .get("target_link_uri")
        .map(|target| return_location(target, returns))
        .transpose()?;
    context.login_hint = match query.get("login_hint") {
        Some(hint) if hint.len() > MAX_HINT || hint.chars().any(char::is_control) => {
            return Err(invalid_value("login_hint", "shorter").into());
        }
        hint => hint.map(str::to_owned),
    };
    if context.workspace.is_none()
        && context.subdomain.is_none()
        && state.config.multi_workspace
        && let Some(ReturnLocation::Url(url)) = &context.return_to
    {
        context.workspace = returns.custom_owner(url);
        context.subdomain = returns.workspace_of(url).map(str::to_owned);
    }
    Ok(context)
}
