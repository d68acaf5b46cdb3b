//! Lists a person's own sessions and ends them (R14): one, the current one, or all. Only
//! pages of this deployment may do this, and a page of another origin reaches only the
//! sessions of its workspace.

use actix_web::http::StatusCode;
use actix_web::http::header::{LOCATION, SET_COOKIE};
use actix_web::{HttpRequest, HttpResponse, web};
use latchkey_domain::SessionId;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::http::cors::trusted_origin;
use crate::http::form_redirect::redirect_after_form;
use crate::http::problem::{NextStep, Problem, ProblemDetails, database_unavailable, wants_json};
use crate::http::query::Query;
use crate::http::same_site;
use crate::login::destination::host_of;
use crate::login::next_steps::problem;
use crate::login::redirect::{ReturnLocation, Site};
use crate::login::start_parameter::RETURN_TO;
use crate::session::access_token::format_iso;
use crate::session::end_session::{self, AtProvider};
use crate::session::responses::SessionError;
use crate::session::{cookie, lookup, refresh_cookie, token_pair};
use crate::state::State;
use crate::store;
use crate::store::session::Session;
use crate::store::session::id_token_hint::SignedInWith;
use crate::store::session::list::{self, End};

/// The sessions of a person.
#[derive(Serialize, ToSchema)]
struct Sessions {
    /// The most recently used first.
    sessions: Vec<ListedSession>,
}

/// A session of the caller.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Session)]
struct ListedSession {
    /// The session.
    id: Uuid,
    /// Name of its workspace.
    workspace_name: String,
    /// When the person signed in.
    #[schema(value_type = String, format = DateTime)]
    created_at: String,
    /// When the session was used last, to the minute.
    #[schema(value_type = String, format = DateTime)]
    last_seen_at: String,
    /// When the session ends.
    #[schema(value_type = String, format = DateTime)]
    expires_at: String,
    /// Browser and system, such as "Firefox on Linux"; null if unknown.
    user_agent: Option<String>,
    /// Whether it is the session that asks.
    current: bool,
}

/// Lists the caller's own sessions, the most recently used first. With a bearer token or
/// from another origin, only those of the caller's workspace.
#[utoipa::path(get, path = "/auth/sessions", tag = "session", operation_id = "list_sessions", security(("session" = []), ("bearer" = [])), responses(
    (status = 200, description = "Sessions", body = Sessions),
    (status = 401, description = "Nobody is signed in", body = Problem)))]
pub async fn list(state: web::Data<State>, request: HttpRequest) -> HttpResponse {
    match sessions_of_caller(&state, &request).await {
        Ok(sessions) => HttpResponse::Ok().json(Sessions { sessions }),
        Err(refusal) => refusal.respond(),
    }
}

async fn sessions_of_caller(
    state: &State,
    request: &HttpRequest,
) -> Result<Vec<ListedSession>, SessionError> {
    let current = lookup::caller(state, request)
        .await?
        .ok_or(SessionError::NotSignedIn)?;
    let reach = lookup::reach(state, request, &current);
    let sessions = list::of(&state.pool, current.user, reach).await?;
    Ok(sessions
        .into_iter()
        .map(|listed| ListedSession {
            id: listed.id,
            workspace_name: listed.workspace_name,
            created_at: format_iso(listed.created_at),
            last_seen_at: format_iso(listed.last_seen_at),
            expires_at: format_iso(listed.expires_at),
            user_agent: listed.user_agent,
            current: SessionId::from(listed.id) == current.id,
        })
        .collect())
}

/// Ends one of the sessions that `GET /auth/sessions` lists for the same caller.
#[utoipa::path(delete, path = "/auth/sessions/{id}", tag = "session", operation_id = "end_session", security(("session" = []), ("bearer" = [])),
    params(("id" = Uuid, Path, description = "Id of the session")), responses(
    (status = 204, description = "Ended"),
    (status = 401, description = "Nobody is signed in", body = Problem),
    (status = 403, description = "Another web site made the request", body = Problem),
    (status = 404, description = "The person has no such session", body = Problem)))]
pub async fn end_one(
    state: web::Data<State>,
    request: HttpRequest,
    id: web::Path<String>,
) -> HttpResponse {
    let keep_session_cookie = match has_cookie_of_other_workspace(&state, &request).await {
        Ok(keep_session_cookie) => keep_session_cookie,
        Err(error) => return SessionError::Database(error).respond(),
    };
    match end_session(&state, &request, &id).await {
        Ok(true) => remove_cookies(
            &state,
            &request,
            HttpResponse::NoContent().finish(),
            keep_session_cookie,
        ),
        Ok(false) => HttpResponse::NoContent().finish(),
        Err(refusal) => refusal.respond(),
    }
}

