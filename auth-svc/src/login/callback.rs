//! The callback: the flow is this browser's and alive, the answer is the
//! provider's, the code becomes tokens, the ID token proves a person, and one
//! transaction writes what follows.

use actix_web::cookie::Cookie;
use actix_web::http::header::USER_AGENT;
use actix_web::{HttpRequest, HttpResponse};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use latchkey_domain::{Handle, ProviderName};
use latchkey_providers::{IdTokenError, Provider, ProviderError, TokenError};
use latchkey_service::database::{ANSWER, within};
use url::Url;

use std::sync::Arc;

use crate::http::cookies::removal;
use crate::http::links::found;
use crate::http::metrics;
use crate::http::query::{Query, QueryError};
use crate::http::rate_limit::TooOften;
use crate::login::admission::DeploymentPolicy;
use crate::login::complete::{self, Terms};
use crate::login::event::Authentication;
use crate::login::flow::{Context, Flow, Purpose};
use crate::login::flow_cookie::name_of;
use crate::login::outcome::{Arrival, Next, Outcome, StoreError};
use crate::login::provider_answer::{AnswerCode, ProviderAnswer, described};
use crate::login::start::{Start, StartError, provider_purpose, send_home, set_out};
use crate::login::start_parameter::{CODE_CHALLENGE, LOCALE, LOGIN_HINT, RETURN_TO};
use crate::login::{connect, used_flow};
use crate::session::access_token::Bearer;
use crate::session::{cookie, lookup, user_agent};
use crate::state::State;

