//! Hands a sign-in over to the front end (R9, R10). A front end on this origin needs
//! only the session cookie. One on another origin gets a one-time code in the fragment.
//! The cookie `tokenPair` is added if the deployment enables it.

use actix_web::HttpResponseBuilder;
use actix_web::http::header::SET_COOKIE;
use latchkey_config::WebOrigin;
use latchkey_service::database::{ANSWER, BoundedConnection, within};
use url::Url;

use crate::http::links::found;
use crate::session::access_token::{self, Bearer};
use crate::session::token_pair;
use crate::state::State;
use crate::store::IssueError;
use crate::store::session::code;
use crate::store::session::refresh::{self, Holder};

/// The hand-over that a front end receives after a sign-in.
#[derive(Debug)]
pub struct Handover {
    /// Location of the front end, with the code that it redeems.
    pub to: Url,
    /// The cookie `tokenPair`, if it is enabled.
    pub pair: Option<String>,
}

/// Answers 302 to `to`, with what the front end there needs.
pub async fn redirect_with_handover(
    state: &State,
    bearer: &Bearer,
    to: &Url,
    challenge: Option<&str>,
) -> HttpResponseBuilder {
    let Handover { to, pair } = hand_over(state, bearer, to, challenge).await;
    let mut response = found(&to);
    if let Some(pair) = pair {
        response.append_header((SET_COOKIE, pair));
    }
    response
}

/// Creates the hand-over of a session. A failure is only logged: the person is signed in
/// already, and the front end starts another sign-in.
pub async fn hand_over(
    state: &State,
    bearer: &Bearer,
    to: &Url,
    challenge: Option<&str>,
) -> Handover {
    let to = match within(ANSWER, location_with_code(state, bearer, to, challenge)).await {
        Ok(to) => to,
        Err(error) => {
            tracing::error!(%error, session.id = %bearer.session, "the hand-over code was not created");
            to.clone()
        }
    };
    let pair = if state.config.sessions.token_pair_cookie {
        within(ANSWER, token_pair_cookie(state, bearer))
            .await
            .inspect_err(|error| {
                tracing::error!(%error, session.id = %bearer.session, "the token pair was not created");
            })
            .ok()
    } else {
        None
    };
    Handover { to, pair }
}

/// Why a hand-over cannot be created.
#[derive(Debug, thiserror::Error)]
enum HandoverError {
    /// The code was not stored.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// The access token was not signed.
    #[error("signing: {0}")]
    Sign(#[from] jsonwebtoken::errors::Error),
    /// The database is not available.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
}

async fn location_with_code(
    state: &State,
    bearer: &Bearer,
    to: &Url,
    challenge: Option<&str>,
) -> Result<Url, HandoverError> {
    let mut url = to.clone();
    if state.config.public_origin.holds(to) {
        return Ok(url);
    }
    let Some(origin) = WebOrigin::of(to) else {
        return Ok(url);
    };
    let code = code::issue(
        &state.pool,
        bearer.session,
        &origin.to_string(),
        challenge,
        &state.randomness,
    )
    .await?;
    // After the fragment of the return location, which session.js restores.
    let fragment = match to.fragment() {
        None | Some("") => format!("code={}", code.expose()),
        Some(own) => format!("{own}&code={}", code.expose()),
    };
    url.set_fragment(Some(&fragment));
    Ok(url)
}

async fn token_pair_cookie(state: &State, bearer: &Bearer) -> Result<String, HandoverError> {
    let sessions = &state.config.sessions;
    let access = access_token::issue(sessions, bearer, state.clock.now())?;
    let (_, refresh) = {
        let mut connection = BoundedConnection::acquire(&state.pool).await?;
        let mut transaction = connection.begin().await?;
        let begun = refresh::begin(
            &mut transaction,
            bearer.session,
            Holder::Script,
            None,
            sessions.refresh_lifetime,
            &state.randomness,
        )
        .await?;
        transaction.commit().await?;
        begun
    };
    Ok(token_pair::set(&access, &refresh.into()))
}
