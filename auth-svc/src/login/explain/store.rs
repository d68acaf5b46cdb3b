//! Why nothing was written: policy, workspace, flow, database.

use actix_web::http::StatusCode;

use super::{broken, database, explained, refused, session_changed};
use crate::login::domain_policy::{Invitation, PolicyRefusal};
use crate::pages::{Explanation, Next};
use crate::store::{StoreError, WorkspaceError};

impl From<&StoreError> for Explanation {
    fn from(error: &StoreError) -> Self {
        match error {
            StoreError::Replayed => explained(
                StatusCode::BAD_REQUEST,
                "flow_finished",
                "This sign-in is finished already",
                "Each sign-in works once. If you are not signed in, please start again.".to_owned(),
                Next::Home,
            ),
            StoreError::Policy(refusal) => refusal.into(),
            StoreError::Workspace(WorkspaceError::None) => explained(
                StatusCode::SERVICE_UNAVAILABLE,
                "no_workspace",
                "Nobody can sign in yet",
                "There is no workspace. The administrator has to create one first: \
                 auth-svc workspace create."
                    .to_owned(),
                Next::Home,
            ),
            StoreError::Workspace(WorkspaceError::Unknown) => explained(
                StatusCode::NOT_FOUND,
                "workspace_unknown",
                "There is no such workspace",
                "The link names a workspace or an invitation that does not exist. Please ask \
                 whoever gave you the link for a new one."
                    .to_owned(),
                Next::Home,
            ),
            StoreError::Workspace(WorkspaceError::NotNamed) => explained(
                StatusCode::FORBIDDEN,
                "workspace_not_named",
                "Which workspace?",
                "You do not belong to a workspace yet, and the link does not name one. Please \
                 use the address of your workspace or your invitation."
                    .to_owned(),
                Next::Home,
            ),
            StoreError::SessionChanged => session_changed(),
            StoreError::NoAddress => refused(
                "address_missing",
                "The provider did not tell your address",
                "An address is needed to sign in. Please allow the provider to share it, or \
                 ask your administrator to give your account one.",
                Next::Again,
            ),
            StoreError::Seal(_) | StoreError::Randomness(_) => broken("internal"),
            StoreError::Database(_) => database(),
        }
    }
}

impl From<&PolicyRefusal> for Explanation {
    fn from(refusal: &PolicyRefusal) -> Self {
        match refusal {
            PolicyRefusal::NotVouched { allowed } => explained(
                StatusCode::FORBIDDEN,
                "address_not_verified",
                "Your address is not verified",
                format!(
                    "The provider does not confirm that the address is yours, or that it \
                     belongs to your organisation. {} Nothing was changed.",
                    advice(
                        allowed,
                        "Verify it with the provider, or sign in with an account of"
                    ),
                ),
                Next::Again,
            ),
            PolicyRefusal::Domain { allowed } => explained(
                StatusCode::FORBIDDEN,
                "domain_not_allowed",
                "Your address is not on the list",
                format!(
                    "{} Nothing was changed.",
                    advice(allowed, "Please sign in with an account of"),
                ),
                Next::Again,
            ),
            PolicyRefusal::Invitation(invitation) => refused(
                "invitation_refused",
                "The invitation does not hold",
                match invitation {
                    Invitation::Expired => {
                        "It has expired. Please ask for a new one. Nothing was changed."
                    }
                    Invitation::Used => {
                        "It was used already. Please ask for a new one. Nothing was changed."
                    }
                    Invitation::Revoked => {
                        "It was withdrawn. Please ask for a new one. Nothing was changed."
                    }
                    Invitation::ForSomeoneElse => {
                        "It was made for another address. Sign in with that address, or ask for \
                         an invitation of your own. Nothing was changed."
                    }
                    _ => {
                        "The link is switched off. Please ask for a personal invitation. \
                         Nothing was changed."
                    }
                },
                Next::Again,
            ),
        }
    }
}

/// Names the domains that are allowed (R7).
fn advice(allowed: &[String], lead: &str) -> String {
    match allowed {
        [] => "This workspace takes people by invitation only: please ask for one.".to_owned(),
        [only] => format!("{lead} {only}, or ask for an invitation."),
        [most @ .., last] => format!(
            "{lead} {} or {last}, or ask for an invitation.",
            most.join(", ")
        ),
    }
}
