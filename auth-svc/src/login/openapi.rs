//! The parameters of a callback, for the description of the surface.

#![expect(dead_code, reason = "described, not read")]

use utoipa::IntoParams;

/// What a provider answers with.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct CallbackParameters {
    /// Names the flow, whose cookie this browser has to have.
    state: Option<String>,
    /// Code to exchange.
    code: Option<String>,
    /// Issuer of the answer (RFC 9207).
    iss: Option<String>,
    /// Why there is no code.
    error: Option<String>,
}

/// Parameters of a provider's answer that are read.
pub(crate) const ANSWERED: [&str; 5] = ["state", "code", "iss", "error", "error_description"];
