//! The messages for every error of a sign-in: what happened and what the person can do.
//! Internal causes are logged and not shown.

mod provider;
mod store;

use actix_web::http::StatusCode;
use latchkey_domain::Handle;

use crate::http::problem::{NextStep, ProblemDetails, internal_error};
use crate::http::query::QueryError;
use crate::http::too_many_requests;
use crate::login::callback::CallbackError;
use crate::login::flow_cookie::SealFlowError;
use crate::login::parameters::ParameterError;
use crate::login::start::StartError;

const fn explained(
    status: StatusCode,
    code: &'static str,
    title: &'static str,
    text: String,
    next: NextStep,
) -> ProblemDetails {
    ProblemDetails {
        status,
        code,
        title,
        text,
        next,
    }
}

fn refused(code: &'static str, title: &'static str, text: &str, next: NextStep) -> ProblemDetails {
    explained(StatusCode::FORBIDDEN, code, title, text.to_owned(), next)
}

fn bad_request(code: &'static str, text: &str) -> ProblemDetails {
    explained(
        StatusCode::BAD_REQUEST,
        code,
        "This link does not work",
        text.to_owned(),
        NextStep::Home,
    )
}

fn unavailable(code: &'static str, text: &str) -> ProblemDetails {
    explained(
        StatusCode::SERVICE_UNAVAILABLE,
        code,
        "Sign-in is not available right now",
        text.to_owned(),
        NextStep::Again,
    )
}

impl From<&StartError> for ProblemDetails {
    fn from(error: &StartError) -> Self {
        match error {
            StartError::Query(error) => error.into(),
            StartError::Parameter(ParameterError::Return(..)) => bad_request(
                "return_location_refused",
                "The page to open after the sign-in does not belong to this application. \
                 Nobody was signed in. Please open the application and sign in there.",
            ),
            StartError::Parameter(error @ ParameterError::Invalid { .. }) => {
                bad_request("invalid_parameter", &format!("In the link, {error}."))
            }
            StartError::NotConfigured => not_configured(),
            StartError::Provider(error) => error.into(),
            StartError::Seal(SealFlowError::TooLong) => bad_request(
                "request_too_long",
                "The link contains too much data for a sign-in. Please open the application \
                 and sign in there.",
            ),
            StartError::Seal(SealFlowError::Crypto) | StartError::Randomness(_) => {
                internal_error("internal")
            }
            StartError::Database(_) => database(),
        }
    }
}

impl From<&CallbackError> for ProblemDetails {
    fn from(error: &CallbackError) -> Self {
        match error {
            CallbackError::Query(error) => error.into(),
            CallbackError::NotConfigured => not_configured(),
            CallbackError::NoState | CallbackError::NoFlow | CallbackError::OtherCallback => {
                explained(
                    StatusCode::BAD_REQUEST,
                    "flow_unknown",
                    "This sign-in cannot be finished",
                    "It was started more than ten minutes ago or in another browser, or it is \
                     finished already. Nothing was changed. Please start again, in this browser \
                     and with cookies allowed."
                        .to_owned(),
                    NextStep::Again,
                )
            }
            CallbackError::TooManyRequests(wait) => too_many_requests::explanation(*wait),
            CallbackError::Provider(error) => error.into(),
            CallbackError::Answer(answer, _) => (*answer).into(),
            CallbackError::NoCode => explained(
                StatusCode::BAD_REQUEST,
                "code_missing",
                "The provider's response is incomplete",
                "The provider sent you back without a result. Nothing was changed. Please \
                 start again."
                    .to_owned(),
                NextStep::Again,
            ),
            CallbackError::SessionChanged => session_changed(),
            CallbackError::Token(error) => error.into(),
            CallbackError::IdToken(error) => error.into(),
            CallbackError::Store(error) => error.into(),
            CallbackError::Again(error) => error.into(),
        }
    }
}

impl From<&QueryError> for ProblemDetails {
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

/// Names the address that the person signed in with, because they may have chosen another
/// account than they think. The reason follows.
fn came_with(address: Option<&Handle>) -> String {
    let Some(address) = address else {
        return String::new();
    };
    let shown = address.for_people();
    if shown == address.as_str() {
        format!("Your account has the address {shown}. ")
    } else {
        // Domains in different scripts may look alike.
        format!("Your account has the address {shown} ({address}). ")
    }
}

fn not_configured() -> ProblemDetails {
    explained(
        StatusCode::NOT_FOUND,
        "provider_not_configured",
        "This provider is not set up",
        "Please choose another provider, or ask your administrator to set it up.".to_owned(),
        NextStep::Home,
    )
}

fn session_changed() -> ProblemDetails {
    refused(
        "session_changed",
        "This account was not connected",
        "This was started in another session than the one in this browser. Nothing was \
         connected. To connect the account, please sign in and start again from your settings.",
        NextStep::Home,
    )
}

fn database() -> ProblemDetails {
    unavailable(
        "database_unavailable",
        "Nothing was changed. Please try again in a minute.",
    )
}
