//! Login CSRF and session fixation (RFC 9700 section 4.7, RFC 6749 section 10.12, RP5): a
//! callback is accepted only in the browser and session that started its flow.

use latchkey_demo_provider::{Decision, Endpoint, Flavour};

use crate::support::{APP, PROVIDERS, TestApp, assert_nothing_written, refusal, with_cookies_of};

const SESSION: &str = "__Host-latchkey-session";

/// A callback of the attacker's flow, sent to the victim as a link, does not sign the
/// victim in as the attacker.
#[tokio::test]
async fn login_csrf_a_callback_of_another_browser_signs_nobody_in() {
    let app = TestApp::start().await;
    let signed_in = app.signed_in("ada").await;
    for (path, flavour) in PROVIDERS {
        let token_requests = app.demo.count(flavour, Endpoint::Token);
        let link = app
            .run_flow_to_callback(&mut app.browser(), path, &Decision::allow("mallory"))
            .await;
        for victim in [app.browser(), signed_in.clone()] {
            let mut victim = victim.json();
            let session = victim.session().map(str::to_owned);
            let response = assert_nothing_written(&app, async || victim.get(&link).await).await;
            assert_eq!(
                refusal(&response),
                (400, "flow_unknown".to_owned()),
                "{path}"
            );
            assert_eq!(victim.session().map(str::to_owned), session, "{path}");
        }
        assert_eq!(
            app.demo.count(flavour, Endpoint::Token),
            token_requests,
            "{path}"
        );
    }
}

/// A session cookie that the attacker planted does not become the victim's session.
#[tokio::test]
async fn session_fixation_a_planted_session_is_replaced_and_ended() {
    let app = TestApp::start().await;
    let attacker = app.signed_in("grace").await;
    let fixed = attacker.session().unwrap().to_owned();
    let mut victim = with_cookies_of(&app.browser(), &attacker);
    let response = app
        .run_flow(
            &mut victim,
            "/auth/google?prompt=consent",
            &Decision::allow("ada"),
        )
        .await;
    assert_eq!(response.location(), APP);
    assert_ne!(victim.session(), Some(fixed.as_str()));
    assert_eq!(victim.me().await.unwrap()["email"], "ada@acme.example");
    assert!(
        attacker.clone().me().await.is_none(),
        "the planted session has ended"
    );
}

/// A made-up session secret is not valid, and a sign-in does not reuse it.
#[tokio::test]
async fn session_fixation_a_made_up_session_is_refused() {
    let app = TestApp::start().await;
    let made_up = "A".repeat(43);
    let mut victim = app.browser();
    victim.cookies.insert(SESSION.to_owned(), made_up.clone());
    assert!(victim.me().await.is_none());
    app.run_flow(
        &mut victim,
        "/auth/google?prompt=consent",
        &Decision::allow("ada"),
    )
    .await;
    assert_ne!(victim.session(), Some(made_up.as_str()));
    let mut other = app.browser();
    other.cookies.insert(SESSION.to_owned(), made_up);
    assert!(other.me().await.is_none());
}

/// The attributes of the cookies: for this host only, not readable by scripts, and not
/// sent with cross-site requests.
#[tokio::test]
async fn no_sibling_host_can_plant_a_cookie() {
    let app = TestApp::start().await;
    let mut browser = app.browser();
    let start = browser.get("/auth/google?prompt=consent").await;
    let mut lines = start.set_cookies();
    let callback = app.decide(&start.location(), &Decision::allow("ada")).await;
    lines.extend(browser.get(&callback).await.set_cookies());
    assert!(lines.len() >= 3, "{lines:?}");
    for line in lines.iter().filter(|line| !line.starts_with("tokenPair=")) {
        for needed in ["__Host-", "Path=/", "Secure", "HttpOnly", "SameSite=Lax"] {
            assert!(line.contains(needed), "{needed}: {line}");
        }
        assert!(!line.to_ascii_lowercase().contains("domain="), "{line}");
    }
}

/// The attacker's flow cookie in the victim's browser does not connect the victim's mailbox
/// to the attacker's account.
#[tokio::test]
async fn a_connect_flow_planted_in_anothers_browser_is_refused() {
    let app = TestApp::start().await;
    let mut attacker = app.signed_in("grace").await;
    let victim = app.signed_in("ada").await;
    let link = attacker.start_through_page("/auth/google-apis").await;
    let mut flow_only = attacker.clone();
    flow_only.cookies.shift_remove(SESSION);
    let mut victim = with_cookies_of(&victim, &flow_only).json();
    let callback = app.decide(&link, &Decision::allow("ada")).await;
    let token_requests = app.demo.count(Flavour::Google, Endpoint::Token);
    let response = assert_nothing_written(&app, async || victim.get(&callback).await).await;
    assert_eq!(refusal(&response), (403, "session_changed".to_owned()));
    assert_eq!(
        app.demo.count(Flavour::Google, Endpoint::Token),
        token_requests
    );
}
