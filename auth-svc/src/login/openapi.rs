//! The parameters of a callback in the OpenAPI description.

#![expect(dead_code, reason = "described, not read")]

use utoipa::IntoParams;

/// The parameters of a provider's response.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct CallbackParameters {
    /// Names the flow, whose cookie the browser must have.
    state: Option<String>,
    /// The authorization code.
    code: Option<String>,
    /// Issuer of the response (RFC 9207).
    iss: Option<String>,
    /// Why there is no code.
    error: Option<String>,
}

/// The parameters of a provider's response that are read.
pub(crate) const CALLBACK_PARAMETERS: [&str; 5] =
    ["state", "code", "iss", "error", "error_description"];
