//! Classification of errors of the authorization endpoint, which come to the callback
//! (RFC 6749 section 4.1.2.1, OpenID Connect Core section 3.1.2.6).

use crate::AuthorizationError;
use crate::AuthorizationError::{AccessDenied, InteractionRequired, Misconfigured, Unavailable};
use crate::catalogue::BUILT_IN;

/// Error codes of the standards and of providers that are not built in.
const STANDARD: &[(&str, AuthorizationError)] = &[
    ("access_denied", AccessDenied),
    ("consent_declined", AccessDenied),
    ("consent_required", InteractionRequired),
    ("interaction_required", InteractionRequired),
    ("login_required", InteractionRequired),
    ("account_selection_required", InteractionRequired),
    ("user_cancelled", InteractionRequired),
    ("unmet_authentication_requirements", InteractionRequired),
    ("temporarily_unavailable", Unavailable),
    ("server_error", Unavailable),
    ("invalid_request", Misconfigured),
    ("unauthorized_client", Misconfigured),
    ("unsupported_response_type", Misconfigured),
    ("invalid_scope", Misconfigured),
    ("invalid_client", Misconfigured),
    ("request_not_supported", Misconfigured),
];

impl AuthorizationError {
    /// Classifies the parameter `error`.
    pub fn of(error: &str) -> Self {
        let built_in = BUILT_IN.into_iter();
        STANDARD
            .iter()
            .chain(built_in.flat_map(|known| known.authorization_errors))
            .find(|(code, _)| *code == error)
            .map_or(Self::Other, |(_, class)| *class)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_codes_of_standards_and_of_built_in_providers_are_classified() {
        for (error, class) in [
            ("access_denied", AccessDenied),
            ("login_required", InteractionRequired),
            ("org_internal", AuthorizationError::BlockedByAdmin),
            ("invalid_resource", Misconfigured),
            ("server_error", Unavailable),
            ("something_new", AuthorizationError::Other),
        ] {
            assert_eq!(AuthorizationError::of(error), class, "{error}");
        }
    }
}
