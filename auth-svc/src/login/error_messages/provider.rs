//! Messages for errors of the provider.

use actix_web::http::StatusCode;
use latchkey_providers::{FailureClass, IdTokenError, ProviderError, TOKEN_TOO_LARGE, TokenError};

use crate::http::problem::{NextStep, ProblemDetails};
use crate::login::authorization_error::AuthorizationError;
use crate::login::error_messages::{came_with, explained, refused, unavailable};

const START_AGAIN: &str = "Nothing was changed. Please start again. If it happens again, give \
                           your administrator the reference below.";

impl From<&ProviderError> for ProblemDetails {
    fn from(error: &ProviderError) -> Self {
        match error {
            ProviderError::IssuerMismatch(_) | ProviderError::IssuerMissing => explained(
                StatusCode::BAD_REQUEST,
                "issuer_mismatch",
                "This sign-in cannot be finished",
                "The response does not come from the provider that you were sent to. Nothing was \
                 changed. Please start again."
                    .to_owned(),
                NextStep::Again,
            ),
            ProviderError::Unreachable(_)
            | ProviderError::DiscoveryUnavailable(_)
            | ProviderError::KeysUnavailable(_)
            | ProviderError::UserinfoUnavailable(_) => provider_unavailable(),
            ProviderError::NoDiscovery(_)
            | ProviderError::DiscoveryInvalid(_)
            | ProviderError::Unsupported(_)
            | ProviderError::NoCallback(_) => misconfigured(),
            ProviderError::NotPushed { class, .. } => of_pushed_request(*class),
            ProviderError::NoRequestUri => provider_error(),
        }
    }
}

impl From<AuthorizationError> for ProblemDetails {
    fn from(answer: AuthorizationError) -> Self {
        match answer {
            AuthorizationError::AccessDenied => refused(
                "access_denied",
                "You did not give access",
                "Nothing was changed. To sign in, please start again and agree to what the \
                 provider asks for. If you did agree, your organisation's administrator has to \
                 allow this application.",
                NextStep::Again,
            ),
            AuthorizationError::InteractionRequired => explained(
                StatusCode::UNAUTHORIZED,
                "interaction_required",
                "The provider needs your input",
                "The provider asks you to sign in, choose an account or give your consent \
                 again. Please start again and complete these steps."
                    .to_owned(),
                NextStep::Again,
            ),
            AuthorizationError::BlockedByAdmin => refused(
                "blocked_by_admin",
                "Your organisation does not allow this",
                "Your organisation's policy does not allow this application. Please ask its \
                 administrator to allow it, then start again.",
                NextStep::Again,
            ),
            AuthorizationError::Unavailable => provider_unavailable(),
            AuthorizationError::Misconfigured => misconfigured(),
            AuthorizationError::Other => provider_error(),
        }
    }
}

impl From<&TokenError> for ProblemDetails {
    fn from(error: &TokenError) -> Self {
        if error.code.as_deref() == Some(TOKEN_TOO_LARGE) {
            return too_large();
        }
        match error.class {
            // At the code exchange, the code was used, has expired, or belongs to another
            // verifier.
            FailureClass::InvalidRefreshToken => explained(
                StatusCode::BAD_REQUEST,
                "code_refused",
                "This sign-in cannot be finished",
                "The provider no longer accepts this sign-in, because it was used already or \
                 is too old. \
                 Nothing was changed. Please start again."
                    .to_owned(),
                NextStep::Again,
            ),
            FailureClass::ReauthPolicy
            | FailureClass::InteractionRequired
            | FailureClass::ConsentRequired => AuthorizationError::InteractionRequired.into(),
            FailureClass::BlockedByAdmin | FailureClass::AccountDisabled => {
                AuthorizationError::BlockedByAdmin.into()
            }
            FailureClass::ClientMisconfigured
            | FailureClass::Unauthorized
            | FailureClass::RequestRejected
            | FailureClass::ScopeInvalid => misconfigured(),
            // The provider responded with something unknown or unreadable. Waiting does not
            // help.
            FailureClass::MalformedResponse
            | FailureClass::InsufficientScopes
            | FailureClass::Unknown => provider_error(),
            _ => provider_unavailable(),
        }
    }
}

impl From<&IdTokenError> for ProblemDetails {
    fn from(error: &IdTokenError) -> Self {
        match error {
            IdTokenError::Tenant(wrong) => explained(
                StatusCode::FORBIDDEN,
                "tenant_not_allowed",
                "Your organisation is not on the list",
                format!(
                    "{}Only accounts of certain organisations can sign in to this application, \
                     and this account belongs to another one. Please use an account of one of \
                     them, or ask your administrator. Nothing was changed.",
                    came_with(wrong.address.as_ref())
                ),
                NextStep::Again,
            ),
            IdTokenError::Provider(error) => error.into(),
            IdTokenError::TooLarge(_) => too_large(),
            IdTokenError::Encrypted
            | IdTokenError::SubjectClaim(_)
            | IdTokenError::NoAuthenticationTime => misconfigured(),
            IdTokenError::AuthenticationClass(_) => refused(
                "authentication_not_sufficient",
                "A stronger sign-in is required",
                "This application accepts only certain ways to sign in at the provider, usually \
                 with a second factor, and you signed in there in another way. Nothing was \
                 changed. Please set up a second factor at the provider, sign out there, and \
                 start again. If that does not help, ask your administrator.",
                NextStep::Again,
            ),
            IdTokenError::AuthenticationTooOld(_) => refused(
                "authentication_too_old",
                "You signed in at the provider too long ago",
                "This application requires a recent sign-in at the provider, and the provider \
                 did not ask you for one. Nothing was changed. Please sign out at the provider, \
                 then start again here.",
                NextStep::Again,
            ),
            _ => explained(
                StatusCode::BAD_REQUEST,
                "identity_not_proven",
                "The provider's response does not prove who you are",
                START_AGAIN.to_owned(),
                NextStep::Again,
            ),
        }
    }
}

/// A pushed authorization request that the provider did not accept. There is no person yet, so
/// only the registration, the configuration or the provider can be the reason.
fn of_pushed_request(class: FailureClass) -> ProblemDetails {
    match class {
        FailureClass::RateLimit
        | FailureClass::ProviderUnavailable
        | FailureClass::Network
        | FailureClass::OutcomeUnknown => provider_unavailable(),
        FailureClass::MalformedResponse | FailureClass::Unknown => provider_error(),
        _ => misconfigured(),
    }
}

fn provider_unavailable() -> ProblemDetails {
    unavailable(
        "provider_unavailable",
        "The provider does not respond as expected. Nothing was changed. Please try again in \
         a few minutes.",
    )
}

fn provider_error() -> ProblemDetails {
    explained(
        StatusCode::BAD_GATEWAY,
        "provider_error",
        "The provider could not sign you in",
        START_AGAIN.to_owned(),
        NextStep::Again,
    )
}

fn too_large() -> ProblemDetails {
    explained(
        StatusCode::BAD_GATEWAY,
        "token_too_large",
        "The provider's response is too large",
        "What the provider says about you is too large for this application, usually because \
         you belong to very many groups. Your administrator has to reduce it at the provider. \
         Please give them the reference below."
            .to_owned(),
        NextStep::Home,
    )
}

fn misconfigured() -> ProblemDetails {
    explained(
        StatusCode::BAD_GATEWAY,
        "provider_misconfigured",
        "Signing in with this provider is not set up correctly",
        "Your administrator has to correct the registration at the provider. Please give them \
         the reference below."
            .to_owned(),
        NextStep::Home,
    )
}
