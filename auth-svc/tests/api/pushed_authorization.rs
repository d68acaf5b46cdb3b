//! Pushed authorization requests (RFC 9126).

use std::sync::Arc;

use latchkey_demo_provider::{Decision, DemoError, Endpoint, Fault, Flavour};
use latchkey_domain::{Clock as _, ManualClock, SystemClock};
use url::Url;

use crate::support::{APP, RowCounts, TestApp};

const OIDC: &str = "/auth/oidc/demo";
const SWITCH: &str = "AUTH_OIDC_DEMO_PUSHED_AUTHORIZATION_REQUESTS";

fn pushed(app: &TestApp) -> u64 {
    app.demo.count(Flavour::Oidc, Endpoint::PushedAuthorization)
}

fn names(url: &str) -> Vec<String> {
    let url = Url::parse(url).unwrap();
    let names = url.query_pairs().map(|(name, _)| name.into_owned());
    names.collect()
}

/// RFC 9126 sections 4 and 5.
#[tokio::test]
async fn a_provider_that_requires_it_gets_the_request_before_the_browser_leaves() {
    let app = TestApp::start().await;
    app.demo
        .change(|settings| settings.require_pushed_authorization = true);
    let start = app.browser().get(&format!("{OIDC}?locale=de")).await;
    assert_eq!(start.status, 302, "{}", start.body);
    assert_eq!(names(&start.location()), ["client_id", "request_uri"]);
    let client = start.parameter("client_id");
    assert_eq!(client.as_deref(), Some(app.demo.client_id()));
    assert_eq!(pushed(&app), 1);

    let mut browser = app.browser();
    let ada = Decision::allow("ada");
    let response = app.run_flow(&mut browser, OIDC, &ada).await;
    assert_eq!(response.location(), APP);
    assert_eq!(browser.me().await.unwrap()["email"], "ada@acme.example");
    assert_eq!(pushed(&app), 2, "each start pushes one request");
    // Other providers are not concerned.
    let google = app.browser().get("/auth/google").await;
    assert!(google.parameter("state").is_some());
}

/// A further trip, which asks for consent, is pushed too.
#[tokio::test]
async fn the_request_for_consent_is_pushed_too() {
    let app = TestApp::start_with(&[
        ("AUTH_OIDC_DEMO_SCOPES", "openid email profile"),
        ("AUTH_OIDC_DEMO_MESSAGING_SCOPES", "mail.read"),
        // The demo provider gives a refresh token for `offline_access` only.
        ("AUTH_OIDC_DEMO_OFFLINE", "false"),
        (SWITCH, "always"),
    ])
    .await;
    let ada = Decision::allow("ada");
    let mut browser = app.browser();
    let again = app.run_flow(&mut browser, OIDC, &ada).await.location();
    assert_eq!(names(&again), ["client_id", "request_uri"]);
    assert_eq!(pushed(&app), 2);
    let callback = app.decide(&again, &ada).await;
    assert_eq!(browser.get(&callback).await.location(), APP);
}

#[tokio::test]
async fn it_is_used_where_it_is_configured_and_not_where_it_is_only_announced() {
    for (value, required, used) in [
        ("auto", false, false),
        ("", false, false),
        ("auto", true, true),
        ("always", false, true),
        ("never", false, false),
    ] {
        let app = TestApp::start_with(&[(SWITCH, value)]).await;
        app.demo
            .change(|settings| settings.require_pushed_authorization = required);
        let start = app.browser().get(OIDC).await;
        assert_eq!(start.parameter("request_uri").is_some(), used, "{value:?}");
        assert_eq!(start.parameter("state").is_some(), !used, "{value:?}");
        assert_eq!(pushed(&app), u64::from(used), "{value:?}");
    }
    let app = TestApp::start_with(&[(SWITCH, "never")]).await;
    app.demo
        .change(|settings| settings.require_pushed_authorization = true);
    let refused = app.browser().json().get(OIDC).await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (502, "provider_misconfigured")
    );
}

/// RFC 9126 section 2.3.
#[tokio::test]
async fn a_request_that_is_not_accepted_is_reported_and_the_next_start_works() {
    let app = TestApp::start_with(&[(SWITCH, "always")]).await;
    let fault = |status: u16, body: &str| {
        Fault::on(Endpoint::PushedAuthorization).answering(status, body.to_owned())
    };
    for (fault, status, code) in [
        (fault(503, "<html>down</html>"), 503, "provider_unavailable"),
        (fault(429, ""), 503, "provider_unavailable"),
        (
            fault(400, r#"{"error":"temporarily_unavailable"}"#),
            503,
            "provider_unavailable",
        ),
        (
            Fault::on(Endpoint::PushedAuthorization).reset(),
            503,
            "provider_unavailable",
        ),
        (
            fault(401, r#"{"error":"invalid_client"}"#),
            502,
            "provider_misconfigured",
        ),
        (
            fault(400, r#"{"error":"invalid_request"}"#),
            502,
            "provider_misconfigured",
        ),
        (fault(400, "<html>no</html>"), 502, "provider_error"),
        // Without a reference that can be used.
        (fault(201, "{}"), 502, "provider_error"),
        (fault(200, "<html>hello</html>"), 502, "provider_error"),
        (
            fault(201, r#"{"request_uri":"","expires_in":60}"#),
            502,
            "provider_error",
        ),
        (
            fault(201, r#"{"request_uri":"urn:x","expires_in":0}"#),
            502,
            "provider_error",
        ),
    ] {
        let shown = format!("{fault:?}");
        app.demo.inject(fault.times(5));
        let mut browser = app.browser().json();
        let response = browser.get(OIDC).await;
        assert_eq!(
            (response.status, response.code().as_str()),
            (status, code),
            "{shown}"
        );
        assert_eq!(browser.flows(), 0, "no flow has begun");
        let retry = response.headers.contains_key("retry-after");
        assert_eq!(retry, status == 503, "{shown}");
        app.demo.forget_faults();
    }
    assert_eq!(app.row_counts().await, RowCounts::NOTHING);
    let response = app
        .run_flow(&mut app.browser(), OIDC, &Decision::allow("ada"))
        .await;
    assert_eq!(response.location(), APP);
}

/// RFC 9126 sections 4 and 7.3: the reference is used once and expires.
#[tokio::test]
async fn a_person_whose_request_expired_starts_again() {
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let app = TestApp::start_at(&[(SWITCH, "always")], clock.clone(), clock.clone()).await;
    let mut browser = app.browser();
    let start = browser.get(OIDC).await.location();
    clock.advance(std::time::Duration::from_secs(61));
    let ada = Decision::allow("ada");
    let expired = app.demo.decide(&start, &ada).await;
    assert!(matches!(expired, Err(DemoError::NoRedirect { .. })));
    let response = app.run_flow_by_link(&mut browser, OIDC, &ada).await;
    assert_eq!(response.status, 302, "{}", response.body);
    assert!(browser.me().await.is_some());
}
