//! The table of errors: which class an error code means, perhaps together with a part of
//! its description. Every row has a source.
//!
//! Every family is looked up for every provider, because the codes of one family do not
//! contradict those of another. Rows with a description come first.

use std::fmt::Write as _;

use crate::FailureClass as C;
use crate::catalogue::BUILT_IN;
use crate::quirks::{ErrorRow, row};

const RFC6749: &str = "https://www.rfc-editor.org/rfc/rfc6749#section-5.2";
const RFC6750: &str = "https://www.rfc-editor.org/rfc/rfc6750#section-3.1";
const AUTHORIZE: &str = "https://www.rfc-editor.org/rfc/rfc6749#section-4.1.2.1";
const OPENID: &str = "https://openid.net/specs/openid-connect-core-1_0.html#AuthError";
const DEVICE: &str = "https://www.rfc-editor.org/rfc/rfc8628#section-3.5";
const RESOURCE: &str = "https://www.rfc-editor.org/rfc/rfc8707#section-2";

/// Error codes of the standards.
#[rustfmt::skip]
const STANDARD: &[ErrorRow] = &[
    row("invalid_grant", "", C::InvalidRefreshToken, RFC6749),
    // Defined for a resource (RFC 6750), and used for a refresh token as well.
    row("invalid_token", "", C::InvalidRefreshToken, RFC6750),
    row("invalid_client", "", C::ClientMisconfigured, RFC6749),
    row("unauthorized_client", "", C::ClientMisconfigured, RFC6749),
    row("invalid_request", "", C::RequestRejected, RFC6749),
    row("unsupported_grant_type", "", C::RequestRejected, RFC6749),
    row("unsupported_response_type", "", C::RequestRejected, AUTHORIZE),
    row("invalid_scope", "", C::ScopeInvalid, RFC6749),
    row("access_denied", "", C::BlockedByAdmin, AUTHORIZE),
    row("server_error", "", C::ProviderUnavailable, AUTHORIZE),
    row("temporarily_unavailable", "", C::ProviderUnavailable, AUTHORIZE),
    row("interaction_required", "", C::InteractionRequired, OPENID),
    row("login_required", "", C::InteractionRequired, OPENID),
    row("account_selection_required", "", C::InteractionRequired, OPENID),
    row("consent_required", "", C::ConsentRequired, OPENID),
    row("insufficient_scope", "", C::InsufficientScopes, RFC6750),
    row("slow_down", "", C::RateLimit, DEVICE),
    row("expired_token", "", C::InvalidRefreshToken, DEVICE),
    row("invalid_target", "", C::ScopeInvalid, RESOURCE),
    // Tokens that are bound to a key are not supported: the operator must switch that off
    // at the provider.
    row("invalid_dpop_proof", "", C::ClientMisconfigured, DPOP),
    row("use_dpop_nonce", "", C::ClientMisconfigured, DPOP),
];

const DPOP: &str = "https://www.rfc-editor.org/rfc/rfc9449#section-5";

const KEYCLOAK_TOKENS: &str = "https://github.com/keycloak/keycloak/blob/26.4.0/services/src/main/java/org/keycloak/protocol/oidc/TokenManager.java";
const KEYCLOAK_ENDPOINT: &str = "https://github.com/keycloak/keycloak/blob/26.4.0/services/src/main/java/org/keycloak/protocol/oidc/endpoints/TokenEndpoint.java";
const KEYCLOAK_REALMS: &str = "https://github.com/keycloak/keycloak/blob/26.4.0/services/src/main/java/org/keycloak/services/resources/RealmsResource.java";

#[rustfmt::skip]
const KEYCLOAK: &[ErrorRow] = &[
    // The grant works again when the person is enabled.
    row("invalid_grant", "user disabled", C::AccountDisabled, KEYCLOAK_TOKENS),
    row("invalid_grant", "account is not fully set up", C::InteractionRequired, KEYCLOAK_ENDPOINT),
    row("invalid_grant", "account disabled", C::AccountDisabled, KEYCLOAK_ENDPOINT),
    row("invalid_scope", "client no longer has requested consent", C::ConsentRequired, KEYCLOAK_TOKENS),
    // The person lacks the role for offline access.
    row("not_allowed", "", C::BlockedByAdmin, KEYCLOAK_TOKENS),
    row("access_denied", "realm not enabled", C::ProviderUnavailable, KEYCLOAK_ENDPOINT),
    row("invalid_request", "realm not enabled", C::ProviderUnavailable, KEYCLOAK_ENDPOINT),
    row("realm does not exist", "", C::ClientMisconfigured, KEYCLOAK_REALMS),
    row("unauthorized_client", "client disabled", C::ClientMisconfigured, KEYCLOAK_ENDPOINT),
];

const DEX_REFRESH: &str = "https://github.com/dexidp/dex/blob/master/server/refreshhandlers.go";

/// Dex never sends `invalid_grant`.
#[rustfmt::skip]
const DEX: &[ErrorRow] = &[
    row("invalid_request", "refresh token is invalid or has already been claimed", C::InvalidRefreshToken, DEX_REFRESH),
    row("invalid_request", "refresh token expired", C::InvalidRefreshToken, DEX_REFRESH),
];

const FOSITE: &str = "https://github.com/ory/fosite/blob/master/errors.go";

#[rustfmt::skip]
const HYDRA: &[ErrorRow] = &[
    row("token_inactive", "", C::InvalidRefreshToken, FOSITE),
    row("token_expired", "", C::InvalidRefreshToken, FOSITE),
];

