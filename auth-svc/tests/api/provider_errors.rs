use latchkey_demo_provider::{Decision, Endpoint, Fault, Flavour, Misbehaviour};

use crate::support::{APP, RowCounts, TestApp};

// R1: each response says what happened, and nothing is written
#[tokio::test]
async fn an_error_of_the_provider_becomes_an_answer_that_says_what_to_do() {
    let app = TestApp::start().await;
    for (error, status, code) in [
        ("access_denied", 403, "access_denied"),
        ("consent_required", 401, "interaction_required"),
        ("login_required", 401, "interaction_required"),
        ("admin_policy_enforced", 403, "blocked_by_admin"),
        ("temporarily_unavailable", 503, "provider_unavailable"),
        ("server_error", 503, "provider_unavailable"),
        ("invalid_scope", 502, "provider_misconfigured"),
        ("unauthorized_client", 502, "provider_misconfigured"),
        ("<script>alert(1)</script>", 502, "provider_error"),
    ] {
        let mut browser = app.browser().json();
        let response = app
            .run_flow(&mut browser, "/auth/google", &Decision::error(error))
            .await;
        assert_eq!(
            (response.status, response.code().as_str()),
            (status, code),
            "{error}"
        );
        assert!(!response.body.contains("script"), "{}", response.body);
        assert_eq!(browser.flows(), 0, "the flow has ended");
    }
    let mut browser = app.browser();
    let page = app
        .run_flow(&mut browser, "/auth/google", &Decision::deny())
        .await;
    assert!(page.body.contains("You did not give access") && page.body.contains("Try again"));
    assert_eq!(app.row_counts().await, RowCounts::NOTHING);
}

#[tokio::test]
async fn a_callback_without_a_code_is_refused() {
    let app = TestApp::start().await;
    let mut browser = app.browser().json();
    let callback = app
        .run_flow_to_callback(&mut browser, "/auth/google", &Decision::allow("ada"))
        .await;
    let (before, after) = callback.split_once("code=").unwrap();
    let rest = after.split_once('&').map_or("", |(_, rest)| rest);
    for without in [format!("{before}{rest}"), format!("{before}code=&{rest}")] {
        let response = browser.clone().get(&without).await;
        assert_eq!(
            (response.status, response.code().as_str()),
            (400, "code_missing"),
            "{without}"
        );
    }
}

#[tokio::test]
async fn an_injected_code_is_refused() {
    let app = TestApp::start().await;
    // The code of one flow in the callback of another: PKCE binds a code to its flow.
    let stolen = app
        .run_flow_to_callback(&mut app.browser(), "/auth/google", &Decision::allow("ada"))
        .await;
    let mut browser = app.browser().json();
    let own = app
        .run_flow_to_callback(&mut browser, "/auth/google", &Decision::allow("grace"))
        .await;
    let code = |callback: &str| {
        let url = url::Url::parse(&format!("http://x{callback}")).unwrap();
        let found = url.query_pairs().find(|(name, _)| name == "code").unwrap();
        url::form_urlencoded::byte_serialize(found.1.as_bytes()).collect::<String>()
    };
    let injected = own.replace(&code(&own), &code(&stolen));
    assert_ne!(injected, own);
    let response = browser.get(&injected).await;
    assert_eq!(
        (response.status, response.code().as_str()),
        (400, "code_refused")
    );
    assert_eq!(app.row_counts().await, RowCounts::NOTHING);
}

#[tokio::test]
async fn an_error_at_the_token_endpoint_is_reported_and_the_next_sign_in_works() {
    let app = TestApp::start().await;
    for (fault, status, code) in [
        (
            Fault::on(Endpoint::Token).answering(503, "<html>down</html>"),
            503,
            "provider_unavailable",
        ),
        (
            Fault::on(Endpoint::Token).answering(200, "<html>hello</html>"),
            502,
            "provider_error",
        ),
        (
            Fault::on(Endpoint::Token).reset(),
            503,
            "provider_unavailable",
        ),
        (
            Fault::on(Endpoint::Token).answering(401, r#"{"error":"invalid_client"}"#),
            502,
            "provider_misconfigured",
        ),
    ] {
        app.demo.inject(fault.of(Flavour::Google).times(5));
        let mut browser = app.browser().json();
        let response = app
            .run_flow(&mut browser, "/auth/google", &Decision::allow("ada"))
            .await;
        assert_eq!((response.status, response.code().as_str()), (status, code));
        app.demo.forget_faults();
    }
    assert_eq!(app.row_counts().await, RowCounts::NOTHING);
    let mut browser = app.browser();
    let first = app
        .run_flow(&mut browser, "/auth/google", &Decision::allow("ada"))
        .await;
    // If a response with a refresh token was lost, consent is requested again.
    let done = if first.location() == APP {
        first
    } else {
        let callback = app.decide(&first.location(), &Decision::allow("ada")).await;
        browser.get(&callback).await
    };
    assert_eq!(done.location(), APP);
}

#[tokio::test]
async fn an_unreachable_provider_is_reported_at_the_start() {
    let app = TestApp::start_with(&[("AUTH_OIDC_DEMO_ISSUER", "http://127.0.0.1:1/gone")]).await;
    let response = app.browser().json().get("/auth/oidc/demo").await;
    assert_eq!(
        (response.status, response.code().as_str()),
        (503, "provider_unavailable")
    );
}

#[tokio::test]
async fn a_wrong_callback_path_says_how_to_find_the_right_one() {
    let app = TestApp::start().await;
    let response = app
        .browser()
        .get("/auth/google/callback?code=x&state=y")
        .await;
    assert_eq!(response.status, 404);
    assert!(
        response.body.contains("latchkey redirect-uris"),
        "{}",
        response.body
    );
    let response = app.browser().json().get("/auth/oidc/unknown").await;
    assert_eq!(
        (response.status, response.code().as_str()),
        (404, "provider_not_configured")
    );
}

#[tokio::test]
async fn a_permanent_fault_of_a_provider_is_not_reported_as_temporary() {
    for (how, status, code) in [
        (
            Misbehaviour::EncryptedIdToken,
            502,
            "provider_misconfigured",
        ),
        (
            Misbehaviour::WrongDiscoveryIssuer,
            502,
            "provider_misconfigured",
        ),
    ] {
        let app = TestApp::start().await;
        app.demo.misbehave(Flavour::Oidc, Some(how));
        let mut browser = app.browser().json();
        let response = match how {
            Misbehaviour::WrongDiscoveryIssuer => browser.get("/auth/oidc/demo").await,
            _ => {
                app.run_flow(&mut browser, "/auth/oidc/demo", &Decision::allow("ada"))
                    .await
            }
        };
        assert_eq!((response.status, response.code().as_str()), (status, code));
    }
    let app = TestApp::start().await;
    let nowhere = Fault::on(Endpoint::Discovery).of(Flavour::Oidc);
    app.demo.inject(nowhere.answering(404, ""));
    let response = app.browser().json().get("/auth/oidc/demo").await;
    assert_eq!(
        (response.status, response.code().as_str()),
        (502, "provider_misconfigured")
    );
    app.demo.change(|settings| {
        let large = "a".repeat(300 * 1024);
        settings
            .token_answer
            .insert("access_token".to_owned(), large.into());
    });
    let mut browser = app.browser().json();
    let response = app
        .run_flow(&mut browser, "/auth/oidc/demo", &Decision::allow("ada"))
        .await;
    assert_eq!(
        (response.status, response.code().as_str()),
        (502, "token_too_large")
    );
}
