//! The start of a sign-in: checks the request, seals the flow into a cookie, and redirects
//! the browser to the provider. It writes nothing to the database. A GET starts a plain
//! sign-in; a choice of the person starts on a page.

use std::sync::Arc;

use actix_web::cookie::Cookie;
use actix_web::http::header::HOST;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use latchkey_domain::{ProviderName, SessionId};
use latchkey_providers::{AuthorizeRequest, Provider, ProviderError, Purpose};
use latchkey_service::database::{ANSWER, within};
use url::Url;

use crate::http::links::{found, link};
use crate::http::metrics;
use crate::http::query::{Query, QueryError};
use crate::http::same_site;
use crate::login::agreement::Agreement;
use crate::login::context::Context;
use crate::login::flow::Flow;
use crate::login::flow_cookie::SealFlowError;
use crate::login::offline_access::OfflineAccess;
use crate::login::parameters::{ParameterError, context_of};
use crate::login::redirect::Site;
use crate::login::start_parameter::{
    PROMPT, PURPOSE, RETURN_TO, WORKSPACE_ID, WORKSPACE_SUBDOMAIN, carried,
};
use crate::random::RandomnessError;
use crate::session::access_token::Bearer;
use crate::session::handover::redirect_with_handover;
use crate::session::lookup;
use crate::state::State;
use crate::store::grant;
use crate::store::session::Session;

