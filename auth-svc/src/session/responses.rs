//! The error responses of the session API.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;

use crate::http::problem;
use crate::http::same_site::CrossSite;

/// Why a request to the session API fails.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// A page of another site made the request.
    #[error(transparent)]
    CrossSite(#[from] CrossSite),
    /// The `Content-Type` is not JSON.
    #[error("the body is not application/json")]
    NotJson,
    /// The body does not have one of the supported forms.
    #[error("the body has no supported form")]
    Malformed,
    /// Nobody is signed in.
    #[error("nobody is signed in")]
    NotSignedIn,
    /// The code or refresh token is invalid.
    #[error("the code or refresh token is invalid: {0}")]
    InvalidGrant(String),
    /// The person has no such session.
    #[error("there is no such session")]
    NoSuchSession,
    /// The database failed or is not available.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    /// A failure that only an operator can fix.
    #[error("{0}")]
    Internal(String),
}

impl SessionError {
    const fn status_code_and_message(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::CrossSite(_) => (
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
                "The code or refresh token is unknown, expired or already used. Sign in again.",
            ),
            Self::NoSuchSession => (
                StatusCode::NOT_FOUND,
                "no_such_session",
                "You have no session with this id.",
            ),
            Self::Database(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "database_unavailable",
                "Please try again in a minute.",
            ),
            Self::Internal(_) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "Please tell your administrator.",
            ),
        }
    }

    /// Logs the error and builds the response.
    pub fn respond(&self) -> HttpResponse {
        let (status, code, message) = self.status_code_and_message();
        if status.is_server_error() {
            tracing::error!(error = %self, error.code = code, outcome = "refused", "session request failed");
        } else if status != StatusCode::UNAUTHORIZED || matches!(self, Self::InvalidGrant(_)) {
            tracing::warn!(error = %self, error.code = code, outcome = "refused", "session request refused");
        }
        problem::json(status, code, message)
    }
}
