//! A returning person whose grant is live signs in without a request for offline access, which
//! makes some providers (Keycloak) end the person's session there.

use latchkey_demo_provider::{Decision, Flavour};
use serde_json::json;

use crate::support::{APP, Browser, Response, TestApp};

const OIDC: &str = "/auth/oidc/demo";
const KNOWN: &str = "__Host-latchkey-known-demo";

/// The provider has a mailbox, for which offline access is requested.
async fn start() -> TestApp {
    TestApp::start_with(&[
        ("AUTH_OIDC_DEMO_SCOPES", "openid email profile"),
        ("AUTH_OIDC_DEMO_MESSAGING_SCOPES", "mail.read"),
    ])
    .await
}

/// Returns whether a start at the page requests offline access, and where it leads.
async fn asks(browser: &mut Browser, path: &str) -> (bool, String) {
    let to = browser.start_through_page(path).await;
    (requests_offline_access(&to), to)
}

fn requests_offline_access(url: &str) -> bool {
    let url = url::Url::parse(url).unwrap();
    let scope = url.query_pairs().find(|(name, _)| name == "scope");
    let scope = scope.unwrap().1.into_owned();
    assert!(scope.split(' ').any(|one| one == "mail.read"), "{scope}");
    scope.split(' ').any(|one| one == "offline_access")
}

/// Ada signs in for the first time, and her grant is stored with these scopes.
async fn ada_connected(app: &TestApp, scopes: &[&str], dead: bool) -> Browser {
    let mut browser = app.browser();
    let ada = Decision::allow("ada");
    let response = app.run_flow(&mut browser, OIDC, &ada).await;
    assert_eq!(response.location(), APP, "one trip");
    app.store_grant(scopes, dead).await;
    browser
}

async fn decided(app: &TestApp, browser: &mut Browser, to: &str, person: &str) -> Response {
    let callback = app.decide(to, &Decision::allow(person)).await;
    browser.get(&callback).await
}

#[tokio::test]
async fn a_returning_person_with_a_live_grant_is_not_asked_for_offline_access() {
    let app = start().await;
    let (asked, to) = asks(&mut app.browser(), OIDC).await;
    assert!(asked, "nobody is known: {to}");
    let mut browser = ada_connected(&app, &["openid", "mail.read"], false).await;
    // Also after a sign-out here.
    browser.cookies.shift_remove("__Host-latchkey-session");
    // A refresh token comes anyway, as at Keycloak. It must not replace the stored one.
    app.demo.change(|settings| {
        let online = json!("online-refresh-token");
        settings.token_answer.insert("refresh_token".into(), online);
    });
    let (asked, to) = asks(&mut browser, OIDC).await;
    assert!(!asked, "{to}");
    let response = decided(&app, &mut browser, &to, "ada").await;
    assert_eq!(response.location(), APP);
    assert!(browser.me().await.is_some());
    let event = app.events().await.pop().unwrap();
    assert!(event.connection.is_none(), "the stored grant stays");
    // A plain link is the same.
    let mut again = browser.clone();
    again.cookies.shift_remove("__Host-latchkey-session");
    let start = again.get(OIDC).await.location();
    assert!(!requests_offline_access(&start), "{start}");
}

#[tokio::test]
async fn a_grant_that_is_dead_or_too_narrow_is_requested_again() {
    for (scopes, dead) in [
        (&["openid", "mail.read"][..], true),
        (&["openid"][..], false),
    ] {
        let app = start().await;
        let mut browser = ada_connected(&app, scopes, dead).await;
        browser.cookies.shift_remove("__Host-latchkey-session");
        let (asked, to) = asks(&mut browser, OIDC).await;
        assert!(asked, "{scopes:?} {dead} {to}");
        let response = decided(&app, &mut browser, &to, "ada").await;
        assert_eq!(response.location(), APP);
        let grant = app.events().await.pop().unwrap().connection.unwrap().grant;
        assert!(!grant.unwrap().sealed_refresh_token.is_empty());
    }
}

/// One more trip, without a further consent, and then no other.
#[tokio::test]
async fn another_person_than_the_expected_one_connects_in_one_more_trip() {
    let app = start().await;
    let mut browser = ada_connected(&app, &["openid", "mail.read"], false).await;
    browser.cookies.shift_remove("__Host-latchkey-session");
    let (asked, to) = asks(&mut browser, OIDC).await;
    assert!(!asked);
    let before = app.row_counts().await;
    let response = decided(&app, &mut browser, &to, "grace").await;
    assert_eq!(app.row_counts().await, before, "nothing is written yet");
    let again = response.location();
    assert!(requests_offline_access(&again), "{again}");
    assert_eq!(response.parameter("prompt"), None);
    let hint = response.parameter("login_hint");
    assert_eq!(hint.as_deref(), Some("grace@acme.example"));
    let response = decided(&app, &mut browser, &again, "grace").await;
    assert_eq!(response.location(), APP);
    let grant = app.events().await.pop().unwrap().connection.unwrap().grant;
    assert!(!grant.unwrap().sealed_refresh_token.is_empty());
    // From now on Grace is the one who is expected.
    browser.cookies.shift_remove("__Host-latchkey-session");
    let (asked, _) = asks(&mut browser, OIDC).await;
    assert!(asked, "her grant is not stored yet");
}

