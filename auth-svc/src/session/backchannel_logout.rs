//! A provider ends sessions (OpenID Connect Back-Channel Logout 1.0). Connected accounts stay: a grant
//! has a life of its own.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use latchkey_domain::{EventId, ProviderName};
use latchkey_messaging::outbox::{self, Message, Schema};
use latchkey_proto::events::SessionEnded;
use latchkey_proto::timestamp;
use latchkey_providers::{BACKCHANNEL_LOGOUT, LogoutToken, LogoutTokenError, built_in_names};
use latchkey_service::database::{ANSWER, BoundedConnection, within};
use serde_json::json;
use url::form_urlencoded;

use crate::http::metrics;
use crate::http::rate_limit::TooManyRequests;
use crate::http::router::Routes;
use crate::state::State;
use crate::store::clock;
use crate::store::session::logout::{self, Ended};

/// Registers the routes.
pub fn routes(routes: &mut Routes<'_>) {
    let names: Vec<&str> = built_in_names().collect();
    let known = format!("/auth/{{provider:{}}}{BACKCHANNEL_LOGOUT}", names.join("|"));
    routes.add_slow_at(__path_built_in, &known, built_in);
    routes.add_slow(__path_oidc, oidc);
}

/// Why a logout token ended nothing.
#[derive(Debug, thiserror::Error)]
enum LogoutError {
    #[error("the provider is not configured")]
    NotConfigured,
    #[error("the request does not have one logout_token")]
    NoToken,
    #[error("too many logout tokens come from this address: {0}")]
    TooManyRequests(#[from] TooManyRequests),
    #[error(transparent)]
    Token(#[from] LogoutTokenError),
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
}

impl LogoutError {
    fn status(&self) -> StatusCode {
        match self {
            Self::NotConfigured => StatusCode::NOT_FOUND,
            Self::TooManyRequests(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Database(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Token(error) if error.is_temporary() => StatusCode::SERVICE_UNAVAILABLE,
            Self::NoToken | Self::Token(_) => StatusCode::BAD_REQUEST,
        }
    }

    /// What the provider reads. A database's error is for the log only.
    fn description(&self) -> String {
        match self {
            Self::Database(_) => "the database does not answer; please try again".to_owned(),
            error => error.to_string(),
        }
    }
}

/// Returns the token of a form. A form with two has none.
fn token_of(form: &[u8]) -> Result<String, LogoutError> {
    let mut tokens = form_urlencoded::parse(form)
        .filter(|(name, _)| name == "logout_token")
        .map(|(_, token)| token.into_owned());
    match (tokens.next(), tokens.next()) {
        (Some(token), None) => Ok(token),
        _ => Err(LogoutError::NoToken),
    }
}

macro_rules! ends {
    ($name:ident, $path:literal, $summary:literal) => {
        #[doc = $summary]
        #[utoipa::path(post, path = $path, tag = "session",
            request_body(content = String, content_type = "application/x-www-form-urlencoded", description = "`logout_token`"),
            params(("provider" = String, Path, description = "Name of the provider")), responses(
            (status = 200, description = "The sessions have ended, or the token was used before"),
            (status = 400, description = "The logout token is missing or not valid", body = serde_json::Value),
            (status = 404, description = "The provider is not configured", body = serde_json::Value),
            (status = 429, description = "Too many come from this address", body = serde_json::Value),
            (status = 503, description = "The keys of the provider or the database are not available", body = serde_json::Value)))]
        async fn $name(
            state: web::Data<State>,
            request: HttpRequest,
            provider: web::Path<String>,
            form: web::Bytes,
        ) -> HttpResponse {
            answer(&state, &request, &provider, &form).await
        }
    };
}

ends!(
    built_in,
    "/auth/{provider}/backchannel-logout",
    "Ends sessions at the request of Google or Microsoft."
);
ends!(
    oidc,
    "/auth/oidc/{provider}/backchannel-logout",
    "Ends sessions at the request of another OpenID provider."
);

async fn answer(state: &State, request: &HttpRequest, name: &str, form: &[u8]) -> HttpResponse {
    let error = match end(state, request, name, form).await {
        Ok(()) => {
            return HttpResponse::Ok()
                .insert_header(("Cache-Control", "no-store"))
                .finish();
        }
        Err(error) => error,
    };
    tracing::warn!(provider = name, %error, outcome = "refused", "a logout token ended no session");
    let mut response = HttpResponse::build(error.status());
    response.insert_header(("Cache-Control", "no-store"));
    if let LogoutError::TooManyRequests(wait) = &error {
        response.insert_header(("Retry-After", wait.seconds().to_string()));
    }
    // Section 2.8: the members of RFC 6749 section 5.2.
    response.json(json!({
        "error": "invalid_request",
        "error_description": error.description(),
    }))
}

#[tracing::instrument(name = "session.backchannel_logout", skip_all, fields(provider = name))]
async fn end(
    state: &State,
    request: &HttpRequest,
    name: &str,
    form: &[u8],
) -> Result<(), LogoutError> {
    let name: ProviderName = name.parse().map_err(|_| LogoutError::NotConfigured)?;
    let provider = state
        .providers
        .get(&name)
        .ok_or(LogoutError::NotConfigured)?;
    let ended = async {
        state.rate_limits.logout_token(&name, request)?;
        let token = provider.verify_logout_token(&token_of(form)?).await?;
        Ok(within(ANSWER, end_sessions(state, &name, &token)).await?)
    };
    match ended.await {
        Ok(Some(ended)) => {
            metrics::count_logout_token(&name, "accepted", ended);
            tracing::info!(
                sessions = ended,
                outcome = "ended",
                "the provider ended sessions"
            );
            Ok(())
        }
        Ok(None) => {
            metrics::count_logout_token(&name, "repeated", 0);
            Ok(())
        }
        Err(error) => {
            let error: LogoutError = error;
            let unavailable = error.status().is_server_error();
            let outcome = if unavailable {
                "unavailable"
            } else {
                "refused"
            };
            metrics::count_logout_token(&name, outcome, 0);
            Err(error)
        }
    }
}

/// Ends the sessions and publishes their ends. Returns their number, or `None` if the token was used
/// before: a person who signed in again meanwhile stays signed in.
async fn end_sessions(
    state: &State,
    provider: &ProviderName,
    token: &LogoutToken,
) -> Result<Option<usize>, sqlx::Error> {
    let mut connection = BoundedConnection::acquire(&state.pool).await?;
    let mut transaction = connection.begin().await?;
    if !logout::note_token(&mut transaction, provider, token).await? {
        return Ok(None);
    }
    let ended = logout::end(&mut transaction, provider, token).await?;
    let ended_at = timestamp(clock::now(&mut transaction).await?);
    for Ended {
        session,
        user,
        workspace,
    } in &ended
    {
        let event = SessionEnded {
            session_id: session.to_string(),
            user_id: user.to_string(),
            workspace_id: workspace.to_string(),
            provider: provider.to_string(),
            ended_at: Some(ended_at),
        };
        let message = Message::event(EventId::generate(), session, &event);
        outbox::enqueue(&mut transaction, Schema::Auth, message).await?;
    }
    transaction.commit().await?;
    state.outbox.wake();
    Ok(Some(ended.len()))
}
