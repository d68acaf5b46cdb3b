//! The administrators' API of a workspace: JSON over HTTP, with a session cookie or an
//! access token. A domain that an administrator adds has to be verified; a domain that the
//! operator approves with a command does not.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use latchkey_service::telemetry;
use serde_json::json;

use crate::http::same_site;
use crate::session::lookup;
use crate::state::State;
use crate::store::issue::IssueError;
use crate::store::session::Session;
use crate::store::workspace::custom_host::HostError;
use crate::workspace::domain_verification::ProofError;
use crate::workspace::removal::RemovalError;

/// Why a request of the administrators' API fails.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdminError {
    #[error("Nobody is signed in.")]
    NotSignedIn,
    #[error("Another web site made this request. Nothing was changed.")]
    CrossSite,
    #[error("Only an administrator of the workspace may do this.")]
    NotAdmin,
    #[error("{0}")]
    Invalid(String),
    #[error("{0}")]
    Refused(&'static str, String),
    #[error("The workspace has no such entry.")]
    Unknown,
    #[error("{}", removal_text(.0))]
    Removal(#[from] RemovalError),
    #[error(transparent)]
    Proof(#[from] ProofError),
    #[error(transparent)]
    Issue(#[from] IssueError),
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl AdminError {
    fn code(&self) -> &'static str {
        match self {
            Self::NotSignedIn => "not_signed_in",
            Self::CrossSite => "cross_site",
            Self::NotAdmin => "not_admin",
            Self::Invalid(_) | Self::Proof(ProofError::Host(HostError::Invalid)) => {
                "invalid_parameter"
            }
            Self::Refused(code, _) => code,
            Self::Unknown | Self::Removal(RemovalError::NotAMember | RemovalError::Several) => {
                "not_found"
            }
            Self::Removal(RemovalError::LastAdministrator) => "last_administrator",
            Self::Proof(ProofError::NoClaim) => "domain_not_pending",
            Self::Proof(ProofError::NoRecord { .. }) => "record_missing",
            Self::Proof(ProofError::Dns(_)) => "dns_unavailable",
            Self::Proof(ProofError::Host(HostError::Taken)) => "domain_taken",
            Self::Proof(ProofError::Host(HostError::Database(_)) | ProofError::Database(_))
            | Self::Issue(_)
            | Self::Removal(RemovalError::Database(_))
            | Self::Database(_) => "database_unavailable",
        }
    }
}

fn removal_text(error: &RemovalError) -> String {
    match error {
        RemovalError::LastAdministrator => "This is the last administrator of the workspace. \
             Make another member an administrator first."
            .to_owned(),
        _ => "This person is not a member of the workspace.".to_owned(),
    }
}

impl ResponseError for AdminError {
    fn status_code(&self) -> StatusCode {
        match self.code() {
            "not_signed_in" => StatusCode::UNAUTHORIZED,
            "cross_site" | "not_admin" | "domain_not_allowed" => StatusCode::FORBIDDEN,
            "invalid_parameter" | "consumer_domain" | "own_domain" => StatusCode::BAD_REQUEST,
            "not_found" | "domain_not_pending" => StatusCode::NOT_FOUND,
            "dns_unavailable" | "database_unavailable" => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::CONFLICT,
        }
    }

    fn error_response(&self) -> HttpResponse {
        let message = match self.code() {
            "database_unavailable" => "Please try again in a minute.".to_owned(),
            _ => self.to_string(),
        };
        HttpResponse::build(self.status_code()).json(json!({
            "error": {
                "code": self.code(),
                "message": message,
                "traceId": telemetry::current_trace_id().map(|id| id.to_string()),
            }
        }))
    }
}

/// Returns the caller's session if the person is an administrator of its workspace.
pub(crate) async fn admin(
    state: &State,
    request: &HttpRequest,
    changes: bool,
) -> Result<Session, AdminError> {
    if changes && !same_site::may_change(request, &state.config.returns) {
        return Err(AdminError::CrossSite);
    }
    let session = lookup::caller(state, request)
        .await?
        .ok_or(AdminError::NotSignedIn)?;
    if session.is_admin {
        Ok(session)
    } else {
        Err(AdminError::NotAdmin)
    }
}
