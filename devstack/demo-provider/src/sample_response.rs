//! Named samples of token responses of real providers.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;

/// A sample of a response to a refresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleResponse {
    /// Name of the sample.
    pub name: &'static str,
    /// HTTP status.
    pub status: u16,
    /// Body: HTML, JSON or a form, which its first character shows.
    pub body: &'static str,
    /// Number of spaces after the body.
    pub padding: usize,
}

const fn sample(name: &'static str, status: u16, body: &'static str) -> SampleResponse {
    SampleResponse {
        name,
        status,
        body,
        padding: 0,
    }
}

const HTML: &str = "<!doctype html><title>Proxy</title>";

impl SampleResponse {
    /// All samples.
    #[rustfmt::skip]
    pub const ALL: &[Self] = &[
        // The grant is dead.
        sample("rfc_invalid_grant", 400, r#"{"error":"invalid_grant"}"#),
        sample("invalid_grant_under_200", 200, r#"{"error":"invalid_grant"}"#),
        sample("invalid_grant_under_401", 401, r#"{"error":"invalid_grant"}"#),
        sample("invalid_grant_and_more", 400, r#"{"error":"invalid_grant: Token expired"}"#),
        sample("invalid_grant_in_capitals", 400, r#"{"error":"INVALID_GRANT"}"#),
        sample("invalid_grant_nested", 400, r#"{"error":{"code":"invalid_grant","message":"expired"}}"#),
        sample("invalid_grant_listed", 400, r#"{"errors":[{"code":"invalid_grant","message":"expired"}]}"#),
        sample("invalid_grant_after_a_mark", 400, "\u{feff}{\"error\":\"invalid_grant\"}"),
        sample("invalid_grant_as_a_form", 400, "error=invalid_grant&error_description=It+is+expired"),
        sample("invalid_token_under_400", 400, r#"{"error":"invalid_token"}"#),
        sample("invalid_token_under_401", 401, r#"{"error":"invalid_token"}"#),
        sample("bad_refresh_token_under_400", 400, r#"{"error":"bad_refresh_token"}"#),
        sample("github_as_a_form", 200, "error=bad_refresh_token&error_description=The+refresh+token+passed+is+incorrect+or+expired."),
        sample("github_as_json", 200, r#"{"error":"bad_refresh_token","error_description":"The refresh token passed is incorrect or expired."}"#),
        sample("slack_invalid_refresh_token", 200, r#"{"ok":false,"error":"invalid_refresh_token"}"#),
        sample("slack_token_revoked", 200, r#"{"ok":false,"error":"token_revoked"}"#),
        sample("hubspot_bad_refresh_token", 400, r#"{"status":"BAD_REFRESH_TOKEN","message":"missing or invalid refresh token"}"#),
        sample("salesforce_expired", 400, r#"{"error":"invalid_grant","error_description":"expired access/refresh token"}"#),
        sample("auth0_unknown_token", 403, r#"{"error":"invalid_grant","error_description":"Unknown or invalid refresh token."}"#),
        sample("okta_expired", 400, r#"{"error":"invalid_grant","error_description":"The refresh token is invalid or expired."}"#),
        sample("keycloak_session_not_active", 400, r#"{"error":"invalid_grant","error_description":"Session not active"}"#),
        sample("keycloak_stale_token", 400, r#"{"error":"invalid_grant","error_description":"Stale token"}"#),
        sample("keycloak_reuse", 400, r#"{"error":"invalid_grant","error_description":"Maximum allowed refresh token reuse exceeded"}"#),
        sample("dex_claimed", 400, r#"{"error":"invalid_request","error_description":"Refresh token is invalid or has already been claimed by another client."}"#),
        sample("dex_expired", 400, r#"{"error":"invalid_request","error_description":"Refresh token expired."}"#),
        sample("hydra_token_inactive", 401, r#"{"error":"token_inactive","error_description":"Token is inactive because it is malformed, expired or otherwise invalid."}"#),
        sample("zitadel_refresh_token_invalid", 400, r#"{"error":"invalid_request","error_description":"Errors.OIDCSession.RefreshTokenInvalid"}"#),
        sample("linkedin_revoked", 400, r#"{"error":"invalid_request","error_description":"The provided authorization grant or refresh token is invalid, expired or revoked"}"#),
        sample("google_revoked", 400, r#"{"error":"invalid_grant","error_description":"Token has been expired or revoked."}"#),
        // The person must act.
        sample("google_rapt", 400, r#"{"error":"invalid_grant","error_subtype":"invalid_rapt"}"#),
        sample("auth0_mfa_required", 403, r#"{"error":"mfa_required"}"#),
        sample("interaction_required", 400, r#"{"error":"interaction_required"}"#),
        sample("consent_required", 400, r#"{"error":"consent_required"}"#),
        sample("keycloak_consent_withdrawn", 400, r#"{"error":"invalid_scope","error_description":"Client no longer has requested consent from user"}"#),
        // An administrator can undo the cause.
        sample("keycloak_user_disabled", 400, r#"{"error":"invalid_grant","error_description":"User disabled"}"#),
        sample("keycloak_not_allowed", 400, r#"{"error":"not_allowed","error_description":"Offline tokens not allowed for the user or client"}"#),
        sample("okta_policy", 400, r#"{"error":"access_denied","error_description":"Policy evaluation failed for this request, please check the policy configurations."}"#),
        sample("auth0_user_blocked", 403, r#"{"error":"unauthorized","error_description":"user is blocked"}"#),
        sample("google_account_deleted", 400, r#"{"error":"invalid_grant","error_description":"Account has been deleted"}"#),
        sample("google_admin_policy", 400, r#"{"error":"admin_policy_enforced"}"#),
        sample("slack_account_inactive", 200, r#"{"ok":false,"error":"account_inactive"}"#),
        sample("salesforce_inactive_user", 400, r#"{"error":"inactive_user","error_description":"user is inactive"}"#),
        // The reason is unknown.
        sample("dex_person_gone", 500, r#"{"error":"invalid_request"}"#),
        sample("slack_not_ok", 200, r#"{"ok":false}"#),
        sample("unknown_word_under_400", 400, r#"{"error":"something_new"}"#),
        sample("unknown_word_under_401", 401, r#"{"error":"refresh_token_reused"}"#),
        sample("unknown_word_under_200", 200, r#"{"error":"something_new"}"#),
        sample("google_permission_denied", 403, r#"{"error":{"code":403,"status":"PERMISSION_DENIED","message":"no"}}"#),
        sample("json_under_422", 422, "{}"),
        // The operator must act.
        sample("invalid_client", 401, r#"{"error":"invalid_client"}"#),
        sample("unauthorized_client", 400, r#"{"error":"unauthorized_client"}"#),
        sample("google_deleted_client", 401, r#"{"error":"deleted_client"}"#),
        sample("keycloak_realm_gone", 404, r#"{"error":"Realm does not exist"}"#),
        sample("json_under_401", 401, "{}"),
        sample("invalid_request", 400, r#"{"error":"invalid_request","error_description":"A parameter is missing."}"#),
        sample("unsupported_grant_type", 400, r#"{"error":"unsupported_grant_type"}"#),
        sample("invalid_scope", 400, r#"{"error":"invalid_scope"}"#),
        // The provider is faulty.
        sample("keycloak_realm_disabled", 403, r#"{"error":"access_denied","error_description":"Realm not enabled"}"#),
        sample("dex_down", 500, r#"{"error":"server_error"}"#),
        sample("temporarily_unavailable", 503, r#"{"error":"temporarily_unavailable"}"#),
        sample("framework_500", 500, r#"{"error":"Internal Server Error","status":500}"#),
        sample("empty_500", 500, ""),
        sample("page_500", 500, HTML),
        sample("page_502", 502, HTML),
        sample("empty_503", 503, ""),
        sample("empty_504", 504, ""),
        sample("json_under_404", 404, "{}"),
        sample("empty_408", 408, ""),
        sample("empty_429", 429, ""),
        sample("okta_rate_limit", 429, r#"{"errorCode":"E0000047","errorSummary":"API call exceeded rate limit"}"#),
        sample("rate_limit_under_403", 403, r#"{"error":"rate_limit_exceeded"}"#),
        sample("slack_ratelimited", 200, r#"{"ok":false,"error":"ratelimited"}"#),
        sample("page_400", 400, HTML),
        sample("page_403", 403, HTML),
        sample("page_404", 404, HTML),
        sample("redirect", 302, ""),
        sample("page_200", 200, HTML),
        sample("empty_200", 200, ""),
        sample("empty_204", 204, ""),
        sample("no_fields", 200, "{}"),
        sample("a_list", 200, "[]"),
        Self { name: "too_large", status: 200, body: "{}", padding: 1100 * 1024 },
        // The response has tokens.
        sample("only_a_refresh_token", 200, r#"{"refresh_token":"rotated"}"#),
        sample("error_with_a_refresh_token", 200, r#"{"error":"temporarily_unavailable","refresh_token":"rotated"}"#),
        sample("token_of_another_type", 200, r#"{"access_token":"new","token_type":"mac","refresh_token":"rotated"}"#),
        sample("token", 200, r#"{"access_token":"new","token_type":"Bearer","expires_in":3600}"#),
        sample("token_and_rotation", 200, r#"{"access_token":"new","token_type":"Bearer","expires_in":3600,"refresh_token":"rotated"}"#),
        sample("token_under_201", 201, r#"{"access_token":"new","token_type":"bearer","expires_in":"3600"}"#),
        sample("token_after_a_mark", 200, "\u{feff}{\"access_token\":\"new\",\"expires_in\":3600}"),
        sample("token_as_a_form", 200, "access_token=new&token_type=bearer&expires_in=3600"),
        sample("token_with_an_empty_scope", 200, r#"{"access_token":"new","expires_in":3600,"scope":""}"#),
        sample("token_with_commas", 200, r#"{"access_token":"new","expires_in":3600,"scope":"openid,email,mail.read"}"#),
        sample("token_beside_a_null_error", 200, r#"{"access_token":"new","expires_in":3600,"error":null}"#),
    ];

    /// Returns the sample with this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        Self::ALL.iter().find(|sample| sample.name == name)
    }

    pub(crate) fn to_response(self) -> HttpResponse {
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
    fn every_sample_is_found_by_its_name() {
        let names: BTreeSet<_> = SampleResponse::ALL.iter().map(|one| one.name).collect();
        assert_eq!(names.len(), SampleResponse::ALL.len());
        for one in SampleResponse::ALL {
            assert_eq!(SampleResponse::named(one.name), Some(one));
        }
        assert_eq!(SampleResponse::named("nobody's"), None);
    }
}
