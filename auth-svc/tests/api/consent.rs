use latchkey_demo_provider::Decision;

use crate::support::{APP, TestApp};

const MAIL: &str = "https://www.googleapis.com/auth/gmail.readonly";

// R5
#[tokio::test]
async fn a_missing_refresh_token_causes_one_more_request_with_consent() {
    let app = TestApp::start().await;
    app.signed_in("ada").await; // With consent, but the refresh token is not stored.
    let mut browser = app.browser();
    let first = app
        .run_flow(&mut browser, "/auth/google", &Decision::allow("ada"))
        .await;
    assert_eq!(first.parameter("prompt").as_deref(), Some("consent"));
    assert_eq!(
        first.parameter("login_hint").as_deref(),
        Some("ada@acme.example")
    );
    assert_eq!(
        app.row_counts().await.events,
        1,
        "the first flow published an event"
    );
    assert_eq!(browser.flows(), 1, "the first flow has ended");
    let callback = app.decide(&first.location(), &Decision::allow("ada")).await;
    let second = browser.get(&callback).await;
    assert_eq!(second.location(), APP);
    let grant = app
        .events()
        .await
        .pop()
        .unwrap()
        .connection
        .unwrap()
        .grant
        .unwrap();
    assert!(!grant.sealed_refresh_token.is_empty());
}

// R5
#[tokio::test]
async fn consent_is_not_requested_if_a_valid_grant_is_stored() {
    let app = TestApp::start().await;
    app.signed_in("ada").await;
    let wide = app
        .events()
        .await
        .pop()
        .unwrap()
        .connection
        .unwrap()
        .grant
        .unwrap()
        .granted_scopes;
    let wide: Vec<&str> = wide.iter().map(String::as_str).collect();
    app.store_grant(&wide, false).await;
    let response = app
        .run_flow(&mut app.browser(), "/auth/google", &Decision::allow("ada"))
        .await;
    assert_eq!(response.location(), APP);
    let grant = app
        .events()
        .await
        .pop()
        .unwrap()
        .connection
        .unwrap()
        .grant
        .unwrap();
    assert!(
        grant.sealed_refresh_token.is_empty(),
        "the event contains a refresh token"
    );
}

// R5
#[tokio::test]
async fn consent_is_requested_if_the_stored_grant_has_fewer_scopes_or_is_dead() {
    for (scopes, dead) in [(&["openid"][..], false), (&[MAIL][..], true)] {
        let app = TestApp::start().await;
        app.signed_in("ada").await;
        app.store_grant(scopes, dead).await;
        let response = app
            .run_flow(&mut app.browser(), "/auth/google", &Decision::allow("ada"))
            .await;
        assert_eq!(
            response.parameter("prompt").as_deref(),
            Some("consent"),
            "{scopes:?} {dead}"
        );
    }
}

// R27: the refresh token of such a sign-in would not be stored.
#[tokio::test]
async fn consent_is_not_requested_for_a_disconnected_account() {
    let app = TestApp::start().await;
    app.signed_in("ada").await;
    app.store_grant(&[MAIL], false).await;
    for change in [
        "sealed_refresh_token = NULL, erased_at = now()",
        // Connected again on purpose, with a grant that cannot be refreshed.
        "erased_at = NULL",
    ] {
        app.change_grant(change).await;
        let response = app
            .run_flow(&mut app.browser(), "/auth/google", &Decision::allow("ada"))
            .await;
        assert_eq!(response.location(), APP, "{change}");
    }
    // A sign-in can repair a dead grant, and needs a refresh token for that.
    app.change_grant("auth_failed_at = now()").await;
    let response = app
        .run_flow(&mut app.browser(), "/auth/google", &Decision::allow("ada"))
        .await;
    assert_eq!(response.parameter("prompt").as_deref(), Some("consent"));
}

// R5, R27
#[tokio::test]
async fn connecting_again_after_a_disconnect_asks_for_consent() {
    let app = TestApp::start().await;
    let mut browser = app.signed_in("ada").await;
    app.store_grant(&[MAIL], false).await;
    app.change_grant("sealed_refresh_token = NULL, erased_at = now()")
        .await;
    let response = app
        .run_flow(&mut browser, "/auth/google-apis", &Decision::allow("ada"))
        .await;
    assert_eq!(response.parameter("prompt").as_deref(), Some("consent"));
}

// R5 R8: no redirect loop
#[tokio::test]
async fn a_provider_that_never_gives_a_refresh_token_is_asked_at_most_twice() {
    let app = TestApp::start().await;
    let mut browser = app.browser();
    let decision = Decision::allow("ada");
    // Without offline access the provider gives no refresh token.
    let start = browser.start_through_page("/auth/google").await;
    let without = start.replace("access_type=offline", "access_type=online");
    let callback = app.decide(&without, &decision).await;
    let second = browser.get(&callback).await;
    assert_eq!(second.parameter("prompt").as_deref(), Some("consent"));
    let without = second
        .location()
        .replace("access_type=offline", "access_type=online");
    let callback = app.decide(&without, &decision).await;
    let third = browser.get(&callback).await;
    assert_eq!(third.location(), APP);
    assert_eq!(app.row_counts().await.sessions, 1);
}

// R5: any other value of `prompt` goes round without asking for consent.
#[tokio::test]
async fn a_link_asks_the_provider_for_consent_only_by_prompt_consent() {
    let app = TestApp::start().await;
    for provider in ["google", "microsoft", "oidc/demo"] {
        let prompt = async |query: &str| {
            let link = format!("/auth/{provider}{query}");
            app.browser().get(&link).await.parameter("prompt")
        };
        assert_eq!(prompt("?prompt=consent").await.as_deref(), Some("consent"));
        for query in ["", "?prompt=login", "?prompt=CONSENT", "?locale=de"] {
            assert_eq!(prompt(query).await, None, "{provider}{query}");
        }
    }
}
