//! Isolation of workspaces: a bearer token of the workspace Evil, or a page on its host,
//! cannot reach a person's sessions in the workspace Acme.

use latchkey_demo_provider::Decision;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Browser, PUBLIC, Response, TestApp};

const MULTI: (&str, &str) = ("IS_MULTIWORKSPACE_ENABLED", "true");
const ACME: &str = "https://acme.app.test.example";
const EVIL: &str = "https://evil.app.test.example";

async fn start(further: &[(&str, &str)]) -> TestApp {
    let app = TestApp::start_with(&[&[MULTI], further].concat()).await;
    app.workspace("evil", &["acme.example"]).await;
    app
}

/// Signs Ada in to a workspace.
async fn ada_at(app: &TestApp, subdomain: &str) -> Browser {
    let mut browser = app.browser();
    let path = format!("/auth/google?workspaceSubdomain={subdomain}&prompt=consent");
    let response = app
        .run_flow(&mut browser, &path, &Decision::allow("ada"))
        .await;
    assert_eq!(response.status, 302, "{}", response.body);
    browser.json()
}

/// Returns a client with the bearer token that a front end on `origin` gets.
async fn bearer(app: &TestApp, browser: &mut Browser, origin: &str) -> Browser {
    let response = token(browser, origin, &json!({ "grantType": "cookie" })).await;
    assert_eq!(response.status, 200, "{}", response.body);
    let token = response.json()["accessToken"]["token"].clone();
    let mut bearer = app.browser().json();
    let value = format!("Bearer {}", token.as_str().unwrap());
    bearer.headers.push(("authorization", value));
    bearer
}

async fn token(browser: &mut Browser, origin: &str, grant: &Value) -> Response {
    browser.post_json(origin, "/auth/token", grant).await
}

async fn session_id(browser: &mut Browser) -> String {
    let me = browser.me().await.unwrap();
    me["sessionId"].as_str().unwrap().to_owned()
}

async fn listed(browser: &mut Browser) -> Vec<String> {
    let response = browser.get("/auth/sessions").await;
    assert_eq!(response.status, 200, "{}", response.body);
    let sessions = response.json()["sessions"].as_array().unwrap().clone();
    let id = |session: &Value| session["id"].as_str().unwrap().to_owned();
    sessions.iter().map(id).collect()
}

/// Returns a browser whose requests come from a page of `origin`.
fn from(browser: &Browser, origin: &str) -> Browser {
    let mut browser = browser.clone();
    browser.headers.push(("origin", origin.to_owned()));
    browser
}

/// R14, R18
#[tokio::test]
async fn a_bearer_of_one_workspace_neither_lists_nor_ends_sessions_of_another() {
    let app = start(&[]).await;
    let (mut acme, mut evil) = (ada_at(&app, "acme").await, ada_at(&app, "evil").await);
    let (at_acme, at_evil) = (session_id(&mut acme).await, session_id(&mut evil).await);
    let mut bearer = bearer(&app, &mut evil, EVIL).await;

    assert_eq!(listed(&mut bearer).await, [at_evil.as_str()]);
    let end = format!("/auth/sessions/{at_acme}");
    assert_eq!(
        bearer.send(Method::DELETE, &end).await.code(),
        "no_such_session"
    );
    assert_eq!(bearer.post("/auth/sign-out-everywhere").await.status, 204);
    assert!(acme.me().await.is_some(), "the session at Acme was ended");
    assert!(evil.me().await.is_none());
}

