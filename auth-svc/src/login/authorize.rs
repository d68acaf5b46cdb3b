//! The start: checks the request, seals the flow into a cookie, sends the
//! browser to the provider. Writes nothing to the database.

use std::sync::Arc;

use actix_web::http::header::HOST;
use actix_web::{HttpRequest, HttpResponse};
use latchkey_domain::ProviderName;
use latchkey_providers::{AuthorizeRequest, Provider, ProviderError};
use url::Url;

use crate::app::State;
use crate::http::same_site;
use crate::login::flow::{Context, Flow, Purpose};
use crate::login::flow_cookie::SealFlowError;
use crate::login::found;
use crate::login::parameters::{ParameterError, context_of};
use crate::login::query::{Query, QueryError};
use crate::random::NoRandomness;
use crate::session;
use crate::session::access_token::Bearer;
use crate::session::handover::found_with_handover;
use crate::store::grant;
use crate::store::session::Session;

/// Why nobody is sent to the provider.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The query is not taken.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// A parameter is not taken.
    #[error(transparent)]
    Parameter(#[from] ParameterError),
    /// The provider is not switched on.
    #[error("the provider is not configured")]
    NotConfigured,
    /// Connecting an account needs a session.
    #[error("nobody is signed in")]
    NotSignedIn,
    /// Another site sent the person to connect an account.
    #[error("the request comes from another site")]
    CrossSite,
    /// The provider cannot be reached.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The flow does not fit into its cookie.
    #[error(transparent)]
    Seal(#[from] SealFlowError),
    /// No randomness.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    /// The database refused or is not there.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
}

/// What a person comes for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// `/auth/google`
    SignIn,
    /// `/auth/google-apis`
    Connect,
}

/// Starts a flow.
///
/// # Errors
/// See [`StartError`].
pub async fn start(
    state: &State,
    request: &HttpRequest,
    name: &ProviderName,
    start: Start,
) -> Result<HttpResponse, StartError> {
    let provider = state.providers.get(name).ok_or(StartError::NotConfigured)?;
    let query = Query::parse(request.query_string())?;
    if let Some(home) = to_public_host(state, request, &query) {
        return Ok(found(&home).finish());
    }
    let context = context_of(&query, &state.config.returns)?;
    let prompt = query.get("prompt");
    let purpose = match start {
        Start::SignIn => {
            let again = prompt.is_some() || query.get("reconnect").is_some();
            if !again
                && let Some((home, bearer)) =
                    already_signed_in(state, request, &provider, &context).await
            {
                let challenge = context.code_challenge.as_deref();
                return Ok(found_with_handover(state, &bearer, &home, challenge)
                    .await
                    .finish());
            }
            Purpose::SignIn
        }
        Start::Connect => {
            if !same_site::may_navigate(request, &state.config.returns) {
                return Err(StartError::CrossSite);
            }
            let session = session::current(state, request)
                .await?
                .ok_or(StartError::NotSignedIn)?;
            Purpose::Connect(session.id)
        }
    };
    send_off(
        state,
        request,
        &provider,
        purpose,
        context,
        prompt == Some("consent"),
    )
    .await
}

/// Seals a new flow into a cookie and sends the browser to the provider.
pub(crate) async fn send_off(
    state: &State,
    request: &HttpRequest,
    provider: &Arc<Provider>,
    purpose: Purpose,
    context: Context,
    consent: bool,
) -> Result<HttpResponse, StartError> {
    let now = state.clock.now();
    let flow = Flow::begin(
        provider.name().clone(),
        purpose,
        context,
        consent,
        now,
        &state.randomness,
    )?;
    let mut url = provider
        .authorize_url(&AuthorizeRequest {
            purpose: provider_purpose(purpose),
            state: flow.state.clone(),
            nonce: flow.nonce.clone(),
            pkce_challenge: flow.challenge(),
            login_hint: flow.context.login_hint.clone(),
            hosted_domain: hosted_domain(state, &flow.context),
            consent,
            claims: None,
        })
        .await?;
    if let Some(locale) = &flow.context.locale {
        // OpenID Connect Core 3.1.2.1; a provider that does not know it ignores it.
        url.query_pairs_mut().append_pair("ui_locales", locale);
    }
    let cookie = state.config.flow_keys.seal(&flow, &state.randomness)?;
    let mut response = found(&url);
    if let Ok(cookies) = request.cookies() {
        for dead in state.config.flow_keys.to_evict(&cookies, now) {
            response.cookie(dead);
        }
    }
    tracing::info!(
        provider = %flow.provider,
        flow.id = %flow.id,
        consent,
        connect = matches!(purpose, Purpose::Connect(_)),
        "sent to the provider"
    );
    Ok(response.cookie(cookie).finish())
}

