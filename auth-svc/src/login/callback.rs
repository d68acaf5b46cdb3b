//! The callback: checks that the flow belongs to this browser and the response to its
//! provider, exchanges the code for tokens, verifies the ID token, and runs the transaction
//! of the sign-in or the connection.

use actix_web::cookie::Cookie;
use actix_web::http::header::USER_AGENT;
use actix_web::{HttpRequest, HttpResponse};
use latchkey_domain::{Handle, ProviderName, SessionId};
use latchkey_providers::{
    AuthorizationCode, IdTokenError, PkceCodeVerifier, Provider, ProviderError, Purpose, TokenError,
};
use latchkey_service::database::{ANSWER, within};
use url::Url;

use std::sync::Arc;

use crate::http::cookies::removal;
use crate::http::links::found;
use crate::http::metrics;
use crate::http::query::{Query, QueryError};
use crate::http::rate_limit::TooManyRequests;
use crate::login::authorization_error::{AuthorizationError, AuthorizationErrorCode, described};
use crate::login::complete::{self, Settings};
use crate::login::context::Context;
use crate::login::event::Authentication;
use crate::login::flow::Flow;
use crate::login::flow_cookie::name_of;
use crate::login::known_identity;
use crate::login::offline_access::OfflineAccess;
use crate::login::outcome::{Arrival, NextPage, Outcome, SignInError};
use crate::login::start::{StartError, redirect_to_app, start_flow};
use crate::login::start_parameter::{CODE_CHALLENGE, LOCALE, LOGIN_HINT, RETURN_TO};
use crate::login::{connect, used_flow};
use crate::secret::OAuthState;
use crate::session::access_token::Bearer;
use crate::session::{cookie, lookup, user_agent};
use crate::state::State;