/// R14, R18: with the cookie, from another origin than this service's.
#[tokio::test]
async fn another_origin_neither_lists_nor_ends_sessions_of_another_workspace() {
    let app = start(&[]).await;
    let (mut acme, mut evil) = (ada_at(&app, "acme").await, ada_at(&app, "evil").await);
    let (at_acme, at_evil) = (session_id(&mut acme).await, session_id(&mut evil).await);

    // The application's front end is another origin too.
    for origin in [EVIL, "https://app.test.example"] {
        let mut page = from(&evil, origin);
        assert_eq!(listed(&mut page).await, [at_evil.as_str()], "{origin}");
        let end = format!("/auth/sessions/{at_acme}");
        let response = page.send(Method::DELETE, &end).await;
        assert_eq!(response.code(), "no_such_session", "{origin}");
    }
    let mut own_page = from(&evil, PUBLIC);
    let mut both = listed(&mut own_page).await;
    both.sort();
    let mut expected = vec![at_acme, at_evil];
    expected.sort();
    assert_eq!(both, expected, "the first-party page shows all of them");
    assert_eq!(
        from(&evil, EVIL)
            .post("/auth/sign-out-everywhere")
            .await
            .status,
        204
    );
    assert!(acme.me().await.is_some(), "the session at Acme was ended");
}

/// R8, R18: for cookies and for bearer tokens.
#[tokio::test]
async fn a_workspaces_host_acts_on_no_session_of_another_workspace() {
    let app = start(&[]).await;
    let mut acme = ada_at(&app, "acme").await;
    let bearer = bearer(&app, &mut acme, ACME).await;
    let id = session_id(&mut acme).await;

    for shown in [&acme, &bearer] {
        let mut page = from(shown, EVIL);
        for (method, path) in [
            (Method::GET, "/auth/me".to_owned()),
            (Method::GET, "/auth/sessions".to_owned()),
            (Method::DELETE, format!("/auth/sessions/{id}")),
            (Method::GET, "/auth/workspace/members".to_owned()),
            (Method::PUT, "/auth/workspace/public-invite".to_owned()),
            (
                Method::DELETE,
                "/auth/workspace/domains/acme.example".to_owned(),
            ),
        ] {
            let body = json!({ "enabled": true });
            let response = page.send_json(method.clone(), &path, &body).await;
            assert_eq!(response.code(), "not_signed_in", "{method} {path}");
        }
        for path in ["/auth/sign-out", "/auth/sign-out-everywhere"] {
            let mut page = from(shown, EVIL);
            assert_eq!(page.post(path).await.status, 204, "{path}");
            assert_eq!(page.session(), shown.session(), "{path} removed the cookie");
        }
    }
    // The account pages reach every workspace, so only this service's own pages may act.
    for origin in [EVIL, ACME, "https://app.test.example"] {
        let mut page = from(&acme, origin);
        for path in [
            format!("/auth/account/sessions/{id}/end"),
            format!("/auth/account/connections/{id}/disconnect"),
            format!("/auth/account/members/{id}/remove"),
        ] {
            assert_eq!(
                page.post(&path).await.code(),
                "cross_site",
                "{origin} {path}"
            );
        }
    }
    assert!(acme.me().await.is_some(), "the session at Acme was ended");
    let mut own = from(&bearer, ACME);
    assert!(own.me().await.is_some(), "its own host is refused");
}

/// R9, R18: and the attempt does not use the token up.
#[tokio::test]
async fn a_token_of_one_workspace_is_refused_from_the_host_of_another() {
    let app = start(&[("TOKEN_PAIR_COOKIE_ENABLED", "true")]).await;
    let mut acme = ada_at(&app, "acme").await;
    let pair = format!("v={}", acme.cookies["tokenPair"]);
    let (_, pair) = url::form_urlencoded::parse(pair.as_bytes()).next().unwrap();
    let pair: Value = serde_json::from_str(&pair).unwrap();
    let refresh =
        json!({ "grantType": "refresh_token", "refreshToken": pair["refreshToken"]["token"] });
    let cookie = json!({ "grantType": "cookie" });

    let mut thief = app.browser();
    assert_eq!(
        token(&mut thief, EVIL, &refresh).await.code(),
        "invalid_grant"
    );
    assert_eq!(
        token(&mut acme, EVIL, &cookie).await.code(),
        "not_signed_in"
    );
    assert_eq!(
        token(&mut thief, ACME, &refresh).await.status,
        200,
        "the token was used up"
    );
}
