//! Every refusal → one answer for a person, in one place: what happened and
//! what to do. What went wrong inside goes to the log, not to the page.

use actix_web::http::StatusCode;
use latchkey_providers::{FailureClass, IdTokenError, ProviderError, TokenError};

use crate::login::authorize::StartError;
use crate::login::callback::CallbackError;
use crate::login::domain_policy::{Invitation, PolicyRefusal};
use crate::login::flow_cookie::SealFlowError;
use crate::login::parameters::ParameterError;
use crate::login::provider_answer::ProviderAnswer;
use crate::login::query::QueryError;
use crate::pages::{Explanation, Next};
use crate::store::{StoreError, WorkspaceError};

const fn explained(
    status: StatusCode,
    code: &'static str,
    title: &'static str,
    text: String,
    next: Next,
) -> Explanation {
    Explanation {
        status,
        code,
        title,
        text,
        next,
    }
}

fn refused(code: &'static str, title: &'static str, text: &str, next: Next) -> Explanation {
    explained(StatusCode::FORBIDDEN, code, title, text.to_owned(), next)
}

fn bad_request(code: &'static str, text: &str) -> Explanation {
    explained(
        StatusCode::BAD_REQUEST,
        code,
        "This link does not work",
        text.to_owned(),
        Next::Home,
    )
}

fn unavailable(code: &'static str, text: &str) -> Explanation {
    explained(
        StatusCode::SERVICE_UNAVAILABLE,
        code,
        "Sign-in is not available right now",
        text.to_owned(),
        Next::Again,
    )
}

/// A fault of ours.
pub fn broken(code: &'static str) -> Explanation {
    explained(
        StatusCode::INTERNAL_SERVER_ERROR,
        code,
        "Something went wrong on our side",
        "Nothing was changed. Please try again; if it happens again, tell your administrator \
         the number below."
            .to_owned(),
        Next::Again,
    )
}

impl From<&StartError> for Explanation {
    fn from(error: &StartError) -> Self {
        match error {
            StartError::Query(error) => error.into(),
            StartError::Parameter(ParameterError::Return(_)) => bad_request(
                "return_location_refused",
                "The address to go to after signing in does not belong to this application. \
                 Nobody was signed in. Open the application and sign in from there.",
            ),
            StartError::Parameter(error @ ParameterError::Invalid { .. }) => {
                bad_request("invalid_parameter", &format!("In the link, {error}."))
            }
            StartError::NotConfigured => not_configured(),
            StartError::NotSignedIn => explained(
                StatusCode::UNAUTHORIZED,
                "not_signed_in",
                "Please sign in first",
                "An account is connected to the person who is signed in. Sign in, then connect \
                 the account again."
                    .to_owned(),
                Next::Home,
            ),
            StartError::CrossSite => refused(
                "cross_site",
                "Connect accounts from the application",
                "Another web site sent you here to connect an account. Nothing was connected. \
                 If you want to connect one, do it from the application's settings.",
                Next::Home,
            ),
            StartError::Provider(error) => error.into(),
            StartError::Seal(SealFlowError::TooLong) => bad_request(
                "request_too_long",
                "The link carries more than can be kept during a sign-in. Open the application \
                 and sign in from there.",
            ),
            StartError::Seal(SealFlowError::Crypto) | StartError::Randomness(_) => {
                broken("internal")
            }
            StartError::Database(_) => database(),
        }
    }
}

impl From<&CallbackError> for Explanation {
    fn from(error: &CallbackError) -> Self {
        match error {
            CallbackError::Query(error) => error.into(),
            CallbackError::NotConfigured => not_configured(),
            CallbackError::NoState | CallbackError::NoFlow | CallbackError::OtherCallback => {
                explained(
                    StatusCode::BAD_REQUEST,
                    "flow_unknown",
                    "This sign-in cannot be finished",
                    "It was started more than ten minutes ago, in another browser, or is \
                     finished already. Nothing was changed. Please start again, in this browser \
                     and with cookies allowed."
                        .to_owned(),
                    Next::Again,
                )
            }
            CallbackError::Provider(error) => error.into(),
            CallbackError::Answer(answer, _) => (*answer).into(),
            CallbackError::NoCode => explained(
                StatusCode::BAD_REQUEST,
                "code_missing",
                "The provider's answer is incomplete",
                "The provider sent you back without a result. Nothing was changed. Please \
                 start again."
                    .to_owned(),
                Next::Again,
            ),
            CallbackError::SessionChanged => session_changed(),
            CallbackError::Token(error) => error.into(),
            CallbackError::IdToken(error) => error.into(),
            CallbackError::Store(error) => error.into(),
            CallbackError::Again(error) => error.into(),
        }
    }
}

impl From<&QueryError> for Explanation {
    fn from(error: &QueryError) -> Self {
        match error {
            QueryError::Duplicate => bad_request(
                "duplicate_parameter",
                "The address contains the same parameter twice. Nothing was changed. Please \
                 start again.",
            ),
            QueryError::TooLong => bad_request(
                "query_too_long",
                "The address is too long. Nothing was changed. Please start again.",
            ),
        }
    }
}