/// Why a callback fails.
#[derive(Debug, thiserror::Error)]
pub enum CallbackError {
    /// The query is not accepted.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The provider is not configured.
    #[error("the provider is not configured")]
    NotConfigured,
    /// The parameter `state` is missing.
    #[error("the callback has no state")]
    NoState,
    /// This browser has no such flow: `state` is forged, or the flow has expired, was
    /// altered, was started in another browser, or is finished.
    #[error("the flow is unknown to this browser, altered, expired or finished")]
    NoFlow,
    /// The flow had too many callbacks.
    #[error("the flow was tried too often: {0}")]
    TooManyRequests(#[from] TooManyRequests),
    /// The flow was started for another provider or another purpose.
    #[error("the flow was started for another callback")]
    OtherCallback,
    /// The response comes from another issuer (RFC 9207), or the provider cannot be
    /// reached.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The provider returned an error.
    #[error("the provider answered {1}")]
    Answer(AuthorizationError, AuthorizationErrorCode),
    /// The response has neither a code nor an error.
    #[error("the callback has no code")]
    NoCode,
    /// The session that started the connection is not in this browser.
    #[error("the session that started to connect is not in this browser")]
    SessionChanged,
    /// The token endpoint returned an error.
    #[error("code exchange: {}", described(.0))]
    Token(#[from] TokenError),
    /// The ID token is not valid.
    #[error(transparent)]
    IdToken(#[from] IdTokenError),
    /// The transaction failed.
    #[error(transparent)]
    Store(#[from] SignInError),
    /// The second authorization request, which asks for consent, failed.
    #[error("asking for consent: {0}")]
    Again(#[from] StartError),
}

impl CallbackError {
    /// Returns `true` if nothing is left to do for this callback: its flow is finished, or
    /// this browser does not have it any more.
    pub const fn is_over(&self) -> bool {
        matches!(
            self,
            Self::NoState | Self::NoFlow | Self::Store(SignInError::Replayed)
        )
    }
}

/// Handles a callback. If the flow was opened within its rate limit, the response removes its
/// cookie, because a flow has one attempt.
#[tracing::instrument(name = "login.callback", skip_all, fields(provider = %name))]
pub async fn callback(
    state: &State,
    request: &HttpRequest,
    name: &ProviderName,
    purpose: Purpose,
) -> (Result<HttpResponse, CallbackError>, Option<Cookie<'static>>) {
    let (query, flow) = match open_limited_flow(state, request) {
        Ok(found) => found,
        Err(error) => return (Err(error), None),
    };
    let spent = removal(name_of(&flow.state));
    let expires_at = flow.expires_at;
    let result = finish(state, request, name, purpose, &query, flow).await;
    if !matches!(result, Err(CallbackError::Store(SignInError::Replayed))) {
        state.open_flows.end(expires_at);
    }
    (result, Some(spent))
}

/// Returns the flow of this browser that `state` names, if it is within its rate limit.
fn open_limited_flow(state: &State, request: &HttpRequest) -> Result<(Query, Flow), CallbackError> {
    let (query, flow) = open_flow(state, request)?;
    state.rate_limits.flow(flow.id)?;
    Ok((query, flow))
}

/// Returns the flow of this browser that `state` names.
///
/// # Errors
/// Returns an error if the browser does not have the flow, or the cookie was altered or has
/// expired.
pub fn open_flow(state: &State, request: &HttpRequest) -> Result<(Query, Flow), CallbackError> {
    let query = Query::parse(request.query_string())?;
    let given = OAuthState::new(query.get("state").ok_or(CallbackError::NoState)?);
    let name = name_of(&given);
    let cookie = request.cookie(&name).ok_or(CallbackError::NoFlow)?;
    let flow = state
        .config
        .flow_keys
        .open(&name, cookie.value(), state.clock.now())
        .ok_or(CallbackError::NoFlow)?;
    if flow.state != given {
        return Err(CallbackError::NoFlow);
    }
    Ok((query, flow))
}

async fn finish(
    state: &State,
    request: &HttpRequest,
    name: &ProviderName,
    purpose: Purpose,
    query: &Query,
    flow: Flow,
) -> Result<HttpResponse, CallbackError> {
    let provider = state
        .providers
        .get(name)
        .ok_or(CallbackError::NotConfigured)?;
    // An older replica may have sealed a connect flow without an agreement. It is refused.
    let unasked = purpose == Purpose::Connect && flow.agreement.is_none();
    if flow.provider != *name || flow.purpose() != purpose || unasked {
        return Err(CallbackError::OtherCallback);
    }
    // The issuer is checked before anything else in the response is used, also before an
    // error.
    provider.check_response_issuer(query.get("iss")).await?;
    if let Some(error) = query.get("error") {
        return Err(CallbackError::Answer(
            AuthorizationError::of(error),
            AuthorizationErrorCode::of(error, query.get("error_description")),
        ));
    }
    let code = query.get("code").ok_or(CallbackError::NoCode)?;
    let code = AuthorizationCode::new(code.to_owned());
    if let Some(started) = flow.connects_for {
        // The transaction checks this again. This earlier check avoids using the code if the
        // session is not the same.
        let here = lookup::current(state, request)
            .await
            .map_err(SignInError::from)?;
        if here.is_none_or(|session| session.id != started) {
            return Err(CallbackError::SessionChanged);
        }
    }

    within(ANSWER, used_flow::refuse_used(&state.pool, &flow)).await?;
    let verifier = PkceCodeVerifier::new(flow.verifier.expose().to_owned());
    let tokens = provider.exchange_code(purpose, code, verifier).await?;
    let received_at = state.clock.now();
    let id_token = tokens.id_token.as_ref().ok_or(IdTokenError::Missing)?;
    let identity = provider
        .verify_id_token(id_token, flow.nonce.expose(), &tokens.access_token)
        .await?;
    let authentication = Authentication {
        provider: &provider,
        identity: &identity,
        tokens: &tokens,
        received_at,
    };
    let done = match flow.connects_for {
        None => signed_in(state, request, &flow, &authentication).await?,
        Some(started) => connected(state, request, &flow, &authentication, started).await?,
    };
    match done {
        Finished::With(response) => Ok(response),
        Finished::Requesting(offline_access) => {
            let address = identity.email.as_ref();
            request_again(state, request, &provider, flow, address, offline_access).await
        }
    }
}

/// How a callback ends.
enum Finished {
    With(HttpResponse),
    /// With a second authorization request.
    Requesting(OfflineAccess),
}

/// Returns the result of a transaction, or what to request again.
fn done<T>(outcome: Outcome<T>) -> Result<T, OfflineAccess> {
    match outcome {
        Outcome::Done(done) => Ok(done),
        Outcome::ConsentNeeded => Err(OfflineAccess::WithConsent),
        Outcome::GrantNeeded => Err(OfflineAccess::Requested),
    }
}

async fn signed_in(
    state: &State,
    request: &HttpRequest,
    flow: &Flow,
    authentication: &Authentication<'_>,
) -> Result<Finished, CallbackError> {
    let config = &state.config;
    let user_agent = request
        .headers()
        .get(USER_AGENT)
        .and_then(|value| user_agent::summary(value.to_str().ok()?));
    let settings = Settings {
        policy: state.deployment_policy(),
        sealing_key: &config.sealing_key,
        sessions: &config.sessions,
        flow_keys: &config.flow_keys,
        user_agent: user_agent.as_deref(),
        randomness: &state.randomness,
    };
    let old = cookie::secret_of(request);
    let written = complete::sign_in(&state.pool, settings, flow, authentication, old.as_ref());
    let done = match done(within(ANSWER, written).await?) {
        Ok(done) => done,
        Err(again) => return Ok(Finished::Requesting(again)),
    };
    state.outbox.wake();
    tracing::info!(
        provider = %flow.provider,
        flow.id = %flow.id,
        user.id = %done.user,
        workspace.id = %done.workspace,
        session.id = %done.session,
        connecting = done.connecting,
        outcome = "signed_in",
        "signed in"
    );
    metrics::count_sign_in(state, &flow.provider, "signed_in");
    let bearer = Bearer {
        user: done.user,
        session: done.session,
        workspace: done.workspace,
        session_ends: done.expires_at,
        authentication: authentication.identity.authentication.clone(),
    };
    let mut response = match &done.next {
        NextPage::Destination => redirect_to_app(state, &bearer, &flow.context, &done).await,
        NextPage::Welcome(arrival) => found(&welcome(state, flow, *arrival, authentication)),
    };
    response.cookie(cookie::of(&done.secret, config.sessions.lifetime));
    // Built-in providers request offline access without ending a session.
    if !authentication.provider.is_built_in()
        && let Some(known) = known_identity::cookie(
            &config.flow_keys,
            &flow.provider,
            authentication.identity,
            &state.randomness,
        )
    {
        response.cookie(known);
    }
    Ok(Finished::With(response.finish()))
}

/// Returns the URL of the page that asks what is connected.
fn welcome(
    state: &State,
    flow: &Flow,
    arrival: Arrival,
    authentication: &Authentication<'_>,
) -> Url {
    let mut url = state.config.public_origin.url().clone();
    url.set_path(&format!("/auth/welcome/{}", flow.provider));
    let mut query = url.query_pairs_mut();
    if arrival == Arrival::Joined {
        query.append_pair("joined", "1");
    }
    let context = &flow.context;
    if let Some(email) = &authentication.identity.email {
        query.append_pair(LOGIN_HINT.name, email.as_str());
    }
    if let Some(location) = &context.return_to {
        query.append_pair(RETURN_TO.name, &location.to_string());
    }
    if let Some(challenge) = &context.code_challenge {
        query.append_pair(CODE_CHALLENGE.name, challenge);
    }
    if let Some(locale) = &context.locale {
        query.append_pair(LOCALE.name, locale);
    }
    drop(query);
    url
}

async fn connected(
    state: &State,
    request: &HttpRequest,
    flow: &Flow,
    authentication: &Authentication<'_>,
    started: SessionId,
) -> Result<Finished, CallbackError> {
    let secret = cookie::secret_of(request);
    let written = connect::connect(
        &state.pool,
        &state.config.sealing_key,
        flow,
        started,
        secret.as_ref(),
        authentication,
    );
    let session = match done(within(ANSWER, written).await?) {
        Ok(session) => session,
        Err(again) => return Ok(Finished::Requesting(again)),
    };
    state.outbox.wake();
    tracing::info!(
        provider = %flow.provider,
        flow.id = %flow.id,
        user.id = %session.user,
        workspace.id = %session.workspace,
        outcome = "connected",
        "account connected"
    );
    metrics::count_sign_in(state, &flow.provider, "connected");
    // A front end on another origin has been waiting for its session since the person
    // joined. The page named the destination.
    if flow.context.code_challenge.is_some() {
        let mut response =
            redirect_to_app(state, &Bearer::from(&session), &flow.context, &session).await;
        return Ok(Finished::With(response.finish()));
    }
    let to = state
        .config
        .returns
        .destination(flow.context.return_to.as_ref(), &session);
    Ok(Finished::With(found(&to).finish()))
}

/// Starts a second authorization request, because there is no refresh token. Each kind of request
/// is made once: a flow that requested offline access is followed by one that asks for consent at
/// most, and that flow is marked.
async fn request_again(
    state: &State,
    request: &HttpRequest,
    provider: &Arc<Provider>,
    flow: Flow,
    email: Option<&Handle>,
    offline_access: OfflineAccess,
) -> Result<HttpResponse, CallbackError> {
    let reason = if offline_access.asks_for_consent() {
        "there is no refresh token: asking for consent"
    } else {
        "the person has no sufficient grant: asking for offline access"
    };
    tracing::info!(
        provider = %flow.provider,
        flow.id = %flow.id,
        outcome = "consent_needed",
        "{reason}"
    );
    metrics::count_sign_in(state, &flow.provider, "consent_needed");
    let context = Context {
        login_hint: email.map(ToString::to_string),
        ..flow.context
    };
    let redirect = start_flow(
        state,
        request,
        provider,
        flow.connects_for,
        context,
        flow.agreement,
        offline_access,
    )
    .await?;
    Ok(redirect.response())
}
