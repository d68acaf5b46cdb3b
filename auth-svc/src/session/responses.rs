//! Answers to programs.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, HttpResponseBuilder};
use latchkey_service::telemetry;
use serde_json::json;

/// Why a request to the session API is refused.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Another site asks.
    #[error("the request comes from another site")]
    CrossSite,
    /// The body is not JSON, or says so of nothing.
    #[error("the body is not application/json")]
    NotJson,
    /// The body is none of those that are known.
    #[error("the body is not understood")]
    Malformed,
    /// Nobody is signed in.
    #[error("nobody is signed in")]
    NotSignedIn,
    /// The code or refresh token is not taken.
    #[error("the grant is not taken: {0}")]
    InvalidGrant(String),
    /// The person has no such session.
    #[error("there is no such session")]
    NoSuchSession,
    /// The database refused or is not there.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    /// Something that only an operator can mend.
    #[error("{0}")]
    Broken(String),
}

impl Refusal {
    const fn told(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::CrossSite => (
                StatusCode::FORBIDDEN,
                "cross_site",
                "Another web site made this request. Nothing was changed.",
            ),
            Self::NotJson => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "json_needed",
                "Send the body as application/json.",
            ),
            Self::Malformed => (
                StatusCode::BAD_REQUEST,
                "invalid_request",
                "Send grantType cookie, code or refresh_token with its members.",
            ),
            Self::NotSignedIn => (
                StatusCode::UNAUTHORIZED,
                "not_signed_in",
                "Nobody is signed in.",
            ),
            Self::InvalidGrant(_) => (
                StatusCode::UNAUTHORIZED,
                "invalid_grant",
                "The code or refresh token is unknown, over or used. Sign in again.",
            ),
            Self::NoSuchSession => (
                StatusCode::NOT_FOUND,
                "no_such_session",
                "You have no such session.",
            ),
            Self::Database(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "database_unavailable",
                "Please try again.",
            ),
            Self::Broken(_) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "Please tell your administrator.",
            ),
        }
    }

    /// Logs the refusal and answers it.
    pub fn respond(&self) -> HttpResponse {
        let (status, code, message) = self.told();
        if status.is_server_error() {
            tracing::error!(error = %self, error.code = code, outcome = "refused", "session request failed");
        } else if status != StatusCode::UNAUTHORIZED || matches!(self, Self::InvalidGrant(_)) {
            tracing::warn!(error = %self, error.code = code, outcome = "refused", "session request refused");
        }
        let mut response: HttpResponseBuilder = HttpResponse::build(status);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.insert_header(("Retry-After", "30"));
        }
        response.json(json!({
            "error": { "code": code, "message": message, "traceId": telemetry::current_trace_id().map(|id| id.to_string()) }
        }))
    }
}
