use latchkey_demo_provider::Decision;

use crate::support::{APP, PUBLIC, RowCounts, TestApp};

// R4 R8
#[tokio::test]
async fn the_return_location_survives_the_round_trip() {
    let app =
        TestApp::start_with(&[("ALLOWED_RETURN_ORIGINS", "https://crm.test.example:8443")]).await;
    for (given, expected) in [
        (
            "/objects/people%3Fview=1",
            format!("{APP}objects/people?view=1"),
        ),
        (
            "https://crm.test.example:8443/x",
            "https://crm.test.example:8443/x".to_owned(),
        ),
        (
            "https%3A%2F%2Fapp.test.example%2Fy%23z",
            format!("{APP}y#z"),
        ),
    ] {
        let path = format!("/auth/google?returnTo={given}&prompt=consent");
        let response = app
            .run_flow(&mut app.browser(), &path, &Decision::allow("ada"))
            .await;
        assert_eq!(response.location(), expected);
    }
}

// R8, WP11
#[tokio::test]
async fn a_return_location_outside_the_deployment_is_refused_at_the_start() {
    let app = TestApp::start().await;
    let mut signed_in = app.signed_in("ada").await.json();
    for evil in [
        "//evil.example",
        "%2F%2Fevil.example",
        "/%5Cevil.example",
        "/%252Fevil.example",
        "https://evil.example",
        "https://app.test.example@evil.example",
        "https://app.test.example:444/",
        "http://app.test.example/",
        "javascript:alert(1)",
        "https://app.test.example.evil.example",
    ] {
        let evil = evil.replace("%252F", "%252f");
        for path in [
            "/auth/google?returnTo=",
            "/auth/google-apis?redirectLocation=",
        ] {
            let response = signed_in.get(&format!("{path}{evil}")).await;
            assert_eq!(
                (response.status, response.code().as_str()),
                (400, "return_location_refused"),
                "{evil}"
            );
        }
    }
    assert_eq!(app.row_counts().await, RowCounts::ONE_SIGN_IN);
}

// R8, RP11
#[tokio::test]
async fn no_url_is_ever_derived_from_the_host_header() {
    let app = TestApp::start().await;
    let mut browser = app.browser();
    browser.headers = vec![
        ("host", "evil.example".to_owned()),
        ("x-forwarded-host", "evil.example".to_owned()),
        ("forwarded", "host=evil.example".to_owned()),
    ];
    let start = browser.get("/auth/google").await;
    assert_eq!(
        start.parameter("redirect_uri").unwrap(),
        format!("{PUBLIC}/auth/google/redirect")
    );
    let callback = app.decide(&start.location(), &Decision::allow("ada")).await;
    let response = browser.get(&callback).await;
    // A person who joins by a link sees a page of this service first.
    let landing = response.location();
    assert!(landing.starts_with(&format!("{PUBLIC}/auth/welcome/google?")));
    assert!(!response.headers_and_body().contains("evil.example"));
    let again = browser.get("/auth/google").await;
    assert_eq!(again.location(), APP);
    assert!(!again.headers_and_body().contains("evil.example"));
}

// R8
#[tokio::test]
async fn in_multi_domain_mode_a_start_on_a_workspaces_host_continues_on_the_public_host() {
    let app = TestApp::start_with(&[("IS_MULTIWORKSPACE_ENABLED", "true")]).await;
    let mut browser = app.browser();
    browser.headers = vec![("host", "acme.app.test.example".to_owned())];
    let moved = browser.get("/auth/google?returnTo=/inbox").await.location();
    assert_eq!(
        moved,
        format!("{PUBLIC}/auth/google?returnTo=/inbox&workspaceSubdomain=acme")
    );
    browser.headers.clear();
    let path = moved.strip_prefix(PUBLIC).unwrap().to_owned();
    let response = app
        .run_flow(&mut browser, &path, &Decision::allow("ada"))
        .await;
    assert_eq!(response.location(), "https://acme.app.test.example/inbox");
    // A host that belongs to no workspace is ignored.
    browser.headers = vec![("host", "evil.example".to_owned())];
    assert!(
        browser
            .get("/auth/google?prompt=login")
            .await
            .location()
            .starts_with(app.demo.base_url())
    );
}

// R8: the host says which workspace only where the link does not.
#[tokio::test]
async fn a_start_on_a_workspaces_host_that_names_a_workspace_keeps_the_one_it_names() {
    let app = TestApp::start_with(&[("IS_MULTIWORKSPACE_ENABLED", "true")]).await;
    let mut browser = app.browser();
    browser.headers = vec![("host", "acme.app.test.example".to_owned())];
    for named in [
        format!("workspaceId={}", app.workspace),
        "workspaceSubdomain=globex".to_owned(),
        "workspace=globex".to_owned(),
        format!("workspaceId={}&workspaceSubdomain=globex", app.workspace),
    ] {
        let start = format!("/auth/google?{named}");
        let moved = browser.get(&start).await.location();
        assert_eq!(moved, format!("{PUBLIC}{start}"));
    }
    let moved = browser.get("/auth/google").await.location();
    assert_eq!(
        moved,
        format!("{PUBLIC}/auth/google?workspaceSubdomain=acme")
    );
}

// R4
#[tokio::test]
async fn a_hosted_domain_is_passed_on_only_if_the_request_asks_for_it() {
    let app = TestApp::start_with(&[("AUTH_ALLOWED_DOMAINS", "acme.example")]).await;
    let hd = async |path: &str| app.browser().get(path).await.parameter("hd");
    assert_eq!(hd("/auth/google").await, None);
    assert_eq!(
        hd("/auth/google?hostedDomain=acme.example")
            .await
            .as_deref(),
        Some("acme.example")
    );
    assert_eq!(hd("/auth/google?hostedDomain=evil.example").await, None);
}

#[tokio::test]
async fn an_invalid_parameter_is_named() {
    let app = TestApp::start().await;
    let mut browser = app.browser().json();
    for (query, name) in [
        ("workspaceId=1", "workspaceId"),
        ("messageVisibility=ALL", "messageVisibility"),
        ("hostedDomain=*", "hostedDomain"),
        ("loginHint=nobody", "loginHint"),
        ("workspaceSubdomain=a.b", "workspaceSubdomain"),
    ] {
        let response = browser.get(&format!("/auth/google?{query}")).await;
        assert_eq!(
            (response.status, response.code().as_str()),
            (400, "invalid_parameter")
        );
        assert!(response.body.contains(name), "{}", response.body);
    }
}