/// The person of the cookie may have lost the grant between the start and the callback.
#[tokio::test]
async fn a_grant_that_ends_during_the_sign_in_is_requested() {
    let app = start().await;
    let mut browser = ada_connected(&app, &["openid", "mail.read"], false).await;
    browser.cookies.shift_remove("__Host-latchkey-session");
    let (asked, to) = asks(&mut browser, OIDC).await;
    assert!(!asked);
    app.change_grant("auth_failed_at = now()").await;
    let response = decided(&app, &mut browser, &to, "ada").await;
    let again = response.location();
    assert!(requests_offline_access(&again), "{again}");
    let response = decided(&app, &mut browser, &again, "ada").await;
    assert_eq!(response.location(), APP);
}

/// R27: the sign-in would not connect it either.
#[tokio::test]
async fn a_disconnected_account_causes_no_further_trip() {
    let app = start().await;
    let mut browser = ada_connected(&app, &["openid", "mail.read"], false).await;
    browser.cookies.shift_remove("__Host-latchkey-session");
    let (_, to) = asks(&mut browser, OIDC).await;
    app.change_grant("sealed_refresh_token = NULL, erased_at = now()")
        .await;
    let response = decided(&app, &mut browser, &to, "ada").await;
    assert_eq!(response.location(), APP);
    assert!(app.events().await.pop().unwrap().connection.is_none());
}

/// What a person chooses is never left out: consent, another account, or one connected again.
#[tokio::test]
async fn what_a_person_chooses_asks_for_offline_access() {
    let app = start().await;
    let browser = ada_connected(&app, &["openid", "mail.read"], false).await;
    for path in [
        "/auth/oidc/demo?prompt=consent",
        "/auth/oidc/demo?reconnect=1",
        "/auth/oidc-apis/demo",
    ] {
        let (asked, to) = asks(&mut browser.clone(), path).await;
        assert!(asked, "{path} {to}");
    }
}

#[tokio::test]
async fn a_cookie_that_this_deployment_did_not_seal_is_ignored() {
    let app = start().await;
    let mut browser = ada_connected(&app, &["openid", "mail.read"], false).await;
    browser.cookies.shift_remove("__Host-latchkey-session");
    let value = browser.cookies[KNOWN].clone();
    assert!(!value.contains("ada"), "{value}");
    // Altered, of another cookie, and of nothing.
    let (head, tail) = value.split_at(value.len() - 4);
    let altered = format!("{head}{}", if tail == "AAAA" { "BBBB" } else { "AAAA" });
    for forged in [altered, "v1.test.AAAA".to_owned(), "{}".to_owned()] {
        let mut forger = browser.clone();
        forger.cookies.insert(KNOWN.to_owned(), forged.clone());
        let (asked, to) = asks(&mut forger, OIDC).await;
        assert!(asked, "{forged} {to}");
    }
    let (asked, _) = asks(&mut browser, OIDC).await;
    assert!(!asked);
}

/// Keycloak ends a session that begins with a request for offline access. The second request finds the
/// session of the first one, so that the person sees no form again.
#[tokio::test]
async fn a_provider_can_be_asked_for_offline_access_after_the_sign_in() {
    let app = TestApp::start_with(&[
        ("AUTH_OIDC_DEMO_SCOPES", "openid email profile"),
        ("AUTH_OIDC_DEMO_MESSAGING_SCOPES", "mail.read"),
        ("AUTH_OIDC_DEMO_OFFLINE", "afterwards"),
    ])
    .await;
    let mut browser = app.browser();
    let (asked, to) = asks(&mut browser, OIDC).await;
    assert!(!asked, "nobody is known: {to}");
    let before = app.row_counts().await;
    let response = decided(&app, &mut browser, &to, "ada").await;
    assert_eq!(app.row_counts().await, before, "nothing is written yet");
    let again = response.location();
    assert!(requests_offline_access(&again), "{again}");
    assert_eq!(response.parameter("prompt"), None);
    let response = decided(&app, &mut browser, &again, "ada").await;
    assert_eq!(response.location(), APP);
    let grant = app.events().await.pop().unwrap().connection.unwrap().grant;
    assert!(!grant.unwrap().sealed_refresh_token.is_empty());

    // Another browser of a person whose grant is stored makes one request.
    app.store_grant(&["openid", "mail.read"], false).await;
    let mut other = app.browser();
    let (asked, to) = asks(&mut other, OIDC).await;
    assert!(!asked, "{to}");
    let response = decided(&app, &mut other, &to, "ada").await;
    assert_eq!(response.location(), APP);
    // What a person chooses to connect is requested at once.
    let (asked, to) = asks(&mut other, "/auth/oidc-apis/demo").await;
    assert!(asked, "{to}");
}

/// Google and Microsoft end no session, and Google requests offline access without a scope.
#[tokio::test]
async fn built_in_providers_are_asked_as_before() {
    let app = TestApp::start().await;
    let mut browser = app.browser();
    let ada = Decision::allow("ada");
    let path = "/auth/microsoft";
    let response = app.run_flow(&mut browser, path, &ada).await;
    assert_eq!(response.location(), APP);
    assert!(browser.cookies.keys().all(|name| !name.contains("-known-")));
    assert_eq!(app.demo.refreshes(Flavour::Microsoft), 0);
}
