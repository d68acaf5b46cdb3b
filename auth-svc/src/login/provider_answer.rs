//! Errors that a provider sends to the callback (RFC 6749 section 4.1.2.1,
//! OpenID Connect Core section 3.1.2.6, and what Google and Microsoft add).

use std::fmt;

/// What the provider said instead of a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProviderAnswer {
    /// The person, or their administrator, said no.
    AccessDenied,
    /// The person has to agree, sign in or choose.
    InteractionRequired,
    /// The organisation does not allow this application.
    BlockedByAdmin,
    /// The provider has trouble.
    Unavailable,
    /// The registration or the configuration is wrong: an operator's matter.
    Misconfigured,
    /// Anything else.
    Other,
}

impl ProviderAnswer {
    /// Classifies the parameter `error`.
    pub fn of(error: &str) -> Self {
        match error {
            "access_denied" | "consent_declined" => Self::AccessDenied,
            "consent_required"
            | "interaction_required"
            | "login_required"
            | "account_selection_required"
            | "user_cancelled"
            | "unmet_authentication_requirements" => Self::InteractionRequired,
            "admin_policy_enforced" | "org_internal" | "disallowed_useragent" => {
                Self::BlockedByAdmin
            }
            "temporarily_unavailable" | "server_error" => Self::Unavailable,
            "invalid_request"
            | "unauthorized_client"
            | "unsupported_response_type"
            | "invalid_scope"
            | "invalid_client"
            | "redirect_uri_mismatch"
            | "invalid_resource"
            | "request_not_supported" => Self::Misconfigured,
            _ => Self::Other,
        }
    }
}

/// The provider's code as it may be logged: what is no code is not repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerCode(String);

impl AnswerCode {
    /// Keeps a code of `a-z 0-9 _`, 64 at most.
    pub fn of(error: &str) -> Self {
        let plain = error.len() <= 64
            && error
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        Self(if plain { error } else { "unreadable" }.to_owned())
    }
}

impl fmt::Display for AnswerCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
