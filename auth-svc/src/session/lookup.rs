//! Finds the session of a request by its cookie or bearer token.

use actix_web::HttpRequest;
use actix_web::http::header::{AUTHORIZATION, ORIGIN};
use latchkey_service::database::{ANSWER, within};
use url::Url;

use crate::http::same_site;
use crate::session::{access_token, cookie};
use crate::state::State;
use crate::store::session::list::Reach;
use crate::store::session::{self, Session};

/// Returns the live session that this browser's cookie names, and records its use.
///
/// # Errors
/// Returns the database's error.
pub async fn current(state: &State, request: &HttpRequest) -> Result<Option<Session>, sqlx::Error> {
    let Some(secret) = cookie::secret_of(request) else {
        return Ok(None);
    };
    let found = within(ANSWER, session::find(&state.pool, &secret)).await?;
    if let Some(found) = &found
        && let Err(error) = within(ANSWER, session::touch(&state.pool, found.id)).await
    {
        tracing::warn!(%error, session.id = %found.id, "the use of the session was not recorded");
    }
    Ok(found)
}

/// Returns the session of this browser, or `None` if the database is not available.
pub async fn current_if_known(state: &State, request: &HttpRequest) -> Option<Session> {
    match current(state, request).await {
        Ok(session) => session,
        Err(error) => {
            tracing::warn!(%error, "the session was not looked up");
            None
        }
    }
}

/// Returns the live session of this browser if the calling page may act for it: in
/// multi-domain mode, the host of one workspace does not get a session of another.
///
/// # Errors
/// Returns the database's error.
pub async fn from_cookie(
    state: &State,
    request: &HttpRequest,
) -> Result<Option<Session>, sqlx::Error> {
    let session = current(state, request).await?;
    Ok(session.filter(|session| may_act_for(state, request, session)))
}

/// Returns `true` if this browser's cookie names the caller's session, which [`caller`] finds by the
/// bearer token if the request has one. Does not record its use.
///
/// # Errors
/// Returns the database's error.
pub async fn is_in_cookie(
    state: &State,
    request: &HttpRequest,
    caller: &Session,
) -> Result<bool, sqlx::Error> {
    if !request.headers().contains_key(AUTHORIZATION) {
        return Ok(true);
    }
    let Some(secret) = cookie::secret_of(request) else {
        return Ok(false);
    };
    let found = within(ANSWER, session::find(&state.pool, &secret)).await?;
    Ok(found.is_some_and(|found| found.id == caller.id))
}

/// Returns `true` if the calling page may act for the workspace of this session. The
/// host of a workspace acts for that workspace only, whether the session comes from a
/// cookie or from an access token.
pub fn may_act_for(state: &State, request: &HttpRequest, session: &Session) -> bool {
    request.headers().get(ORIGIN).is_none_or(|origin| {
        origin
            .to_str()
            .ok()
            .and_then(|origin| Url::parse(origin).ok())
            .is_some_and(|origin| state.config.returns.trusts_with(&origin, session))
    })
}

/// Returns which sessions of the person a request may list and end: all of them if
/// a page of this service asks with the session cookie; with an access token or from
/// another origin, those of the caller's workspace.
pub fn reach(state: &State, request: &HttpRequest, session: &Session) -> Reach {
    let by_token = request.headers().contains_key(AUTHORIZATION);
    if !by_token && same_site::is_first_party(request, &state.config.public_origin) {
        Reach::Everywhere
    } else {
        Reach::Workspace(session.workspace)
    }
}

/// Returns the caller's session: by the bearer token if the request has one, else by
/// the cookie. The session of a bearer token is looked up too, so that this service
/// refuses a token at once after its session has ended.
///
/// # Errors
/// Returns the database's error.
pub async fn caller(state: &State, request: &HttpRequest) -> Result<Option<Session>, sqlx::Error> {
    let Some(authorization) = request.headers().get(AUTHORIZATION) else {
        return from_cookie(state, request).await;
    };
    let claims = authorization
        .to_str()
        .ok()
        .and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(token)
        })
        .and_then(|token| access_token::verify(&state.config.sessions, token, state.clock.now()));
    let Some(claims) = claims else {
        return Ok(None);
    };
    let session = session::find_by_id(&state.pool, claims.sid).await?;
    Ok(
        session
            .filter(|session| session.user == claims.sub && may_act_for(state, request, session)),
    )
}
