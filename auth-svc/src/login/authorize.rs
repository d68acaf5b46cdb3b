//! The start: checks the request, seals the flow into a cookie, sends the
//! browser to the provider. Writes nothing to the database. A GET starts a plain
//! sign-in; what is a person's choice starts on the pages.

use std::sync::Arc;

use actix_web::cookie::Cookie;
use actix_web::http::header::HOST;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use latchkey_domain::ProviderName;
use latchkey_providers::{AuthorizeRequest, Provider, ProviderError};
use latchkey_service::database::{ANSWER, within};
use url::Url;

use crate::app::State;
use crate::http::same_site;
use crate::login::deliberate::Deliberate;
use crate::login::flow::{Context, Flow, Purpose};
use crate::login::flow_cookie::SealFlowError;
use crate::login::found;
use crate::login::parameters::{ParameterError, context_of};
use crate::login::query::{Query, QueryError};
use crate::login::redirect::Site;
use crate::login::start_parameter::{
    PROMPT, PURPOSE, RETURN_TO, WORKSPACE_ID, WORKSPACE_SUBDOMAIN, carried,
};
use crate::pages::provider::link;
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

/// Starts a plain sign-in, or leads to the page that asks.
///
/// Any site can make a browser come here, so nothing begins here but the
/// sign-in of a person, without a choice and without the mark of one.
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
    if start == Start::Connect
        || query.chooses()
        || is_challenged_by_another(state, request, &context)
    {
        let page = review_of(state, name, start, &query)?;
        return Ok(found(&page).finish());
    }
    plain(state, request, &provider, context, query.of(&PROMPT)).await
}

/// A sign-in without a choice and without the mark of one: home where the person is
/// signed in already, else to the provider.
pub(crate) async fn plain(
    state: &State,
    request: &HttpRequest,
    provider: &Arc<Provider>,
    context: Context,
    prompt: Option<&str>,
) -> Result<HttpResponse, StartError> {
    if prompt.is_none()
        && let Some(session) = already_signed_in(state, request, provider, &context).await
    {
        return Ok(send_home(state, &session.bearer(), &context, &session)
            .await
            .finish());
    }
    let departure = set_out(
        state,
        request,
        provider,
        Purpose::SignIn,
        context,
        None,
        prompt == Some("consent"),
    )
    .await?;
    Ok(departure.redirect())
}

/// The page that asks, with what the request asks for chosen already.
fn review_of(
    state: &State,
    name: &ProviderName,
    start: Start,
    query: &Query,
) -> Result<Url, StartError> {
    let mut chosen = carried(query);
    if start == Start::Connect {
        chosen.push((PURPOSE.name.to_owned(), "connect".to_owned()));
        // A link of the application leads back into it; the pages' own leads to
        // their list.
        if chosen.iter().all(|(name, _)| name != RETURN_TO.name) {
            let home = state.config.returns.app().path().to_owned();
            chosen.push((RETURN_TO.name.to_owned(), home));
        }
    }
    let page = link(&format!("/auth/review/{name}"), &chosen);
    let origin = state.config.public_origin.url();
    origin.join(&page).map_err(|_| StartError::NotConfigured)
}

/// Returns `true` if another site than the one that is returned to says with what the
/// session is fetched there: whoever made the link could fetch it, wherever the
/// code leaks.
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

/// 302 to where the person wanted, with the session where it may be had there.
pub(crate) async fn send_home<'a>(
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
        found_with_handover(state, bearer, &home, context.code_challenge.as_deref()).await
    } else {
        found(&home)
    }
}

/// A browser on its way to the provider.
#[derive(Debug)]
pub(crate) struct Departure {
    /// Where to.
    pub(crate) to: Url,
    /// Its new flow, and the removal of old ones.
    pub(crate) cookies: Vec<Cookie<'static>>,
}

impl Departure {
    /// 302.
    pub(crate) fn redirect(self) -> HttpResponse {
        let mut response = found(&self.to);
        for cookie in self.cookies {
            response.cookie(cookie);
        }
        response.finish()
    }
}

/// Seals a new flow into a cookie: the browser can go to the provider. A flow
/// has a mark where a person agreed to something on a page of this service; only
/// the handlers of these pages' forms give one.
pub(crate) async fn set_out(
    state: &State,
    request: &HttpRequest,
    provider: &Arc<Provider>,
    purpose: Purpose,
    context: Context,
    deliberate: Option<Deliberate>,
    consent: bool,
) -> Result<Departure, StartError> {
    let now = state.clock.now();
    let flow = Flow::begin(
        provider.name().clone(),
        purpose,
        context,
        deliberate,
        consent,
        now,
        &state.randomness,
    )?;
    let mut to = provider
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
        to.query_pairs_mut().append_pair("ui_locales", locale);
    }
    let mut cookies = match request.cookies() {
        Ok(cookies) => state.config.flow_keys.to_evict(&cookies, now),
        Err(_) => Vec::new(),
    };
    cookies.push(state.config.flow_keys.seal(&flow, &state.randomness)?);
    tracing::info!(
        provider = %flow.provider,
        flow.id = %flow.id,
        consent,
        connect = matches!(purpose, Purpose::Connect(_)),
        deliberate = flow.deliberate.is_some(),
        "sent to the provider"
    );
    Ok(Departure { to, cookies })
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

/// The session of a person who need not go round (R8). A person whose sign-in
/// would repair a dead grant goes round (R22). The database's silence is no
/// reason to refuse: without an answer everyone goes round.
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
    let Some(session) = session::current(state, request).await? else {
        return Ok(None);
    };
    if asks_for_another(context, &session)
        || !within(ANSWER, grant::is_content(&state.pool, &session, provider)).await?
    {
        return Ok(None);
    }
    Ok(Some(session))
}

/// Returns `true` if the request names another workspace or another person than those
/// of the session.
pub(crate) fn asks_for_another(context: &Context, session: &Session) -> bool {
    context.workspace.is_some_and(|id| id != session.workspace)
        || (context.subdomain.is_some() && context.subdomain != session.subdomain)
        || context
            .login_hint
            .as_ref()
            .is_some_and(|hint| *hint != session.email)
}

/// A start on a workspace's own host goes on at the one host that has the
/// cookies and that the provider knows. The target is configuration; `Host` only
/// tells which workspace: by its label, or by its own host that was proven.
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
    // What is passed on is what the deployment knows, not what the request says.
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
