use auth_svc::login::redirect::custom_hosts;
use auth_svc::store::workspace::custom_host;
use latchkey_demo_provider::Decision;
use reqwest::Method;
use serde_json::json;

use crate::support::{APP, Browser, NameServer, PUBLIC, TestApp};

const MULTI: (&str, &str) = ("IS_MULTIWORKSPACE_ENABLED", "true");
const HOST: &str = "app.customer.example";
const HOSTS: &str = "/auth/workspace/custom-domain";

/// Waits until the running service has read its hosts from the database again.
async fn wait_for_host_reload() {
    tokio::time::sleep(custom_hosts::FRESH + std::time::Duration::from_millis(500)).await;
}

/// Signs in an administrator of Acme in multi-domain mode.
async fn admin(app: &TestApp) -> Browser {
    let mut browser = app.browser();
    let path = "/auth/google?workspaceSubdomain=acme&prompt=consent";
    let response = app
        .run_flow(&mut browser, path, &Decision::allow("ada"))
        .await;
    assert_eq!(response.location(), "https://acme.app.test.example/");
    browser.json()
}

// R8
#[tokio::test]
async fn a_custom_domain_is_used_only_after_verification() {
    let name_server = NameServer::start().await;
    let app = TestApp::start_with(&[MULTI, ("DNS_RESOLVERS", &name_server.address)]).await;
    let mut ada = admin(&app).await;
    let pending = ada
        .send_json(Method::POST, HOSTS, &json!({ "host": HOST }))
        .await;
    assert_eq!(pending.status, 202, "{}", pending.body);
    let back = format!("/auth/google?workspaceSubdomain=acme&returnTo=https://{HOST}/inbox");
    assert_eq!(ada.get(&back).await.code(), "return_location_refused");
    let home = ada.get("/auth/google").await.location();
    assert_eq!(home, "https://acme.app.test.example/");

    let record = pending.json();
    name_server.publish(
        record["recordName"].as_str().unwrap(),
        record["recordValue"].as_str().unwrap(),
    );
    let done = ada
        .send(Method::POST, &format!("{HOSTS}/{HOST}/verify"))
        .await;
    assert_eq!(done.status, 200, "{}", done.body);
    wait_for_host_reload().await;
    assert_eq!(
        ada.get("/auth/google").await.location(),
        format!("https://{HOST}/")
    );
    assert_eq!(
        ada.get(&back).await.location(),
        format!("https://{HOST}/inbox")
    );
    // Similar spellings are other hosts.
    for evil in [
        format!("https://{HOST}:444/"),
        format!("http://{HOST}/"),
        format!("https://x.{HOST}/"),
        format!("https://{HOST}@evil.example/"),
    ] {
        let path = format!("/auth/google?returnTo={evil}");
        assert_eq!(ada.get(&path).await.code(), "return_location_refused");
    }

    assert_eq!(ada.send(Method::DELETE, HOSTS).await.status, 204);
    wait_for_host_reload().await;
    assert_eq!(ada.get(&back).await.code(), "return_location_refused");
    assert_eq!(ada.get("/auth/google").await.location(), home);
}

// R8
#[tokio::test]
async fn a_custom_domain_belongs_to_one_workspace_and_never_to_the_deployment() {
    let app = TestApp::start_with(&[MULTI]).await;
    let pool = app.database.pool();
    let other = app.workspace("other", &[]).await;
    custom_host::set(pool, other, Some(HOST)).await.unwrap();
    let taken = custom_host::set(pool, app.workspace, Some(HOST)).await;
    assert!(matches!(taken, Err(custom_host::HostError::Taken)));
    wait_for_host_reload().await;
    let mut ada = admin(&app).await;
    // Another workspace's host is trusted, but members of this one are not sent there.
    let back = format!("/auth/google?returnTo=https://{HOST}/inbox");
    assert_eq!(
        ada.get(&back).await.location(),
        "https://acme.app.test.example/"
    );
    for own in [
        "auth.test.example",
        "app.test.example",
        "x.app.test.example",
        "test.example",
    ] {
        let response = ada
            .send_json(Method::POST, HOSTS, &json!({ "host": own }))
            .await;
        assert_eq!(
            (response.status, response.code().as_str()),
            (400, "own_domain")
        );
    }
}

