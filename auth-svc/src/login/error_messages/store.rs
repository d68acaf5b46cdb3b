//! Messages for errors of the transaction: policy, workspace, flow, database.

use actix_web::http::StatusCode;
use latchkey_domain::{Handle, domain_for_people};
use latchkey_providers::Unverified;

use crate::http::problem::{NextStep, ProblemDetails, internal_error};
use crate::login::domain_policy::{Invitation, NotVouched, PolicyRefusal};
use crate::login::error_messages::{came_with, database, explained, refused, session_changed};
use crate::login::outcome::{SignInError, WorkspaceError};

impl From<&SignInError> for ProblemDetails {
    fn from(error: &SignInError) -> Self {
        match error {
            SignInError::Replayed => explained(
                StatusCode::BAD_REQUEST,
                "flow_finished",
                "This sign-in is finished already",
                "Each sign-in works once. If you are not signed in, please start again.".to_owned(),
                NextStep::Home,
            ),
            SignInError::Policy(refusal) => refusal.into(),
            SignInError::Workspace(WorkspaceError::None) => explained(
                StatusCode::SERVICE_UNAVAILABLE,
                "no_workspace",
                "Nobody can sign in yet",
                "There is no workspace yet. Your administrator has to create one with: \
                 latchkey workspace create."
                    .to_owned(),
                NextStep::Home,
            ),
            SignInError::Workspace(WorkspaceError::Unknown) => explained(
                StatusCode::NOT_FOUND,
                "workspace_unknown",
                "There is no such workspace",
                "The link names a workspace or an invitation that does not exist. Please ask \
                 the person who gave you the link for a new one."
                    .to_owned(),
                NextStep::Home,
            ),
            SignInError::Workspace(WorkspaceError::NotNamed) => explained(
                StatusCode::FORBIDDEN,
                "workspace_not_named",
                "Which workspace?",
                "You do not belong to a workspace yet, and the link does not name one. Please \
                 use the address of your workspace or your invitation."
                    .to_owned(),
                NextStep::Home,
            ),
            SignInError::NoWorkspaceFor(address) => explained(
                StatusCode::FORBIDDEN,
                "workspace_not_named",
                "Which workspace?",
                format!(
                    "{}This account does not belong to a workspace yet, and the link does not \
                     name one. Please use the address of your workspace or your invitation, or \
                     sign in with another account.",
                    came_with(Some(address))
                ),
                NextStep::Home,
            ),
            SignInError::SessionChanged => session_changed(),
            SignInError::SignedOutAtProvider => explained(
                StatusCode::UNAUTHORIZED,
                "signed_out_at_provider",
                "You have just been signed out",
                "Your provider ended your session there while you signed in here. Please sign \
                 in again."
                    .to_owned(),
                NextStep::Home,
            ),
            SignInError::NoAddress => refused(
                "address_missing",
                "The provider did not share your address",
                "An address is needed to sign in. Please allow the provider to share it, or \
                 ask your administrator to give your account one.",
                NextStep::Again,
            ),
            SignInError::Seal(_) | SignInError::Randomness(_) => internal_error("internal"),
            SignInError::Database(_) => database(),
        }
    }
}

impl From<&PolicyRefusal> for ProblemDetails {
    fn from(refusal: &PolicyRefusal) -> Self {
        match refusal {
            // The provider could not be asked, so the address may be verified.
            PolicyRefusal::NotVouched {
                why: NotVouched::Unverified(Unverified::Unanswered(error)),
                ..
            } => error.into(),
            PolicyRefusal::NotVouched {
                address,
                why,
                allowed,
            } => not_vouched(address.as_ref(), why, allowed),
            PolicyRefusal::Domain {
                address,
                allowed,
                by_deployment,
            } => explained(
                StatusCode::FORBIDDEN,
                "domain_not_allowed",
                "Your address is not on the list",
                format!(
                    "{}{}{} Nothing was changed.",
                    came_with(address.as_ref()),
                    match allowed.as_slice() {
                        [] => String::new(),
                        list => format!("Addresses of {} are allowed. ", domains(list)),
                    },
                    match (allowed.as_slice(), by_deployment) {
                        ([], _) => {
                            "People can join this workspace by invitation only. Please ask for \
                             one."
                        }
                        (_, true) => {
                            "Please sign in with such an account, or ask the administrator to \
                             allow your domain."
                        }
                        (_, false) => {
                            "Please sign in with such an account, or ask for an invitation."
                        }
                    }
                ),
                NextStep::Again,
            ),
            PolicyRefusal::Invitation {
                invitation,
                address,
            } => explained(
                StatusCode::FORBIDDEN,
                "invitation_refused",
                "This invitation is not valid",
                format!(
                    "{}{} Nothing was changed.",
                    came_with(address.as_ref()),
                    match invitation {
                        Invitation::Expired => "It has expired. Please ask for a new one.",
                        Invitation::Used => "It was used already. Please ask for a new one.",
                        Invitation::Revoked => "It was withdrawn. Please ask for a new one.",
                        Invitation::ForSomeoneElse => {
                            "The invitation was made for another address. Please sign in with \
                             that address, or ask for your own invitation."
                        }
                        _ => {
                            "The link is turned off. Please ask for a personal invitation."
                        }
                    }
                ),
                NextStep::Again,
            ),
        }
    }
}

fn not_vouched(address: Option<&Handle>, why: &NotVouched, allowed: &[String]) -> ProblemDetails {
    let (title, reason, remedy) = match why {
        NotVouched::NoOrganisation => (
            "Google names no organisation for your account",
            "Google does not say that the account belongs to an organisation, so it does not \
             count as an account of that domain."
                .to_owned(),
            "Sign in with the account that your organisation gave you",
        ),
        NotVouched::Unverified(Unverified::OtherDomain { may_vouch_for }) => (
            "This provider cannot confirm your address",
            format!(
                "Through this provider only addresses of {} count as verified.",
                domains(may_vouch_for)
            ),
            "Sign in with such an address, or choose another provider",
        ),
        NotVouched::Unverified(_) => (
            "Your address is not verified",
            "The provider does not say that it has verified the address.".to_owned(),
            "Verify it with the provider, or ask the administrator",
        ),
    };
    let allowed = match allowed {
        [] => String::new(),
        list => format!(" Addresses of {} are allowed.", domains(list)),
    };
    explained(
        StatusCode::FORBIDDEN,
        "address_not_verified",
        title,
        format!(
            "{}{reason}{allowed} {remedy}. Nothing was changed.",
            came_with(address)
        ),
        NextStep::Again,
    )
}

/// Formats domains in their own scripts (R7).
fn domains(list: &[String]) -> String {
    let shown: Vec<String> = list.iter().map(|name| domain_for_people(name)).collect();
    match shown.as_slice() {
        [] => String::new(),
        [only] => only.clone(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}