impl From<&ProviderError> for Explanation {
    fn from(error: &ProviderError) -> Self {
        match error {
            ProviderError::IssuerMismatch | ProviderError::IssuerMissing => explained(
                StatusCode::BAD_REQUEST,
                "issuer_mismatch",
                "This sign-in cannot be finished",
                "The answer does not come from the provider that you were sent to. Nothing was \
                 changed. Please start again."
                    .to_owned(),
                Next::Again,
            ),
            ProviderError::Unreachable(_)
            | ProviderError::DiscoveryUnavailable(_)
            | ProviderError::KeysUnavailable(_)
            | ProviderError::UserinfoUnavailable(_) => provider_unavailable(),
            ProviderError::DiscoveryInvalid(_) | ProviderError::NoCallback(_) => misconfigured(),
        }
    }
}

impl From<ProviderAnswer> for Explanation {
    fn from(answer: ProviderAnswer) -> Self {
        match answer {
            ProviderAnswer::AccessDenied => refused(
                "access_denied",
                "You did not give access",
                "Nothing was changed. To sign in, start again and agree to what the provider \
                 asks; if you did agree, your organisation's administrator has to allow this \
                 application.",
                Next::Again,
            ),
            ProviderAnswer::InteractionRequired => explained(
                StatusCode::UNAUTHORIZED,
                "interaction_required",
                "The provider needs you",
                "The provider wants you to sign in, choose an account or agree once more. \
                 Please start again and finish what it asks."
                    .to_owned(),
                Next::Again,
            ),
            ProviderAnswer::BlockedByAdmin => refused(
                "blocked_by_admin",
                "Your organisation does not allow this",
                "Your organisation's policy does not allow this application. Please ask its \
                 administrator to allow it, then start again.",
                Next::Again,
            ),
            ProviderAnswer::Unavailable => provider_unavailable(),
            ProviderAnswer::Misconfigured => misconfigured(),
            ProviderAnswer::Other => explained(
                StatusCode::BAD_GATEWAY,
                "provider_error",
                "The provider could not sign you in",
                "Nothing was changed. Please start again; if it happens again, tell your \
                 administrator the number below."
                    .to_owned(),
                Next::Again,
            ),
        }
    }
}

impl From<&TokenError> for Explanation {
    fn from(error: &TokenError) -> Self {
        match error.class {
            // Of a code: used, expired, or made for another verifier.
            FailureClass::InvalidRefreshToken => explained(
                StatusCode::BAD_REQUEST,
                "code_refused",
                "This sign-in cannot be finished",
                "The provider no longer accepts its own answer: it was used or is too old. \
                 Nothing was changed. Please start again."
                    .to_owned(),
                Next::Again,
            ),
            FailureClass::ReauthPolicy
            | FailureClass::InteractionRequired
            | FailureClass::ConsentRequired => ProviderAnswer::InteractionRequired.into(),
            FailureClass::BlockedByAdmin | FailureClass::AccountDisabled => {
                ProviderAnswer::BlockedByAdmin.into()
            }
            FailureClass::ClientMisconfigured
            | FailureClass::RequestRejected
            | FailureClass::ScopeInvalid => misconfigured(),
            _ => provider_unavailable(),
        }
    }
}

impl From<&IdTokenError> for Explanation {
    fn from(error: &IdTokenError) -> Self {
        match error {
            IdTokenError::Tenant => refused(
                "tenant_not_allowed",
                "Your organisation is not on the list",
                "This application takes accounts of certain organisations only. Please sign in \
                 with an account of one of them, or ask the administrator.",
                Next::Again,
            ),
            IdTokenError::Provider(error) => error.into(),
            _ => explained(
                StatusCode::BAD_REQUEST,
                "identity_not_proven",
                "The provider's answer does not prove who you are",
                "Nothing was changed. Please start again; if it happens again, tell your \
                 administrator the number below."
                    .to_owned(),
                Next::Again,
            ),
        }
    }
}

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

fn not_configured() -> Explanation {
    explained(
        StatusCode::NOT_FOUND,
        "provider_not_configured",
        "This way to sign in is not switched on",
        "Please choose another one, or ask your administrator to switch it on.".to_owned(),
        Next::Home,
    )
}

fn session_changed() -> Explanation {
    refused(
        "session_changed",
        "This account was not connected",
        "Connecting was started by another session than the one in this browser. Nothing was \
         connected. If you want to connect the account, sign in and start from the settings.",
        Next::Home,
    )
}

fn provider_unavailable() -> Explanation {
    unavailable(
        "provider_unavailable",
        "The provider does not answer as it should. Nothing was changed. Please try again in \
         a few minutes.",
    )
}

fn misconfigured() -> Explanation {
    explained(
        StatusCode::BAD_GATEWAY,
        "provider_misconfigured",
        "Signing in with this provider is not set up correctly",
        "Your administrator has to correct the registration at the provider. Please tell them \
         the number below."
            .to_owned(),
        Next::Home,
    )
}

fn database() -> Explanation {
    unavailable(
        "database_unavailable",
        "Nothing was changed. Please try again in a minute.",
    )
}