/// Follows redirects as if every host were this service. Returns where they end (the
/// application or the provider) and their number.
async fn follow_redirects(
    app: &TestApp,
    browser: &mut Browser,
    host: &str,
    path: &str,
) -> (String, usize) {
    let (mut host, mut path) = (host.to_owned(), path.to_owned());
    for hops in 1..=3 {
        browser.headers = vec![("host", host.clone())];
        let to = browser.get(&path).await.location();
        if to.starts_with(app.demo.base_url()) {
            return (to, hops);
        }
        let url: url::Url = to.parse().unwrap();
        if !url.path().starts_with("/auth/") {
            return (to, hops);
        }
        url.host_str().unwrap().clone_into(&mut host);
        url[url::Position::BeforePath..].clone_into(&mut path);
    }
    panic!("a redirect loop");
}

// R8
#[tokio::test]
async fn no_mode_has_a_redirect_loop() {
    for (mode, host, home) in [
        ("false", "app.test.example", APP),
        (
            "true",
            "acme.app.test.example",
            "https://acme.app.test.example/",
        ),
        ("true", HOST, "https://app.customer.example/"),
    ] {
        let app = TestApp::start_with(&[("IS_MULTIWORKSPACE_ENABLED", mode)]).await;
        app.workspace("other", &[]).await;
        if host == HOST {
            custom_host::set(app.database.pool(), app.workspace, Some(HOST))
                .await
                .unwrap();
            wait_for_host_reload().await;
        }
        let mut browser = app.browser();
        let start = if mode == "false" {
            format!("/auth/google?workspaceId={}", app.workspace)
        } else {
            "/auth/google".to_owned()
        };
        // The first visit goes to the provider, and from there to the application.
        let (provider, hops) = follow_redirects(&app, &mut browser, host, &start).await;
        assert!(
            provider.starts_with(app.demo.base_url()) && hops <= 2,
            "{host}"
        );
        let callback = app.decide(&provider, &Decision::allow("ada")).await;
        browser.headers.clear();
        // A person who joins by a link sees a page first and continues with its button.
        let page = browser.get(&callback).await.location();
        let page = browser.get(page.strip_prefix(PUBLIC).unwrap()).await;
        let next_url = browser
            .submit(&page.form("/auth/hand-over"))
            .await
            .refresh_url();
        assert!(next_url.starts_with(&format!("{home}#code=")), "{next_url}");
        // Later visits go to the application at once, not to the provider.
        for _ in 0..2 {
            let (end, hops) = follow_redirects(&app, &mut browser, host, "/auth/google").await;
            assert!(end.starts_with(home) && hops <= 2, "{host}: {end}");
        }
        // From an unverified host the only redirect leads to the provider.
        browser.cookies.clear();
        let (end, _) = follow_redirects(&app, &mut browser, "evil.example", &start).await;
        assert!(end.starts_with(app.demo.base_url()));
        assert!(end.contains(&format!(
            "redirect_uri={}",
            url::form_urlencoded::byte_serialize(PUBLIC.as_bytes()).collect::<String>()
        )));
    }
}

// R8
#[tokio::test]
async fn in_single_domain_mode_a_custom_domain_has_no_effect() {
    let app = TestApp::start().await;
    custom_host::set(app.database.pool(), app.workspace, Some(HOST))
        .await
        .unwrap();
    let mut ada = app.signed_in("ada").await.json();
    assert_eq!(ada.get("/auth/google").await.location(), APP);
    let response = ada
        .send_json(Method::POST, HOSTS, &json!({ "host": HOST }))
        .await;
    assert_eq!(
        (response.status, response.code().as_str()),
        (409, "single_domain")
    );
}
