//! Error responses and their classes (R32).

use http::HeaderMap;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use FailureClass as C;

const GOOGLE: &dyn Quirks = &crate::google::Google;
const MICROSOFT: &dyn Quirks = &crate::microsoft::Microsoft;
const PLAIN: &dyn Quirks = &crate::quirks::Plain;

fn answer(status: u16, body: &str) -> Response {
    Response {
        status: StatusCode::from_u16(status).unwrap(),
        headers: HeaderMap::new(),
        body: body.as_bytes().to_vec(),
    }
}

fn class(quirks: &dyn Quirks, status: u16, body: &str) -> C {
    refusal(
        quirks,
        &answer(status, body),
        OffsetDateTime::UNIX_EPOCH,
        &[],
    )
    .class
}

fn error(quirks: &dyn Quirks, error: &str) -> C {
    class(quirks, 400, &json!({ "error": error }).to_string())
}

fn numbered(error: &str, number: u64) -> C {
    let body = json!({
        "error": error, "error_codes": [number],
        "error_description": format!("AADSTS{number}: text"),
    });
    class(MICROSOFT, 400, &body.to_string())
}

#[test]
fn invalid_refresh_token() {
    assert_eq!(error(GOOGLE, "invalid_grant"), C::InvalidRefreshToken);
    assert_eq!(error(PLAIN, "invalid_grant"), C::InvalidRefreshToken);
    for number in [
        70000, 70008, 700_082, 50173, 50089, 50132, 50133, 700_084, 1,
    ] {
        assert_eq!(
            numbered("invalid_grant", number),
            C::InvalidRefreshToken,
            "{number}"
        );
    }
}

#[test]
fn reauth_policy() {
    let body = r#"{"error":"invalid_grant","error_subtype":"invalid_rapt"}"#;
    assert_eq!(class(GOOGLE, 400, body), C::ReauthPolicy);
    assert_eq!(numbered("invalid_grant", 70043), C::ReauthPolicy);
}

