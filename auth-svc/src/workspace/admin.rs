//! The administrators' API of a workspace: JSON over HTTP, with a session cookie or an
//! access token. A domain that an administrator adds has to be verified; a domain that the
//! operator approves with a command does not.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, ResponseError};

use crate::http::problem;
use crate::http::same_site::{self, CrossSite};
use crate::session::lookup;
use crate::state::State;
use crate::store::IssueError;
use crate::store::session::Session;
use crate::store::workspace::custom_host::HostError;
use crate::workspace::domain_verification::VerificationError;
use crate::workspace::removal::RemovalError;

/// Why a request of the administrators' API fails.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdminError {
    #[error("Nobody is signed in.")]
    NotSignedIn,
    #[error("Another web site made this request. Nothing was changed.")]
    CrossSite(#[from] CrossSite),
    #[error("Only an administrator of the workspace may do this.")]
    NotAdmin,
    #[error("{0}")]
    Invalid(String),
    #[error("This deployment has one host for all workspaces.")]
    SingleDomain,
    #[error("{0} belongs to this deployment.")]
    OwnDomain(String),
    #[error("This deployment does not admit addresses of {0}.")]
    DomainNotAllowed(String),
    #[error("Anybody can get an address of {0}. Invite people instead.")]
    ConsumerDomain(String),
    #[error("The workspace has no such entry.")]
    Unknown,
    #[error("{}", removal_text(.0))]
    Removal(#[from] RemovalError),
    #[error(transparent)]
    Verification(#[from] VerificationError),
    #[error(transparent)]
    Issue(#[from] IssueError),
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl AdminError {
    /// Status, and the stable code for programs.
    const fn kind(&self) -> (StatusCode, &'static str) {
        match self {
            Self::NotSignedIn => (StatusCode::UNAUTHORIZED, "not_signed_in"),
            Self::CrossSite(_) => (StatusCode::FORBIDDEN, "cross_site"),
            Self::NotAdmin => (StatusCode::FORBIDDEN, "not_admin"),
            Self::Invalid(_) | Self::Verification(VerificationError::Host(HostError::Invalid)) => {
                (StatusCode::BAD_REQUEST, "invalid_parameter")
            }
            Self::SingleDomain => (StatusCode::CONFLICT, "single_domain"),
            Self::OwnDomain(_) => (StatusCode::BAD_REQUEST, "own_domain"),
            Self::DomainNotAllowed(_) => (StatusCode::FORBIDDEN, "domain_not_allowed"),
            Self::ConsumerDomain(_) => (StatusCode::BAD_REQUEST, "consumer_domain"),
            Self::Unknown | Self::Removal(RemovalError::NotAMember | RemovalError::Several) => {
                (StatusCode::NOT_FOUND, "not_found")
            }
            Self::Removal(RemovalError::LastAdministrator) => {
                (StatusCode::CONFLICT, "last_administrator")
            }
            Self::Verification(VerificationError::NoClaim) => {
                (StatusCode::NOT_FOUND, "domain_not_pending")
            }
            Self::Verification(VerificationError::NoRecord { .. }) => {
                (StatusCode::CONFLICT, "record_missing")
            }
            Self::Verification(VerificationError::Dns(_)) => {
                (StatusCode::SERVICE_UNAVAILABLE, "dns_unavailable")
            }
            Self::Verification(VerificationError::Host(HostError::Taken)) => {
                (StatusCode::CONFLICT, "domain_taken")
            }
            Self::Verification(
                VerificationError::Host(HostError::Database(_)) | VerificationError::Database(_),
            )
            | Self::Issue(_)
            | Self::Removal(RemovalError::Database(_))
            | Self::Database(_) => (StatusCode::SERVICE_UNAVAILABLE, "database_unavailable"),
        }
    }

    /// For the person; the database's own words go to the log.
    fn message(&self) -> String {
        match self {
            Self::Verification(
                VerificationError::Host(HostError::Database(_)) | VerificationError::Database(_),
            )
            | Self::Issue(_)
            | Self::Removal(RemovalError::Database(_))
            | Self::Database(_) => "Please try again in a minute.".to_owned(),
            _ => self.to_string(),
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
        self.kind().0
    }

    fn error_response(&self) -> HttpResponse {
        let (status, code) = self.kind();
        if status.is_server_error() {
            tracing::error!(error = %self, error.code = code, outcome = "refused", "administrator's request failed");
        } else if status != StatusCode::UNAUTHORIZED {
            tracing::warn!(error = %self, error.code = code, outcome = "refused", "administrator's request refused");
        }
        problem::json(status, code, &self.message())
    }
}

/// Returns the caller's session if the person is an administrator of its workspace.
pub(crate) async fn admin(
    state: &State,
    request: &HttpRequest,
    changes: bool,
) -> Result<Session, AdminError> {
    if changes {
        same_site::check_deployment(request, &state.config.returns)?;
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
