//! Answers of token endpoints as real providers write them, each by its name.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;

/// An answer to a refresh, in the words of a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    /// Its name.
    pub name: &'static str,
    /// Status.
    pub status: u16,
    /// Body; a form where it begins like one.
    pub body: &'static str,
    /// Spaces behind the body.
    pub padding: usize,
}

const fn says(name: &'static str, status: u16, body: &'static str) -> Dialect {
    Dialect {
        name,
        status,
        body,
        padding: 0,
    }
}

const HTML: &str = "<!doctype html><title>Proxy</title>";

impl Dialect {
    /// All of them.
    #[rustfmt::skip]
    pub const ALL: &[Self] = &[
        // A grant that is gone.
        says("rfc_invalid_grant", 400, r#"{"error":"invalid_grant"}"#),
        says("invalid_grant_under_200", 200, r#"{"error":"invalid_grant"}"#),
        says("invalid_grant_under_401", 401, r#"{"error":"invalid_grant"}"#),
        says("invalid_grant_and_more", 400, r#"{"error":"invalid_grant: Token expired"}"#),
        says("invalid_grant_in_capitals", 400, r#"{"error":"INVALID_GRANT"}"#),
        says("invalid_grant_nested", 400, r#"{"error":{"code":"invalid_grant","message":"expired"}}"#),
        says("invalid_grant_listed", 400, r#"{"errors":[{"code":"invalid_grant","message":"expired"}]}"#),
        says("invalid_grant_after_a_mark", 400, "\u{feff}{\"error\":\"invalid_grant\"}"),
        says("invalid_grant_as_a_form", 400, "error=invalid_grant&error_description=It+is+expired"),
        says("invalid_token_under_400", 400, r#"{"error":"invalid_token"}"#),
        says("invalid_token_under_401", 401, r#"{"error":"invalid_token"}"#),
        says("bad_refresh_token_under_400", 400, r#"{"error":"bad_refresh_token"}"#),
        says("github_as_a_form", 200, "error=bad_refresh_token&error_description=The+refresh+token+passed+is+incorrect+or+expired."),
        says("github_as_json", 200, r#"{"error":"bad_refresh_token","error_description":"The refresh token passed is incorrect or expired."}"#),
        says("slack_invalid_refresh_token", 200, r#"{"ok":false,"error":"invalid_refresh_token"}"#),
        says("slack_token_revoked", 200, r#"{"ok":false,"error":"token_revoked"}"#),
        says("hubspot_bad_refresh_token", 400, r#"{"status":"BAD_REFRESH_TOKEN","message":"missing or invalid refresh token"}"#),
        says("salesforce_expired", 400, r#"{"error":"invalid_grant","error_description":"expired access/refresh token"}"#),
        says("auth0_unknown_token", 403, r#"{"error":"invalid_grant","error_description":"Unknown or invalid refresh token."}"#),
        says("okta_expired", 400, r#"{"error":"invalid_grant","error_description":"The refresh token is invalid or expired."}"#),
        says("keycloak_session_not_active", 400, r#"{"error":"invalid_grant","error_description":"Session not active"}"#),
        says("keycloak_stale_token", 400, r#"{"error":"invalid_grant","error_description":"Stale token"}"#),
        says("keycloak_reuse", 400, r#"{"error":"invalid_grant","error_description":"Maximum allowed refresh token reuse exceeded"}"#),
        says("dex_claimed", 400, r#"{"error":"invalid_request","error_description":"Refresh token is invalid or has already been claimed by another client."}"#),
        says("dex_expired", 400, r#"{"error":"invalid_request","error_description":"Refresh token expired."}"#),
        says("hydra_token_inactive", 401, r#"{"error":"token_inactive","error_description":"Token is inactive because it is malformed, expired or otherwise invalid."}"#),
        says("zitadel_refresh_token_invalid", 400, r#"{"error":"invalid_request","error_description":"Errors.OIDCSession.RefreshTokenInvalid"}"#),
        says("linkedin_revoked", 400, r#"{"error":"invalid_request","error_description":"The provided authorization grant or refresh token is invalid, expired or revoked"}"#),
        says("google_revoked", 400, r#"{"error":"invalid_grant","error_description":"Token has been expired or revoked."}"#),
        // What only the person can do.
        says("google_rapt", 400, r#"{"error":"invalid_grant","error_subtype":"invalid_rapt"}"#),
        says("auth0_mfa_required", 403, r#"{"error":"mfa_required"}"#),
        says("interaction_required", 400, r#"{"error":"interaction_required"}"#),
        says("consent_required", 400, r#"{"error":"consent_required"}"#),
        says("keycloak_consent_withdrawn", 400, r#"{"error":"invalid_scope","error_description":"Client no longer has requested consent from user"}"#),
        // What an administrator may take back.
        says("keycloak_user_disabled", 400, r#"{"error":"invalid_grant","error_description":"User disabled"}"#),
        says("keycloak_not_allowed", 400, r#"{"error":"not_allowed","error_description":"Offline tokens not allowed for the user or client"}"#),
        says("okta_policy", 400, r#"{"error":"access_denied","error_description":"Policy evaluation failed for this request, please check the policy configurations."}"#),
        says("auth0_user_blocked", 403, r#"{"error":"unauthorized","error_description":"user is blocked"}"#),
        says("google_account_deleted", 400, r#"{"error":"invalid_grant","error_description":"Account has been deleted"}"#),
        says("google_admin_policy", 400, r#"{"error":"admin_policy_enforced"}"#),
        says("slack_account_inactive", 200, r#"{"ok":false,"error":"account_inactive"}"#),
        says("salesforce_inactive_user", 400, r#"{"error":"inactive_user","error_description":"user is inactive"}"#),
        // Refused for no known reason.
        says("dex_person_gone", 500, r#"{"error":"invalid_request"}"#),
        says("slack_not_ok", 200, r#"{"ok":false}"#),
        says("unknown_word_under_400", 400, r#"{"error":"something_new"}"#),
        says("unknown_word_under_401", 401, r#"{"error":"refresh_token_reused"}"#),
        says("unknown_word_under_200", 200, r#"{"error":"something_new"}"#),
        says("google_permission_denied", 403, r#"{"error":{"code":403,"status":"PERMISSION_DENIED","message":"no"}}"#),
        says("json_under_422", 422, "{}"),
        // The operator's.
        says("invalid_client", 401, r#"{"error":"invalid_client"}"#),
        says("unauthorized_client", 400, r#"{"error":"unauthorized_client"}"#),
        says("google_deleted_client", 401, r#"{"error":"deleted_client"}"#),
        says("keycloak_realm_gone", 404, r#"{"error":"Realm does not exist"}"#),
        says("json_under_401", 401, "{}"),
        says("invalid_request", 400, r#"{"error":"invalid_request","error_description":"A parameter is missing."}"#),
        says("unsupported_grant_type", 400, r#"{"error":"unsupported_grant_type"}"#),
        says("invalid_scope", 400, r#"{"error":"invalid_scope"}"#),
        // The provider's.
        says("keycloak_realm_disabled", 403, r#"{"error":"access_denied","error_description":"Realm not enabled"}"#),
        says("dex_down", 500, r#"{"error":"server_error"}"#),
        says("temporarily_unavailable", 503, r#"{"error":"temporarily_unavailable"}"#),
        says("framework_500", 500, r#"{"error":"Internal Server Error","status":500}"#),
        says("empty_500", 500, ""),
        says("page_500", 500, HTML),
        says("page_502", 502, HTML),
        says("empty_503", 503, ""),
        says("empty_504", 504, ""),
        says("json_under_404", 404, "{}"),
        says("empty_408", 408, ""),
        says("empty_429", 429, ""),
        says("okta_rate_limit", 429, r#"{"errorCode":"E0000047","errorSummary":"API call exceeded rate limit"}"#),
        says("rate_limit_under_403", 403, r#"{"error":"rate_limit_exceeded"}"#),
        says("slack_ratelimited", 200, r#"{"ok":false,"error":"ratelimited"}"#),
        says("page_400", 400, HTML),
        says("page_403", 403, HTML),
        says("page_404", 404, HTML),
        says("redirect", 302, ""),
        says("page_200", 200, HTML),
        says("empty_200", 200, ""),
        says("empty_204", 204, ""),
        says("no_fields", 200, "{}"),
        says("a_list", 200, "[]"),
        Self { name: "too_large", status: 200, body: "{}", padding: 1100 * 1024 },
        // Tokens, all or some.
        says("only_a_refresh_token", 200, r#"{"refresh_token":"rotated"}"#),
        says("error_with_a_refresh_token", 200, r#"{"error":"temporarily_unavailable","refresh_token":"rotated"}"#),
        says("token_of_another_type", 200, r#"{"access_token":"new","token_type":"mac","refresh_token":"rotated"}"#),
        says("token", 200, r#"{"access_token":"new","token_type":"Bearer","expires_in":3600}"#),
        says("token_and_rotation", 200, r#"{"access_token":"new","token_type":"Bearer","expires_in":3600,"refresh_token":"rotated"}"#),
        says("token_under_201", 201, r#"{"access_token":"new","token_type":"bearer","expires_in":"3600"}"#),
        says("token_after_a_mark", 200, "\u{feff}{\"access_token\":\"new\",\"expires_in\":3600}"),
        says("token_as_a_form", 200, "access_token=new&token_type=bearer&expires_in=3600"),
        says("token_with_an_empty_scope", 200, r#"{"access_token":"new","expires_in":3600,"scope":""}"#),
        says("token_with_commas", 200, r#"{"access_token":"new","expires_in":3600,"scope":"openid,email,mail.read"}"#),
        says("token_beside_a_null_error", 200, r#"{"access_token":"new","expires_in":3600,"error":null}"#),
    ];

    /// The dialect of a name.
    pub fn named(name: &str) -> Option<&'static Self> {
        Self::ALL.iter().find(|dialect| dialect.name == name)
    }

    pub(crate) fn answer(&self) -> HttpResponse {
        let kind = match self.body.bytes().next() {
            Some(b'<') => "text/html; charset=utf-8",
            Some(first) if first.is_ascii_alphabetic() => "application/x-www-form-urlencoded",
            _ => "application/json",
        };
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::BAD_REQUEST);
        HttpResponse::build(status)
            .content_type(kind)
            .body(self.body.to_owned() + &" ".repeat(self.padding))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_dialect_is_found_by_its_name() {
        let names: BTreeSet<_> = Dialect::ALL.iter().map(|one| one.name).collect();
        assert_eq!(names.len(), Dialect::ALL.len());
        for one in Dialect::ALL {
            assert_eq!(Dialect::named(one.name), Some(one));
        }
        assert_eq!(Dialect::named("nobody's"), None);
    }
}
