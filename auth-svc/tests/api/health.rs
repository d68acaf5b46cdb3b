use crate::support::TestApp;

// R15
#[tokio::test]
async fn health_readiness_and_version_are_reported() {
    let app = TestApp::start().await;
    assert_eq!(app.operator("/healthz").await.status, 200);
    assert_eq!(app.operator("/readyz").await.status, 200);
    let version = app.operator("/version").await.json();
    assert_eq!(version["service"], "auth-svc");
    assert!(version["git_commit"].is_string() && version["version"].is_string());
}

// R15
#[tokio::test]
async fn the_public_port_shows_constant_health_and_neither_readiness_nor_version() {
    let app = TestApp::start().await;
    let away =
        TestApp::start_with(&[("DATABASE_URL", "postgres://nobody:x@127.0.0.1:1/none")]).await;
    for app in [&app, &away] {
        let mut browser = app.browser();
        for path in ["/readyz", "/version", "/metrics"] {
            assert_eq!(browser.get(path).await.status, 404, "{path}");
        }
        let alive = browser.get("/healthz").await;
        assert_eq!(
            (alive.status, alive.body.as_str()),
            (200, r#"{"status":"alive"}"#)
        );
    }
}

// R12 R15
#[tokio::test]
async fn an_unavailable_broker_is_reported_and_prevents_no_sign_in() {
    let app = TestApp::start().await;
    let response = app.operator("/readyz").await;
    assert_eq!(response.status, 200, "{}", response.body);
    let checks = response.json();
    let broker = checks["checks"]
        .as_array()
        .unwrap()
        .iter()
        .find(|check| check["name"] == "broker")
        .unwrap();
    assert_eq!(broker["ready"], false);
}

// R15
#[tokio::test]
async fn without_the_database_the_service_is_not_ready_and_a_callback_says_so() {
    let app =
        TestApp::start_with(&[("DATABASE_URL", "postgres://nobody:x@127.0.0.1:1/none")]).await;
    let mut browser = app.browser().json();
    assert_eq!(app.operator("/readyz").await.status, 503);
    assert_eq!(browser.get("/healthz").await.status, 200);
    let decision = latchkey_demo_provider::Decision::allow("ada");
    let response = app.run_flow(&mut browser, "/auth/google", &decision).await;
    assert_eq!(
        (response.status, response.code().as_str()),
        (503, "database_unavailable")
    );
    assert!(response.headers.contains_key("retry-after"));
}

// R14, R39
#[tokio::test]
async fn without_the_database_a_sign_out_fails_and_can_be_repeated() {
    let app =
        TestApp::start_with(&[("DATABASE_URL", "postgres://nobody:x@127.0.0.1:1/none")]).await;
    let mut browser = app.browser().json();
    let session = ("__Host-latchkey-session".to_owned(), "A".repeat(43));
    browser.cookies.extend([session]);
    let response = browser.post("/auth/sign-out").await;
    assert_eq!(
        (response.status, response.code().as_str()),
        (503, "database_unavailable")
    );
    assert!(response.headers.contains_key("retry-after"));
    assert!(browser.session().is_some(), "the cookie was removed");
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let app = TestApp::start().await;
    let mut browser = app.browser();
    for path in [
        "/",
        "/auth/google",
        "/auth/google/redirect",
        "/nothing",
        "/healthz",
        "/auth/sign-in",
    ] {
        let response = browser.get(path).await;
        let header = |name: &str| {
            response
                .headers
                .get(name)
                .and_then(|v| v.to_str().ok())
                .unwrap_or_default()
        };
        assert!(
            header("content-security-policy").contains("default-src 'none'"),
            "{path}"
        );
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header("x-frame-options"), "DENY", "{path}");
        assert_eq!(header("referrer-policy"), "same-origin", "{path}");
        assert!(
            header("strict-transport-security").contains("max-age"),
            "{path}"
        );
        assert!(!header("cache-control").is_empty(), "{path}");
        assert!(
            !response.body.contains("<script") && !response.body.contains("style="),
            "{path}"
        );
    }
}

#[tokio::test]
async fn request_sizes_are_limited() {
    let app = TestApp::start().await;
    let mut browser = app.browser();
    let long = format!("/auth/google?returnTo=/{}", "a".repeat(11_000));
    assert_eq!(browser.get(&long).await.status, 414);
    browser.cookies.insert("x".to_owned(), "a".repeat(30_000));
    assert_eq!(browser.get("/").await.status, 431);
}