/// Why a start fails.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The query is not accepted.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// A parameter is not accepted.
    #[error(transparent)]
    Parameter(#[from] ParameterError),
    /// The provider is not configured.
    #[error("the provider is not configured")]
    NotConfigured,
    /// The provider cannot be reached.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The flow does not fit into its cookie.
    #[error(transparent)]
    Seal(#[from] SealFlowError),
    /// The random number generator failed.
    #[error(transparent)]
    Randomness(#[from] RandomnessError),
    /// The database failed or is not reachable.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
}

/// Starts a plain sign-in, or redirects to the review page.
///
/// Any site can send a browser here, so this only starts a sign-in without any choice and
/// without an agreement.
///
/// # Errors
/// See [`StartError`].
pub async fn start(
    state: &State,
    request: &HttpRequest,
    name: &ProviderName,
    purpose: Purpose,
) -> Result<HttpResponse, StartError> {
    let provider = state.providers.get(name).ok_or(StartError::NotConfigured)?;
    let query = Query::parse(request.query_string())?;
    if let Some(home) = to_public_host(state, request, &query) {
        return Ok(found(&home).finish());
    }
    let context = context_of(&query, &state.config.returns)?;
    if purpose == Purpose::Connect
        || query.chooses()
        || is_challenged_by_another(state, request, &context)
    {
        let page = review_of(state, name, purpose, &query)?;
        return Ok(found(&page).finish());
    }
    plain_sign_in(state, request, &provider, context, query.of(&PROMPT)).await
}

/// Starts a sign-in without any choice and without an agreement. Redirects into the app if
/// the person is signed in, else to the provider.
pub(crate) async fn plain_sign_in(
    state: &State,
    request: &HttpRequest,
    provider: &Arc<Provider>,
    context: Context,
    prompt: Option<&str>,
) -> Result<HttpResponse, StartError> {
    if prompt.is_none()
        && let Some(session) = already_signed_in(state, request, provider, &context).await
    {
        return Ok(
            redirect_to_app(state, &Bearer::from(&session), &context, &session)
                .await
                .finish(),
        );
    }
    let redirect = start_flow(
        state,
        request,
        provider,
        None,
        context,
        None,
        OfflineAccess::of_prompt(prompt),
    )
    .await?;
    Ok(redirect.response())
}

/// Returns the URL of the review page, with the choices of the request.
fn review_of(
    state: &State,
    name: &ProviderName,
    purpose: Purpose,
    query: &Query,
) -> Result<Url, StartError> {
    let mut chosen = carried(query);
    if purpose == Purpose::Connect {
        chosen.push((PURPOSE.name.to_owned(), "connect".to_owned()));
        // A link of the app leads back into the app. Links of the account pages lead back
        // to the list of connections.
        if chosen.iter().all(|(name, _)| name != RETURN_TO.name) {
            let home = state.config.returns.app().path().to_owned();
            chosen.push((RETURN_TO.name.to_owned(), home));
        }
    }
    let page = link(&format!("/auth/review/{name}"), &chosen);
    let origin = state.config.public_origin.url();
    origin.join(&page).map_err(|_| StartError::NotConfigured)
}

/// Returns `true` if another site than the return location's sets the code challenge.
/// Whoever made such a link could fetch the session with a leaked code.
pub(crate) fn is_challenged_by_another(
    state: &State,
    request: &HttpRequest,
    context: &Context,
) -> bool {
    let returns = &state.config.returns;
    context.code_challenge.is_some()
        && !same_site::was_begun_by(request, |page| {
            returns.may_challenge(context.return_to.as_ref(), page)
        })
}

/// Redirects to the return location, with a hand-over of the session if it is allowed
/// there.
pub(crate) async fn redirect_to_app<'a>(
    state: &State,
    bearer: &Bearer,
    context: &Context,
    site: impl Into<Site<'a>>,
) -> HttpResponseBuilder {
    let site = site.into();
    let returns = &state.config.returns;
    let location = context.return_to.as_ref();
    let home = returns.destination(location, site);
    if returns.may_hand_over(location, site) {
        redirect_with_handover(state, bearer, &home, context.code_challenge.as_deref()).await
    } else {
        found(&home)
    }
}

/// The redirect of a browser to the provider.
#[derive(Debug)]
pub(crate) struct AuthorizationRedirect {
    /// URL of the authorization request.
    pub(crate) to: Url,
    /// The cookie of the new flow, and cookies that remove old flows.
    pub(crate) cookies: Vec<Cookie<'static>>,
}

impl AuthorizationRedirect {
    /// Builds the response 302.
    pub(crate) fn response(self) -> HttpResponse {
        let mut response = found(&self.to);
        for cookie in self.cookies {
            response.cookie(cookie);
        }
        response.finish()
    }
}

/// Creates a flow, seals it into a cookie, and builds the authorization request. Only the
/// handlers of the pages' forms pass an agreement.
pub(crate) async fn start_flow(
    state: &State,
    request: &HttpRequest,
    provider: &Arc<Provider>,
    connects_for: Option<SessionId>,
    context: Context,
    agreement: Option<Agreement>,
    offline_access: OfflineAccess,
) -> Result<AuthorizationRedirect, StartError> {
    let now = state.clock.now();
    let consent = offline_access.asks_for_consent();
    let reuses_grant = offline_access
        .is_left_out(
            state,
            request,
            provider,
            connects_for,
            agreement.as_ref(),
            &context,
        )
        .await?;
    let mut flow = Flow::begin(
        provider.name().clone(),
        connects_for,
        context,
        agreement,
        consent,
        now,
        &state.randomness,
    )?;
    flow.reuses_grant = reuses_grant;
    let to = provider
        .authorize_url(&AuthorizeRequest {
            purpose: flow.purpose(),
            state: flow.state.expose().to_owned(),
            nonce: flow.nonce.expose().to_owned(),
            pkce_challenge: flow.challenge(),
            login_hint: flow.context.login_hint.clone(),
            hosted_domain: hosted_domain(state, &flow.context),
            consent,
            claims: None,
            locale: flow.context.locale.clone(),
            reuses_grant,
        })
        .await?;
    let mut cookies = match request.cookies() {
        Ok(cookies) => state.config.flow_keys.to_evict(&cookies, now),
        Err(_) => Vec::new(),
    };
    cookies.push(state.config.flow_keys.seal(&flow, &state.randomness)?);
    state.open_flows.start(flow.expires_at);
    metrics::count_flow(&flow.provider);
    tracing::info!(
        provider = %flow.provider,
        flow.id = %flow.id,
        consent,
        reuses_grant,
        connect = connects_for.is_some(),
        agreement = flow.agreement.is_some(),
        "sent to the provider"
    );
    Ok(AuthorizationRedirect { to, cookies })
}

/// Returns the value of `hd`: only if the request asks for it and the deployment allows the
/// domain. Without a request it is never sent, because it would exclude all other allowed
/// domains (R7).
fn hosted_domain(state: &State, context: &Context) -> Option<String> {
    context
        .hosted_domain
        .clone()
        .filter(|domain| state.deployment_policy().allows(Some(domain)))
}

/// Returns the session of a person who does not have to go to the provider (R8). A person
/// whose sign-in would repair a dead grant goes there (R22). If the database does not
/// respond, everyone goes there.
async fn already_signed_in(
    state: &State,
    request: &HttpRequest,
    provider: &Provider,
    context: &Context,
) -> Option<Session> {
    match content_session(state, request, provider, context).await {
        Ok(session) => session,
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
    let Some(session) = lookup::current(state, request).await? else {
        return Ok(None);
    };
    if asks_for_another(context, &session)
        || !within(
            ANSWER,
            grant::needs_no_sign_in(&state.pool, &session, provider),
        )
        .await?
    {
        return Ok(None);
    }
    Ok(Some(session))
}

/// Returns `true` if the request names another workspace or person than the session's.
pub(crate) fn asks_for_another(context: &Context, session: &Session) -> bool {
    context.workspace.is_some_and(|id| id != session.workspace)
        || (context.subdomain.is_some() && context.subdomain != session.subdomain)
        || context
            .login_hint
            .as_ref()
            .is_some_and(|hint| *hint != session.email)
}

/// Redirects a start on the host of a workspace to the public host, which has the cookies
/// and which the provider knows. The target comes from the configuration; `Host` only says
/// which workspace, by its label or its custom host.
pub(crate) fn to_public_host(state: &State, request: &HttpRequest, query: &Query) -> Option<Url> {
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
    // Only values of the deployment are passed on, not the text of the request.
    let workspace = match state.config.returns.custom_owner(&asked) {
        Some(id) => (WORKSPACE_ID.name, id.to_string()),
        None => (
            WORKSPACE_SUBDOMAIN.name,
            state.config.returns.workspace_of(&asked)?.to_owned(),
        ),
    };
    let mut url = state.config.public_origin.url().join(request.path()).ok()?;
    url.set_query(Some(request.query_string()).filter(|raw| !raw.is_empty()));
    if query.of(&WORKSPACE_ID).is_none() && query.of(&WORKSPACE_SUBDOMAIN).is_none() {
        url.query_pairs_mut().append_pair(workspace.0, &workspace.1);
    }
    Some(url)
}

#[cfg(test)]
mod tests;
