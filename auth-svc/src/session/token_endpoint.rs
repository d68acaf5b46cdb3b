//! `POST /auth/token`: issues an access token to a front end for a cookie, a one-time
//! code or a refresh token.

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, SET_COOKIE};
use actix_web::{HttpRequest, HttpResponse, web};
use latchkey_config::WebOrigin;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::http::cors::trusted_origin;
use crate::http::problem::Problem;
use crate::http::same_site;
use crate::secret::HandoverCode;
use crate::session::access_token::{self, Bearer, Token};
use crate::session::lookup;
use crate::session::refresh_cookie::{self, TOKEN_LENGTH};
use crate::session::responses::SessionError;
use crate::state::State;
use crate::store::IssueError;
use crate::store::session::Session;
use crate::store::session::code::{self, CodeError, Proof};
use crate::store::session::refresh::{self, Holder, RefreshError};

/// Maximum length of a PKCE verifier in characters (RFC 7636 section 4.1).
const MAX_VERIFIER: usize = 128;

/// The body of a request.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct TokenRequest {
    #[serde(flatten)]
    grant: Grant,
    /// Answers 204 instead of 401 if nobody is signed in. Browsers log every 401 as an
    /// error, although a page may ask at each load.
    #[serde(default)]
    if_signed_in: bool,
}

/// The credential that a front end presents to get a token.
#[derive(Deserialize, ToSchema)]
#[serde(tag = "grantType", rename_all = "snake_case")]
enum Grant {
    /// The cookies of this browser.
    Cookie,
    /// A hand-over code from the fragment, with its PKCE verifier.
    Code {
        /// The code.
        code: String,
        /// The verifier of the challenge with which the sign-in was started (RFC 7636).
        verifier: Option<String>,
    },
    /// A refresh token that a script holds.
    #[serde(rename_all = "camelCase")]
    RefreshToken {
        /// The token.
        refresh_token: String,
    },
}

/// The body of a successful response.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct TokenResponse {
    /// Always `Bearer`.
    token_type: &'static str,
    /// The access token, a JWT.
    access_token: Token,
    /// Lifetime of the access token in seconds (RFC 6749 section 5.1), because the clock
    /// of the browser may be wrong.
    expires_in: i64,
    /// The next refresh token, if a script holds one.
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<Token>,
    /// The person.
    user_id: Uuid,
    /// The workspace of the session.
    workspace_id: Uuid,
    /// The session.
    session_id: Uuid,
}

/// How the next refresh token is delivered.
enum NextToken {
    None,
    InBody(Token),
    InCookie(WebOrigin, Token),
}

/// Issues an access token to a front end.
///
/// The body is `{"grantType":"cookie"}`, `{"grantType":"code","code","verifier"}`
/// or `{"grantType":"refresh_token","refreshToken"}`. With `"ifSignedIn":true` the
/// response is 204 instead of 401 if nobody is signed in.
#[utoipa::path(post, path = "/auth/token", tag = "session", security((), ("session" = [])),
    request_body(content = TokenRequest, content_type = "application/json"),
    responses(
        (status = 200, description = "An access token, and the next refresh token if the front end holds one", body = TokenResponse),
        (status = 204, description = "Nobody is signed in, and the body says `ifSignedIn`"),
        (status = 400, description = "The body has no supported form", body = Problem),
        (status = 401, description = "Nobody is signed in, or the code or refresh token is invalid", body = Problem),
        (status = 403, description = "Another web site made the request", body = Problem),
        (status = 415, description = "The body is not JSON", body = Problem),
        (status = 503, description = "The database is not available", body = Problem)))]
pub async fn token(
    state: web::Data<State>,
    request: HttpRequest,
    body: web::Bytes,
) -> HttpResponse {
    let origin = trusted_origin(&state, &request);
    let body = match parse_request(&state, &request, &body) {
        Ok(body) => body,
        Err(refusal) => return refusal.respond(),
    };
    let by_cookie = matches!(body.grant, Grant::Cookie);
    match redeem(&state, &request, origin.as_ref(), body.grant).await {
        Ok(response) => response,
        Err(refusal) => {
            let mut response = refusal.respond();
            if body.if_signed_in && response.status() == StatusCode::UNAUTHORIZED {
                response = HttpResponse::NoContent().finish();
            }
            // Remove the cookie of an invalid token, so that it is not sent again. Keep it
            // after a refused code: anyone can make a link with an invalid code.
            if by_cookie
                && let (SessionError::InvalidGrant(_), Some(origin)) = (&refusal, &origin)
                && refresh_cookie::token_of(&request, origin).is_some()
                && let Ok(removal) = refresh_cookie::removal(origin).parse()
            {
                response.headers_mut().append(SET_COOKIE, removal);
            }
            response
        }
    }
}

/// Parses the body of a request that comes from a page of this deployment.
fn parse_request(
    state: &State,
    request: &HttpRequest,
    body: &[u8],
) -> Result<TokenRequest, SessionError> {
    same_site::check_deployment(request, &state.config.returns)?;
    // This type makes browsers send a preflight request first if the origin is another.
    if !is_json(request) {
        return Err(SessionError::NotJson);
    }
    serde_json::from_slice(body).map_err(|_| SessionError::Malformed)
}