/// Returns `true` if the session that ended is the caller's own.
async fn end_session(state: &State, request: &HttpRequest, id: &str) -> Result<bool, SessionError> {
    same_site::check_deployment(request, &state.config.returns)?;
    let current = lookup::caller(state, request)
        .await?
        .ok_or(SessionError::NotSignedIn)?;
    let id: SessionId = id.parse().map_err(|_| SessionError::NoSuchSession)?;
    let here = id == current.id;
    let how = if here { End::SignedOut } else { End::Elsewhere };
    let reach = lookup::reach(state, request, &current);
    if !list::end(&state.pool, current.user, reach, id, how).await? {
        return Err(SessionError::NoSuchSession);
    }
    tracing::info!(session.id = %id, user.id = %current.user, outcome = "ended", "session ended");
    Ok(here)
}

/// A sign-out that goes on at the provider.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SignedOut)]
struct SignedOutHere {
    /// Open this address in the browser: the session at the provider ends there, and the browser comes
    /// back to `returnTo`. It contains the ID token of the person.
    end_session_url: String,
}

/// Ends the current session.
///
/// If the provider that the person signed in with is configured for it, the sign-out goes on there after
/// everything here has ended.
#[utoipa::path(post, path = "/auth/sign-out", tag = "session", security((), ("session" = []), ("bearer" = [])),
    params(("returnTo" = Option<String>, Query, description = "Where to go afterwards: a path of the app, or a URL on a known origin")), responses(
    (status = 200, description = "Signed out here. The sign-out goes on at the provider, or on another origin", content((SignedOutHere = "application/json"), (String = "text/html"))),
    (status = 204, description = "Signed out, if the client asks for JSON"),
    (status = 303, description = "Signed out, to `returnTo` or the start page"),
    (status = 400, description = "`returnTo` is outside of this deployment. Nobody was signed out", body = Problem),
    (status = 403, description = "Another web site made the request", body = Problem)))]
pub async fn sign_out(state: web::Data<State>, request: HttpRequest) -> HttpResponse {
    end_and_respond(&state, &request, false).await
}

/// Ends all sessions of the person: in every workspace if a page of this service asks;
/// with a bearer token or from another origin, in the caller's workspace.
///
/// If the provider of the current session is configured for it, the sign-out goes on there.
#[utoipa::path(post, path = "/auth/sign-out-everywhere", tag = "session", security((), ("session" = []), ("bearer" = [])),
    params(("returnTo" = Option<String>, Query, description = "Where to go afterwards: a path of the app, or a URL on a known origin")), responses(
    (status = 200, description = "Signed out here. The sign-out goes on at the provider, or on another origin", content((SignedOutHere = "application/json"), (String = "text/html"))),
    (status = 204, description = "Signed out, if the client asks for JSON"),
    (status = 303, description = "Signed out, to `returnTo` or the start page"),
    (status = 400, description = "`returnTo` is outside of this deployment. Nobody was signed out", body = Problem),
    (status = 403, description = "Another web site made the request", body = Problem)))]
pub async fn sign_out_everywhere(state: web::Data<State>, request: HttpRequest) -> HttpResponse {
    end_and_respond(&state, &request, true).await
}

async fn end_and_respond(state: &State, request: &HttpRequest, everywhere: bool) -> HttpResponse {
    let return_to = match check(state, request) {
        Ok(return_to) => return_to,
        Err(explanation) => return problem(request, &explanation, None),
    };
    let ended = async {
        let keep_session_cookie = has_cookie_of_other_workspace(state, request).await?;
        let ended = end_current(state, request, everywhere).await?;
        Ok::<_, sqlx::Error>((keep_session_cookie, ended))
    };
    let (keep_session_cookie, ended) = match ended.await {
        Ok(ended) => ended,
        Err(error) => {
            tracing::error!(%error, outcome = "refused", "the session was not ended");
            return problem(request, &database_unavailable(), None);
        }
    };
    let response = respond(state, request, return_to.as_ref(), ended.as_ref());
    remove_cookies(state, request, response, keep_session_cookie)
}

/// Returns the checked return location.
///
/// # Errors
/// Returns the explanation if another web site made the request, or the location is outside of this
/// deployment.
fn check(state: &State, request: &HttpRequest) -> Result<Option<ReturnLocation>, ProblemDetails> {
    const TITLE: &str = "You are still signed in";
    let returns = &state.config.returns;
    same_site::check_deployment(request, returns).map_err(|refusal| ProblemDetails {
        title: TITLE,
        text: "Another web site asked to sign you out. To sign out, use the button in the \
               application or on your account page."
            .to_owned(),
        ..refusal.into()
    })?;
    let query =
        Query::parse(request.query_string()).map_err(|error| ProblemDetails::from(&error))?;
    let Some(location) = query.of(&RETURN_TO) else {
        return Ok(None);
    };
    returns.accept(location).map(Some).map_err(|error| {
        tracing::warn!(%error, outcome = "refused", "the sign-out names a return location that is not in ALLOWED_RETURN_ORIGINS");
        ProblemDetails {
            status: StatusCode::BAD_REQUEST,
            code: "return_location_refused",
            title: TITLE,
            text: "The page to open after the sign-out does not belong to this application. To sign \
                   out, use the button on your account page."
                .to_owned(),
            next: NextStep::Account,
        }
    })
}