const AUTH0: &str = "https://auth0.com/docs/secure/tokens/refresh-tokens/use-refresh-tokens";
const AUTH0_BLOCK: &str =
    "https://auth0.com/docs/manage-users/user-accounts/block-and-unblock-users";
const AUTH0_MFA: &str = "https://auth0.com/docs/secure/multi-factor-authentication/authenticate-using-ropg-flow-with-mfa";

#[rustfmt::skip]
const AUTH0_ROWS: &[ErrorRow] = &[
    row("unauthorized", "user is blocked", C::AccountDisabled, AUTH0_BLOCK),
    row("access_denied", "unknown or invalid refresh token", C::InvalidRefreshToken, AUTH0),
    row("mfa_required", "", C::InteractionRequired, AUTH0_MFA),
    row("too_many_attempts", "", C::RateLimit, AUTH0_BLOCK),
];

const OKTA_CODES: &str = "https://developer.okta.com/docs/reference/error-codes/";

#[rustfmt::skip]
const OKTA: &[ErrorRow] = &[
    row("e0000047", "", C::RateLimit, OKTA_CODES),
    row("e0000009", "", C::ProviderUnavailable, OKTA_CODES),
];

const GITHUB: &str = "https://docs.github.com/apps/oauth-apps/maintaining-oauth-apps/troubleshooting-oauth-app-access-token-request-errors";
const SLACK: &str = "https://docs.slack.dev/reference/methods/oauth.v2.access";
const SALESFORCE: &str =
    "https://help.salesforce.com/s/articleView?id=xcloud.remoteaccess_oauth_flow_errors.htm";
const LINKEDIN: &str =
    "https://learn.microsoft.com/linkedin/shared/authentication/programmatic-refresh-tokens";
const META: &str =
    "https://developers.facebook.com/docs/facebook-login/guides/access-tokens/debugging";
const ZITADEL: &str =
    "https://github.com/zitadel/zitadel/blob/main/internal/command/oidc_session.go";

/// Providers with a few error codes of their own.
#[rustfmt::skip]
const OTHERS: &[ErrorRow] = &[
    row("bad_refresh_token", "", C::InvalidRefreshToken, GITHUB),
    row("incorrect_client_credentials", "", C::ClientMisconfigured, GITHUB),
    row("invalid_refresh_token", "", C::InvalidRefreshToken, SLACK),
    row("token_revoked", "", C::InvalidRefreshToken, SLACK),
    row("account_inactive", "", C::AccountDisabled, SLACK),
    row("invalid_client_id", "", C::ClientMisconfigured, SLACK),
    row("bad_client_secret", "", C::ClientMisconfigured, SLACK),
    row("ratelimited", "", C::RateLimit, SLACK),
    row("inactive_user", "", C::AccountDisabled, SALESFORCE),
    row("inactive_org", "", C::AccountDisabled, SALESFORCE),
    row("rate_limit_exceeded", "", C::RateLimit, SALESFORCE),
    row("invalid_request", "grant or refresh token is invalid, expired or revoked", C::InvalidRefreshToken, LINKEDIN),
    row("oauthexception", "session has been invalidated", C::InvalidRefreshToken, META),
    row("server_error", "errors.oidcsession.refreshtokeninvalid", C::InvalidRefreshToken, ZITADEL),
    row("invalid_request", "errors.oidcsession.refreshtokeninvalid", C::InvalidRefreshToken, ZITADEL),
];

/// Families of providers that are not built in.
const FAMILIES: [(&str, &[ErrorRow]); 6] = [
    ("keycloak", KEYCLOAK),
    ("dex", DEX),
    ("hydra", HYDRA),
    ("auth0", AUTH0_ROWS),
    ("okta", OKTA),
    ("others", OTHERS),
];

/// Every family with its rows: the standards, the built-in providers, the others.
fn families() -> impl Iterator<Item = (&'static str, &'static [ErrorRow])> {
    let built_in = BUILT_IN.into_iter().map(|known| (known.name, known.errors));
    std::iter::once(("standard", STANDARD))
        .chain(built_in)
        .chain(FAMILIES)
}

/// The table in Markdown.
pub(super) fn markdown() -> String {
    let mut text = String::from(
        "| family | error | the description has | verdict | source |\n\
         | --- | --- | --- | --- | --- |\n",
    );
    for (family, rows) in families() {
        for row in rows {
            let (error, description) = (row.error, row.description);
            let (class, source) = (row.class, row.source);
            // Writing into a `String` does not fail.
            let _ = writeln!(
                text,
                "| {family} | `{error}` | {description} | `{class}` | <{source}> |"
            );
        }
    }
    text
}

/// The class of an error code, in lower case, with its description. `None` if the table
/// does not contain the code.
pub(super) fn class_of(code: &str, description: Option<&str>) -> Option<C> {
    let given = description.unwrap_or_default().to_lowercase();
    let rows = || {
        let all = families().flat_map(|(_, rows)| rows.iter());
        all.filter(|row| row.error == code)
    };
    rows()
        .find(|row| !row.description.is_empty() && given.contains(row.description))
        .or_else(|| rows().find(|row| row.description.is_empty()))
        .map(|row| row.class)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_a_source_and_is_found() {
        for (family, rows) in families() {
            for row in rows {
                assert!(row.source.starts_with("https://"), "{family} {}", row.error);
                assert_eq!(row.error, row.error.to_lowercase(), "{family}");
                assert_eq!(row.description, row.description.to_lowercase(), "{family}");
                assert_eq!(
                    class_of(row.error, Some(row.description)),
                    Some(row.class),
                    "{family} {} {}",
                    row.error,
                    row.description
                );
            }
        }
    }
}
