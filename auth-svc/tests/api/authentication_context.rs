//! What an operator requires of the authentication at the provider (`acr_values`, `max_age`), and
//! what a session knows of it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use latchkey_demo_provider::Decision;
use latchkey_domain::{Clock as _, SystemClock};
use serde_json::{Value, json};

use crate::support::{APP, Browser, Response, RowCounts, TestApp};

const OIDC: &str = "/auth/oidc/demo";
const MFA: &str = "urn:example:mfa";

fn now() -> i64 {
    SystemClock.now().unix_timestamp()
}

async fn with(name: &str, value: &str) -> TestApp {
    let name = format!("AUTH_OIDC_DEMO_{name}");
    TestApp::start_with(&[(name.as_str(), value)]).await
}

/// Ada signs in, with these claims of the provider.
async fn ada_signs_in(app: &TestApp, claims: &Value) -> (Response, Browser) {
    let claims = claims.as_object().cloned().unwrap();
    app.demo.set_claims("ada", claims);
    let mut browser = app.browser().json();
    let ada = Decision::allow("ada");
    let response = app.run_flow(&mut browser, OIDC, &ada).await;
    (response, browser)
}

fn claims_of(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

/// Core 3.1.2.1: `acr_values`, `max_age`; RFC 9068 section 2.2.1: the claims of access tokens.
#[tokio::test]
async fn the_requirement_is_sent_and_the_session_knows_what_was_done() {
    let app = TestApp::start_with(&[
        (
            "AUTH_OIDC_DEMO_ACR_VALUES",
            "urn:example:mfa urn:example:key",
        ),
        ("AUTH_OIDC_DEMO_MAX_AGE", "1h"),
    ])
    .await;
    let start = app.browser().get(OIDC).await;
    let acr_values = start.parameter("acr_values");
    assert_eq!(
        acr_values.as_deref(),
        Some("urn:example:mfa urn:example:key")
    );
    assert_eq!(start.parameter("max_age").as_deref(), Some("3600"));
    let google = app.browser().get("/auth/google").await;
    assert_eq!(google.parameter("max_age"), None, "of another provider");

    let before = now();
    let (response, mut browser) = ada_signs_in(&app, &json!({})).await;
    assert_eq!(response.location(), APP, "{}", response.body);
    let claims = claims_of(&browser.access_token().await);
    assert_eq!(claims["acr"], MFA);
    let time = claims["auth_time"].as_i64().unwrap();
    assert!((before..=now()).contains(&time), "{claims}");
}

/// Core 3.1.2.1 makes `acr_values` voluntary; the operator made them a requirement.
#[tokio::test]
async fn an_authentication_of_another_class_signs_nobody_in() {
    let app = with("ACR_VALUES", MFA).await;
    for acr in [json!("0"), json!(null), json!(7), json!("urn:example:MFA")] {
        let (response, browser) = ada_signs_in(&app, &json!({ "acr": acr.clone() })).await;
        assert_eq!(
            (response.status, response.code().as_str()),
            (403, "authentication_not_sufficient"),
            "{acr}"
        );
        assert!(browser.session().is_none());
    }
    assert_eq!(app.row_counts().await, RowCounts::NOTHING);
    let mut browser = app.browser();
    let ada = Decision::allow("ada");
    let page = app.run_flow(&mut browser, OIDC, &ada).await;
    assert!(page.body.contains("second factor"), "{}", page.body);
    assert!(page.body.contains("Try again"), "{}", page.body);
}

/// Core 3.1.3.7, step 13.
#[tokio::test]
async fn an_authentication_that_is_older_than_max_age_and_the_skew_signs_nobody_in() {
    let app = with("MAX_AGE", "1h").await;
    let (response, _) = ada_signs_in(&app, &json!({ "auth_time": now() - 3000 })).await;
    assert_eq!(response.location(), APP);

    let app = with("MAX_AGE", "1h").await;
    let old = json!({ "auth_time": now() - 3700 });
    let (response, browser) = ada_signs_in(&app, &old).await;
    assert_eq!(
        (response.status, response.code().as_str()),
        (403, "authentication_too_old")
    );
    assert!(browser.session().is_none());
    let ada = Decision::allow("ada");
    let page = app.run_flow(&mut app.browser(), OIDC, &ada).await;
    let advice = "Please sign out at the provider";
    assert!(page.body.contains(advice), "{}", page.body);
    assert_eq!(app.row_counts().await, RowCounts::NOTHING);
}

/// Core 2: `auth_time` is required if `max_age` was sent.
#[tokio::test]
async fn a_provider_that_ignores_max_age_is_the_operators_to_correct() {
    let app = with("MAX_AGE", "12h").await;
    let (response, _) = ada_signs_in(&app, &json!({ "auth_time": null })).await;
    assert_eq!(
        (response.status, response.code().as_str()),
        (502, "provider_misconfigured")
    );
    let (response, _) = ada_signs_in(&app, &json!({ "auth_time": now() + 3600 })).await;
    assert_eq!(
        (response.status, response.code().as_str()),
        (400, "identity_not_proven")
    );
    assert_eq!(app.row_counts().await, RowCounts::NOTHING);
}

#[tokio::test]
async fn without_a_requirement_the_session_knows_what_the_provider_says() {
    let app = TestApp::start().await;
    let start = app.browser().get(OIDC).await;
    assert_eq!(start.parameter("acr_values"), None);
    assert_eq!(start.parameter("max_age"), None);
    let (_, mut browser) = ada_signs_in(&app, &json!({ "acr": "1", "auth_time": 7 })).await;
    let claims = claims_of(&browser.access_token().await);
    assert_eq!(
        (&claims["acr"], &claims["auth_time"]),
        (&json!("1"), &json!(7))
    );

    let app = TestApp::start().await;
    let (_, mut browser) = ada_signs_in(&app, &json!({})).await;
    let claims = claims_of(&browser.access_token().await);
    for name in ["acr", "auth_time"] {
        assert_eq!(claims.get(name), None, "{claims}");
    }
}

/// Another mailbox is connected by the same rule as a sign-in.
#[tokio::test]
async fn an_account_is_connected_only_after_a_sufficient_authentication() {
    let app = with("ACR_VALUES", MFA).await;
    let (_, mut browser) = ada_signs_in(&app, &json!({})).await;
    let events = app.row_counts().await.events;
    let claims = json!({ "acr": "0" });
    app.demo
        .set_claims("grace", claims.as_object().cloned().unwrap());
    let path = "/auth/oidc-apis/demo";
    let grace = Decision::allow("grace");
    let response = app.run_flow(&mut browser, path, &grace).await;
    assert_eq!(response.code(), "authentication_not_sufficient");
    assert_eq!(app.row_counts().await.events, events);
}