/// Returns the response to a sign-out that is complete here.
fn respond(
    state: &State,
    request: &HttpRequest,
    return_to: Option<&ReturnLocation>,
    ended: Option<&Ended>,
) -> HttpResponse {
    let site = ended.map_or_else(Site::default, |ended| Site::from(&ended.session));
    let back = state.config.returns.destination(return_to, site);
    let at_provider = ended.and_then(|ended| {
        let with = ended.signed_in_with.as_ref()?;
        end_session::at_provider(state, request, ended.session.id, with, back.clone())
    });
    match at_provider {
        Some(AtProvider { url, cookie, .. }) if wants_json(request) => {
            let mut response = HttpResponse::Ok();
            if let Some(cookie) = cookie {
                response.cookie(cookie);
            }
            response.json(SignedOutHere {
                end_session_url: url.into(),
            })
        }
        Some(AtProvider { url, label, cookie }) => redirect_after_form(&label, &url, cookie),
        None if wants_json(request) => HttpResponse::NoContent().finish(),
        None if return_to.is_none() => HttpResponse::SeeOther()
            .insert_header((LOCATION, "/"))
            .finish(),
        None if state.config.public_origin.holds(&back) => HttpResponse::SeeOther()
            .insert_header((LOCATION, back.as_str()))
            .finish(),
        None => redirect_after_form(&host_of(&back), &back, None),
    }
}

/// Returns `true` if the browser's cookie belongs to a live session that the calling page
/// may not act for. That cookie is kept, whatever session is ended.
async fn has_cookie_of_other_workspace(
    state: &State,
    request: &HttpRequest,
) -> Result<bool, sqlx::Error> {
    let Some(secret) = cookie::secret_of(request) else {
        return Ok(false);
    };
    let found = store::session::find(&state.pool, &secret).await?;
    Ok(found.is_some_and(|found| !lookup::may_act_for(state, request, &found)))
}

/// The caller's session, which was ended.
struct Ended {
    session: Session,
    /// `None` if no provider ends sessions.
    signed_in_with: Option<SignedInWith>,
}

/// Ends the caller's session or sessions. It is no error if the session has ended already.
async fn end_current(
    state: &State,
    request: &HttpRequest,
    everywhere: bool,
) -> Result<Option<Ended>, sqlx::Error> {
    let caller = match lookup::caller(state, request).await? {
        // The bearer token may have expired while the cookie is still valid.
        None => lookup::from_cookie(state, request).await?,
        found => found,
    };
    let Some(current) = caller else {
        return Ok(None);
    };
    // Read before the end, which erases the ID token.
    let ends_at_provider = state
        .providers
        .iter()
        .any(|provider| provider.signs_out_at_provider());
    let signed_in_with = if ends_at_provider {
        let mut with = store::session::id_token_hint::of(&state.pool, current.id).await?;
        // Every service that receives an access token could ask for the ID token otherwise.
        if let Some(with) = &mut with
            && !lookup::is_in_cookie(state, request, &current).await?
        {
            with.sealed_id_token = None;
        }
        with
    } else {
        None
    };
    let reach = lookup::reach(state, request, &current);
    let ended = if everywhere {
        list::end_all(&state.pool, current.user, reach).await?
    } else {
        let ended = list::end(&state.pool, current.user, reach, current.id, End::SignedOut);
        u64::from(ended.await?)
    };
    tracing::info!(
        session.id = %current.id,
        user.id = %current.user,
        sessions = ended,
        outcome = "signed_out",
        "signed out"
    );
    Ok(Some(Ended {
        session: current,
        signed_in_with,
    }))
}

/// Removes the cookies of the session, but not a session cookie that the calling page may
/// not act for.
fn remove_cookies(
    state: &State,
    request: &HttpRequest,
    mut response: HttpResponse,
    keep_session_cookie: bool,
) -> HttpResponse {
    if !keep_session_cookie && let Err(error) = response.add_cookie(&cookie::removal_cookie()) {
        tracing::error!(%error, "the session cookie was not removed");
    }
    let mut lines = Vec::new();
    if !keep_session_cookie && state.config.sessions.token_pair_cookie {
        lines.push(token_pair::removal());
    }
    if let Some(origin) = trusted_origin(state, request)
        && refresh_cookie::token_of(request, &origin).is_some()
    {
        lines.push(refresh_cookie::removal(&origin));
    }
    for line in lines {
        if let Ok(line) = line.parse() {
            response.headers_mut().append(SET_COOKIE, line);
        }
    }
    response
}
