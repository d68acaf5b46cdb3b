use latchkey_demo_provider::Decision;

use crate::support::{Browser, TestApp};

async fn metrics(app: &TestApp) -> String {
    let response = Browser::new(app.health.clone()).get("/metrics").await;
    assert_eq!(response.status, 200);
    response.body
}

/// Returns `true` if one line contains all of these words.
fn has_line(metrics: &str, words: &[&str]) -> bool {
    metrics
        .lines()
        .any(|line| words.iter().all(|word| line.contains(word)))
}

// R45
#[tokio::test]
async fn requests_and_sign_ins_are_counted_without_personal_data() {
    let app = TestApp::start().await;
    let mut browser = app.browser();
    let allow = Decision::allow("ada");
    app.run_flow(&mut browser, "/auth/google", &allow).await;
    browser.get("/auth/oidc/stranger/redirect?state=x").await;
    browser.get("/stranger").await;

    let metrics = metrics(&app).await;
    for words in [
        [
            "latchkey_sign_ins_total",
            r#"provider="google""#,
            r#"outcome="signed_in""#,
        ],
        [
            "latchkey_sign_ins_total",
            r#"provider="unknown""#,
            "outcome=",
        ],
        [
            "latchkey_http_requests_total",
            r#"route="/auth/{provider}/redirect""#,
            r#"status="302""#,
        ],
        [
            "latchkey_http_requests_total",
            r#"route="unknown""#,
            r#"status="404""#,
        ],
        [
            "latchkey_http_request_seconds",
            "/auth/oidc/{provider}",
            "le=",
        ],
        ["latchkey_outbox_oldest_seconds", r#"schema="auth""#, ""],
    ] {
        assert!(has_line(&metrics, &words), "{words:?} in {metrics}");
    }
    for secret in ["ada", "acme", "stranger"] {
        assert!(!metrics.contains(secret), "{secret} in {metrics}");
    }
}

// R45
#[tokio::test]
async fn the_public_port_serves_no_metrics() {
    let app = TestApp::start().await;
    assert_eq!(app.browser().get("/metrics").await.status, 404);
}