/// The provider's word for the purpose.
pub(crate) const fn provider_purpose(purpose: Purpose) -> latchkey_providers::Purpose {
    match purpose {
        Purpose::SignIn => latchkey_providers::Purpose::SignIn,
        Purpose::Connect(_) => latchkey_providers::Purpose::Connect,
    }
}

/// `hd` is passed on only where the request asks for it and the deployment
/// takes the domain; never by itself: it would shut out every other listed
/// domain (R7).
fn hosted_domain(state: &State, context: &Context) -> Option<String> {
    let allowed = &state.config.allowed_domains;
    context
        .hosted_domain
        .clone()
        .filter(|domain| allowed.is_empty() || allowed.contains(domain))
}

/// Where a person goes who need not go round (R8). A person whose sign-in would
/// repair a dead grant goes round (R22). The database's silence is no
/// reason to refuse: without an answer everyone goes round.
async fn already_signed_in(
    state: &State,
    request: &HttpRequest,
    provider: &Provider,
    context: &Context,
) -> Option<(Url, Bearer)> {
    match content_session(state, request, provider, context).await {
        Ok(session) => session.map(|session| {
            let home = state
                .config
                .returns
                .destination(context.return_to.as_ref(), &session);
            (home, session.bearer())
        }),
        Err(error) => {
            tracing::warn!(%error, "the session was not looked up");
            None
        }
    }
}

async fn content_session(
    state: &State,
    request: &HttpRequest,
    provider: &Provider,
    context: &Context,
) -> Result<Option<Session>, sqlx::Error> {
    let Some(session) = session::current(state, request).await? else {
        return Ok(None);
    };
    let elsewhere = context.workspace.is_some_and(|id| id != session.workspace)
        || (context.subdomain.is_some() && context.subdomain != session.subdomain)
        || context
            .login_hint
            .as_ref()
            .is_some_and(|hint| *hint != session.email)
        || context.public_invite.is_some()
        || context.personal_invite.is_some();
    if elsewhere || !grant::is_content(&state.pool, &session, provider).await? {
        return Ok(None);
    }
    Ok(Some(session))
}

/// A start on a workspace's own host goes on at the one host that has the
/// cookies and that the provider knows. The target is configuration; `Host` only
/// tells which workspace: by its label, or by its own host that was proven.
fn to_public_host(state: &State, request: &HttpRequest, query: &Query) -> Option<Url> {
    if !state.config.multi_workspace {
        return None;
    }
    let host = request.headers().get(HOST)?.to_str().ok()?;
    let asked = Url::parse(&format!(
        "{}://{host}/",
        state.config.returns.app().scheme()
    ))
    .ok()?;
    if state.config.public_origin.url().host() == asked.host() {
        return None;
    }
    // What is passed on is what the deployment knows, not what the request says.
    let workspace = match state.config.returns.custom_owner(&asked) {
        Some(id) => ("workspaceId", id.to_string()),
        None => (
            "workspaceSubdomain",
            state.config.returns.workspace_of(&asked)?.to_owned(),
        ),
    };
    let mut url = state.config.public_origin.url().join(request.path()).ok()?;
    url.set_query(Some(request.query_string()).filter(|raw| !raw.is_empty()));
    if query
        .any(&["workspaceId", "workspaceSubdomain", "workspace"])
        .is_none()
    {
        url.query_pairs_mut().append_pair(workspace.0, &workspace.1);
    }
    Some(url)
}