#[test]
fn interaction_required_passes_the_claims_on() {
    for number in [50072, 50074, 50076, 50078, 50079, 50158] {
        assert_eq!(
            numbered("invalid_grant", number),
            C::InteractionRequired,
            "{number}"
        );
    }
    let body = r#"{"error":"interaction_required","claims":"{\"access_token\":{}}"}"#;
    let refused = refusal(
        MICROSOFT,
        &answer(400, body),
        OffsetDateTime::UNIX_EPOCH,
        &[],
    );
    assert_eq!(refused.class, C::InteractionRequired);
    assert_eq!(refused.claims.as_deref(), Some(r#"{"access_token":{}}"#));
}

#[test]
fn consent_required() {
    for number in [65001, 65004] {
        assert_eq!(numbered("invalid_grant", number), C::ConsentRequired);
    }
    assert_eq!(error(PLAIN, "consent_required"), C::ConsentRequired);
}

#[test]
fn blocked_by_admin() {
    assert_eq!(error(GOOGLE, "admin_policy_enforced"), C::BlockedByAdmin);
    assert_eq!(error(GOOGLE, "org_internal"), C::BlockedByAdmin);
    for number in [
        53000, 53001, 53002, 53003, 530_032, 530_035, 50105, 500_212, 500_213,
    ] {
        assert_eq!(
            numbered("invalid_grant", number),
            C::BlockedByAdmin,
            "{number}"
        );
        assert_eq!(
            numbered("interaction_required", number),
            C::BlockedByAdmin,
            "{number}"
        );
    }
}

#[test]
fn account_disabled() {
    for number in [50057, 50034, 51004] {
        assert_eq!(
            numbered("invalid_grant", number),
            C::AccountDisabled,
            "{number}"
        );
    }
}

// WP10: an expired client secret marks no grant.
#[test]
fn client_misconfigured_is_not_terminal() {
    for code in ["invalid_client", "deleted_client", "unauthorized_client"] {
        assert_eq!(error(GOOGLE, code), C::ClientMisconfigured);
        let body = json!({ "error": code }).to_string();
        assert_eq!(class(PLAIN, 401, &body), C::ClientMisconfigured);
    }
    for number in [
        70001, 70002, 700_011, 700_016, 700_027, 7_000_112, 7_000_215, 7_000_222,
    ] {
        assert_eq!(
            numbered("invalid_client", number),
            C::ClientMisconfigured,
            "{number}"
        );
        assert_eq!(
            numbered("invalid_grant", number),
            C::ClientMisconfigured,
            "{number}"
        );
    }
    assert_eq!(numbered("invalid_client", 700_082), C::ClientMisconfigured);
    assert_eq!(class(GOOGLE, 401, "{}"), C::Unauthorized);
    assert_eq!(class(GOOGLE, 401, "<html>"), C::Unauthorized);
}

#[test]
fn request_rejected() {
    assert_eq!(error(GOOGLE, "invalid_request"), C::RequestRejected);
    assert_eq!(error(GOOGLE, "unsupported_grant_type"), C::RequestRejected);
    for number in [900_144, 90014, 70003, 9_002_313] {
        assert_eq!(
            numbered("invalid_request", number),
            C::RequestRejected,
            "{number}"
        );
    }
}

#[test]
fn scope_invalid() {
    assert_eq!(error(GOOGLE, "invalid_scope"), C::ScopeInvalid);
    for number in [70011, 28002, 500_011, 650_057] {
        assert_eq!(
            numbered("invalid_scope", number),
            C::ScopeInvalid,
            "{number}"
        );
        assert_eq!(
            numbered("invalid_request", number),
            C::ScopeInvalid,
            "{number}"
        );
    }
}

#[test]
fn throttling_waits_for_retry_after_or_a_minute() {
    for (quirks, status, body) in [
        (GOOGLE, 429, "{}"),
        (GOOGLE, 429, "<html>"),
        (GOOGLE, 429, r#"{"error":"invalid_grant"}"#),
        (
            GOOGLE,
            403,
            r#"{"error":{"errors":[{"reason":"userRateLimitExceeded"}]}}"#,
        ),
        (GOOGLE, 403, r#"{"error":"rate_limit_exceeded"}"#),
        (
            MICROSOFT,
            400,
            r#"{"error":"invalid_grant","error_codes":[50196]}"#,
        ),
        (
            MICROSOFT,
            400,
            r#"{"error":"invalid_grant","error_codes":[90055]}"#,
        ),
        (
            MICROSOFT,
            400,
            r#"{"error":"invalid_grant","error_description":"AADSTS50196: loop"}"#,
        ),
    ] {
        let mut answer = answer(status, body);
        let refused = refusal(quirks, &answer, OffsetDateTime::UNIX_EPOCH, &[]);
        assert_eq!(refused.class, C::RateLimit, "{body}");
        assert_eq!(refused.retry_after, Some(Duration::from_mins(1)), "{body}");
        answer.headers.insert("retry-after", "7".parse().unwrap());
        let refused = refusal(quirks, &answer, OffsetDateTime::UNIX_EPOCH, &[]);
        assert_eq!(refused.retry_after, Some(Duration::from_secs(7)), "{body}");
    }
}

#[test]
fn provider_unavailable() {
    for status in [500, 502, 503, 504] {
        for body in ["", "<html>", r#"{"error":"invalid_grant"}"#] {
            assert_eq!(
                class(GOOGLE, status, body),
                C::ProviderUnavailable,
                "{status} {body}"
            );
        }
    }
    assert_eq!(
        error(MICROSOFT, "temporarily_unavailable"),
        C::ProviderUnavailable
    );
    for number in [50033, 50087, 70012, 90006, 90012, 90024, 90033, 90090] {
        assert_eq!(
            numbered("invalid_grant", number),
            C::ProviderUnavailable,
            "{number}"
        );
    }
}

#[test]
fn failures_before_and_after_sending_differ() {
    let of = |one: HttpFailure| failure(&one).class;
    assert_eq!(of(HttpFailure::NotSent("dns".into())), C::Network);
    assert_eq!(
        of(HttpFailure::NoResponse("reset".into())),
        C::OutcomeUnknown
    );
    assert_eq!(of(HttpFailure::TooLarge), C::MalformedResponse);
}

#[test]
fn a_page_or_a_redirect_is_malformed_and_an_unknown_code_is_unknown() {
    assert_eq!(class(GOOGLE, 400, "<html>"), C::MalformedResponse);
    assert_eq!(class(GOOGLE, 302, ""), C::MalformedResponse);
    assert_eq!(error(GOOGLE, "something_new"), C::Unknown);
    assert_eq!(class(GOOGLE, 404, "{}"), C::ProviderUnavailable);
    assert_eq!(class(GOOGLE, 422, "{}"), C::Unknown);
    // A number alone never ends a grant.
    assert_eq!(numbered("something_new", 700_082), C::Unknown);
    // Numbers are read from responses of Microsoft only.
    let body = r#"{"error":"invalid_grant","error_codes":[50196]}"#;
    assert_eq!(class(GOOGLE, 400, body), C::InvalidRefreshToken);
}

#[test]
fn texts_of_the_provider_are_bounded_and_printable() {
    let odd = "a\nb\u{202e}\u{2028}";
    let body = json!({"error": "e".repeat(1000), "error_description": odd.repeat(1000)});
    let refused = refusal(
        GOOGLE,
        &answer(400, &body.to_string()),
        OffsetDateTime::UNIX_EPOCH,
        &[],
    );
    assert_eq!(refused.code.unwrap().len(), 100);
    let description = refused.description.unwrap();
    assert!(description.len() == 300 && description.is_ascii());
    assert!(!description.contains('\n'), "{description}");
}

// R35
#[test]
fn secrets_of_the_request_are_redacted() {
    let echo = format!("{} the token s3cret/token is odd", "x".repeat(290));
    for text in [echo.as_str(), "s3cret/token", "token=s3cret%2Ftoken&x=1"] {
        let body = json!({"error": "s3cret/token", "error_description": text}).to_string();
        let sent = ["s3cret/token", ""];
        let answer = answer(400, &body);
        let refused = refusal(GOOGLE, &answer, OffsetDateTime::UNIX_EPOCH, &sent);
        assert!(!format!("{refused:?}").contains("s3cret"), "{refused:?}");
    }
}

// Dead grants with other error codes than those of RFC 6749.
#[test]
fn a_dead_grant_is_recognised_in_every_dialect() {
    for (status, body) in [
        (200, r#"{"error":"invalid_grant"}"#),
        (200, r#"{"ok":false,"error":"invalid_refresh_token"}"#),
        (
            200,
            "error=bad_refresh_token&error_description=It+is+expired.",
        ),
        (400, r#"{"error":"invalid_token"}"#),
        (401, r#"{"error":"invalid_token"}"#),
        (400, r#"{"error":"bad_refresh_token"}"#),
        (400, r#"{"error":"invalid_grant: Token expired"}"#),
        (
            400,
            r#"{"error":{"code":"invalid_grant","message":"expired"}}"#,
        ),
        (400, "\u{feff}{\"error\":\"invalid_grant\"}"),
        (
            403,
            r#"{"error":"invalid_grant","error_description":"Unknown or invalid refresh token."}"#,
        ),
        (
            400,
            r#"{"error":"invalid_request","error_description":"Refresh token is invalid or has already been claimed by another client."}"#,
        ),
        (
            400,
            r#"{"error":"invalid_request","error_description":"Refresh token expired."}"#,
        ),
    ] {
        assert_eq!(class(PLAIN, status, body), C::InvalidRefreshToken, "{body}");
    }
}

// Dex responds like this if the person is deleted or refused by its upstream provider.
#[test]
fn an_error_about_a_grant_under_a_500_is_no_outage() {
    assert_eq!(
        class(PLAIN, 500, r#"{"error":"invalid_request"}"#),
        C::Unknown
    );
    for body in [
        r#"{"error":"server_error"}"#,
        r#"{"error":"Internal Server Error","status":500}"#,
        "{}",
        "<html>",
        "",
    ] {
        assert_eq!(class(PLAIN, 500, body), C::ProviderUnavailable, "{body}");
    }
    assert_eq!(
        class(PLAIN, 503, r#"{"error":"invalid_request"}"#),
        C::ProviderUnavailable
    );
}

#[test]
fn descriptions_of_keycloak_are_recognised() {
    let of = |status, error: &str, description: &str| {
        let body = json!({"error": error, "error_description": description});
        class(PLAIN, status, &body.to_string())
    };
    assert_eq!(
        of(400, "invalid_grant", "User disabled"),
        C::AccountDisabled
    );
    assert_eq!(
        of(400, "invalid_grant", "Session not active"),
        C::InvalidRefreshToken
    );
    assert_eq!(
        of(
            400,
            "not_allowed",
            "Offline tokens not allowed for the user or client"
        ),
        C::BlockedByAdmin
    );
    assert_eq!(
        of(403, "access_denied", "Realm not enabled"),
        C::ProviderUnavailable
    );
    assert_eq!(of(404, "Realm does not exist", ""), C::ClientMisconfigured);
}

// A gateway does not know whether the provider has used the refresh token.
#[test]
fn an_error_of_a_gateway_leaves_the_outcome_unknown() {
    let delivered = |status, body: &str| {
        refusal(
            PLAIN,
            &answer(status, body),
            OffsetDateTime::UNIX_EPOCH,
            &[],
        )
        .delivery
    };
    assert_eq!(delivered(504, ""), Delivery::Unanswered);
    assert_eq!(delivered(502, "<html>"), Delivery::Unanswered);
    assert_eq!(delivered(500, ""), Delivery::Unanswered);
    assert_eq!(delivered(503, ""), Delivery::Refused);
    assert_eq!(
        delivered(500, r#"{"error":"server_error"}"#),
        Delivery::Refused
    );
    assert_eq!(
        delivered(400, r#"{"error":"invalid_grant"}"#),
        Delivery::Refused
    );
}

#[test]
fn a_rotated_token_in_an_error_is_kept_and_an_echo_is_not() {
    let body = r#"{"error":"invalid_grant","refresh_token":"new"}"#;
    let kept = |status, sent: &[&str]| {
        let refused = refusal(
            PLAIN,
            &answer(status, body),
            OffsetDateTime::UNIX_EPOCH,
            sent,
        );
        refused.rotated.map(|token| token.expose().to_owned())
    };
    assert_eq!(kept(200, &["old"]).as_deref(), Some("new"));
    assert_eq!(kept(200, &["new"]), None);
    assert_eq!(kept(400, &["old"]), None);
}

proptest! {
    #[test]
    fn no_answer_panics(status in 100_u16..600, body in prop::collection::vec(any::<u8>(), 0..200)) {
        let answer = Response {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body,
        };
        for quirks in [GOOGLE, MICROSOFT, PLAIN] {
            let _ = refusal(quirks, &answer, OffsetDateTime::UNIX_EPOCH, &[]);
        }
    }

    // R32: only the error code ends a grant.
    #[test]
    fn without_an_error_nothing_is_terminal(status in 100_u16..600, number in 0_u64..10_000_000) {
        let body = json!({"error_codes": [number]}).to_string();
        prop_assert!(!class(MICROSOFT, status, &body).is_terminal());
    }
}