async fn redeem(
    state: &State,
    request: &HttpRequest,
    origin: Option<&WebOrigin>,
    grant: Grant,
) -> Result<HttpResponse, SessionError> {
    let (session, next) = match grant {
        Grant::Cookie => redeem_cookie(state, request, origin).await?,
        Grant::Code { code, verifier } => {
            redeem_code(state, request, origin, &code, verifier.as_deref()).await?
        }
        Grant::RefreshToken { refresh_token } => {
            let (session, token) =
                rotate(state, request, &refresh_token, Holder::Script, origin).await?;
            (session, NextToken::InBody(token))
        }
    };
    respond(state, &session, next)
}

fn is_json(request: &HttpRequest) -> bool {
    request
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

/// Uses the session cookie, or the refresh token cookie of a front end on another site.
async fn redeem_cookie(
    state: &State,
    request: &HttpRequest,
    origin: Option<&WebOrigin>,
) -> Result<(Session, NextToken), SessionError> {
    if let Some(session) = lookup::from_cookie(state, request).await? {
        return Ok((session, NextToken::None));
    }
    let origin = origin.ok_or(SessionError::NotSignedIn)?;
    let token = refresh_cookie::token_of(request, origin).ok_or(SessionError::NotSignedIn)?;
    let (session, token) = rotate(state, request, &token, Holder::Cookie, Some(origin)).await?;
    Ok((session, NextToken::InCookie(origin.clone(), token)))
}

async fn redeem_code(
    state: &State,
    request: &HttpRequest,
    origin: Option<&WebOrigin>,
    code: &str,
    verifier: Option<&str>,
) -> Result<(Session, NextToken), SessionError> {
    if code.len() != TOKEN_LENGTH || verifier.is_some_and(|text| text.len() > MAX_VERIFIER) {
        return Err(SessionError::InvalidGrant("not a code".to_owned()));
    }
    let here = lookup::from_cookie(state, request).await?;
    let origin_text = origin.map(ToString::to_string);
    let redeemed = code::redeem(
        &state.pool,
        &HandoverCode::new(code),
        Proof {
            origin: origin_text.as_deref(),
            verifier,
            session: here.map(|session| session.id),
        },
        state.config.sessions.refresh_lifetime,
        &state.randomness,
    )
    .await
    .map_err(|error| match error {
        CodeError::Database(error) | CodeError::Issue(IssueError::Database(error)) => {
            SessionError::Database(error)
        }
        CodeError::Issue(error) => SessionError::Internal(error.to_string()),
        error => SessionError::InvalidGrant(error.to_string()),
    })?;
    // The origin may belong to another workspace now than when the code was created.
    if !lookup::may_act_for(state, request, &redeemed.session) {
        return Err(SessionError::InvalidGrant(
            "a code of another workspace".to_owned(),
        ));
    }
    let next = match (redeemed.refresh, origin) {
        (Some(token), Some(origin)) => NextToken::InCookie(origin.clone(), token.into()),
        // Without `Origin` the client is not a browser and does not keep cookies.
        (Some(_), None) | (None, _) => NextToken::None,
    };
    Ok((redeemed.session, next))
}

async fn rotate(
    state: &State,
    request: &HttpRequest,
    token: &str,
    holder: Holder,
    origin: Option<&WebOrigin>,
) -> Result<(Session, Token), SessionError> {
    if token.len() != TOKEN_LENGTH {
        return Err(SessionError::InvalidGrant("not a refresh token".to_owned()));
    }
    let origin = origin.map(ToString::to_string);
    let rotated = refresh::rotate(
        &state.pool,
        token,
        holder,
        origin.as_deref(),
        |session| lookup::may_act_for(state, request, session),
        state.config.sessions.refresh_lifetime,
        &state.randomness,
    )
    .await
    .map_err(|error| match error {
        RefreshError::Database(error) => SessionError::Database(error),
        RefreshError::Randomness(error) => SessionError::Internal(error.to_string()),
        error => SessionError::InvalidGrant(error.to_string()),
    })?;
    Ok((rotated.session, rotated.next.into()))
}

fn respond(
    state: &State,
    session: &Session,
    next: NextToken,
) -> Result<HttpResponse, SessionError> {
    let now = state.clock.now();
    let access_token = access_token::issue(&state.config.sessions, &Bearer::from(session), now)
        .map_err(|error| SessionError::Internal(format!("signing: {error}")))?;
    let mut response = HttpResponse::Ok();
    let refresh_token = match next {
        NextToken::None => None,
        NextToken::InBody(token) => Some(token),
        NextToken::InCookie(origin, token) => {
            response.append_header((SET_COOKIE, refresh_cookie::set(&origin, &token, now)));
            None
        }
    };
    Ok(response.json(TokenResponse {
        token_type: "Bearer",
        expires_in: (access_token.expires_at - now).whole_seconds(),
        access_token,
        refresh_token,
        user_id: session.user.as_uuid(),
        workspace_id: session.workspace.as_uuid(),
        session_id: session.id.as_uuid(),
    }))
}
