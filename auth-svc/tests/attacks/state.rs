use latchkey_demo_provider::{Decision, Endpoint, Flavour};

use crate::support::{APP, RowCounts, TestApp};

// R4, WP3
#[tokio::test]
async fn a_forged_state_is_refused_and_writes_nothing() {
    let app = TestApp::start().await;
    let mut browser = app.browser();
    let callback = app
        .run_flow_to_callback(&mut browser, "/auth/google", &Decision::allow("ada"))
        .await;
    let plain = "/auth/google/redirect?code=x&state=eyJ3b3Jrc3BhY2VJZCI6IjEifQ";
    let state = url::Url::parse(&format!("http://x{callback}")).unwrap();
    let state = state
        .query_pairs()
        .find(|(name, _)| name == "state")
        .unwrap()
        .1
        .into_owned();
    let other = callback.replace(&state, &state.chars().rev().collect::<String>());
    for forged in [
        plain,
        &other,
        "/auth/google/redirect?code=x",
        "/auth/google/redirect",
    ] {
        let response = browser.clone().json().get(forged).await;
        assert_eq!(
            (response.status, response.code().as_str()),
            (400, "flow_unknown"),
            "{forged}"
        );
    }
    let page = browser.clone().get(plain).await;
    assert!(
        page.body.contains("start again") && page.body.contains("href=\"/auth/google\""),
        "{}",
        page.body
    );
    assert_eq!(app.row_counts().await, RowCounts::NOTHING);
    assert_eq!(
        app.demo.count(Flavour::Google, Endpoint::Token),
        0,
        "a forgery causes no token request"
    );
    // The legitimate flow still works.
    assert_eq!(browser.get(&callback).await.location(), APP);
}

// R4
#[tokio::test]
async fn a_state_swapped_between_browsers_is_refused() {
    let app = TestApp::start().await;
    let (mut one, mut other) = (app.browser(), app.browser().json());
    let first = app
        .run_flow_to_callback(&mut one, "/auth/google", &Decision::allow("ada"))
        .await;
    app.run_flow_to_callback(&mut other, "/auth/google", &Decision::allow("grace"))
        .await;
    let response = other.get(&first).await;
    assert_eq!(
        (response.status, response.code().as_str()),
        (400, "flow_unknown")
    );
    // Renaming a stolen cookie does not help.
    let value = other.cookies.values().next().unwrap().clone();
    let name = one.cookies.keys().next().unwrap().clone();
    other.cookies.insert(name, value);
    assert_eq!(other.get(&first).await.code(), "flow_unknown");
    assert_eq!(app.row_counts().await, RowCounts::NOTHING);
}

// R4, RP14
#[tokio::test]
async fn a_callback_works_once() {
    let app = TestApp::start().await;
    let mut browser = app.browser();
    let callback = app
        .run_flow_to_callback(&mut browser, "/auth/google", &Decision::allow("ada"))
        .await;
    let kept = browser.clone();
    assert_eq!(browser.get(&callback).await.status, 302);
    assert_eq!(browser.flows(), 0, "the flow cookie is removed");
    assert_eq!(browser.json().get(&callback).await.code(), "flow_unknown");
    // With the cookie kept, the callback is refused before a token request, because a
    // provider revokes the tokens of a code that it sees twice.
    let replay = kept.clone().json().get(&callback).await;
    assert_eq!(
        (replay.status, replay.code().as_str()),
        (400, "flow_finished")
    );
    assert_eq!(app.demo.count(Flavour::Google, Endpoint::Token), 1);
    assert_eq!(app.row_counts().await, RowCounts::ONE_SIGN_IN);
    let (flow,): (uuid::Uuid,) = sqlx::query_as("SELECT flow_id FROM auth.spent_flow")
        .fetch_one(app.database.pool())
        .await
        .unwrap();
    let event = sqlx::query("SELECT 1 FROM auth.outbox WHERE event_id = $1")
        .bind(latchkey_domain::EventId::derived(flow, "user.authenticated").as_uuid())
        .execute(app.database.pool())
        .await
        .unwrap();
    assert_eq!(event.rows_affected(), 1);
}

// R4
#[tokio::test]
async fn a_used_flow_is_refused_even_with_a_new_code() {
    let app = TestApp::start().await;
    let mut browser = app.browser();
    let start = browser.get("/auth/google").await.location();
    let kept = browser.clone();
    let first = app.decide(&start, &Decision::allow("ada")).await;
    let second = app.decide(&start, &Decision::allow("ada")).await;
    assert_eq!(browser.get(&first).await.status, 302);
    let response = kept.json().get(&second).await;
    assert_eq!(
        (response.status, response.code().as_str()),
        (400, "flow_finished")
    );
    assert_eq!(app.row_counts().await, RowCounts::ONE_SIGN_IN);
}

// R4
#[tokio::test]
async fn parallel_tabs_work_and_are_limited() {
    let app = TestApp::start().await;
    let mut browser = app.browser();
    let google = app
        .run_flow_to_callback(
            &mut browser,
            "/auth/google?returnTo=/a",
            &Decision::allow("ada"),
        )
        .await;
    let microsoft = app
        .run_flow_to_callback(
            &mut browser,
            "/auth/microsoft?returnTo=/b",
            &Decision::allow("ada"),
        )
        .await;
    assert_eq!(browser.flows(), 2);
    assert_eq!(browser.get(&google).await.location(), format!("{APP}a"));
    assert_eq!(browser.get(&microsoft).await.location(), format!("{APP}b"));
    for _ in 0..9 {
        browser.get("/auth/google?prompt=login").await;
    }
    assert_eq!(browser.flows(), auth_svc::login::flow_cookie::MAX_FLOWS);
}

/// A flow is bound to its provider, and each provider has its own redirect URI.
// RP1, RP4
#[tokio::test]
async fn one_providers_answer_is_not_taken_at_anothers_callback() {
    let app = TestApp::start().await;
    let mut browser = app.browser();
    let callback = app
        .run_flow_to_callback(&mut browser, "/auth/google", &Decision::allow("ada"))
        .await;
    for other in ["/auth/microsoft/redirect", "/auth/oidc/demo/redirect"] {
        let mixed = callback.replace("/auth/google/redirect", other);
        let response = browser.clone().json().get(&mixed).await;
        assert_eq!(
            (response.status, response.code().as_str()),
            (400, "flow_unknown")
        );
    }
    let reserved = callback.replace("/auth/google/redirect", "/auth/oidc/google/redirect");
    assert_eq!(browser.json().get(&reserved).await.status, 404);
    assert_eq!(app.row_counts().await, RowCounts::NOTHING);
}