/// Why a callback ends without a session.
#[derive(Debug, thiserror::Error)]
pub enum CallbackError {
    /// The query is not taken.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The provider is not switched on.
    #[error("the provider is not configured")]
    NotConfigured,
    /// There is no `state`.
    #[error("the callback has no state")]
    NoState,
    /// This browser has no such flow: forged, expired, altered, started in
    /// another browser, or finished before.
    #[error("the flow is unknown to this browser, altered, expired or finished")]
    NoFlow,
    /// The flow was tried too often.
    #[error("the flow was tried too often: {0}")]
    TooOften(#[from] TooOften),
    /// The flow was for another provider or another purpose.
    #[error("the flow was started for another callback")]
    OtherCallback,
    /// The answer is another issuer's (RFC 9207), or the provider cannot be had.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The provider says no.
    #[error("the provider answered {1}")]
    Answer(ProviderAnswer, AnswerCode),
    /// Neither a code nor an error, or both.
    #[error("the callback has no code")]
    NoCode,
    /// The session that started to connect is not here.
    #[error("the session that started to connect is not in this browser")]
    SessionChanged,
    /// The code gave no tokens.
    #[error("code exchange: {}", described(.0))]
    Token(#[from] TokenError),
    /// The ID token proves nobody.
    #[error(transparent)]
    IdToken(#[from] IdTokenError),
    /// Nothing was written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The second trip could not begin.
    #[error("asking for consent: {0}")]
    Again(#[from] StartError),
}

impl CallbackError {
    /// Returns `true` if there is nothing left to do for this callback: its flow was
    /// finished, or this browser has no such flow any more.
    pub const fn is_over(&self) -> bool {
        matches!(
            self,
            Self::NoState | Self::NoFlow | Self::Store(StoreError::Replayed)
        )
    }
}

/// Handles a callback. The answer removes the flow's cookie, whatever comes of
/// it: a flow has one try.
#[tracing::instrument(name = "login.callback", skip_all, fields(provider = %name))]
pub async fn callback(
    state: &State,
    request: &HttpRequest,
    name: &ProviderName,
    start: Start,
) -> (Result<HttpResponse, CallbackError>, Option<Cookie<'static>>) {
    let (query, flow) = match flow_of(state, request) {
        Ok(found) => found,
        Err(error) => return (Err(error), None),
    };
    let spent = removal(name_of(&flow.state));
    (
        finish(state, request, name, start, &query, flow).await,
        Some(spent),
    )
}

/// The flow of this browser that `state` names, within its limit.
fn flow_of(state: &State, request: &HttpRequest) -> Result<(Query, Flow), CallbackError> {
    let (query, flow) = opened(state, request)?;
    state.limits.flow(flow.id)?;
    Ok((query, flow))
}

/// The flow of this browser that `state` names.
///
/// # Errors
/// There is none, or it is another browser's, altered or expired.
pub fn opened(state: &State, request: &HttpRequest) -> Result<(Query, Flow), CallbackError> {
    let query = Query::parse(request.query_string())?;
    let given = query.get("state").ok_or(CallbackError::NoState)?;
    let name = name_of(given);
    let cookie = request.cookie(&name).ok_or(CallbackError::NoFlow)?;
    let flow = state
        .config
        .flow_keys
        .open(&name, cookie.value(), state.clock.now())
        .ok_or(CallbackError::NoFlow)?;
    verify_slices_are_equal(flow.state.as_bytes(), given.as_bytes())
        .map_err(|_| CallbackError::NoFlow)?;
    Ok((query, flow))
}

async fn finish(
    state: &State,
    request: &HttpRequest,
    name: &ProviderName,
    start: Start,
    query: &Query,
    flow: Flow,
) -> Result<HttpResponse, CallbackError> {
    let provider = state
        .providers
        .get(name)
        .ok_or(CallbackError::NotConfigured)?;
    let same_start = matches!(
        (flow.purpose, start),
        (Purpose::SignIn, Start::SignIn) | (Purpose::Connect(_), Start::Connect)
    );
    // Nobody connects without having said so on the page: such a flow is an
    // older replica's, which asked nobody.
    let unasked = start == Start::Connect && flow.deliberate.is_none();
    if flow.provider != *name || !same_start || unasked {
        return Err(CallbackError::OtherCallback);
    }
    // Before anything in the answer is believed, also an error.
    provider.check_response_issuer(query.get("iss")).await?;
    if let Some(error) = query.get("error") {
        return Err(CallbackError::Answer(
            ProviderAnswer::of(error),
            AnswerCode::of(error, query.get("error_description")),
        ));
    }
    let code = query.get("code").ok_or(CallbackError::NoCode)?;
    if let Purpose::Connect(started) = flow.purpose {
        // Checked again in the transaction; here, so that nobody's code is spent.
        let here = lookup::current(state, request)
            .await
            .map_err(StoreError::from)?;
        if here.is_none_or(|session| session.id != started) {
            return Err(CallbackError::SessionChanged);
        }
    }

    within(ANSWER, used_flow::refuse_spent(&state.pool, &flow)).await?;
    let tokens = provider
        .exchange_code(provider_purpose(flow.purpose), code, &flow.verifier)
        .await?;
    let received_at = state.clock.now();
    let id_token = tokens.id_token.as_ref().ok_or(IdTokenError::Missing)?;
    let identity = provider
        .verify_id_token(id_token, &flow.nonce, &tokens.access_token)
        .await?;
    let authentication = Authentication {
        provider: &provider,
        identity: &identity,
        tokens: &tokens,
        received_at,
    };
    let done = match flow.purpose {
        Purpose::SignIn => signed_in(state, request, &flow, &authentication).await?,
        Purpose::Connect(_) => connected(state, request, &flow, &authentication).await?,
    };
    match done {
        Some(response) => Ok(response),
        None => again(state, request, &provider, flow, identity.email.as_ref()).await,
    }
}

async fn signed_in(
    state: &State,
    request: &HttpRequest,
    flow: &Flow,
    authentication: &Authentication<'_>,
) -> Result<Option<HttpResponse>, CallbackError> {
    let config = &state.config;
    let user_agent = request
        .headers()
        .get(USER_AGENT)
        .and_then(|value| user_agent::summary(value.to_str().ok()?));
    let terms = Terms {
        policy: DeploymentPolicy {
            allowed_domains: &config.allowed_domains,
            multi_workspace: config.multi_workspace,
        },
        sealing_key: &config.sealing_key,
        sessions: &config.sessions,
        user_agent: user_agent.as_deref(),
        randomness: &state.randomness,
    };
    let old = cookie::secret_of(request);
    let written = complete::sign_in(&state.pool, terms, flow, authentication, old.as_deref());
    let outcome = within(ANSWER, written).await?;
    let Outcome::Done(done) = outcome else {
        return Ok(None);
    };
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
    metrics::sign_in(state, &flow.provider, "signed_in");
    let bearer = Bearer {
        user: done.user,
        session: done.session,
        workspace: done.workspace,
        session_ends: done.expires_at,
    };
    let mut response = match &done.next {
        Next::Onwards => send_home(state, &bearer, &flow.context, &done).await,
        Next::Asked(arrival) => found(&welcome(state, flow, *arrival, authentication)),
    };
    Ok(Some(
        response
            .cookie(cookie::of(&done.secret, config.sessions.lifetime))
            .finish(),
    ))
}

/// The page that asks what is connected, and goes on from there.
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
) -> Result<Option<HttpResponse>, CallbackError> {
    let Purpose::Connect(started) = flow.purpose else {
        return Err(CallbackError::OtherCallback);
    };
    let secret = cookie::secret_of(request);
    let written = connect::connect(
        &state.pool,
        &state.config.sealing_key,
        flow,
        started,
        secret.as_deref(),
        authentication,
    );
    let outcome = within(ANSWER, written).await?;
    let Outcome::Done(session) = outcome else {
        return Ok(None);
    };
    tracing::info!(
        provider = %flow.provider,
        flow.id = %flow.id,
        user.id = %session.user,
        workspace.id = %session.workspace,
        outcome = "connected",
        "account connected"
    );
    metrics::sign_in(state, &flow.provider, "connected");
    // A front end on another origin that waits for its session since the person
    // joined; the page told them where they go.
    if flow.context.code_challenge.is_some() {
        let mut response = send_home(state, &Bearer::from(&session), &flow.context, &session).await;
        return Ok(Some(response.finish()));
    }
    let to = state
        .config
        .returns
        .destination(flow.context.return_to.as_ref(), &session);
    Ok(Some(found(&to).finish()))
}

/// One more trip, which asks for consent: the refresh token that came once was
/// lost, or never came. The new flow is marked, so there is no third trip.
async fn again(
    state: &State,
    request: &HttpRequest,
    provider: &Arc<Provider>,
    flow: Flow,
    email: Option<&Handle>,
) -> Result<HttpResponse, CallbackError> {
    tracing::info!(
        provider = %flow.provider,
        flow.id = %flow.id,
        outcome = "consent_needed",
        "no refresh token came and none is held: asking for consent"
    );
    metrics::sign_in(state, &flow.provider, "consent_needed");
    let context = Context {
        login_hint: email.map(ToString::to_string),
        ..flow.context
    };
    let departure = set_out(
        state,
        request,
        provider,
        flow.purpose,
        context,
        flow.deliberate,
        true,
    )
    .await?;
    Ok(departure.redirect())
}
