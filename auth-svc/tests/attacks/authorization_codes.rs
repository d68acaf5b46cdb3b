//! Stolen, injected and replayed authorization codes, and PKCE downgrades (RFC 9700
//! sections 2.1.1, 4.5 and 4.8).

use latchkey_demo_provider::{Decision, Endpoint, Flavour, Misbehaviour as M};

use crate::support::{
    PROVIDERS, RowCounts, TestApp, assert_nothing_written, parameter, refusal, with_parameter,
};

/// Injects the victim's code into the attacker's own flow and returns the refusals.
async fn inject(app: &TestApp) -> Vec<(u16, String)> {
    let mut refusals = Vec::new();
    for (path, _) in PROVIDERS {
        let stolen = app
            .run_flow_to_callback(&mut app.browser(), path, &Decision::allow("ada"))
            .await;
        let mut attacker = app.browser().json();
        let own = app
            .run_flow_to_callback(&mut attacker, path, &Decision::allow("grace"))
            .await;
        let injected = with_parameter(&own, "code", &parameter(&stolen, "code"));
        let response = assert_nothing_written(app, async || attacker.get(&injected).await).await;
        assert!(attacker.session().is_none());
        refusals.push(refusal(&response));
    }
    refusals
}

/// RFC 9700 section 4.5: PKCE binds a code to the flow that requested it.
#[tokio::test]
async fn an_injected_code_is_refused() {
    let app = TestApp::start().await;
    for refusal in inject(&app).await {
        assert_eq!(refusal, (400, "code_refused".to_owned()));
    }
}

/// If a provider ignores PKCE, the nonce still binds the ID token to the flow.
#[tokio::test]
async fn an_injected_code_is_refused_also_where_the_provider_ignores_pkce() {
    let app = TestApp::start().await;
    for (_, flavour) in PROVIDERS {
        app.demo.misbehave(flavour, Some(M::IgnoresPkce));
    }
    for refusal in inject(&app).await {
        assert_eq!(refusal, (400, "identity_not_proven".to_owned()));
    }
}

/// RP3, RFC 9700 section 4.8, for a client: only S256 is used, and a provider that announces
/// only `plain` is not used.
#[tokio::test]
async fn pkce_is_not_downgraded_by_what_a_provider_announces() {
    let app = TestApp::start().await;
    for (path, flavour) in PROVIDERS {
        app.demo.misbehave(flavour, Some(M::AnnouncesPlainPkce));
        let start =
            assert_nothing_written(&app, async || app.browser().json().get(path).await).await;
        assert!(start.status >= 500, "{path}");
        assert!(start.set_cookies().is_empty(), "{path}");
    }
    let app = TestApp::start().await;
    for (path, _) in PROVIDERS {
        let start = app.browser().get(path).await;
        assert_eq!(
            start.parameter("code_challenge_method").as_deref(),
            Some("S256")
        );
        assert_eq!(start.parameter("code_challenge").unwrap().len(), 43);
    }
}

/// RFC 9700 section 4.8.2: the attacker removes the challenge from the victim's
/// authorization request.
#[tokio::test]
async fn a_removed_challenge_fails_the_sign_in() {
    let app = TestApp::start().await;
    for (path, _) in PROVIDERS {
        let mut victim = app.browser().json();
        let start = victim.get(path).await.location();
        let mut stripped = url::Url::parse(&start).unwrap();
        let kept: Vec<(String, String)> = stripped
            .query_pairs()
            .filter(|(name, _)| !name.starts_with("code_challenge"))
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        stripped.query_pairs_mut().clear().extend_pairs(kept);
        let callback = app.decide(stripped.as_str(), &Decision::allow("ada")).await;
        let response = assert_nothing_written(&app, async || victim.get(&callback).await).await;
        assert_eq!(refusal(&response).0, 502, "{path}");
    }
}

/// RFC 9700 section 4.5: of several simultaneous callbacks with one code only one is
/// accepted, even if the provider accepts a code twice.
#[tokio::test]
async fn a_callback_replayed_at_the_same_moment_signs_in_once() {
    for how in [None, Some(M::ReusableCodes)] {
        let app = TestApp::start().await;
        app.demo.misbehave(Flavour::Google, how);
        replayed_at_once(&app).await;
    }
}

async fn replayed_at_once(app: &TestApp) {
    let mut browser = app.browser().json();
    let callback = app
        .run_flow_to_callback(&mut browser, "/auth/google", &Decision::allow("ada"))
        .await;
    let calls = (0..8).map(|_| {
        let (mut browser, callback) = (browser.clone(), callback.clone());
        tokio::spawn(async move { browser.get(&callback).await.status })
    });
    let mut taken = 0;
    for call in calls.collect::<Vec<_>>() {
        taken += usize::from(call.await.unwrap() == 302);
    }
    assert_eq!(taken, 1);
    assert_eq!(app.row_counts().await, RowCounts::ONE_SIGN_IN);
}

/// RFC 6749 section 4.1.3: a code of the connect flow is not valid for a sign-in.
#[tokio::test]
async fn a_code_of_one_redirect_uri_is_refused_at_another() {
    let app = TestApp::start().await;
    let mut browser = app.signed_in("ada").await.json();
    let connect = app
        .run_flow_to_callback(&mut browser, "/auth/google-apis", &Decision::allow("eve"))
        .await;
    let mut attacker = app.browser().json();
    let own = app
        .run_flow_to_callback(&mut attacker, "/auth/google", &Decision::allow("grace"))
        .await;
    let injected = with_parameter(&own, "code", &parameter(&connect, "code"));
    let response = assert_nothing_written(&app, async || attacker.get(&injected).await).await;
    assert_eq!(refusal(&response), (400, "code_refused".to_owned()));
}

/// RFC 9700 section 2.1.1: an error and an empty code cause no token request.
#[tokio::test]
async fn a_callback_without_a_code_sends_no_token_request() {
    let app = TestApp::start().await;
    let mut browser = app.browser().json();
    let callback = app
        .run_flow_to_callback(&mut browser, "/auth/google", &Decision::allow("ada"))
        .await;
    for broken in [
        with_parameter(&callback, "code", ""),
        with_parameter(&callback, "error", "access_denied"),
    ] {
        let response =
            assert_nothing_written(&app, async || browser.clone().get(&broken).await).await;
        assert!(refusal(&response).0 >= 400);
    }
    assert_eq!(app.demo.count(Flavour::Google, Endpoint::Token), 0);
}
